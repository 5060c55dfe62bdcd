"""Presigned S3 URLs and POST forms for asyncio: sign them offline, and move bytes with them in bulk.

Every public name is here and is loaded when it is first asked for (PEP 562), so that signing never pays for the
transfer's dependencies: importing this package loads the standard library only.
"""

from typing import TYPE_CHECKING

__version__ = "0.1.0"

if TYPE_CHECKING:
    from .credentials import CredentialSource as CredentialSource
    from .credentials import botocore_source as botocore_source
    from .credentials import default_source as default_source
    from .disposition import content_disposition as content_disposition
    from .errors import AccessDenied as AccessDenied
    from .errors import Conflict as Conflict
    from .errors import CredentialsError as CredentialsError
    from .errors import IntegrityError as IntegrityError
    from .errors import InvalidRequest as InvalidRequest
    from .errors import JournalError as JournalError
    from .errors import LocalFileError as LocalFileError
    from .errors import MissingExtra as MissingExtra
    from .errors import NetworkError as NetworkError
    from .errors import NotFound as NotFound
    from .errors import PreconditionFailed as PreconditionFailed
    from .errors import PresignError as PresignError
    from .errors import Problem as Problem
    from .errors import Redirected as Redirected
    from .errors import ResponseError as ResponseError
    from .errors import ServerError as ServerError
    from .errors import SignatureMismatch as SignatureMismatch
    from .errors import SlowDown as SlowDown
    from .errors import TransferError as TransferError
    from .errors import UnsafePathError as UnsafePathError
    from .errors import UnsupportedRequest as UnsupportedRequest
    from .errors import URLExpired as URLExpired
    from .errors import VerificationError as VerificationError
    from .http.transport import Response as Response
    from .inspection import Check as Check
    from .inspection import CredentialsFinder as CredentialsFinder
    from .inspection import Difference as Difference
    from .inspection import Explanation as Explanation
    from .inspection import InspectedURL as InspectedURL
    from .inspection import Verification as Verification
    from .inspection import explain_url as explain_url
    from .inspection import inspect_url as inspect_url
    from .inspection import verify_post as verify_post
    from .inspection import verify_url as verify_url
    from .models import Credentials as Credentials
    from .models import PresignedPost as PresignedPost
    from .models import PresignedRequest as PresignedRequest
    from .models import PresignedURLs as PresignedURLs
    from .models import S3Object as S3Object
    from .signers.aiobotocore import AiobotocoreSigner as AiobotocoreSigner
    from .signers.base import Adjustable as Adjustable
    from .signers.base import Signer as Signer
    from .signers.offline import OfflineSigner as OfflineSigner
    from .signers.presigner import Presigner as Presigner
    from .transfer.items import Download as Download
    from .transfer.items import FormUpload as FormUpload
    from .transfer.items import TransferResult as TransferResult
    from .transfer.items import Upload as Upload
    from .transfer.listing import CommonPrefix as CommonPrefix
    from .transfer.listing import ObjectInfo as ObjectInfo
    from .transfer.paths import Directory as Directory
    from .transfer.policy import Limits as Limits
    from .transfer.policy import RetryPolicy as RetryPolicy
    from .transfer.report import Event as Event
    from .transfer.report import ItemFinished as ItemFinished
    from .transfer.report import ItemProgressed as ItemProgressed
    from .transfer.report import ItemRetried as ItemRetried
    from .transfer.report import ItemStarted as ItemStarted
    from .transfer.report import TransferReport as TransferReport
    from .transfer.transfer import Transfer as Transfer

_ERRORS = (
    "AccessDenied Conflict CredentialsError IntegrityError InvalidRequest JournalError LocalFileError MissingExtra "
    "NetworkError NotFound PreconditionFailed PresignError Problem Redirected ResponseError ServerError SignatureMismatch "
    "SlowDown TransferError UnsafePathError UnsupportedRequest URLExpired VerificationError"
)
_INSPECTION = (
    "Check CredentialsFinder Difference Explanation InspectedURL Verification explain_url inspect_url verify_post verify_url"
)
_MODULES = {
    "disposition": "content_disposition",
    "credentials": "CredentialSource botocore_source default_source",
    "errors": _ERRORS,
    "http.transport": "Response",
    "inspection": _INSPECTION,
    "models": "Credentials PresignedPost PresignedRequest PresignedURLs S3Object",
    "signers.aiobotocore": "AiobotocoreSigner",
    "signers.base": "Adjustable Signer",
    "signers.offline": "OfflineSigner",
    "signers.presigner": "Presigner",
    "transfer.items": "Download FormUpload TransferResult Upload",
    "transfer.listing": "CommonPrefix ObjectInfo",
    "transfer.paths": "Directory",
    "transfer.policy": "Limits RetryPolicy",
    "transfer.report": "Event ItemFinished ItemProgressed ItemRetried ItemStarted TransferReport",
    "transfer.transfer": "Transfer",
}
_HOME = {name: module for module, names in _MODULES.items() for name in names.split()}

if not TYPE_CHECKING:
    # What an extra brings is asked for by name: `import *` must work without it.
    __all__ = ["__version__", *sorted(name for name, home in _HOME.items() if home != "signers.aiobotocore")]  # noqa: PLE0604 (they are texts)

    def __getattr__(name):
        if name not in _HOME:
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        from importlib import import_module

        value = getattr(import_module(f".{_HOME[name]}", __name__), name)
        globals()[name] = value
        return value

    def __dir__():
        return sorted({*globals(), *_HOME})
