"""What an answer means and what to do about a failure: tables and pure functions.

An error is looked up by S3's code, then by its wording, then by its status. `CODES`, `_WORDINGS` and `STATUSES` are
all there is to know; a server with words of its own is a further row.
https://docs.aws.amazon.com/AmazonS3/latest/API/ErrorResponses.html#ErrorCodeList
"""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from enum import StrEnum

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
    SLOW_DOWN = "slow down"
    RESIGN = "re-sign"
    REFRESH = "refresh credentials"
    CORRECT_CLOCK = "correct clock"
    FAIL = "fail"


# Cures that either help at once or never: each is tried once an item.
ONCE = frozenset({Action.RESIGN, Action.REFRESH, Action.CORRECT_CLOCK})

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
    "ExpiredToken": (Action.REFRESH, URLExpired),
    "IncompleteBody": (Action.RETRY, ResponseError),
    "InternalError": (Action.RETRY, ServerError),
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

_EXPIRED: Row = (Action.RESIGN, URLExpired)

# What servers say under a code that says less: AWS and MinIO use AccessDenied for a URL and a form past their end.
_WORDINGS: tuple[tuple[re.Pattern[str], Row], ...] = (
    (re.compile(r"request has expired|policy expired|request expired|url.{0,20}expired", re.IGNORECASE), _EXPIRED),
)

STATUSES: Mapping[int, Row] = {
    304: (Action.FAIL, PreconditionFailed),
    401: (Action.FAIL, AccessDenied),
    403: (Action.FAIL, AccessDenied),
    404: (Action.FAIL, NotFound),
    408: (Action.RETRY, ResponseError),
    409: (Action.FAIL, Conflict),
    412: (Action.FAIL, PreconditionFailed),
    429: (Action.SLOW_DOWN, SlowDown),
    500: (Action.RETRY, ServerError),
    502: (Action.RETRY, ServerError),
    503: (Action.SLOW_DOWN, SlowDown),
    504: (Action.RETRY, ServerError),
}


def _row(status: int, code: str, message: str) -> Row:
    for pattern, row in _WORDINGS:
        if pattern.search(message):
            return row
    if code in CODES:
        return CODES[code]
    if status in STATUSES:
        return STATUSES[status]
    if 300 <= status < 400:
        return (Action.FAIL, Redirected)
    return (Action.FAIL, ServerError if status >= 500 else ResponseError)


def response_error(
    status: int, headers: Mapping[str, str], document: ErrorDocument | None, *, now: datetime, request: str = ""
) -> ResponseError:
    """The error that an answer which is not a success stands for; `headers` have lower-case names, `now` is aware."""
    document = document or ErrorDocument()
    _, kind = _row(status, document.code, document.message)
    told = " ".join(filter(None, (document.code, document.message))) or "no explanation in the answer"
    region = headers.get("x-amz-bucket-region") or document.region
    if region and issubclass(kind, Redirected):
        told += f"; the bucket is in region {region!r}: sign for it"
    request_id = document.request_id or headers.get("x-amz-request-id", "")
    return kind(
        f"HTTP {status}: {redact(told)}",
        status=status,
        code=document.code,
        request_id=request_id,
        retry_after=retry_after(headers, now),
        request=request,
    )


@dataclass(frozen=True, slots=True)
class Decision:
    """`action`, after waiting `delay` seconds."""

    action: Action
    delay: float = 0.0


def decide(
    error: TransferError,
    attempt: int,
    policy: RetryPolicy,
    *,
    allowed: Collection[Action],
    tried: Collection[Action],
    jitter: float,
) -> Decision:
    """What to do after attempt number `attempt` (from 1) ended in `error`.

    `allowed` are the actions that this item's source and signer permit (a static URL cannot be signed again, a stream
    cannot be sent again), `tried` those already taken for it, `jitter` is random in 0..1.
    """
    action = _action(error)
    spent = action in ONCE and action in tried
    if action not in allowed or spent or attempt >= policy.attempts:
        return Decision(Action.FAIL)
    if action in ONCE:
        return Decision(action)
    asked = error.retry_after if isinstance(error, ResponseError) else None
    return Decision(action, max(policy.backoff(attempt, jitter), min(asked or 0.0, policy.cap)))


def _action(error: TransferError) -> Action:
    match error:
        case ResponseError():
            return _row(error.status, error.code, error.message)[0]
        case NetworkError():
            return Action.FAIL if error.permanent else Action.RETRY
        case IntegrityError():
            return Action.RETRY
        case _:
            return Action.FAIL


def retry_after(headers: Mapping[str, str], now: datetime) -> float | None:
    """Seconds that `Retry-After` asks for (a number, or a date), or None.

    https://www.rfc-editor.org/rfc/rfc9110#name-retry-after
    """
    value = headers.get("retry-after", "").strip()
    if value.isascii() and value.isdigit():
        return float(value)
    try:
        moment = parsedate_to_datetime(value)
    except ValueError:
        return None
    return max(0.0, (moment.replace(tzinfo=moment.tzinfo or UTC) - now).total_seconds())
