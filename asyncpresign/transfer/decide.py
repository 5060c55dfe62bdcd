"""What an answer means and what to do about a failure: tables and pure functions.

An error is looked up by its wording, then by S3's code, then by its status. `WORDINGS`, `CODES` and `STATUSES` are
all there is to know; a server with words of its own is a further row.
https://docs.aws.amazon.com/AmazonS3/latest/API/ErrorResponses.html#ErrorCodeList
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from enum import StrEnum

from .._redaction import SHOWN
from .._s3.documents import ErrorDocument
from ..errors import (
    AccessDenied,
    Conflict,
    IntegrityError,
    NetworkError,
    NotFound,
    PreconditionFailed,
    Redirected,
    ResponseError,
    ServerError,
    SignatureMismatch,
    SlowDown,
    TransferError,
    URLExpired,
    redact,
)
from .policy import RetryPolicy


class Action(StrEnum):
    """What cures a failure."""

    RETRY = "retry"
    RESUME = "resume"
    SLOW_DOWN = "slow down"
    RESIGN = "re-sign"
    REFRESH = "refresh credentials"
    CORRECT_CLOCK = "correct clock"
    FAIL = "fail"


# Cures that either help at once or never: each is tried once an item.
ONCE = frozenset({Action.RESIGN, Action.REFRESH, Action.CORRECT_CLOCK})

# A URL that is refused as expired by a server whose clock is further off than this was not signed too early.
SKEW = timedelta(seconds=60)

# Characters of a server's shorter words that are looked at.
WORD = 256

Row = tuple[Action, type[ResponseError]]

CODES: Mapping[str, Row] = {
    "AccessDenied": (Action.FAIL, AccessDenied),
    "AccountProblem": (Action.FAIL, AccessDenied),
    "AllAccessDisabled": (Action.FAIL, AccessDenied),
    "BadDigest": (Action.RETRY, ResponseError),
    "BandwidthLimitExceeded": (Action.SLOW_DOWN, SlowDown),
    "Busy": (Action.SLOW_DOWN, SlowDown),
    "ConditionalRequestConflict": (Action.RETRY, Conflict),
    "ExpiredPresignRequest": (Action.RESIGN, URLExpired),
    "ExpiredRequest": (Action.RESIGN, URLExpired),
    "ExpiredToken": (Action.REFRESH, URLExpired),
    "IncompleteBody": (Action.RETRY, ResponseError),
    "InternalError": (Action.RETRY, ServerError),
    "InvalidAccessKeyId": (Action.REFRESH, AccessDenied),
    "InvalidToken": (Action.REFRESH, AccessDenied),
    "InvalidTokenId": (Action.REFRESH, AccessDenied),
    "NoSuchBucket": (Action.FAIL, NotFound),
    "NoSuchKey": (Action.FAIL, NotFound),
    "NoSuchUpload": (Action.FAIL, NotFound),
    "NoSuchVersion": (Action.FAIL, NotFound),
    "OperationAborted": (Action.RETRY, Conflict),
    "PermanentRedirect": (Action.FAIL, Redirected),
    "PreconditionFailed": (Action.FAIL, PreconditionFailed),
    "RequestLimitExceeded": (Action.SLOW_DOWN, SlowDown),
    "RequestTimeTooSkewed": (Action.CORRECT_CLOCK, AccessDenied),
    "RequestTimeout": (Action.RETRY, ResponseError),
    "ServiceUnavailable": (Action.SLOW_DOWN, SlowDown),
    "SignatureDoesNotMatch": (Action.FAIL, SignatureMismatch),
    "SlowDown": (Action.SLOW_DOWN, SlowDown),
    "SlowDownRead": (Action.SLOW_DOWN, SlowDown),
    "SlowDownWrite": (Action.SLOW_DOWN, SlowDown),
    "TemporaryRedirect": (Action.FAIL, Redirected),
    "ThrottlingException": (Action.SLOW_DOWN, SlowDown),
    "TokenRefreshRequired": (Action.REFRESH, URLExpired),
    "TooManyRequests": (Action.SLOW_DOWN, SlowDown),
}

# What servers say under a code that says less, in any case of letters: for a URL or a form past its end AccessDenied, with
# AWS's and MinIO's words or with Ceph's; for one whose time has not come MinIO's.
WORDINGS: Mapping[str, Row] = {
    "request has expired": (Action.RESIGN, URLExpired),
    "request expired": (Action.RESIGN, URLExpired),
    "policy expired": (Action.RESIGN, URLExpired),
    "url has expired": (Action.RESIGN, URLExpired),
    "request is not valid yet": (Action.CORRECT_CLOCK, AccessDenied),
}

STATUSES: Mapping[int, Row] = {
    304: (Action.FAIL, PreconditionFailed),
    401: (Action.FAIL, AccessDenied),
    403: (Action.FAIL, AccessDenied),
    404: (Action.FAIL, NotFound),
    408: (Action.RETRY, ResponseError),
    409: (Action.FAIL, Conflict),
    412: (Action.FAIL, PreconditionFailed),
    425: (Action.RETRY, ResponseError),
    429: (Action.SLOW_DOWN, SlowDown),
    501: (Action.FAIL, ServerError),
    503: (Action.SLOW_DOWN, SlowDown),
    505: (Action.FAIL, ServerError),
    506: (Action.FAIL, ServerError),
    508: (Action.FAIL, ServerError),
    510: (Action.FAIL, ServerError),
    511: (Action.FAIL, ServerError),
}
# Every other status of its hundred: https://www.iana.org/assignments/http-status-codes, and those that proxies and CDNs invent
# (https://developers.cloudflare.com/support/troubleshooting/http-status-codes/cloudflare-5xx-errors/).
STATUS_CLASSES: Mapping[int, Row] = {
    3: (Action.FAIL, Redirected),
    5: (Action.RETRY, ServerError),
}


class Accept(StrEnum):
    """Which responses are returned, and not raised as a `ResponseError`."""

    RESULT = "those of `RESULTS`: the object is here, or it is stored"
    SUCCESS = "the same, and any 2xx to a request that does not read"
    ANY = "all"


_STORED = frozenset({200, 201, 204})
# By the method of the request; for any other method every 2xx. 202 and the like say that there is no result yet, 203 and 226
# that it is another one. 206 is checked further by `ranges.check_partial`. S3 responds with 303 to a form that has
# `success_action_redirect`.
# https://www.rfc-editor.org/rfc/rfc9110#name-successful-2xx
RESULTS: Mapping[str, frozenset[int]] = {
    "GET": frozenset({200, 206}),
    "HEAD": frozenset({200, 206}),
    "PUT": _STORED,
    "POST": _STORED | {303},
}
_READS = frozenset({"GET", "HEAD"})


def is_success(method: str, status: int, accept: Accept) -> bool:
    """Whether `status` is a success for a request with `method`."""
    if status in RESULTS.get(method, ()):
        return True
    return 200 <= status < 300 and method not in (RESULTS if accept is Accept.RESULT else _READS)


def _row(status: int, code: str, message: str) -> Row:
    said = message.lower()
    for words, row in WORDINGS.items():
        if words in said:
            return row
    if code in CODES:
        return CODES[code]
    return STATUSES.get(status) or STATUS_CLASSES.get(status // 100, (Action.FAIL, ResponseError))


def response_error(
    status: int, headers: Mapping[str, str], document: ErrorDocument | None, *, now: datetime, request: str = ""
) -> ResponseError:
    """The error that an answer which is not a success stands for; `headers` have lower-case names, `now` is aware."""
    document = document or ErrorDocument()
    code, message = document.code[:WORD], document.message[:SHOWN]
    _, kind = _row(status, code, message)
    silent = "no explanation in the answer" if status >= 300 else "a success, but not the one that was asked for"
    told = " ".join(filter(None, (code, message))) or silent
    region = (headers.get("x-amz-bucket-region") or document.region)[:WORD]
    if region and issubclass(kind, Redirected):
        told += f"; the bucket is in region {region!r}: sign for it"
    request_id = (document.request_id or headers.get("x-amz-request-id", ""))[:WORD]
    return kind(
        f"HTTP {status}: {redact(told)}",
        status=status,
        code=code,
        request_id=redact(request_id),
        retry_after=retry_after(headers, now),
        clock_offset=None if (date := _moment(headers.get("date", ""))) is None else date - now,
        request=request,
    )


def server_time(headers: Mapping[str, str]) -> datetime | None:
    """The response's `Date`, aware; None where it is missing or invalid."""
    return _moment(headers.get("date", ""))


