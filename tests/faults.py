"""Every fault that a transfer survives or reports: one table, which the tests run and docs/reliability.md prints.

A row with `replies` is run by tests/test_transfer_faults.py against tests/fault_server.py, for each of its kinds. A row
without is run by a test that asks for it by name: `await FAULTS["disk full"].ends(moving.download(...))`.
"""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Awaitable, Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from enum import StrEnum
from hashlib import md5, sha256
from typing import Any
from xml.sax.saxutils import escape

from asyncpresign import (
    AccessDenied,
    IntegrityError,
    Limits,
    LocalFileError,
    NetworkError,
    NotFound,
    PreconditionFailed,
    PresignError,
    Redirected,
    ResponseError,
    RetryPolicy,
    ServerError,
    SignatureMismatch,
    SlowDown,
    TransferResult,
    URLExpired,
)

from .fake_transport import NOW
from .fault_server import RESET, Read, Reply, Then, answer, chunked, html_error, http_date, redirect, s3_error

CONTENT = b"the whole content" * 10
HEAD = answer(200, CONTENT)
WHOLE = Reply(HEAD)


class Kind(StrEnum):
    """What is under way when it happens."""

    DOWNLOAD = "download"
    UPLOAD = "PUT"
    FORM = "form"
    RANGES = "ranged download"
    MULTIPART = "multipart upload"
    STREAM = "stream"


SINGLE = (Kind.DOWNLOAD, Kind.UPLOAD, Kind.FORM)
UPLOADS = (Kind.UPLOAD, Kind.FORM)
PARTS = (Kind.MULTIPART,)


@dataclass(frozen=True, slots=True, kw_only=True)
class Fault:
    """`happens` is what the server, the network or the disk does, and to what `kinds` of item.

    `replies` are the server's first answers and `then` all later ones. It ends whole in so many `attempts`, or as `error`
    after them (0: it never ends by itself); `waits` are the seconds slept between them, with chances of one half.
    `requests` are those that the server gets, if they are not as many. `signed_here`: the item is an `S3Object` that the
    transfer's own signer signs, not a URL. `options` are the transfer's, `item` the item's own; `sees` is what else there is to
    say to the user.
    """

    happens: str
    kinds: tuple[Kind, ...] = SINGLE
    replies: tuple[Reply, ...] = ()
    then: Reply = WHOLE
    signed_here: bool = False
    options: Mapping[str, Any] = field(default_factory=dict)
    item: Mapping[str, Any] = field(default_factory=dict)
    error: type[PresignError] | None = None
    attempts: int = 2
    requests: int | None = None
    waits: tuple[float, ...] | None = None
    sees: str = ""

    @property
    def what_the_user_sees(self) -> str:
        if self.attempts == 0:
            return self.sees
        if self.error is None:
            ending = "done" if self.attempts == 1 else f"done, in attempt {self.attempts}"
        else:
            after = "at once" if self.attempts == 1 else f"after {self.attempts} attempts"
            ending = f"`{self.error.__name__}` {after}"
        return f"{ending}; {self.sees}" if self.sees else ending

    @property
    def happens_to(self) -> str:
        return "any of them" if self.kinds == SINGLE else ", ".join(self.kinds)

    async def ends(self, work: Awaitable[TransferResult]) -> TransferResult | PresignError:
        """Asserts that `work` ends as this row says, and returns how."""
        try:
            ended: TransferResult | PresignError = await work
        except PresignError as error:
            ended = error
        expected = TransferResult if self.error is None else self.error
        assert type(ended) is expected, ended
        assert getattr(ended, "attempts", None) == self.attempts
        return ended


def _lost(happens: str, reply: Reply, error: type[PresignError], **more: Any) -> Fault:
    """What nothing cures, so that one answer is enough; `attempts` otherwise."""
    return Fault(**{"happens": happens, "replies": (reply,), "then": reply, "error": error, "attempts": 1, **more})


