"""Presigned S3 URLs and POST forms for asyncio: sign them offline, and move bytes with them in bulk.

Every public name is here and is loaded when it is first asked for (PEP 562), so that signing never pays for the
transfer's dependencies: importing this package loads the standard library only.
"""

from typing import TYPE_CHECKING

__version__ = "0.1.0"

if TYPE_CHECKING:
    from .errors import (
        AccessDenied,
        Conflict,
        CredentialsError,
        IntegrityError,
        InvalidRequest,
        JournalError,
        LocalFileError,
        MissingExtra,
        NetworkError,
        NotFound,
        PreconditionFailed,
        PresignError,
        Problem,
        Redirected,
        ResponseError,
        ServerError,
        SignatureMismatch,
        SlowDown,
        TransferError,
        UnsafePathError,
        UnsupportedRequest,
        URLExpired,
        VerificationError,
    )
    from .http.transport import Response
    from .models import Credentials, PresignedPost, PresignedRequest, PresignedURLs, S3Object
    from .signers.base import Adjustable, Signer
    from .signers.offline import OfflineSigner
    from .signers.presigner import Presigner
    from .transfer.engine import Transfer
    from .transfer.items import Download, FormUpload, TransferResult, Upload
    from .transfer.policy import RetryPolicy
    from .transfer.report import TransferReport

_ERRORS = (
    "AccessDenied Conflict CredentialsError IntegrityError InvalidRequest JournalError LocalFileError MissingExtra "
    "NetworkError NotFound PreconditionFailed PresignError Problem Redirected ResponseError ServerError SignatureMismatch "
    "SlowDown TransferError UnsafePathError UnsupportedRequest URLExpired VerificationError"
)
_MODULES = {
    "errors": _ERRORS,
    "http.transport": "Response",
    "models": "Credentials PresignedPost PresignedRequest PresignedURLs S3Object",
    "signers.base": "Adjustable Signer",
    "signers.offline": "OfflineSigner",
    "signers.presigner": "Presigner",
    "transfer.engine": "Transfer",
    "transfer.items": "Download FormUpload TransferResult Upload",
    "transfer.policy": "RetryPolicy",
    "transfer.report": "TransferReport",
}
_HOME = {name: module for module, names in _MODULES.items() for name in names.split()}

__all__ = [  # noqa: F822 (they are loaded on demand)
    "__version__",
]
__all__ += sorted(_HOME)

if not TYPE_CHECKING:

    def __getattr__(name):
        if name not in _HOME:
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        from importlib import import_module

        value = getattr(import_module(f".{_HOME[name]}", __name__), name)
        globals()[name] = value
        return value

    def __dir__():
        return sorted({*globals(), *_HOME})
