"""Every error asyncpresign raises, in one tree; what each one means is said at its class.

    PresignError
      InvalidRequest (also ValueError)     the call is wrong; .problems says all that is
        UnsafePathError                    a key that would leave its Directory
      UnsupportedRequest                   this signer or endpoint cannot do that
      CredentialsError                     none found, expired, or expiring before the URL
      VerificationError                    a signature, an expiry or a policy condition does not hold
      MissingExtra (also ImportError)      which extra to install
      TransferError                        .request (redacted), .attempts
        NetworkError                       no complete HTTP answer came back
        ResponseError                      .status, .code, .request_id
          AccessDenied  URLExpired  SignatureMismatch  NotFound  PreconditionFailed  Conflict  Redirected
          SlowDown  ServerError
        IntegrityError                     the bytes are not the ones promised
        LocalFileError (also OSError)      .path, .errno; FileNotFoundError or PermissionError where that was the cause
      JournalError                         another job's, locked, damaged

This module imports nothing of the package but `_values` and, when a text is redacted, `_redaction`; and nothing outside the
standard library. No message made here
or handed in may hold a secret or a live signature: `describe` and `redact` are what the rest of the package builds its
texts with.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime, timedelta
from errno import EACCES, ENOENT, EPERM

from ._values import dataclass


class PresignError(Exception):
    """The root: `except PresignError` catches whatever this package raises on purpose."""


@dataclass(frozen=True, slots=True)
class Problem:
    """One thing wrong with a call.

    `argument` is the argument as the caller wrote it, `expected` what would be right, `got` what was found (never a
    value that could be secret), `suggestion` the nearest right thing, if there is one.
    """

    argument: str
    expected: str
    got: str = ""
    suggestion: str = ""

    def __str__(self) -> str:
        text = f"{self.argument}: expected {self.expected}"
        if self.got:
            text += f", got {self.got}"
        return f"{text}; {self.suggestion}" if self.suggestion else text


class InvalidRequest(PresignError, ValueError):
    """The call is wrong, whoever answers it. `problems` holds every reason, not only the first."""

    def __init__(self, *problems: Problem) -> None:
        super().__init__(*problems)
        self.problems = problems

    def __str__(self) -> str:
        return "\n".join(map(str, self.problems))


class UnsafePathError(InvalidRequest):
    """A key that would be written outside its `Directory`, or that no file system could hold as it is."""


class UnsupportedRequest(PresignError):
    """Right in itself, but not something that this signer or endpoint can do; the message says what can."""


class CredentialsError(PresignError):
    """No usable credentials: none found, expired, or ending before the URL would."""


class VerificationError(PresignError):
    """A signature, an expiry or a policy condition does not hold."""


class MissingExtra(PresignError, ImportError):
    """A part of the package needs an optional dependency; `extra` names what to install."""

    def __init__(self, extra: str, feature: str = "this") -> None:
        super().__init__(extra, feature)
        self.extra = extra
        self.feature = feature

    def __str__(self) -> str:
        return f"{self.feature} needs an optional dependency: python -m pip install 'asyncpresign[{self.extra}]'"


class TransferError(PresignError):
    """Bytes did not move. `request` is the request, redacted; `attempts` how often it was tried."""

    def __init__(self, message: str, *, request: str = "", attempts: int = 1) -> None:
        super().__init__(message)
        self.message = message
        self.request = request
        self.attempts = attempts

    def __str__(self) -> str:
        tries = f" (after {self.attempts} attempts)" if self.attempts > 1 else ""
        return f"{self.request}: {self.message}{tries}" if self.request else f"{self.message}{tries}"


class NetworkError(TransferError):
    """No complete HTTP answer: refused, reset, cut short, stalled, or not resolvable. `permanent`: trying again is no cure.

    `sent`: the request may have reached the server, which may have done what it asks for.
    """

    def __init__(
        self, message: str, *, request: str = "", attempts: int = 1, permanent: bool = False, sent: bool = False
    ) -> None:
        super().__init__(message, request=request, attempts=attempts)
        self.permanent = permanent
        self.sent = sent


class ResponseError(TransferError):
    """A complete answer that is not a success. `code` and `request_id` are S3's own, empty where it gave none.

    `retry_after` is how many seconds the server asked to be left alone, `clock_offset` its `Date` minus this machine's
    clock; None where it did not say.
    """

    def __init__(
        self,
        message: str,
        *,
        status: int = 0,
        code: str = "",
        request_id: str = "",
        retry_after: float | None = None,
        clock_offset: timedelta | None = None,
        request: str = "",
        attempts: int = 1,
    ) -> None:
        super().__init__(message, request=request, attempts=attempts)
        self.status = status
        self.code = code
        self.request_id = request_id
        self.retry_after = retry_after
        self.clock_offset = clock_offset


class AccessDenied(ResponseError):
    """401 or 403 for a reason that signing again would not cure."""


class URLExpired(ResponseError):
    """The presigned URL or form is past its end; `status` is 0 when that was known before it was sent."""


class SignatureMismatch(ResponseError):
    """S3 computed another signature: wrong secret, region or key, or a header that was signed and not sent."""


class NotFound(ResponseError):
    """404: no such bucket, key, version or upload."""


class PreconditionFailed(ResponseError):
    """412 (or 304): the object is not the one that `If-Match` and its kin asked for."""


class Conflict(ResponseError):
    """409: another operation on the same name is under way, or the bucket's state forbids this one."""