# As often as is needed to show that nothing else would come of more.
_TWICE = RetryPolicy(attempts=2)
_WRONG = CONTENT[::-1]
_TAG, _REST = ("ETag", '"of the object"'), ("Content-Range", f"bytes {len(CONTENT) - 5}-{len(CONTENT) - 1}/{len(CONTENT)}")
_TAGGED = answer(200, CONTENT, headers=[_TAG])
_SLOW = s3_error(503, "SlowDown")
_EXPIRED = Reply(s3_error(403, "AccessDenied", "Request has expired"))
_ABORTED = "the upload is aborted"
_S3 = ("x-amz-request-id", "the-request-id")
_MADE_UP = ("ETag", f'"{md5(b"a version").hexdigest()}"')
_NOTHING_LEFT = "no task, file or connection is left"
_DATE = ("Date", http_date(NOW + timedelta(hours=2)))

FAULTS: Mapping[str, Fault] = {
    # --- no answer, or half of one
    "refused": Fault(happens="the connection is refused, then taken"),
    "refused for ever": Fault(happens="the connection is refused every time", error=NetworkError, attempts=6),
    "no such host": Fault(
        happens="the host's name cannot be resolved", error=NetworkError, attempts=6, sees="the message names the host"
    ),
    "reset before the head": Fault(happens="the connection is reset before an answer", replies=(RESET,), waits=(0.05,)),
    "closed before the head": Fault(
        happens="the connection is closed before an answer", replies=(Reply(b"", Then.CLOSE),), waits=(0.05,)
    ),
    "reset in the request": Fault(
        happens="the connection is reset while the request is sent", replies=(Reply(b"", Then.RESET, Read.HEAD),), waits=(0.05,)
    ),
    "reset in the head": Fault(happens="a reset in the answer's head", replies=(Reply(HEAD[:20], Then.RESET),), waits=(0.05,)),
    "closed in the head": Fault(happens="the answer's head ends early", replies=(Reply(HEAD[:20], Then.CLOSE),), waits=(0.05,)),
    "reset for ever": _lost("a reset every time", RESET, NetworkError, attempts=6),
    "not HTTP": Fault(happens="the answer is no HTTP", replies=(Reply(b"garbage\r\n\r\n", Then.CLOSE),), waits=(0.05,)),
    "idle connection": Fault(happens="a kept connection turns out to be closed"),
    "reset in the body": Fault(
        happens="a reset in the body", kinds=(Kind.DOWNLOAD,), replies=(Reply(HEAD[:-5], Then.RESET),), waits=(0.05,)
    ),
    "short body": Fault(
        happens="the body is shorter than its Content-Length",
        kinds=(Kind.DOWNLOAD,),
        replies=(Reply(HEAD[:-5], Then.CLOSE),),
        waits=(0.05,),
    ),
    "gone on with": Fault(
        happens="the body ends early, and the object has an ETag",
        kinds=(Kind.DOWNLOAD,),
        replies=(Reply(_TAGGED[:-5], Then.CLOSE), Reply(answer(206, CONTENT[-5:], headers=[_REST, _TAG]))),
        waits=(0.05,),
        sees="only what was missing is fetched, by Range and If-Match",
    ),
    "begun anew": Fault(
        happens="the body ends early, and the server answers the range with 200",
        kinds=(Kind.DOWNLOAD,),
        replies=(Reply(_TAGGED[:-5], Then.CLOSE),),
        then=Reply(_TAGGED),
        waits=(0.05,),
        sees="all of it is taken again",
    ),
    "changed": Fault(
        happens="the body ends early, and the object has changed: 412",
        kinds=(Kind.DOWNLOAD,),
        replies=(Reply(_TAGGED[:-5], Then.CLOSE), Reply(s3_error(412, "PreconditionFailed"))),
        attempts=3,
        waits=(0.05, 0.1),
        sees="the new object, all of it",
    ),
    "no body": Fault(
        happens="the body does not come at all", kinds=(Kind.DOWNLOAD,), replies=(Reply(HEAD[: -len(CONTENT)], Then.CLOSE),)
    ),
    "short chunked body": Fault(
        happens="a chunked body ends early", kinds=(Kind.DOWNLOAD,), replies=(Reply(chunked(CONTENT)[:-9], Then.CLOSE),)
    ),
    "dripped and cut": Fault(
        happens="the body comes byte by byte, and ends early",
        kinds=(Kind.DOWNLOAD,),
        replies=(Reply(HEAD[:-5], Then.CLOSE, drip=True),),
    ),
    "short for ever": _lost(
        "the body is short every time", Reply(HEAD[:-5], Then.CLOSE), NetworkError, kinds=(Kind.DOWNLOAD,), attempts=6
    ),
    "long body": Fault(
        happens="the body is longer than its Content-Length",
        kinds=(Kind.DOWNLOAD,),
        replies=(Reply(HEAD + b"more than was said", Then.CLOSE),),
        waits=(0.05,),
    ),
    "long for ever": _lost(
        "the body is longer every time",
        Reply(HEAD + b"more than was said", Then.CLOSE),
        NetworkError,
        kinds=(Kind.DOWNLOAD,),
        attempts=6,
    ),
    "response after response": Fault(
        happens="a whole response that no request asked for follows the response",
        replies=(Reply(HEAD + answer(200, b"of nobody")),),
        attempts=1,
        sees="the connection is closed",
    ),
    "late surplus": Fault(
        happens="bytes arrive on an idle connection",
        kinds=(Kind.DOWNLOAD,),
        attempts=1,
        sees="the connection is closed, and the next item gets another one",
    ),
    "surplus chunk": Fault(
        happens="a further response follows a chunked body",
        kinds=(Kind.DOWNLOAD,),
        replies=(Reply(chunked(CONTENT) + answer(200, b"of nobody")),),
        attempts=1,
        sees="the connection is closed",
    ),
    "large head": _lost(
        "the head of the response is larger than 64 KiB",
        Reply(answer(200, CONTENT, headers=[("x-amz-meta-a", "x" * 66_000)])),
        NetworkError,
        options={"retry": _TWICE},
        attempts=2,
        sees="with `RetryPolicy(attempts=2)`",
    ),
    "interim for ever": _lost(
        "interim responses (102) come for ever",
        Reply(b"HTTP/1.1 102 Processing\r\n\r\n", Then.DRIP),
        NetworkError,
        options={"limits": Limits(stall=0.1), "retry": _TWICE},
        attempts=2,
        sees="with `RetryPolicy(attempts=2)`, each after `Limits.stall` seconds",
    ),
    "dripped head": _lost(
        "the head of the response drips and never ends",
        Reply(b"HTTP/1.1 200 OK\r\nX: y", Then.DRIP),
        NetworkError,
        options={"limits": Limits(stall=0.1), "retry": _TWICE},
        attempts=2,
        sees="the same",
    ),
    "dripped chunk extension": _lost(
        "the extension of a chunk drips and never ends",
        Reply(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5;x", Then.DRIP),
        NetworkError,
        kinds=(Kind.DOWNLOAD,),
        options={"limits": Limits(stall=0.1), "retry": _TWICE},
        attempts=2,
        sees="the same",
    ),
    "dripped refusal": _lost(
        "the document of a refusal drips and never ends",
        Reply(b"HTTP/1.1 404 No\r\nContent-Length: 60000\r\n\r\n<Error", Then.DRIP),
        NotFound,
        options={"limits": Limits(stall=0.1, slowest=100_000)},
        sees="slower than `Limits.slowest`; its status says enough",
    ),
    "stall": _lost(
        "the answer stops, with the connection open",
        Reply(HEAD[:-5], Then.HOLD),
        NetworkError,
        options={"limits": Limits(stall=0.2), "retry": _TWICE},
        attempts=2,
        sees="with `RetryPolicy(attempts=2)`, each after `Limits.stall` seconds",
    ),
    "no answer": _lost(
        "no answer comes, with the connection open",
        Reply(b"", Then.HOLD),
        NetworkError,
        options={"limits": Limits(stall=0.2), "retry": _TWICE},
        attempts=2,
        sees="the same",
    ),
    "body not taken": Fault(
        happens="the server stops reading the body",
        kinds=UPLOADS,
        error=NetworkError,
        options={"limits": Limits(stall=0.2), "retry": _TWICE},
        attempts=2,
        sees="the same",
    ),
    "no handshake": Fault(
        happens="the connection is taken, and TLS never answers",
        error=NetworkError,
        options={"limits": Limits(connect=0.2), "retry": _TWICE},
        attempts=2,
        sees="with `RetryPolicy(attempts=2)`, each after `Limits.connect` seconds",
    ),
    "drip": Fault(
        happens="the body comes a byte a second",
        kinds=(Kind.DOWNLOAD,),
        error=NetworkError,
        attempts=6,
        sees="slower than `Limits.slowest`",
    ),
    # --- an answer that is a refusal, for now
    "500": Fault(happens="500 InternalError", replies=(Reply(s3_error(500, "InternalError")),), waits=(0.05,)),
    "500 with seconds": Fault(
        happens="500 with Retry-After: 4",
        replies=(Reply(s3_error(500, "InternalError", headers=[("Retry-After", "4")])),),
        waits=(4.0,),
        sees="after 4 s",
    ),
    "500 for ever": _lost("500 every time", Reply(s3_error(500, "InternalError")), ServerError, attempts=6),
    "502": Fault(happens="502 of a proxy, in HTML", replies=(Reply(html_error(502)),), waits=(0.05,)),
    "502 with seconds": Fault(
        happens="502 with Retry-After: 5",
        replies=(Reply(answer(502, headers=[("Retry-After", "5")])),),
        waits=(5.0,),
        sees="after 5 s",
    ),
    "507": Fault(happens="507 of a server without room", replies=(Reply(answer(507)),), waits=(0.05,)),
    "522": Fault(happens="522 of a CDN whose origin does not answer", replies=(Reply(html_error(522)),), waits=(0.05,)),
    "501": _lost("501 NotImplemented", Reply(s3_error(501, "NotImplemented")), ServerError),
    "511": _lost("511 of a network that wants a login", Reply(html_error(511)), ServerError),
    "503": Fault(
        happens="503 SlowDown",
        replies=(Reply(_SLOW),),
        waits=(0.05,),
        sees="with half as many requests to that host from then on, until it is well",
    ),
    "503 with seconds": Fault(
        happens="503 with Retry-After: 3",
        replies=(Reply(s3_error(503, "SlowDown", headers=[("Retry-After", "3")])),),
        waits=(3.0,),
        sees="after 3 s, in which nobody asks that host",
    ),
    "503 with a date": Fault(
        happens="503 with a date in Retry-After, 9 s ahead",
        replies=(Reply(s3_error(503, "SlowDown", headers=[("Retry-After", http_date(NOW + timedelta(seconds=9)))])),),
        waits=(9.0,),
        sees="after 9 s",
    ),
    "503 with an hour": Fault(
        happens="503 with Retry-After: 3600",
        replies=(Reply(s3_error(503, "SlowDown", headers=[("Retry-After", "3600")])),),
        waits=(20.0,),
        sees="after `RetryPolicy.cap` seconds",
    ),
    "503 with nonsense": Fault(
        happens="503 with nonsense in Retry-After",
        replies=(Reply(s3_error(503, "SlowDown", headers=[("Retry-After", "soon")])),),
        waits=(0.05,),
    ),
    "503, closing": Fault(
        happens="503, and the connection is closed",
        replies=(Reply(answer(503, headers=[("Connection", "close")]), Then.CLOSE),),
        waits=(0.05,),
    ),
    "503, chunked": Fault(
        happens="503 in chunks",
        replies=(Reply(chunked(_SLOW.partition(b"\r\n\r\n")[2]).replace(b"200", b"503", 1)),),
        waits=(0.05,),
    ),
    "SlowDown storm": Fault(
        happens="five times 503 SlowDown", replies=(Reply(_SLOW),) * 5, attempts=6, waits=(0.05, 0.1, 0.2, 0.4, 0.8)
    ),
    "503 for ever": _lost("503 SlowDown every time", Reply(_SLOW), SlowDown, attempts=6),
    "429": Fault(happens="429", replies=(Reply(answer(429)),), waits=(0.05,), sees="as after 503"),
    "429 with seconds": Fault(
        happens="429 with Retry-After: 2",
        replies=(Reply(answer(429, headers=[("Retry-After", "2")])),),
        waits=(2.0,),
        sees="after 2 s",
    ),
    "RequestTimeout": Fault(
        happens="400 RequestTimeout",
        replies=(Reply(s3_error(400, "RequestTimeout", headers=[("Connection", "close")]), Then.CLOSE),),
        waits=(0.05,),
    ),
    "conflict": Fault(
        happens="409 ConditionalRequestConflict", replies=(Reply(s3_error(409, "ConditionalRequestConflict")),), waits=(0.05,)
    ),
    # --- signatures and clocks
    "expired in mid-job": Fault(
        happens="403 Request has expired, to what the transfer signs itself",
        replies=(_EXPIRED,),
        signed_here=True,
        waits=(0.0,),
        sees="signed anew",
    ),
    "expired, given signed": _lost("403 Request has expired, to a URL or form given signed", _EXPIRED, URLExpired),
    "expired before it is sent": Fault(
        happens="a URL or form given signed is past its end, by this machine's clock",
        error=URLExpired,
        attempts=1,
        sees="nothing is sent",
    ),
    "dead credentials": Fault(
        happens="400 ExpiredToken, to what the transfer signs itself",
        replies=(Reply(s3_error(400, "ExpiredToken")),),
        signed_here=True,
        waits=(0.0,),
        sees="with fresh credentials; the source is asked once for all items",
    ),
    "dead credentials, given signed": _lost(
        "400 ExpiredToken, to a URL or form given signed", Reply(s3_error(400, "ExpiredToken")), URLExpired
    ),
    "wrong clock": Fault(
        happens="403 RequestTimeTooSkewed, to what the transfer signs itself",
        replies=(Reply(s3_error(403, "RequestTimeTooSkewed", headers=[_DATE])),),
        signed_here=True,
        waits=(0.0,),
        sees="dated by that server's clock, as all that follows; the signer's own stays as it is",
    ),
    "slow clock": Fault(
        happens="403 Request has expired by a server whose clock is hours ahead, to what the transfer signs itself",
        replies=(Reply(s3_error(403, "AccessDenied", "Request has expired", headers=[_DATE])),),
        signed_here=True,
        waits=(0.0,),
        sees="by the server's clock",
    ),
    "false clock": _lost(
        "403 RequestTimeTooSkewed with a Date 30 days off, to what the transfer signs itself",
        Reply(s3_error(403, "RequestTimeTooSkewed", headers=[("Date", http_date(NOW + timedelta(days=30)))])),
        AccessDenied,
        signed_here=True,
        sees="beyond `max_clock_offset`, no clock is believed",
    ),
    "signature": _lost("403 SignatureDoesNotMatch", Reply(s3_error(403, "SignatureDoesNotMatch")), SignatureMismatch),
    # --- an answer that is a refusal, for good
    "403": _lost("403 AccessDenied", Reply(s3_error(403, "AccessDenied", "Access Denied")), AccessDenied),
    "403 of a proxy": _lost("403 of a proxy, in HTML", Reply(html_error(403)), AccessDenied),
    "404": _lost("404 NoSuchKey", Reply(s3_error(404, "NoSuchKey")), NotFound),
    "404, cut": _lost("404 whose explanation is cut off", Reply(s3_error(404, "NoSuchKey")[:-5], Then.CLOSE), NotFound),
    "411": _lost("411 MissingContentLength", Reply(s3_error(411, "MissingContentLength")), ResponseError),
    "412": _lost("412 PreconditionFailed", Reply(s3_error(412, "PreconditionFailed")), PreconditionFailed),
    "301": _lost(
        "301 PermanentRedirect",
        Reply(s3_error(301, "PermanentRedirect", headers=[("x-amz-bucket-region", "eu-west-3")])),
        Redirected,
        sees="the message names the region",
    ),
    "307": _lost(
        "307 to another host", Reply(redirect(307, "http://127.0.0.1:1/elsewhere")), Redirected, sees="which is not asked"
    ),
    "early refusal": Fault(
        happens="400 while the body is still being sent", kinds=UPLOADS, error=ResponseError, attempts=1, sees="what S3 said"
    ),
    # --- bodies that come in other ways
    "wrong bytes": Fault(
        happens="the bytes are not those of `checksum=`, once",
        kinds=(Kind.DOWNLOAD,),
        replies=(Reply(answer(200, _WRONG)),),
        item={"checksum": f"sha256:{sha256(CONTENT).hexdigest()}"},
        waits=(0.05,),
    ),
    "wrong bytes for ever": _lost(
        "the bytes are never those of `checksum=`",
        Reply(answer(200, _WRONG)),
        IntegrityError,
        kinds=(Kind.DOWNLOAD,),
        item={"checksum": f"sha256:{sha256(CONTENT).hexdigest()}"},
        attempts=6,
        sees="no file is left",
    ),
    "wrong bytes by the server": Fault(
        happens="the bytes are not those of the answer's x-amz-checksum, MD5 ETag, x-goog-hash, Digest or Content-MD5, once",
        kinds=(Kind.DOWNLOAD,),
        replies=(Reply(answer(200, _WRONG, headers=[("ETag", f'"{md5(CONTENT).hexdigest()}"'), _S3])),),
        waits=(0.05,),
    ),
    "echo": _lost(
        "403 that repeats the request, its signature and its headers",
        Reply(of=lambda seen: s3_error(403, "AccessDenied", escape(seen.head.decode()))),
        AccessDenied,
        sees="without what grants access",
    ),
    "long message": _lost(
        "403 with 60,000 characters of explanation",
        Reply(s3_error(403, "AccessDenied", "a." * 30_000)),
        AccessDenied,
        sees="4,096 of them",
    ),
    "thousands of digits": Fault(
        happens="503 with a Retry-After and a Date of 5,000 digits",
        replies=(Reply(s3_error(503, "SlowDown", headers=[("Retry-After", "9" * 5000), ("Date", "9" * 5000)])),),
        sees="as if it had said neither",
    ),
    "wrong bytes by the server for ever": _lost(
        "the bytes are never those of a digest in the answer",
        Reply(answer(200, _WRONG, headers=[("Repr-Digest", f"sha-256=:{b64encode(sha256(CONTENT).digest()).decode()}:")])),
        IntegrityError,
        kinds=(Kind.DOWNLOAD,),
        attempts=6,
        sees="no file is left",
    ),
    "no MD5": Fault(
        happens="the ETag is not the MD5 of the bytes, and no `x-amz-*` header says that it should be",
        kinds=(Kind.DOWNLOAD,),
        replies=(Reply(answer(200, CONTENT, headers=[_MADE_UP])),),
        then=Reply(answer(200, CONTENT, headers=[_MADE_UP])),
        waits=(0.05,),
        sees="the same bytes came twice: `verified_by` is `size`",
    ),
    "no MD5 of what is stored": Fault(
        happens="the ETag is not the MD5 of what was sent, and no `x-amz-*` header says that it should be",
        kinds=UPLOADS,
        replies=(Reply(answer(200, headers=[_MADE_UP])),),
        attempts=1,
        sees="`verified_by` is `size`",
    ),
    "gzip": Fault(
        happens="the body has a Content-Encoding: gzip",
        kinds=(Kind.DOWNLOAD,),
        replies=(Reply(answer(200, CONTENT, headers=[("Content-Encoding", "gzip")])),),
        attempts=1,
        sees="as it was stored, not unpacked",
    ),
    "chunked": Fault(
        happens="the body has no Content-Length",
        kinds=(Kind.DOWNLOAD,),
        replies=(Reply(chunked(CONTENT)),),
        attempts=1,
        sees="`verified_by` is None unless a checksum says more",
    ),
    # --- answers that are a success of another kind
    "202": _lost("202 Accepted: the object is not there, or not stored, yet", Reply(answer(202)), ResponseError),
    "202 with seconds": Fault(
        happens="202 with Retry-After: 5",
        replies=(Reply(answer(202, headers=[("Retry-After", "5")])),),
        waits=(5.0,),
        sees="after 5 s",
    ),
    "203": _lost("203, 205, 226 or another 2xx", Reply(answer(203, CONTENT)), ResponseError),
    "204": _lost("204 No Content", Reply(answer(204, length=False)), ResponseError, kinds=(Kind.DOWNLOAD,)),
    "201": Fault(
        happens="201 Created or 204 No Content",
        kinds=UPLOADS,
        then=Reply(answer(201)),
        replies=(Reply(answer(201)),),
        attempts=1,
    ),
    "part unasked": Fault(
        happens="206 with a part of the object, or all of it, and nobody asked for a part",
        kinds=(Kind.DOWNLOAD,),
        replies=(Reply(answer(206, CONTENT, headers=[("Content-Range", f"bytes 0-{len(CONTENT) - 1}/{len(CONTENT)}")])),),
        waits=(0.05,),
    ),
    "part unasked for ever": _lost(
        "206 that nobody asked for, every time", Reply(answer(206, CONTENT)), IntegrityError, kinds=(Kind.DOWNLOAD,), attempts=6
    ),
    "rest of another": Fault(
        happens="the body ends early, and the rest comes without an ETag",
        kinds=(Kind.DOWNLOAD,),
        replies=(Reply(_TAGGED[:-5], Then.CLOSE), Reply(answer(206, b"?????", headers=[_REST]))),
        attempts=2,
        requests=3,
        waits=(0.05,),
        sees="nothing says that the rest is of the same version, so all of it is taken again, in one answer",
    ),
    # --- uploads in parts
    "creation lost": Fault(
        happens="the request that creates an upload in parts is lost, and ListMultipartUploads lists no new one of the key",
        kinds=PARTS,
        sees="created again",
    ),
    "creation not confirmed": Fault(
        happens="the response that names a new upload in parts is lost or unreadable, and a new one of the key is listed",
        kinds=PARTS,
        error=NetworkError,
        sees="the new one may be another's, so it is left alone; `AbortIncompleteMultipartUpload` removes it",
    ),
    "part refused": Fault(happens="503 to a part", kinds=PARTS, sees="that part alone is sent again"),
    "part cut": Fault(happens="the connection is reset in a part", kinds=PARTS, sees="that part alone is sent again"),
    "part expired": Fault(
        happens="403 Request has expired, to a part", kinds=PARTS, sees="signed anew, while the other parts go on"
    ),
    "part stored wrong": Fault(happens="the server says another ETag than the part's MD5", kinds=PARTS, sees="sent again"),
    "part stored wrong for ever": Fault(
        happens="another ETag than the part's MD5 every time", kinds=PARTS, error=IntegrityError, attempts=6, sees=_ABORTED
    ),
    "part refused for good": Fault(
        happens="403 AccessDenied to a part", kinds=PARTS, error=AccessDenied, attempts=1, sees=_ABORTED
    ),
    "part fails for ever": Fault(happens="500 to a part every time", kinds=PARTS, error=ServerError, attempts=6, sees=_ABORTED),
    "upload taken away": Fault(happens="404 NoSuchUpload: somebody has aborted it", kinds=PARTS, error=NotFound, attempts=1),
    "failed in a 200": Fault(happens="an `<Error>` in a 200 to the last request", kinds=PARTS),
    "failed in a 200 for ever": Fault(
        happens="an `<Error>` in a 200 every time", kinds=PARTS, error=ServerError, attempts=6, sees=_ABORTED
    ),
    "space before the XML": Fault(
        happens="white space, to keep the connection alive, before the last answer's XML", kinds=PARTS, attempts=1
    ),
    "a key that XML cannot carry": Fault(
        happens="answers that repeat a key with a control character, as it is or as `&#x8;`", kinds=PARTS, attempts=1
    ),
    "last answer lost": Fault(
        happens="the object is stored and the answer lost", kinds=PARTS, sees="the object is asked for, and has the right ETag"
    ),
    # --- what is stored already, and what is to be
    "there, the same": Fault(
        happens='`if_none_match="*"` finds an object with the same bytes',
        kinds=(Kind.UPLOAD, Kind.MULTIPART),
        attempts=1,
        sees="`verified_by` says by what it is the same",
    ),
    "there, another": Fault(
        happens='`if_none_match="*"` finds another object',
        kinds=(Kind.UPLOAD, Kind.MULTIPART),
        error=PreconditionFailed,
        attempts=1,
        sees="it stays as it is",
    ),
    "stored wrong": Fault(
        happens="the server says another checksum or ETag than what was sent has", kinds=UPLOADS, sees="sent again"
    ),
    "stored wrong for ever": Fault(
        happens="another checksum or ETag every time", kinds=UPLOADS, error=IntegrityError, attempts=6
    ),
    "source changed": Fault(
        happens="the source is truncated, grows or is written to while it is read",
        kinds=(*UPLOADS, Kind.MULTIPART),
        error=LocalFileError,
        attempts=1,
        sees="its last byte is not sent, so nothing is stored",
    ),
    "source of another checksum": Fault(
        happens="the source has not the item's `checksum=`",
        kinds=(*UPLOADS, Kind.MULTIPART),
        error=IntegrityError,
        attempts=1,
        sees="its last byte is not sent, so nothing is stored",
    ),
    # --- ranges
    "range refused": Fault(happens="503 to one range", kinds=(Kind.RANGES,)),
    "range cut": Fault(
        happens="the connection is closed in one range",
        kinds=(Kind.RANGES,),
        sees="of that range, only the rest is asked for again",
    ),
    "range lost": Fault(
        happens="the connection is closed in one range, every time",
        kinds=(Kind.RANGES,),
        error=NetworkError,
        attempts=6,
        sees=_NOTHING_LEFT,
    ),
    "range wrong": Fault(
        happens="other bytes in one range, so that the whole has not the ETag's MD5",
        kinds=(Kind.RANGES,),
        sees="fetched anew as a whole",
    ),
    "range expired": Fault(
        happens="403 Request has expired to one range of an `S3Object`", kinds=(Kind.RANGES,), sees="signed anew"
    ),
    "changed between ranges": Fault(
        happens="412 to a range, because the object is another one now", kinds=(Kind.RANGES,), sees="the new object, whole"
    ),
    "changed again": Fault(
        happens="412 to a range, and again when it was begun anew", kinds=(Kind.RANGES,), error=PreconditionFailed
    ),
    "range of others": Fault(
        happens="206 to one range, with bytes of another range or of an object of another size",
        kinds=(Kind.RANGES,),
        sees="that range is asked for again",
    ),
    "range unsaid": Fault(
        happens="206 to one range without a valid Content-Range, as with `multipart/byteranges`",
        kinds=(Kind.RANGES,),
        sees="that range is asked for again",
    ),
    "range untagged": Fault(
        happens="206 to a range without an ETag, where the first answer had one",
        kinds=(Kind.RANGES,),
        attempts=1,
        sees="received as a whole: nothing says that the range is of the same version",
    ),
    "no ranges": Fault(
        happens="200 to a range, with the whole object", kinds=(Kind.RANGES,), attempts=1, sees="received as a whole"
    ),
    "ranges refused": Fault(
        happens="400, 403, 405, 406, 416, 417 or 501 to the first ranges, and 200 without one",
        kinds=(Kind.RANGES,),
        attempts=1,
        sees="received as a whole",
    ),
    "no longer large": Fault(
        happens="416 to the first byte of an object of known size, which is empty now",
        kinds=(Kind.RANGES,),
        error=IntegrityError,
        attempts=6,
        sees="the object has 0 bytes, not the 12582912 that were expected",
    ),
    # --- the disk
    "disk full": Fault(
        happens="the disk is full",
        kinds=(Kind.DOWNLOAD, Kind.RANGES),
        error=LocalFileError,
        attempts=1,
        sees="what the system says, and the path; nothing is left there",
    ),
    "read-only": Fault(
        happens="the destination cannot be written", kinds=(Kind.DOWNLOAD, Kind.RANGES), error=LocalFileError, attempts=1
    ),
    "no file handles": Fault(
        happens="no file can be opened any more", kinds=(Kind.DOWNLOAD,), error=LocalFileError, attempts=1
    ),
    "no sockets": Fault(happens="no connection can be opened any more", error=NetworkError, attempts=6),
    "slow disk": Fault(
        happens="every call of the disk takes 50 ms",
        kinds=(Kind.DOWNLOAD, Kind.RANGES),
        attempts=1,
        sees="the event loop is not held: such a disk is used from threads",
    ),
    # --- leaving early
    "Ctrl-C in parts": Fault(
        happens="Ctrl-C, or being cancelled, in an upload in parts", kinds=PARTS, attempts=0, sees="it is aborted first"
    ),
    "break": Fault(
        happens="the loop over results is left", kinds=(Kind.STREAM,), attempts=0, sees="no task, file or connection is left"
    ),
    "raise": Fault(
        happens="the loop over results raises", kinds=(Kind.STREAM,), attempts=0, sees="no task, file or connection is left"
    ),
    "timeout": Fault(
        happens="the loop over results times out", kinds=(Kind.STREAM,), attempts=0, sees="no task, file or connection is left"
    ),
    "Ctrl-C": Fault(
        happens="Ctrl-C in `asyncpresign demo`", kinds=(Kind.STREAM,), attempts=0, sees="nothing is left, the server included"
    ),
    "cancelled": Fault(happens="the task is cancelled, at any await", attempts=0, sees=_NOTHING_LEFT),
}