@dataclass(frozen=True, slots=True)
class Decision:
    """`action`, after waiting `delay` seconds; then go on at byte `at`."""

    action: Action
    delay: float = 0.0
    at: int = 0


def decide(
    error: TransferError,
    attempt: int,
    policy: RetryPolicy,
    *,
    allowed: Collection[Action],
    tried: Collection[Action],
    jitter: float,
    held: int = 0,
    clock_limit: timedelta = timedelta.max,
) -> Decision:
    """What to do after attempt number `attempt` (from 1) ended in `error`.

    `allowed` are the actions that this item's source and signer permit (a static URL cannot be signed again, a stream
    cannot be sent again), `tried` those already taken for it, `jitter` is random in 0..1. `held` is how many bytes from the
    start are safe; what has arrived wrong is not. `clock_limit` is the largest clock offset of the server's that is believed.
    """
    action = _cure(error, allowed, tried, clock_limit)
    spent = action in ONCE and action in tried
    if action is Action.FAIL or action not in allowed or spent or attempt >= policy.attempts:
        return Decision(Action.FAIL)
    at = 0 if isinstance(error, IntegrityError) or Action.RESUME not in allowed else held
    if action in ONCE:
        return Decision(action, at=at)
    if action is Action.RETRY and at:
        action = Action.RESUME
    asked = error.retry_after if isinstance(error, ResponseError) else None
    return Decision(action, max(policy.backoff(attempt, jitter), min(asked or 0.0, policy.cap)), at)


