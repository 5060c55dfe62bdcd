"""What an answer means and what is done about it, as tables: no loop, no socket, no clock."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone
from email.utils import format_datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from asyncpresign import (
    AccessDenied,
    Conflict,
    IntegrityError,
    LocalFileError,
    NetworkError,
    NotFound,
    PreconditionFailed,
    Redirected,
    ResponseError,
    RetryPolicy,
    ServerError,
    SignatureMismatch,
    SlowDown,
    TransferError,
    URLExpired,
)
from asyncpresign._s3.documents import ErrorDocument
from asyncpresign.transfer import decide as module
from asyncpresign.transfer.decide import (
    ONCE,
    SKEW,
    Accept,
    Action,
    Decision,
    decide,
    is_success,
    response_error,
    retry_after,
)

NOW = datetime(2026, 11, 23, 12, 0, 0, tzinfo=UTC)
POLICY = RetryPolicy(attempts=6, base=0.1, cap=20.0)
EVERYTHING = frozenset(Action)

# What AWS documents, MinIO's and SeaweedFS's words, and proxies between: (status, code, message) -> what to do, error class.
# A code counts for more than its status: ExpiredToken and RequestTimeout are 400, RequestTimeTooSkewed is 403.
ANSWERS = {
    (400, "ExpiredToken", ""): (Action.REFRESH, URLExpired),
    (400, "TokenRefreshRequired", ""): (Action.REFRESH, URLExpired),
    (400, "RequestTimeout", "Your socket connection was not read from"): (Action.RETRY, ResponseError),
    (400, "IncompleteBody", ""): (Action.RETRY, ResponseError),
    (400, "BadDigest", ""): (Action.RETRY, ResponseError),
    (400, "ExpiredPresignRequest", ""): (Action.RESIGN, URLExpired),
    (400, "EntityTooLarge", ""): (Action.FAIL, ResponseError),
    (400, "InvalidArgument", ""): (Action.FAIL, ResponseError),
    (400, "InvalidToken", ""): (Action.REFRESH, AccessDenied),
    (400, "ExpiredRequest", "Presigned URL or request signature has expired."): (Action.RESIGN, URLExpired),
    (400, "AuthorizationQueryParametersError", "X-Amz-Expires must be less than a week"): (Action.FAIL, ResponseError),
    (400, "AccessDenied", "Request has expired"): (Action.RESIGN, URLExpired),
    (400, "", ""): (Action.FAIL, ResponseError),
    (403, "AccessDenied", "Request has expired"): (Action.RESIGN, URLExpired),
    (403, "AccessDenied", "Invalid according to Policy: Policy expired."): (Action.RESIGN, URLExpired),
    (403, "AccessDenied", "Access Denied"): (Action.FAIL, AccessDenied),
    (403, "AllAccessDisabled", ""): (Action.FAIL, AccessDenied),
    (403, "AccountProblem", ""): (Action.FAIL, AccessDenied),
    (403, "AccessDenied", "Request expired"): (Action.RESIGN, URLExpired),
    (403, "AccessDenied", "The pre-signed URL has expired"): (Action.RESIGN, URLExpired),
    (403, "AccessDenied", "Request is not valid yet"): (Action.CORRECT_CLOCK, AccessDenied),
    (403, "InvalidAccessKeyId", ""): (Action.REFRESH, AccessDenied),
    (403, "InvalidTokenId", ""): (Action.REFRESH, AccessDenied),
    (403, "RequestTimeTooSkewed", ""): (Action.CORRECT_CLOCK, AccessDenied),
    (403, "SignatureDoesNotMatch", ""): (Action.FAIL, SignatureMismatch),
    (403, "", ""): (Action.FAIL, AccessDenied),
    (401, "", ""): (Action.FAIL, AccessDenied),
    (404, "NoSuchKey", ""): (Action.FAIL, NotFound),
    (404, "NoSuchBucket", ""): (Action.FAIL, NotFound),
    (404, "NoSuchVersion", ""): (Action.FAIL, NotFound),
    (404, "NoSuchUpload", ""): (Action.FAIL, NotFound),
    (404, "", ""): (Action.FAIL, NotFound),
    (405, "MethodNotAllowed", ""): (Action.FAIL, ResponseError),
    (408, "", ""): (Action.RETRY, ResponseError),
    (409, "ConditionalRequestConflict", ""): (Action.RETRY, Conflict),
    (409, "OperationAborted", ""): (Action.RETRY, Conflict),
    (409, "BucketAlreadyExists", ""): (Action.FAIL, Conflict),
    (409, "", ""): (Action.FAIL, Conflict),
    (411, "MissingContentLength", ""): (Action.FAIL, ResponseError),
    (412, "PreconditionFailed", ""): (Action.FAIL, PreconditionFailed),
    (412, "", ""): (Action.FAIL, PreconditionFailed),
    (304, "", ""): (Action.FAIL, PreconditionFailed),
    (416, "InvalidRange", ""): (Action.FAIL, ResponseError),
    (429, "", ""): (Action.SLOW_DOWN, SlowDown),
    (429, "TooManyRequests", ""): (Action.SLOW_DOWN, SlowDown),
    (400, "ThrottlingException", ""): (Action.SLOW_DOWN, SlowDown),
    (400, "RequestLimitExceeded", ""): (Action.SLOW_DOWN, SlowDown),
    (503, "SlowDown", ""): (Action.SLOW_DOWN, SlowDown),
    (503, "SlowDownRead", ""): (Action.SLOW_DOWN, SlowDown),
    (503, "SlowDownWrite", ""): (Action.SLOW_DOWN, SlowDown),
    (503, "ServiceUnavailable", ""): (Action.SLOW_DOWN, SlowDown),
    (503, "Busy", ""): (Action.SLOW_DOWN, SlowDown),
    (503, "BandwidthLimitExceeded", ""): (Action.SLOW_DOWN, SlowDown),
    (503, "", ""): (Action.SLOW_DOWN, SlowDown),
    (500, "InternalError", ""): (Action.RETRY, ServerError),
    (500, "", ""): (Action.RETRY, ServerError),
    **{(status, "", ""): (Action.RETRY, ServerError) for status in (502, 504, 507, 509, *range(520, 528), 529, 530, 561, 599)},
    **{(status, "", ""): (Action.FAIL, ServerError) for status in (501, 505, 506, 508, 510, 511)},
    (501, "NotImplemented", ""): (Action.FAIL, ServerError),
    (507, "SlowDown", ""): (Action.SLOW_DOWN, SlowDown),
    (425, "", ""): (Action.RETRY, ResponseError),
    (600, "", ""): (Action.FAIL, ResponseError),
    **{(status, "", ""): (Action.FAIL, ResponseError) for status in (201, 202, 203, 204, 205, 226, 299)},
    (301, "PermanentRedirect", ""): (Action.FAIL, Redirected),
    (307, "TemporaryRedirect", ""): (Action.FAIL, Redirected),
    (302, "", ""): (Action.FAIL, Redirected),
    (308, "", ""): (Action.FAIL, Redirected),
    (200, "InternalError", ""): (Action.RETRY, ServerError),
    (200, "SlowDown", ""): (Action.SLOW_DOWN, SlowDown),
}


def failed(status: int, code: str = "", message: str = "", **headers: str) -> ResponseError:
    """The error of an answer whose `Date` is the truth, unless `headers` say otherwise; `date=""` is none."""
    headers.setdefault("date", format_datetime(NOW, usegmt=True))
    names = {name.replace("_", "-"): value for name, value in headers.items() if value}
    return response_error(status, names, ErrorDocument(code, message), now=NOW, request="GET http://host/key")


def after(error: TransferError, attempt: int = 1, *, tried: frozenset[Action] = frozenset(), jitter: float = 0.0) -> Decision:
    return decide(error, attempt, POLICY, allowed=EVERYTHING, tried=tried, jitter=jitter)


@pytest.mark.parametrize(("answer", "meaning"), ANSWERS.items(), ids=lambda value: "-".join(map(str, value)))
def test_every_answer_has_its_meaning(answer: tuple[int, str, str], meaning: tuple[Action, type[ResponseError]]) -> None:
    action, kind = meaning
    error = failed(*answer)
    assert type(error) is kind
    assert after(error).action is action


def test_every_row_is_tested() -> None:
    codes = {code for _, code, _ in ANSWERS}
    statuses = {status for status, code, _ in ANSWERS if not code}
    assert set(module.CODES) <= codes
    assert set(module.STATUSES) <= statuses
    for words in module.WORDINGS:
        assert any(words in message.lower() for _, _, message in ANSWERS)


@pytest.mark.parametrize(
    ("error", "action"),
    [
        (NetworkError("reset"), Action.RETRY),
        (NetworkError("certificate", permanent=True), Action.FAIL),
        (IntegrityError("short"), Action.RETRY),
        (LocalFileError("disk full"), Action.FAIL),
        (TransferError("the answer is too large"), Action.FAIL),
    ],
    ids=str,
)
def test_every_other_failure_has_its_action(error: TransferError, action: Action) -> None:
    assert after(error).action is action


# Which statuses are a success: to what, when the object or that it is stored is wanted, and when any success will do.
SUCCESSES = {
    "GET": ({200, 206}, {200, 206}),
    "HEAD": ({200, 206}, {200, 206}),
    "PUT": ({200, 201, 204}, set(range(200, 300))),
    "POST": ({200, 201, 204, 303}, {*range(200, 300), 303}),
    "DELETE": (set(range(200, 300)), set(range(200, 300))),
    "OPTIONS": (set(range(200, 300)), set(range(200, 300))),
}


@pytest.mark.parametrize(("method", "results", "successes"), [(method, *both) for method, both in SUCCESSES.items()])
def test_which_statuses_are_a_success(method: str, results: set[int], successes: set[int]) -> None:
    for accept, statuses in ((Accept.RESULT, results), (Accept.SUCCESS, successes), (Accept.ANY, successes)):
        assert {status for status in range(100, 600) if is_success(method, status, accept)} == statuses


@pytest.mark.parametrize("asked", ["0", "5", format_datetime(NOW + timedelta(seconds=5), usegmt=True)])
def test_a_result_that_is_not_there_yet_is_waited_for_when_the_server_says_how_long(asked: str) -> None:
    assert after(failed(202, retry_after=asked), jitter=0.0) == Decision(Action.RETRY, 0.0 if asked == "0" else 5.0)
    for status in (200, 203, 204, 226, 299):
        assert after(failed(status, retry_after=asked)).action is Action.FAIL
    for nothing in ("", "soon"):
        assert after(failed(202, retry_after=nothing)).action is Action.FAIL


def test_an_error_says_what_the_server_said() -> None:
    document = ErrorDocument("NoSuchKey", "The key is gone", "req-1")
    error = response_error(404, {"x-amz-request-id": "req-2", "retry-after": "3"}, document, now=NOW, request="GET http://h/k")
    assert str(error) == "GET http://h/k: HTTP 404: NoSuchKey The key is gone"
    assert (error.status, error.code, error.request_id, error.retry_after) == (404, "NoSuchKey", "req-1", 3.0)


def test_an_error_without_a_document_says_so() -> None:
    error = response_error(502, {"x-amz-request-id": "req-2"}, None, now=NOW)
    assert str(error) == "HTTP 502: no explanation in the answer"
    assert (error.code, error.request_id, error.retry_after) == ("", "req-2", None)


@pytest.mark.parametrize("where", ["header", "document"])
def test_a_redirect_names_the_region(where: str) -> None:
    headers = {"x-amz-bucket-region": "eu-west-3"} if where == "header" else {}
    document = ErrorDocument("PermanentRedirect", "Wrong endpoint", region="" if where == "header" else "eu-west-3")
    assert "the bucket is in region 'eu-west-3': sign for it" in str(response_error(301, headers, document, now=NOW))


def test_what_a_server_repeats_of_the_signature_is_not_repeated() -> None:
    message = "bad https://me:pass@host/key?X-Amz-Signature=abcdef&X-Amz-Security-Token=tok&x=1"
    error = failed(403, "SignatureDoesNotMatch", message)
    assert "abcdef" not in str(error)
    assert "tok&" not in str(error)
    assert "pass" not in str(error)
    assert "x=...'" in repr(error)


# --- what may be done, and how often ----------------------------------------------------------------------------------


@pytest.mark.parametrize("attempt", range(1, 9))
def test_attempts_are_counted(attempt: int) -> None:
    for error in (failed(500), failed(503), failed(403, "AccessDenied", "Request has expired"), NetworkError("reset")):
        assert (after(error, attempt).action is Action.FAIL) == (attempt >= POLICY.attempts)


@pytest.mark.parametrize("action", Action)
def test_what_is_not_allowed_is_not_done(action: Action) -> None:
    for status, code, message in ANSWERS:
        decision = decide(failed(status, code, message), 1, POLICY, allowed=EVERYTHING - {action}, tried=(), jitter=1.0)
        assert decision.action is not action or action is Action.FAIL


@pytest.mark.parametrize("answer", [answer for answer, (action, _) in ANSWERS.items() if action in ONCE], ids=str)
def test_a_cure_that_helps_at_once_or_never_is_tried_once(answer: tuple[int, str, str]) -> None:
    action = ANSWERS[answer][0]
    assert after(failed(*answer), jitter=1.0) == Decision(action, 0.0)
    assert after(failed(*answer), 2, tried=frozenset({action})) == Decision(Action.FAIL)
    assert after(failed(*answer), 2, tried=ONCE - {action}).action is action


AHEAD = format_datetime(NOW + timedelta(hours=2), usegmt=True)
EXPIRED = (403, "AccessDenied", "Request has expired")
TOKEN = (400, "ExpiredToken", "")
SKEWED = (403, "RequestTimeTooSkewed", "")


SENT_AGAIN = EVERYTHING - {Action.REFRESH, Action.CORRECT_CLOCK}


# What is done about (answer, the server's Date) by an item that may do (allowed), having done (tried).
def in_words(value: object) -> str:
    """A set in an order of its own would give every process other names for the same tests."""
    return " ".join(sorted(map(str, value))) if isinstance(value, frozenset) else str(value)


IN_ITS_STEAD = [
    # Signed afresh by a clock that is two hours slow, it would have expired again.
    (EXPIRED, AHEAD, EVERYTHING, (), Action.CORRECT_CLOCK),
    (EXPIRED, AHEAD, EVERYTHING, (Action.CORRECT_CLOCK,), Action.RESIGN),
    (EXPIRED, AHEAD, SENT_AGAIN, (), Action.RESIGN),
    (EXPIRED, format_datetime(NOW + SKEW, usegmt=True), EVERYTHING, (), Action.RESIGN),
    (EXPIRED, format_datetime(NOW - SKEW, usegmt=True), EVERYTHING, (), Action.RESIGN),
    (EXPIRED, "", EVERYTHING, (), Action.RESIGN),
    (EXPIRED, AHEAD, SENT_AGAIN - {Action.RESIGN}, (), Action.FAIL),
    # A signer that cannot be asked for fresh credentials may have them by now.
    (TOKEN, "", SENT_AGAIN, (), Action.RESIGN),
    (TOKEN, "", SENT_AGAIN, (Action.RESIGN,), Action.FAIL),
    (TOKEN, "", SENT_AGAIN - {Action.RESIGN}, (), Action.FAIL),
    # Nobody says what time it is.
    (SKEWED, "", EVERYTHING, (), Action.FAIL),
    (SKEWED, AHEAD, EVERYTHING, (), Action.CORRECT_CLOCK),
    (SKEWED, AHEAD, SENT_AGAIN, (), Action.FAIL),
]


@pytest.mark.parametrize(("answer", "date", "allowed", "tried", "action"), IN_ITS_STEAD, ids=in_words)
def test_the_cure_depends_on_what_the_item_may_do(
    answer: tuple[int, str, str], date: str, allowed: frozenset[Action], tried: tuple[Action, ...], action: Action
) -> None:
    decision = decide(failed(*answer, date=date), 1, POLICY, allowed=allowed, tried=tried, jitter=0.0)
    assert decision.action is action


@pytest.mark.parametrize("answer", [SKEWED, EXPIRED, (403, "AccessDenied", "Request is not valid yet")])
@pytest.mark.parametrize("sign", [-1, 1])
def test_a_clock_is_believed_up_to_a_limit(answer: tuple[int, str, str], sign: int) -> None:
    offset = sign * timedelta(hours=2)
    error = failed(*answer, date=format_datetime(NOW + offset, usegmt=True))
    for limit, believed in ((abs(offset), True), (abs(offset) - timedelta(seconds=1), False), (timedelta(), False)):
        decision = decide(error, 1, POLICY, allowed=EVERYTHING, tried=(), jitter=0.0, clock_limit=limit)
        assert (decision.action is Action.CORRECT_CLOCK) == believed
        assert believed or decision.action is (Action.RESIGN if answer == EXPIRED else Action.FAIL)


def test_the_servers_clock_is_compared_with_ours() -> None:
    assert failed(*SKEWED, date=AHEAD).clock_offset == timedelta(hours=2)
    assert failed(*SKEWED, date="").clock_offset is None
    assert failed(*SKEWED, date="yesterday").clock_offset is None


NO_DATES = {
    "empty": "",
    "a word": "yesterday",
    "a year beyond all": "Mon, 01 Jan 99999999999 00:00:00 GMT",
    "a day beyond all": "Mon, 99999999999999999999 Jan 2026 00:00:00 GMT",
    "a zone beyond all": "Mon, 01 Jan 2026 00:00:00 +99999999999999",
    "a zone of days": "Mon, 01 Jan 2026 00:00:00 +9999",
    "later than any clock": "Fri, 31 Dec 9999 23:59:59 -0100",
    "no month": "Mon, 01 Xyz 2026 00:00:00 GMT",
}


@pytest.mark.parametrize("date", NO_DATES.values(), ids=NO_DATES.keys())
def test_what_is_no_date_says_nothing(date: str) -> None:
    assert failed(*SKEWED, date=date).clock_offset is None
    assert retry_after({"retry-after": date}, NOW) is None


# --- where it goes on -------------------------------------------------------------------------------------------------

GOES_ON: list[tuple[TransferError, frozenset[Action], Action, int]] = [
    (NetworkError("reset"), EVERYTHING, Action.RESUME, 100),
    (NetworkError("reset"), EVERYTHING - {Action.RESUME}, Action.RETRY, 0),
    (IntegrityError("not what was promised"), EVERYTHING, Action.RETRY, 0),
    (failed(500), EVERYTHING, Action.RESUME, 100),
    (failed(503), EVERYTHING, Action.SLOW_DOWN, 100),
    (failed(*EXPIRED), EVERYTHING, Action.RESIGN, 100),
    (failed(*TOKEN), EVERYTHING, Action.REFRESH, 100),
    (failed(404), EVERYTHING, Action.FAIL, 0),
]


@pytest.mark.parametrize(("error", "allowed", "action", "at"), GOES_ON, ids=in_words)
def test_what_is_safe_is_not_fetched_again(error: TransferError, allowed: frozenset[Action], action: Action, at: int) -> None:
    decision = decide(error, 1, POLICY, allowed=allowed, tried=(), jitter=0.0, held=100)
    assert (decision.action, decision.at) == (action, at)
    assert decide(error, 1, POLICY, allowed=allowed, tried=(), jitter=0.0).at == 0


def test_a_retry_may_be_tried_again_and_again() -> None:
    assert after(failed(500), 3, tried=frozenset({Action.RETRY, Action.SLOW_DOWN})).action is Action.RETRY


@pytest.mark.parametrize(("asked", "delay"), [("0", 0.1), ("3", 3.0), ("1000000", 20.0), ("nonsense", 0.1)])
def test_retry_after_is_honoured_up_to_the_cap(asked: str, delay: float) -> None:
    assert after(failed(503, "SlowDown", retry_after=asked), jitter=1.0).delay == pytest.approx(delay)
    assert after(failed(500, "InternalError", retry_after=asked), jitter=1.0).delay == pytest.approx(delay)


@given(
    st.sampled_from(list(ANSWERS)),
    st.integers(1, 10_000),
    st.floats(0, 1),
    st.floats(0, 1000),
    st.floats(0, 1000),
    st.none() | st.text(max_size=20) | st.integers(-5, 10**30).map(str),
)
def test_a_delay_is_between_nothing_and_the_cap(
    answer: tuple[int, str, str], attempt: int, jitter: float, base: float, cap: float, asked: str | None
) -> None:
    policy = RetryPolicy(attempts=100_000, base=base, cap=cap)
    error = failed(*answer) if asked is None else failed(*answer, retry_after=asked)
    assert 0.0 <= decide(error, attempt, policy, allowed=EVERYTHING, tried=(), jitter=jitter).delay <= cap


@given(st.integers(100, 599), st.text(max_size=30), st.text(max_size=200))
def test_any_answer_is_some_error_and_some_action(status: int, code: str, message: str) -> None:
    error = failed(status, code, message)
    assert error.status == status
    assert after(error).action in Action


# --- Retry-After ------------------------------------------------------------------------------------------------------

ASKED = {
    "0": 0.0,
    "120": 120.0,
    " 5 ": 5.0,
    format_datetime(NOW + timedelta(seconds=90), usegmt=True): 90.0,
    format_datetime(NOW - timedelta(seconds=90), usegmt=True): 0.0,
    format_datetime((NOW + timedelta(seconds=60)).astimezone(timezone(timedelta(hours=5)))): 60.0,
    "Monday, 23-Nov-26 12:00:07 GMT": 7.0,
    "Mon Nov 23 12:00:08 2026": 8.0,
    "Mon, 23 Nov 2026 12:00:09 -0000": 9.0,
    "": None,
    "soon": None,
    "-1": None,
    "1.5": None,
    "1e9": None,
    "٣": None,
    "²": None,
    "Mon, 99 Nov 2026 12:00:00 GMT": None,
    "Mon, 23 Nov 99999 12:00:00 GMT": None,
    "Mon, 23 Nov 2026 12:00:00 +9999": None,
}


@pytest.mark.parametrize(("value", "seconds"), ASKED.items())
def test_retry_after(value: str, seconds: float | None) -> None:
    assert retry_after({"retry-after": value}, NOW) == seconds


def test_no_retry_after() -> None:
    assert retry_after({}, NOW) is None


@given(st.text(max_size=60) | st.from_regex(r"[A-Z][a-z]{2}, \d{1,3} [A-Z][a-z]{2} \d{1,6} \d+:\d+:\d+ [-+A-Z0-9]{1,6}"))
def test_no_retry_after_breaks_anything(value: str) -> None:
    seconds = retry_after({"retry-after": value}, NOW)
    assert seconds is None or seconds >= 0.0


@given(st.integers(-(10**7), 10**7))
def test_retry_after_as_a_date(seconds: int) -> None:
    moment = NOW + timedelta(seconds=seconds)
    asked = retry_after({"retry-after": format_datetime(moment, usegmt=True)}, NOW)
    assert asked == max(0.0, seconds)
