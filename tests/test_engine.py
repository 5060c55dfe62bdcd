"""One item at a time through `Transfer` over a transport in memory: what is sent, how often, and what comes of it."""

from __future__ import annotations

import base64
import hashlib
import io
import os
from collections.abc import AsyncIterator, Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest

from asyncpresign import (
    AccessDenied,
    Conflict,
    Credentials,
    Download,
    FormUpload,
    IntegrityError,
    InvalidRequest,
    LocalFileError,
    NetworkError,
    NotFound,
    OfflineSigner,
    PresignedPost,
    PresignedRequest,
    PresignError,
    Redirected,
    RetryPolicy,
    S3Object,
    ServerError,
    SlowDown,
    Transfer,
    TransferError,
    TransferResult,
    Upload,
    URLExpired,
)
from asyncpresign.http.transport import Request
from asyncpresign.transfer.items import Item, Status

from .fake_transport import NOW, REFUSED, FakeTransport, Say, World, error, make_signer

END = datetime(2026, 11, 24, tzinfo=UTC)
OBJECT = S3Object("bucket", "a/key")
URL = "http://s3.test/bucket/a%2Fkey?X-Amz-Signature=abc"
GET = PresignedRequest("GET", URL, {"x-amz-request-payer": "requester"}, END)
PUT = PresignedRequest("PUT", URL, {"x-amz-meta-a": "b"}, END)
POST = PresignedPost("http://s3.test/bucket", {"key": "a/key", "policy": "p"}, END)
EXPIRED = error(403, "AccessDenied", "Request has expired")
SLOW = error(503, "SlowDown")
BROKEN = Say(body=b"12345", announced=10, broken=True)


class CountingSigner:
    """A signer of the caller's: it says in each URL how often it was asked."""

    def __init__(self) -> None:
        self.calls: list[tuple[str, Any]] = []

    async def presign(self, operation: str, params: Any = None, **options: Any) -> PresignedRequest:
        self.calls.append((operation, dict(params)))
        method = {"get_object": "GET", "put_object": "PUT"}[operation]
        return PresignedRequest(
            method, f"http://s3.test/{params['Key']}?n={len(self.calls)}", {"x-n": str(len(self.calls))}, END
        )

    async def presign_urls(self, *arguments: Any, **options: Any) -> Any:
        raise NotImplementedError

    async def presign_post(self, bucket: str, key: str, **options: Any) -> PresignedPost:
        self.calls.append((key, options))
        return PresignedPost("http://s3.test/", {"key": key, "n": str(len(self.calls)), **options["fields"]}, END)


def transfer(transport: FakeTransport, world: World | None = None, **options: Any) -> Transfer:
    options.setdefault("signer", make_signer())
    signer = options.pop("signer")
    return Transfer(signer, transport=transport, edge=(world or World()).edge(), **options)


# --- what is sent -----------------------------------------------------------------------------------------------------


async def test_a_download_of_an_object_is_signed() -> None:
    transport = FakeTransport([Say(body=b"content")])
    async with transfer(transport, World(step=1.0)) as moving:
        result = await moving.download(OBJECT, params={"ResponseContentType": "text/plain"}, id="mine")
    sent = transport.requests[0]
    assert (sent.method, sent.url.partition("?")[0], dict(sent.headers)) == ("GET", "http://s3.test/bucket/a/key", {})
    assert parse_qs(urlsplit(sent.url).query)["response-content-type"] == ["text/plain"]
    assert result.data == b"content"
    assert (result.status, result.size, result.attempts, result.verified_by) == (Status.DONE, 7, 1, "size")
    assert (result.error, result.seconds, result.item.id) == (None, 1.0, "mine")
    assert (transport.open, transport.closed) == (0, 0)


async def test_a_version_is_asked_for() -> None:
    transport = FakeTransport()
    async with transfer(transport) as moving:
        await moving.download(S3Object("bucket", "key", "v7"))
    assert parse_qs(urlsplit(transport.requests[0].url).query)["versionId"] == ["v7"]


async def test_what_is_signed_is_sent_as_it_is() -> None:
    transport = FakeTransport()
    async with transfer(transport, signer=None) as moving:
        await moving.download(GET)
        await moving.download(URL)
        await moving.upload(b"abc", PUT)
        await moving.upload(b"abc", URL)
    sent = [(request.method, request.url, dict(request.headers)) for request in transport.requests]
    assert sent == [("GET", URL, dict(GET.headers)), ("GET", URL, {}), ("PUT", URL, dict(PUT.headers)), ("PUT", URL, {})]
    assert transport.bodies == [b"", b"", b"abc", b"abc"]