def _cure(error: TransferError, allowed: Collection[Action], tried: Collection[Action], clock_limit: timedelta) -> Action:
    """The action, or the one to take in its stead for this item."""
    action = meaning(error)
    offset = error.clock_offset if isinstance(error, ResponseError) else None
    believed = offset is not None and abs(offset) <= clock_limit
    if action is Action.RESIGN and offset is not None and believed and abs(offset) > SKEW:
        # Signed afresh by the same wrong clock, it would be as old.
        return Action.CORRECT_CLOCK if Action.CORRECT_CLOCK in allowed and Action.CORRECT_CLOCK not in tried else action
    if action is Action.CORRECT_CLOCK and not believed:
        return Action.FAIL
    if action is Action.REFRESH and Action.REFRESH not in allowed:
        # A signer that renews its credentials by itself may have done so; some servers say it of a URL.
        return Action.RESIGN
    return action


def meaning(error: TransferError) -> Action:
    """What would cure `error`, whatever the item permits."""
    match error:
        case ResponseError(status=202, retry_after=float()):
            # Not ready yet, and the server says when.
            return Action.RETRY
        case ResponseError():
            return _row(error.status, error.code, error.message)[0]
        case NetworkError() | IntegrityError():
            return Action.FAIL if error.permanent else Action.RETRY
        case _:
            return Action.FAIL


# What servers, gateways and CDNs that take no `Range` say to one, instead of ignoring it as they may.
# https://www.rfc-editor.org/rfc/rfc9110#name-range
_RANGE_REFUSALS = frozenset({400, 403, 405, 406, 416, 417, 501})


def refuses_range(error: ResponseError) -> bool:
    """Whether `error`, the response to the first request for a range, may not come to a request for the whole object."""
    return error.status in _RANGE_REFUSALS and meaning(error) is Action.FAIL


# Characters of an HTTP date, which has 29, and digits of a number of seconds.
_DATE = 64
_DIGITS = 9


def retry_after(headers: Mapping[str, str], now: datetime) -> float | None:
    """Seconds that `Retry-After` asks for (a number, or a date), or None.

    https://www.rfc-editor.org/rfc/rfc9110#name-retry-after
    """
    value = headers.get("retry-after", "")[:_DATE].strip()
    if value.isascii() and value.isdigit() and len(value) <= _DIGITS:
        return float(value)
    moment = _moment(value)
    return None if moment is None else max(0.0, (moment - now).total_seconds())


def _moment(value: str) -> datetime | None:
    try:
        moment = parsedate_to_datetime(value[:_DATE])
        # What no clock shows cannot be compared.
        return moment.replace(tzinfo=moment.tzinfo or UTC).astimezone(UTC)
    except (ValueError, OverflowError, TypeError, IndexError):
        return None