class Redirected(ResponseError):
    """3xx: S3 wants another host. A signature covers the host, so it is never followed; sign for the right region."""


class SlowDown(ResponseError):
    """429 or 503: the server asks for fewer requests."""


class ServerError(ResponseError):
    """5xx: the server failed."""


class IntegrityError(TransferError):
    """The bytes that arrived or were stored are not the ones promised. `permanent`: trying again is no cure."""

    def __init__(self, message: str, *, request: str = "", attempts: int = 1, permanent: bool = False) -> None:
        super().__init__(message, request=request, attempts=attempts)
        self.permanent = permanent


class LocalFileError(TransferError, OSError):
    """The local side of a transfer failed. One that a `FileNotFoundError` or `PermissionError` caused is one too.

    `path` (also `filename`) is the file, and the message what the system said. `errno` and `strerror` are the system's; None
    where it was not the system that failed.
    """

    def __new__(  # noqa: PYI034 (one of a class for the cause)
        cls, message: str, *, path: str = "", errno: int | None = None, request: str = "", attempts: int = 1
    ) -> LocalFileError:
        return super().__new__(_SYSTEM_ERRORS.get(errno, cls) if cls is LocalFileError else cls, message)

    def __init__(self, message: str, *, path: str = "", errno: int | None = None, request: str = "", attempts: int = 1) -> None:
        TransferError.__init__(self, message, request=request, attempts=attempts)
        self.path = path
        self.filename: str | None = path or None
        self.errno: int | None = errno
        self.strerror: str | None = None if errno is None else message

    def __str__(self) -> str:
        text = TransferError.__str__(self)
        return f"{self.path}: {text}" if self.path else text

    def __reduce__(self) -> tuple[object, ...]:
        # The system's attributes are none of the instance's dictionary.
        return _local_file_error, (self.message, self.path, self.errno), self.__dict__


def _local_file_error(message: str, path: str, errno: int | None) -> LocalFileError:
    return LocalFileError(message, path=path, errno=errno)


class _LocalFileNotFound(LocalFileError, FileNotFoundError):
    """There is no such file or folder."""


class _LocalPermissionDenied(LocalFileError, PermissionError):
    """The system refuses it to this user."""


_SYSTEM_ERRORS: dict[int | None, type[LocalFileError]] = {
    ENOENT: _LocalFileNotFound,
    EACCES: _LocalPermissionDenied,
    EPERM: _LocalPermissionDenied,
}


class JournalError(PresignError):
    """A journal that belongs to another job, is in use, or is damaged."""


def describe(value: object) -> str:
    """`value` in words that are safe to show: numbers and times as they are, texts and containers by type and size."""
    match value:
        case int() if value.bit_length() > 64:
            return f"an int of {value.bit_length()} bits"
        case datetime():
            return _describe_datetime(value)
        case None | bool() | int() | float() | timedelta():
            return repr(value)
        case "" | b"":
            return f"an empty {type(value).__name__}"
        case str() | bytes():
            return f"a {type(value).__name__} of length {len(value)}"
        case _:
            return f"an object of type {type(value).__name__}"


def _describe_datetime(value: datetime) -> str:
    try:
        return f"datetime {value.isoformat()}"
    except Exception:  # noqa: BLE001 (the time zone is the caller's class, which may raise anything)
        return "a datetime whose time zone has no offset"


def nearest(name: str, names: Iterable[str]) -> str:
    """`did you mean 'x'?` for the nearest of `names`, or an empty text; case and underscores hardly count.

    A name that is longer than any of `names` could be has no nearest one: to compare takes the product of the lengths.
    """
    import difflib  # only mistakes need it

    among = list(names)
    if len(name) > 2 * max(map(len, among), default=0):
        return ""
    found = difflib.get_close_matches(_bare(name), map(_bare, among), n=1, cutoff=0.5)
    alike = [each for each in among if found and _bare(each) == found[0]]
    closest = max(alike, key=lambda each: difflib.SequenceMatcher(None, name, each).ratio(), default=None)
    return f"did you mean {closest!r}?" if closest is not None else ""


def _bare(name: str) -> str:
    return name.lower().replace("_", "").replace("-", "")


def redact(text: str) -> str:
    """`text` with `...` for the values of a URL's query parameters that are not known to be harmless, for `user:password@`, and
    for a signature's parameters and headers outside of URLs."""
    from ._redaction import redact as redacted  # only what is shown needs it

    return redacted(text)