async def test_an_upload_of_an_object_is_signed_with_its_headers(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_bytes(b"abc")
    transport = FakeTransport()
    async with transfer(transport) as moving:
        result = await moving.upload(path, OBJECT, params={"ContentType": "text/plain", "Metadata": {"a": "b"}}, size=3)
    sent = transport.requests[0]
    assert dict(sent.headers) == {"Content-Type": "text/plain", "x-amz-meta-a": "b"}
    assert (transport.bodies, result.size, result.verified_by) == ([b"abc"], 3, "size")


def fields_of(body: bytes) -> dict[str, str]:
    boundary = body.partition(b"\r\n")[0]
    parts = (
        body.removeprefix(boundary + b"\r\n").removesuffix(b"\r\n" + boundary + b"--\r\n").split(b"\r\n" + boundary + b"\r\n")
    )
    read = {}
    for part in parts:
        head, _, content = part.partition(b"\r\n\r\n")
        read[head.decode()] = content.decode()
    return read


NAME = 'Content-Disposition: form-data; name="{}"'.format


async def test_a_form_is_posted_with_its_fields_and_its_file() -> None:
    transport = FakeTransport([Say(204)])
    async with transfer(transport, signer=None) as moving:
        result = await moving.upload_form(b"content", POST)
    sent = transport.requests[0]
    assert (sent.method, sent.url) == ("POST", POST.url)
    assert dict(sent.headers) == {"Content-Type": "multipart/form-data; boundary=asyncpresign-token1"}
    assert fields_of(transport.bodies[0]) == {
        NAME("key"): "a/key",
        NAME("policy"): "p",
        NAME("file") + '; filename="file"\r\nContent-Type: application/octet-stream': "content",
    }
    assert sent.body is not None
    assert sent.body.size == len(transport.bodies[0])
    assert result.size == 7


@pytest.mark.parametrize("status", [200, 201, 204, 303])
async def test_every_way_that_s3_accepts_a_form(status: int) -> None:
    transport = FakeTransport([Say(status, b"x")])
    async with transfer(transport) as moving:
        assert (await moving.upload_form(b"content", OBJECT)).status is Status.DONE


async def test_303_is_a_success_of_nothing_else() -> None:
    transport = FakeTransport(otherwise=Say(303))
    async with transfer(transport) as moving:
        for call in (moving.download(URL), moving.upload(b"x", URL)):
            with pytest.raises(Redirected):
                await call


@pytest.mark.parametrize(
    ("options", "field", "of_file"),
    [
        ({}, None, "application/octet-stream"),
        ({"content_type": "image/png"}, "image/png", "image/png"),
        ({"content_type": "guess", "filename": "a.html"}, "text/html", "text/html"),
        ({"content_type": "guess", "filename": "a.nothing-known"}, "application/octet-stream", "application/octet-stream"),
        ({"content_type": "a/b", "fields": {"content-type": "c/d"}}, None, "a/b"),
    ],
    ids=str,
)
async def test_the_content_type_of_a_form(options: dict[str, Any], field: str | None, of_file: str) -> None:
    transport = FakeTransport()
    async with transfer(transport) as moving:
        await moving.upload_form(b"x", OBJECT, **options)
    read = fields_of(transport.bodies[0])
    assert read.get(NAME("Content-Type")) == field
    assert any(head.endswith(f"Content-Type: {of_file}") for head in read)


async def test_fields_and_conditions_go_to_the_signer(tmp_path: Path) -> None:
    signer = CountingSigner()
    path = tmp_path / "a b.txt"
    path.write_bytes(b"x")
    async with transfer(transport := FakeTransport(), signer=signer) as moving:
        await moving.upload_form(path, OBJECT, fields={"acl": "private"}, conditions=[["content-length-range", 0, 9]])
    assert signer.calls == [("a/key", {"fields": {"acl": "private"}, "conditions": [["content-length-range", 0, 9]]})]
    assert b'filename="a b.txt"' in transport.bodies[0]


# --- just in time -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["download", "upload", "upload_form"])
async def test_every_attempt_is_signed_when_it_is_made(kind: str) -> None:
    signer = CountingSigner()
    seen: list[int] = []

    async def look(_: Request) -> None:
        seen.append(len(signer.calls))

    transport = FakeTransport([error(500, "InternalError")] * 3, before=look)
    async with transfer(transport, signer=signer) as moving:
        if kind == "download":
            result = await moving.download(OBJECT)
        else:
            result = await getattr(moving, kind)(b"x", OBJECT)
    assert seen == [1, 2, 3, 4]
    assert result.attempts == 4


async def test_items_of_a_stream_are_signed_in_order_and_not_ahead() -> None:
    signer = CountingSigner()
    ahead: list[int] = []

    async def look(_: Request) -> None:
        ahead.append(len(signer.calls) - len(transport.requests) + 1)

    transport = FakeTransport(before=look)
    async with transfer(transport, signer=signer, concurrency=4) as moving:
        report = await moving.run(Download(S3Object("bucket", str(number))) for number in range(50))
    assert report.done == 50
    assert [params["Key"] for _, params in signer.calls] == [str(number) for number in range(50)]
    assert max(ahead) <= 4


async def test_the_headers_of_each_signing_are_sent() -> None:
    transport = FakeTransport([SLOW])
    async with transfer(transport, signer=CountingSigner()) as moving:
        await moving.upload(b"x", OBJECT)
    assert [dict(request.headers) for request in transport.requests] == [{"x-n": "1"}, {"x-n": "2"}]


# --- trying again -----------------------------------------------------------------------------------------------------

# What the server says, and how it ends: error class, or None when a second attempt succeeds.
ENDS: dict[str, tuple[Say | NetworkError, type[PresignError] | None]] = {
    "reset": (REFUSED, None),
    "short": (BROKEN, None),
    "certificate": (NetworkError("certificate", permanent=True), NetworkError),
    "500": (error(500, "InternalError"), None),
    "502": (Say(502, b"<html>"), None),
    "503": (SLOW, None),
    "429": (Say(429), None),
    "RequestTimeout": (error(400, "RequestTimeout"), None),
    "ConditionalRequestConflict": (error(409, "ConditionalRequestConflict"), None),
    "403": (error(403, "AccessDenied", "Access Denied"), AccessDenied),
    "404": (error(404, "NoSuchKey"), NotFound),
    "409": (error(409, "BucketNotEmpty"), Conflict),
    "307": (error(307, "TemporaryRedirect"), Redirected),
    "501": (error(501, "NotImplemented"), ServerError),
}


@pytest.mark.parametrize(("said", "kind"), ENDS.values(), ids=ENDS.keys())
@pytest.mark.parametrize("place", [URL, OBJECT], ids=["URL", "object"])
async def test_what_is_tried_again(place: str | S3Object, said: Say | NetworkError, kind: type[PresignError] | None) -> None:
    world, transport = World(), FakeTransport([said, Say(body=b"whole")])
    async with transfer(transport, world) as moving:
        if kind is None:
            result = await moving.download(place)
            assert (result.data, result.attempts, world.sleeps) == (b"whole", 2, [0.05])
        else:
            with pytest.raises(kind) as caught:
                await moving.download(place)
            assert type(caught.value) is kind
            assert (transport.sent, world.sleeps) == (1, [])
    assert transport.open == 0


async def test_attempts_come_to_an_end() -> None:
    world, transport = World(), FakeTransport(otherwise=error(500, "InternalError", "oops"))
    async with transfer(transport, world, retry=RetryPolicy(attempts=4, base=1.0, cap=3.0)) as moving:
        with pytest.raises(ServerError, match=r"HTTP 500: InternalError oops \(after 4 attempts\)") as caught:
            await moving.download(OBJECT)
    assert (caught.value.attempts, transport.sent, world.sleeps) == (4, 4, [0.5, 1.0, 1.5])
    assert caught.value.request == "GET http://s3.test/bucket/a/key"


async def test_retry_after_is_honoured() -> None:
    world = World()
    transport = FakeTransport([error(503, "SlowDown", retry_after="7"), error(429, "", retry_after="1000")])
    async with transfer(transport, world) as moving:
        assert (await moving.download(OBJECT)).attempts == 3
    assert world.sleeps == [7.0, 20.0]


async def test_the_budget_is_shared_and_refilled_by_success() -> None:
    world = World()
    transport = FakeTransport(otherwise=SLOW)
    async with transfer(transport, world, retry=RetryPolicy(attempts=10, budget=4)) as moving:
        for expected in (5, 1, 1):
            transport.sent = 0
            with pytest.raises(SlowDown):
                await moving.download(OBJECT)
            assert transport.sent == expected
        transport.otherwise = Say()
        await moving.download(OBJECT)
        transport.otherwise, transport.sent = SLOW, 0
        with pytest.raises(SlowDown) as caught:
            await moving.download(OBJECT)
        assert (transport.sent, caught.value.attempts) == (2, 2)


async def test_an_expired_url_is_signed_again_once() -> None:
    signer, world, transport = CountingSigner(), World(), FakeTransport([EXPIRED])
    async with transfer(transport, world, signer=signer) as moving:
        assert (await moving.download(OBJECT)).attempts == 2
        assert (len(signer.calls), world.sleeps) == (2, [0.0])
        transport.otherwise, transport.sent = EXPIRED, 0
        with pytest.raises(URLExpired):
            await moving.download(OBJECT)
        assert transport.sent == 2


@pytest.mark.parametrize("kind", ["download", "upload", "upload_form"])
async def test_what_is_signed_already_is_never_signed_again(kind: str) -> None:
    signer, transport = CountingSigner(), FakeTransport(otherwise=EXPIRED)
    calls: dict[str, Callable[[Transfer], Any]] = {
        "download": lambda moving: moving.download(GET),
        "upload": lambda moving: moving.upload(b"x", URL),
        "upload_form": lambda moving: moving.upload_form(b"x", POST),
    }
    async with transfer(transport, signer=signer) as moving:
        with pytest.raises(URLExpired):
            await calls[kind](moving)
    assert (transport.sent, signer.calls) == (1, [])


async def stream(*parts: bytes) -> AsyncIterator[bytes]:
    for part in parts:
        yield part


@pytest.mark.parametrize("said", [SLOW, EXPIRED, REFUSED], ids=["503", "expired", "refused"])
@pytest.mark.parametrize("kind", ["upload", "upload_form"])
async def test_a_stream_larger_than_a_part_is_sent_once(kind: str, said: Say | NetworkError) -> None:
    transport, part = FakeTransport([said], keep=False), 5 << 20
    async with transfer(transport, part_size=part) as moving:
        with pytest.raises(TransferError):
            await getattr(moving, kind)(stream(bytes(part), b"c"), OBJECT, size=part + 1)
    assert transport.sent == 1


class Pipe(io.RawIOBase):
    """Cannot seek, as a pipe cannot."""

    def __init__(self, data: bytes) -> None:
        self._data = data

    def readable(self) -> bool:
        return True

    def read(self, size: int = -1) -> bytes:
        taken, self._data = self._data[:size], self._data[size:]
        return taken


ONE_PASS: dict[str, Callable[[], Any]] = {"stream": lambda: stream(b"ab", b"c"), "pipe": lambda: Pipe(b"abc")}


@pytest.mark.parametrize("said", [SLOW, EXPIRED, REFUSED], ids=["503", "expired", "refused"])
@pytest.mark.parametrize("kind", ["upload", "upload_form"])
@pytest.mark.parametrize("source", ONE_PASS)
async def test_a_small_one_pass_source_is_held_and_sent_again(source: str, kind: str, said: Say | NetworkError) -> None:
    transport = FakeTransport([said])
    async with transfer(transport) as moving:
        result = await getattr(moving, kind)(ONE_PASS[source](), OBJECT, size=3)
    assert (result.attempts, result.size) == (2, 3)
    assert all(b"abc" in body for body in transport.bodies)


async def test_what_can_be_read_again_is_sent_whole_each_time(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_bytes(b"0123456789" * 20_000)
    with path.open("rb") as file:
        file.seek(5)
        transport = FakeTransport([SLOW, REFUSED])
        async with transfer(transport) as moving:
            assert (await moving.upload(file, OBJECT)).attempts == 3
    assert transport.bodies == [path.read_bytes()[5:]] * 3


async def test_a_form_has_another_boundary_each_time() -> None:
    transport = FakeTransport([SLOW])
    async with transfer(transport) as moving:
        await moving.upload_form(b"x", OBJECT)
    assert len({request.headers["Content-Type"] for request in transport.requests}) == 2


# --- what arrives -----------------------------------------------------------------------------------------------------


async def test_a_broken_download_leaves_nothing(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_bytes(b"old")
    async with transfer(FakeTransport(otherwise=BROKEN)) as moving:
        with pytest.raises(NetworkError) as caught:
            await moving.download(OBJECT, path)
    assert caught.value.attempts == 6
    assert (os.listdir(tmp_path), path.read_bytes()) == (["file"], b"old")


async def test_a_download_begins_anew_each_time(tmp_path: Path) -> None:
    path, file = tmp_path / "file", io.BytesIO(b"head")
    file.seek(4)
    large = Say(body=(bytes(1 << 20),) * 3, announced=10**8, broken=True)
    async with transfer(FakeTransport([large, Say(body=b"whole")] * 3)) as moving:
        assert (await moving.download(OBJECT, path)).attempts == 2
        assert (await moving.download(OBJECT, file)).attempts == 2
        assert (await moving.download(OBJECT)).data == b"whole"
    assert (path.read_bytes(), file.getvalue()) == (b"whole", b"headwhole")


@pytest.mark.parametrize("length", [True, False], ids=["announced", "not announced"])
@pytest.mark.parametrize("size", [2, 4])
async def test_a_size_that_is_not_the_objects(length: bool, size: int, tmp_path: Path) -> None:
    transport = FakeTransport(otherwise=Say(body=b"abc", length=length))
    async with transfer(transport, retry=RetryPolicy(attempts=2)) as moving:
        with pytest.raises(IntegrityError, match=str(size)):
            await moving.download(OBJECT, tmp_path / "file", size=size)
        assert os.listdir(tmp_path) == []
        assert (await moving.download(OBJECT, size=3)).verified_by == "size"


async def test_a_body_that_does_not_end_is_given_up(tmp_path: Path) -> None:
    """An answer without a length must not fill the disk when the caller said how much to expect."""
    transport = FakeTransport(otherwise=Say(body=(bytes(1 << 20),) * 64, length=False))
    taken = 0

    class Counting(io.BytesIO):
        def write(self, data: Any) -> int:
            nonlocal taken
            taken += len(data)
            return super().write(data)

    async with transfer(transport, retry=RetryPolicy(attempts=1)) as moving:
        with pytest.raises(IntegrityError):
            await moving.download(URL, Counting(), size=3 << 20)
    assert taken <= 4 << 20


@pytest.mark.parametrize(
    ("announced", "kind"), [(2, IntegrityError), (4, IntegrityError)], ids=["more than announced", "less than announced"]
)
async def test_an_announced_size_that_is_not_true(announced: int, kind: type[PresignError]) -> None:
    transport = FakeTransport(otherwise=Say(body=b"abc", announced=announced))
    async with transfer(transport, retry=RetryPolicy(attempts=1)) as moving:
        with pytest.raises(kind):
            await moving.download(OBJECT)


async def test_nothing_can_be_proven_without_a_size() -> None:
    async with transfer(FakeTransport([Say(body=b"abc", length=False)])) as moving:
        assert (await moving.download(OBJECT)).verified_by is None


async def test_an_error_without_its_explanation_is_an_error() -> None:
    transport = FakeTransport([Say(404, b"<Err", broken=True), Say(404, bytes(1 << 20)), Say(404, b"<!DOCTYPE x><Error/>")])
    async with transfer(transport) as moving:
        for _ in range(3):
            with pytest.raises(NotFound, match="no explanation in the answer"):
                await moving.download(OBJECT)


# --- what is refused --------------------------------------------------------------------------------------------------

WRONG: dict[str, tuple[Item, str]] = {
    "params beside a request": (Download(GET, params={}), "params"),
    "params beside a URL": (Upload(b"x", URL, params={"ACL": "private"}), "params"),
    "fields beside a form": (FormUpload(b"x", POST, fields={}), "fields"),
    "conditions beside a form": (FormUpload(b"x", POST, conditions=[]), "conditions"),
    "a PUT to download": (Download(PUT), "signed for GET"),
    "a GET to upload": (Upload(b"x", GET), "signed for PUT"),
    "no URL": (Download("s3://bucket/key"), "source"),
    "no place": (Download(None), "source"),  # type: ignore[arg-type]
    "bytes as a URL": (Download(URL.encode()), "source"),  # type: ignore[arg-type]
    "a request as a form": (FormUpload(b"x", PUT), "destination"),  # type: ignore[arg-type]
    "a URL as a form": (FormUpload(b"x", URL), "destination"),  # type: ignore[arg-type]
    "unknown parameter": (Download(OBJECT, params={"Nonsense": 1}), "Nonsense"),
    "params of another type": (Download(OBJECT, params=5), "params"),  # type: ignore[arg-type]
    "params as a list": (Upload(b"x", OBJECT, params=["a"]), "params"),  # type: ignore[arg-type]
    "fields of another type": (FormUpload(b"x", OBJECT, fields=5), "fields"),  # type: ignore[arg-type]
    "fields as a list": (FormUpload(b"x", OBJECT, fields=["a"]), "fields"),  # type: ignore[arg-type]
    "conditions of another type": (FormUpload(b"x", OBJECT, conditions=5), "conditions"),  # type: ignore[arg-type]
    "empty key": (Download(S3Object("bucket", "")), "Key"),
    "a key of another type": (Download(S3Object("bucket", 5)), "Key"),  # type: ignore[arg-type]
    "a filename of another type": (FormUpload(b"x", OBJECT, filename=5), "filename"),  # type: ignore[arg-type]
    "line break in the filename": (FormUpload(b"x", OBJECT, filename="a\r\nb"), "filename"),
    "line break in the type": (FormUpload(b"x", OBJECT, content_type="a/b\r\nx: y"), "content_type"),
    "a type of another type": (FormUpload(b"x", OBJECT, content_type=5), "content_type"),  # type: ignore[arg-type]
    "a size of another type": (Download(OBJECT, size="3"), "size"),  # type: ignore[arg-type]
    "a negative size": (Download(OBJECT, size=-1), "size"),
    "no source": (Upload(None, OBJECT), "source"),  # type: ignore[arg-type]
    "no destination": (Download(OBJECT, 5), "destination"),  # type: ignore[arg-type]
    "an object without a signer": (Download(OBJECT), "signed"),
    "not an item": ("key", "item"),  # type: ignore[dict-item]
    "nothing": (None, "item"),  # type: ignore[dict-item]
}


@pytest.mark.parametrize(("item", "named"), WRONG.values(), ids=WRONG.keys())
async def test_what_is_wrong_is_a_failed_result_that_names_it(item: Item, named: str) -> None:
    signer = None if item == Download(OBJECT) else make_signer()
    transport = FakeTransport()
    async with transfer(transport, signer=signer) as moving:
        report = await moving.run([item, Download(URL)])
    assert (report.done, report.failed, transport.sent) == (1, 1, 1)
    failure = report.failures[0]
    assert isinstance(failure.error, InvalidRequest)
    assert any(named in str(problem) for problem in failure.error.problems), failure.error
    assert failure.item is item
    assert (failure.status, failure.attempts) == (Status.FAILED, 0)
    assert report.to_json()


@pytest.mark.parametrize("kind", ["upload", "upload_form"])
async def test_an_object_without_a_signer_is_refused(kind: str) -> None:
    async with transfer(FakeTransport(), signer=None) as moving:
        with pytest.raises(InvalidRequest, match=r"Transfer\(signer\)"):
            await getattr(moving, kind)(b"x", OBJECT)


async def test_a_source_that_is_refused_is_closed(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_bytes(b"x")
    before = os.listdir("/proc/self/fd") if os.path.isdir("/proc/self/fd") else []
    async with transfer(FakeTransport(), signer=None) as moving:
        for call in (
            moving.upload_form(path, OBJECT),
            moving.upload_form(path, POST, filename="\n"),
            moving.upload(path, OBJECT),
        ):
            with pytest.raises(InvalidRequest):
                await call
    assert len(os.listdir("/proc/self/fd") if before else []) == len(before)


async def test_a_transfer_that_is_not_entered_is_refused() -> None:
    moving = transfer(FakeTransport())
    calls: list[Callable[[], Any]] = [
        lambda: moving.download(URL),
        lambda: moving.upload(b"x", URL),
        lambda: moving.upload_form(b"x", POST),
        lambda: moving.send(GET),
        lambda: moving.run([]),
        lambda: moving.stream([]).__aenter__(),
    ]
    for _ in range(2):
        for call in calls:
            with pytest.raises(InvalidRequest, match="async with"):
                await call()
        async with moving:
            assert (await moving.download(URL)).status is Status.DONE


async def test_a_transfer_cannot_be_entered_twice() -> None:
    async with transfer(FakeTransport()) as moving:
        with pytest.raises(InvalidRequest, match="entered before"):
            await moving.__aenter__()
        assert (await moving.download(URL)).status is Status.DONE


@pytest.mark.parametrize(
    ("options", "named"),
    [
        ({"concurrency": 0}, "concurrency"),
        ({"concurrency": True}, "concurrency"),
        ({"concurrency": "8"}, "concurrency"),
        ({"signer": "AKID"}, "signer"),
        ({"signer": Credentials("a", "b")}, "signer"),
        ({"retry": 3}, "retry"),
        ({"part_size": 1000}, "part_size"),
        ({"multipart_threshold": -1}, "multipart_threshold"),
    ],
    ids=str,
)
def test_wrong_options_are_refused(options: dict[str, Any], named: str) -> None:
    with pytest.raises(InvalidRequest, match=named):
        Transfer(**options)


@pytest.mark.parametrize("items", [5, None, "items", b"items", Download(URL)], ids=lambda value: type(value).__name__)
async def test_what_are_no_items(items: Any) -> None:
    async with transfer(FakeTransport()) as moving:
        with pytest.raises(InvalidRequest, match=r"^items: "):
            await moving.run(items)


@pytest.mark.parametrize("failure", [AccessDenied("the broker says no"), RuntimeError("no route"), KeyError("token")])
async def test_a_signer_that_fails_fails_its_item_only(failure: Exception) -> None:
    class Failing(CountingSigner):
        async def presign(self, operation: str, params: Any = None, **options: Any) -> PresignedRequest:
            if params["Key"] == "bad":
                raise failure
            return await super().presign(operation, params, **options)

        async def presign_post(self, bucket: str, key: str, **options: Any) -> PresignedPost:
            if key == "bad":
                raise failure
            return await super().presign_post(bucket, key, **options)

    async with transfer(FakeTransport(), signer=Failing()) as moving:
        for make in (Download, lambda place: FormUpload(b"x", place)):
            report = await moving.run(make(S3Object("bucket", key)) for key in ("a", "bad", "b"))
            assert (report.done, report.failed) == (2, 1)
            error = report.failures[0].error
            assert error is failure or (isinstance(error, TransferError) and error.__cause__ is failure)


async def test_an_s3_uri_is_told_how_to_be_an_object() -> None:
    async with transfer(FakeTransport()) as moving:
        with pytest.raises(InvalidRequest, match=r"S3Object\.parse"):
            await moving.download("s3://bucket/key")


# --- send -------------------------------------------------------------------------------------------------------------


async def test_send_returns_the_whole_answer() -> None:
    transport = FakeTransport([Say(200, (b"ab", b"c"), {"etag": '"e"'})])
    async with transfer(transport) as moving:
        response = await moving.send(GET)
    assert (response.status, response.headers["etag"], response.body) == (200, '"e"', b"abc")
    assert repr(response) == "Response(200, 3 bytes)"


async def test_send_takes_a_body_of_any_kind(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_bytes(b"abc")
    transport = FakeTransport([SLOW])
    async with transfer(transport) as moving:
        for body in (path, b"abc", io.BytesIO(b"abc")):
            assert (await moving.send(PUT, body)).status == 200
    assert transport.bodies == [b"abc"] * 4
    assert dict(transport.requests[0].headers) == dict(PUT.headers)


async def test_send_raises_for_a_status_unless_told_otherwise() -> None:
    transport = FakeTransport(otherwise=error(404, "NoSuchKey"))
    async with transfer(transport) as moving:
        with pytest.raises(NotFound):
            await moving.send(GET)
        response = await moving.send(GET, raise_for_status=False)
        assert (response.status, b"NoSuchKey" in response.body) == (404, True)
        transport.otherwise, transport.sent = SLOW, 0
        assert (await moving.send(GET, raise_for_status=False)).status == 503
        assert transport.sent == 1


async def test_send_reads_no_more_than_max_body() -> None:
    transport = FakeTransport(otherwise=Say(body=(b"abc", b"def")))
    async with transfer(transport) as moving:
        assert (await moving.send(GET, max_body=6)).body == b"abcdef"
        transport.sent = 0
        with pytest.raises(TransferError, match="larger than 5 bytes"):
            await moving.send(GET, max_body=5)
        assert transport.sent == 1


def demanding(headers: dict[str, str], url: str = URL, operation: str | None = "DeleteObjects") -> PresignedRequest:
    return PresignedRequest("POST", url, headers, END, operation, "required")


EMPTY = "1B2M2Y8AsgTpgAmY7PhCfg=="


@pytest.mark.parametrize(
    ("body", "digest"),
    [(b"abc", "kAFQmDzST7DWlj99KOF/cg=="), (b"", EMPTY), (None, EMPTY), ("file", "ttgbNgpWctgMJ0MPORU+LA==")],
)
async def test_send_adds_the_digest_that_the_operation_demands_and_nothing_else(body: Any, digest: str, tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(bytes(2**20))
    transport = FakeTransport(otherwise=Say(200))
    async with transfer(transport) as moving:
        await moving.send(demanding({"x-amz-a": "b"}), tmp_path / body if isinstance(body, str) else body)
    assert dict(transport.requests[0].headers) == {"x-amz-a": "b", "Content-MD5": digest}
    assert body is None or hashlib.md5(transport.bodies[0]).digest() == base64.b64decode(digest)


@pytest.mark.parametrize(
    "request_",
    [
        demanding({"content-MD5": "given"}),
        demanding({"X-Amz-Checksum-SHA256": "given"}),
        demanding({}, URL + "&x-amz-checksum-crc32=given"),
        demanding({}, operation="PutObject"),
        demanding({}, operation="no operation"),
        demanding({}, operation=None),
    ],
    ids=["md5", "sha256", "in the query", "another operation", "no operation", "none"],
)
async def test_send_adds_no_digest_where_there_is_one_or_none_is_demanded(request_: PresignedRequest) -> None:
    transport = FakeTransport(otherwise=Say(200))
    async with transfer(transport) as moving:
        await moving.send(request_, b"abc")
    assert transport.requests[0].headers == request_.headers


async def test_what_says_how_a_digest_is_made_is_none(tmp_path: Path) -> None:
    transport = FakeTransport(otherwise=Say(200))
    async with transfer(transport) as moving:
        await moving.send(demanding({"x-amz-sdk-checksum-algorithm": "SHA256", "x-amz-checksum-type": "COMPOSITE"}), b"abc")
    assert "Content-MD5" in transport.requests[0].headers


async def test_send_of_a_head() -> None:
    transport = FakeTransport([Say(200, b"", {"content-type": "a/b"}, announced=100), Say(404, b"", announced=100)])
    async with transfer(transport) as moving:
        head = PresignedRequest("HEAD", URL, {}, END)
        response = await moving.send(head)
        assert (response.headers["content-length"], response.body) == ("100", b"")
        with pytest.raises(NotFound):
            await moving.send(head)


@pytest.mark.parametrize("request_", [URL, OBJECT, POST, None, Download(GET)], ids=lambda value: type(value).__name__)
async def test_send_takes_a_signed_request_only(request_: Any) -> None:
    async with transfer(FakeTransport()) as moving:
        with pytest.raises(InvalidRequest, match="PresignedRequest"):
            await moving.send(request_)


async def test_send_needs_a_size_it_can_know() -> None:
    async with transfer(FakeTransport()) as moving:
        with pytest.raises(InvalidRequest, match=r"^size: "):
            await moving.send(PUT, stream(b"x"))


# --- run --------------------------------------------------------------------------------------------------------------


def by_key(request: Request, _: bytes) -> Say:
    return error(404, "NoSuchKey") if "missing" in request.url else Say(body=b"abc")


async def test_a_run_counts_and_goes_on() -> None:
    keys = ["a", "missing", "b", "missing2", "c"]
    async with transfer(FakeTransport(otherwise=by_key)) as moving:
        report = await moving.run([Download(S3Object("bucket", key)) for key in keys])
    assert (report.done, report.failed, report.skipped, report.size, report.attempts) == (3, 2, 0, 9, 5)
    assert all(isinstance(result.error, NotFound) for result in report.failures)
    assert report.seconds > 0
    with pytest.raises(TransferError, match="2 of 5 items failed"):
        report.raise_for_failures()


async def test_fail_fast_stops_at_the_first_failure() -> None:
    taken: list[str] = []

    def items() -> Any:
        for number in range(10_000):
            taken.append(str(number))
            yield Download(S3Object("bucket", "missing" if number == 5 else str(number)))

    async with transfer(transport := FakeTransport(otherwise=by_key), concurrency=2) as moving:
        report = await moving.run(items(), fail_fast=True)
        assert report.failed == 1
        assert len(taken) < 50
        assert transport.open == 0


async def test_an_empty_run() -> None:
    async with transfer(FakeTransport()) as moving:
        report = await moving.run([])
    assert (report.done, report.failed, report.failures) == (0, 0, [])


async def test_a_local_failure_fails_its_item_only(tmp_path: Path) -> None:
    items: list[Item] = [Download(URL, tmp_path / "no" / "a"), Upload(tmp_path / "no", URL), Download(URL, tmp_path / "b")]
    async with transfer(FakeTransport(otherwise=Say(body=b"x"))) as moving, moving.stream(items) as results:
        ended: list[TransferResult] = [result async for result in results]
    kinds = [isinstance(result.error, LocalFileError) for result in ended if result.error]
    assert (len(ended), kinds, os.listdir(tmp_path)) == (3, [True, True], ["b"])


async def test_the_clock_of_a_signer_is_not_the_transfers() -> None:
    """Retries do not wait for the life of a URL: each attempt is signed at its own moment."""
    transport = FakeTransport([SLOW, SLOW])

    def clock() -> datetime:
        return NOW.replace(hour=12 + len(transport.requests))

    signer = OfflineSigner(Credentials("AKID", "secret"), region="us-east-1", clock=clock)
    async with transfer(transport, signer=signer) as moving:
        await moving.download(OBJECT)
    dates = [parse_qs(urlsplit(request.url).query)["X-Amz-Date"][0] for request in transport.requests]
    assert dates == ["20261123T120000Z", "20261123T130000Z", "20261123T140000Z"]
