"""`Transfer` over real sockets against a server that misbehaves: each fault ends whole after a retry, or as the right error."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator, Awaitable, Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import anyio
import pytest

from asyncpresign import (
    AccessDenied,
    Download,
    IntegrityError,
    NetworkError,
    NotFound,
    PresignedPost,
    PresignedRequest,
    PresignError,
    Redirected,
    ResponseError,
    RetryPolicy,
    ServerError,
    SignatureMismatch,
    SlowDown,
    Transfer,
    TransferResult,
    Upload,
    URLExpired,
)

from .fake_transport import NOW, World
from .fault_server import (
    OK,
    RESET,
    STALE,
    FaultServer,
    Read,
    Reply,
    Then,
    answer,
    chunked,
    html_error,
    http_date,
    redirect,
    s3_error,
)

END = datetime(2026, 11, 24, tzinfo=UTC)
CONTENT = b"the whole content" * 10
WHOLE = Reply(answer(200, CONTENT))
TARGET = "/bucket/a%2Fb'~%2b?X-Amz-Signature=0123456789abcdef&&x=%7E"

Call = Callable[[Transfer, FaultServer, Path], Awaitable[TransferResult]]


async def download(moving: Transfer, server: FaultServer, path: Path) -> TransferResult:
    return await moving.download(server.origin + TARGET, path)


async def upload(moving: Transfer, server: FaultServer, path: Path) -> TransferResult:
    return await moving.upload(CONTENT, server.origin + TARGET)


async def upload_form(moving: Transfer, server: FaultServer, path: Path) -> TransferResult:
    return await moving.upload_form(CONTENT, PresignedPost(f"{server.origin}/bucket", {"key": "a/b", "policy": "p"}, END))


CALLS: dict[str, Call] = {"download": download, "upload": upload, "form": upload_form}


@pytest.fixture(params=CALLS.values(), ids=CALLS.keys())
def call(request: pytest.FixtureRequest) -> Call:
    chosen: Call = request.param
    return chosen


def transfer(world: World | None = None, **options: Any) -> Transfer:
    return Transfer(edge=(world or World()).edge(), **options)


# --- what a retry cures -----------------------------------------------------------------------------------------------

HEAD = answer(200, CONTENT)
CURED = {
    "reset before the head": (RESET, 0.05),
    "closed before the head": (Reply(b"", Then.CLOSE), 0.05),
    "reset in the head": (Reply(HEAD[:20], Then.RESET), 0.05),
    "closed in the head": (Reply(HEAD[:20], Then.CLOSE), 0.05),
    "reset in the request": (Reply(b"", Then.RESET, Read.HEAD), 0.05),
    "500": (Reply(s3_error(500, "InternalError")), 0.05),
    "502 of a proxy": (Reply(html_error(502)), 0.05),
    "503": (Reply(s3_error(503, "SlowDown")), 0.05),
    "503 with seconds": (Reply(s3_error(503, "SlowDown", headers=[("Retry-After", "3")])), 3.0),
    "503 with a date": (
        Reply(s3_error(503, "SlowDown", headers=[("Retry-After", http_date(NOW + timedelta(seconds=9)))])),
        9.0,
    ),
    "503 with nonsense": (Reply(s3_error(503, "SlowDown", headers=[("Retry-After", "soon")])), 0.05),
    "503, closing": (Reply(answer(503, headers=[("Connection", "close")]), Then.CLOSE), 0.05),
    "503, chunked": (Reply(chunked(s3_error(503, "SlowDown").partition(b"\r\n\r\n")[2]).replace(b"200", b"503", 1)), 0.05),
    "429": (Reply(answer(429)), 0.05),
    "429 with seconds": (Reply(answer(429, headers=[("Retry-After", "2")])), 2.0),
    "RequestTimeout": (Reply(s3_error(400, "RequestTimeout", headers=[("Connection", "close")]), Then.CLOSE), 0.05),
    "not HTTP": (Reply(b"garbage\r\n\r\n", Then.CLOSE), 0.05),
}
# What only a body that is read to its end can have.
CURED_DOWNLOADS = {
    "short body": Reply(HEAD[:-5], Then.CLOSE),
    "reset in the body": Reply(HEAD[:-5], Then.RESET),
    "no body": Reply(HEAD[: -len(CONTENT)], Then.CLOSE),
    "dripped and cut": Reply(HEAD[:-5], Then.CLOSE, drip=True),
    "short chunked body": Reply(chunked(CONTENT)[:-9], Then.CLOSE),
}


@pytest.mark.parametrize(("fault", "delay"), CURED.values(), ids=CURED.keys())
async def test_a_fault_is_cured_by_trying_again(call: Call, fault: Reply, delay: float, tmp_path: Path) -> None:
    world = World()
    async with FaultServer([fault], otherwise=WHOLE) as server, transfer(world) as moving:
        result = await call(moving, server, tmp_path / "file")
        assert (result.attempts, len(server.seen), world.sleeps) == (2, 2, [delay])
        check_whole(call, server, tmp_path)


@pytest.mark.parametrize("fault", CURED_DOWNLOADS.values(), ids=CURED_DOWNLOADS.keys())
async def test_a_broken_download_begins_anew(fault: Reply, tmp_path: Path) -> None:
    async with FaultServer([fault], otherwise=WHOLE) as server, transfer() as moving:
        assert (await download(moving, server, tmp_path / "file")).attempts == 2
        check_whole(download, server, tmp_path)


def check_whole(call: Call, server: FaultServer, folder: Path) -> None:
    """What was asked for arrived whole, at both ends, and nothing else is there."""
    last = server.seen[-1]
    match call:
        case _ if call is download:
            assert os.listdir(folder) == ["file"]
            assert (folder / "file").read_bytes() == CONTENT
            assert last.line == f"GET {TARGET} HTTP/1.1"
        case _ if call is upload:
            assert (last.line, last.body) == (f"PUT {TARGET} HTTP/1.1", CONTENT)
        case _:
            assert last.line == "POST /bucket HTTP/1.1"
            assert b"\r\n\r\n" + CONTENT + b"\r\n--asyncpresign-" in last.body
            assert last.header("Content-Length") == str(len(last.body))


async def test_a_connection_refused_is_tried_again(call: Call, tmp_path: Path) -> None:
    async with FaultServer(otherwise=WHOLE, listening=False) as server:
        world = World()
        wait = world._sleep

        async def listen_then_wait(seconds: float) -> None:
            if not server.listening:
                server.listen()
            await wait(seconds)

        world._sleep = listen_then_wait  # type: ignore[method-assign]
        async with transfer(world) as moving:
            assert (await call(moving, server, tmp_path / "file")).attempts == 2
            check_whole(call, server, tmp_path)


async def test_a_connection_that_was_closed_while_idle(call: Call, tmp_path: Path) -> None:
    async with FaultServer([WHOLE, STALE], otherwise=WHOLE) as server, transfer() as moving:
        await download(moving, server, tmp_path / "file")
        assert (await call(moving, server, tmp_path / "file")).attempts == 2
        check_whole(call, server, tmp_path) if call is download else None
        assert (len(server.seen), server.connections) == (3, 2)


# --- what nothing cures -----------------------------------------------------------------------------------------------

LOST: dict[str, tuple[Reply, type[PresignError], int]] = {
    "reset for ever": (RESET, NetworkError, 3),
    "short for ever": (Reply(HEAD[:30], Then.CLOSE), NetworkError, 3),
    "503 for ever": (Reply(s3_error(503, "SlowDown")), SlowDown, 3),
    "500 for ever": (Reply(s3_error(500, "InternalError")), ServerError, 3),
    "502 for ever": (Reply(html_error(502)), ServerError, 3),
    "403": (Reply(s3_error(403, "AccessDenied", "Access Denied")), AccessDenied, 1),
    "403 of a proxy": (Reply(html_error(403)), AccessDenied, 1),
    "signature": (Reply(s3_error(403, "SignatureDoesNotMatch")), SignatureMismatch, 1),
    "expired": (Reply(s3_error(403, "AccessDenied", "Request has expired")), URLExpired, 1),
    "404": (Reply(s3_error(404, "NoSuchKey")), NotFound, 1),
    "404, cut": (Reply(s3_error(404, "NoSuchKey")[:-5], Then.CLOSE), NotFound, 1),
    "307": (Reply(redirect(307, "http://127.0.0.1:1/elsewhere")), Redirected, 1),
    "301": (Reply(s3_error(301, "PermanentRedirect", headers=[("x-amz-bucket-region", "eu-west-3")])), Redirected, 1),
    "411": (Reply(s3_error(411, "MissingContentLength")), ResponseError, 1),
}


@pytest.mark.parametrize(("fault", "kind", "attempts"), LOST.values(), ids=LOST.keys())
async def test_what_is_lost_leaves_nothing(
    call: Call, fault: Reply, kind: type[PresignError], attempts: int, tmp_path: Path
) -> None:
    async with FaultServer(otherwise=fault) as server:
        async with transfer(retry=RetryPolicy(attempts=3)) as moving:
            with pytest.raises(kind) as caught:
                await call(moving, server, tmp_path / "file")
            assert type(caught.value) is kind
            assert getattr(caught.value, "attempts", None) == len(server.seen) == attempts
            assert os.listdir(tmp_path) == []
        await server.until_closed()


@pytest.mark.parametrize("status", [303, 307])
async def test_a_redirect_after_a_form(status: int, tmp_path: Path) -> None:
    """303 is S3's thanks for a form; 307 is a wrong region."""
    async with FaultServer(otherwise=Reply(redirect(status, "http://127.0.0.1:1/thanks"))) as server, transfer() as moving:
        if status == 303:
            assert (await upload_form(moving, server, tmp_path)).attempts == 1
        else:
            with pytest.raises(Redirected):
                await upload_form(moving, server, tmp_path)
        assert len(server.seen) == 1
        with pytest.raises(Redirected):
            await upload(moving, server, tmp_path)


# --- bodies -----------------------------------------------------------------------------------------------------------

COMES = {
    "length": (Reply(answer(200, CONTENT)), "size"),
    "chunked": (Reply(chunked(CONTENT)), None),
    "until closed": (Reply(answer(200, CONTENT, length=False), Then.CLOSE), None),
    "dripped": (Reply(answer(200, CONTENT), drip=True), "size"),
    "gzip": (Reply(answer(200, CONTENT, headers=[("Content-Encoding", "gzip")])), "size"),
    "206": (Reply(answer(206, CONTENT)), "size"),
}


@pytest.mark.parametrize(("reply", "verified_by"), COMES.values(), ids=COMES.keys())
async def test_a_body_arrives_whole_however_it_comes(reply: Reply, verified_by: str | None, tmp_path: Path) -> None:
    async with FaultServer([reply]) as server, transfer() as moving:
        result = await download(moving, server, tmp_path / "file")
        assert (result.size, result.attempts, result.verified_by) == (len(CONTENT), 1, verified_by)
        assert (tmp_path / "file").read_bytes() == CONTENT


async def test_a_body_of_another_size_than_expected(tmp_path: Path) -> None:
    async with FaultServer(otherwise=Reply(chunked(CONTENT))) as server, transfer(retry=RetryPolicy(attempts=2)) as moving:
        for size in (len(CONTENT) - 1, len(CONTENT) + 1):
            with pytest.raises(IntegrityError):
                await moving.download(server.origin + TARGET, tmp_path / "file", size=size)
        assert os.listdir(tmp_path) == []
        await moving.download(server.origin + TARGET, tmp_path / "file", size=len(CONTENT))
        assert (tmp_path / "file").read_bytes() == CONTENT


@pytest.mark.parametrize("then", [Then.HOLD, Then.CLOSE])
@pytest.mark.parametrize("kind", ["upload", "form"])
async def test_a_refusal_that_comes_before_the_body_is_sent(kind: str, then: Then, tmp_path: Path) -> None:
    path = tmp_path / "large"
    path.write_bytes(bytes(16 << 20))
    refusal = Reply(s3_error(400, "EntityTooLarge", headers=[("Connection", "close")]), then, Read.HEAD)
    async with FaultServer([refusal]) as server, transfer() as moving:
        form = PresignedPost(f"{server.origin}/b", {"key": "k"}, END)
        work = moving.upload(path, server.origin + TARGET) if kind == "upload" else moving.upload_form(path, form)
        with anyio.fail_after(10), pytest.raises(ResponseError, match="EntityTooLarge") as caught:
            await work
        assert (caught.value.attempts, len(server.seen)) == (1, 1)
        await server.until_closed()


async def test_a_large_file_arrives_as_it_is(tmp_path: Path) -> None:
    data = os.urandom(5 << 20)
    (tmp_path / "up").write_bytes(data)
    async with FaultServer([OK, OK, Reply(answer(200, data))]) as server, transfer() as moving:
        await moving.upload(tmp_path / "up", server.origin + TARGET)
        await moving.upload_form(tmp_path / "up", PresignedPost(f"{server.origin}/b", {"key": "k"}, END))
        await moving.download(server.origin + TARGET, tmp_path / "down")
        assert server.seen[0].body == data
        assert data in server.seen[1].body
        assert (tmp_path / "down").read_bytes() == data
        assert server.connections == 1


async def stream(*parts: bytes) -> AsyncIterator[bytes]:
    for part in parts:
        yield part


@pytest.mark.parametrize("fault", [RESET, STALE, Reply(s3_error(503, "SlowDown"))], ids=["reset", "stale", "503"])
async def test_a_stream_is_sent_once(fault: Reply) -> None:
    async with FaultServer([fault]) as server, transfer() as moving:
        with pytest.raises((NetworkError, SlowDown)) as caught:
            await moving.upload(stream(b"ab", b"c"), server.origin + TARGET, size=3)
        assert (caught.value.attempts, len(server.seen)) == (1, 1)


async def test_a_source_that_fails_closes_the_connection() -> None:
    async def broken() -> AsyncIterator[bytes]:
        yield b"ab"
        raise LookupError("mine")

    async with FaultServer() as server, transfer() as moving:
        with pytest.raises(PresignError, match="LookupError"):
            await moving.upload(broken(), server.origin + TARGET, size=3)
        await server.until_closed()
        assert len(server.seen) == 1


async def test_send_over_the_wire() -> None:
    async with FaultServer([RESET, Reply(answer(404, b"gone")), Reply(answer(200, b"x" * 100)[:-100])]) as server:
        async with transfer() as moving:
            get = PresignedRequest("GET", server.origin + TARGET, {}, END)
            response = await moving.send(get, raise_for_status=False)
            assert (response.status, response.body) == (404, b"gone")
            head = PresignedRequest("HEAD", server.origin + TARGET, {}, END)
            assert (await moving.send(head)).headers["content-length"] == "100"
        assert [seen.method for seen in server.seen] == ["GET", "GET", "HEAD"]


# --- many -------------------------------------------------------------------------------------------------------------


async def test_a_hundred_items_over_every_fault(tmp_path: Path) -> None:
    faults = [fault for fault, _ in CURED.values()]
    script = [reply for fault in faults * 3 for reply in (fault, WHOLE)]
    async with FaultServer(script, otherwise=WHOLE) as server:
        # Who gets which fault is chance: one item may get them all.
        async with transfer(concurrency=8, retry=RetryPolicy(attempts=len(script))) as moving:
            items: list[Download | Upload] = [Download(server.origin + TARGET, tmp_path / str(number)) for number in range(50)]
            items += [Upload(CONTENT, server.origin + TARGET) for _ in range(50)]
            report = await moving.run(items)
        assert (report.done, report.failures) == (100, [])
        assert report.attempts == len(server.seen) == 100 + len(faults) * 3
        assert {path.read_bytes() for path in tmp_path.iterdir()} == {CONTENT}
        assert len(os.listdir(tmp_path)) == 50
        assert server.most_open <= 8
        await server.until_closed()


@pytest.mark.parametrize("how", ["break", "task.cancel", "asyncio.timeout"])
async def test_leaving_early_leaves_no_socket_and_no_file(how: str, tmp_path: Path) -> None:
    half = Reply(answer(200, bytes(8 << 20))[: 4 << 20], Then.HOLD)
    async with FaultServer([WHOLE], otherwise=half) as server, transfer(concurrency=4) as moving:
        items = (Download(server.origin + TARGET, tmp_path / str(number)) for number in range(100))

        async def leave() -> None:
            async with moving.stream(items) as results:
                async for _ in results:
                    await server.until_seen(5)
                    if how == "break":
                        return

        task = asyncio.create_task(leave())
        if how == "asyncio.timeout":
            await server.until_seen(5)
            with pytest.raises(TimeoutError):
                async with asyncio.timeout(0):
                    await task
        elif how == "task.cancel":
            await server.until_seen(5)
            task.cancel()
        await asyncio.wait([task])
        assert task.cancelled() == (how != "break")
        # The transfer still stands: it is the stream that gave its connections up.
        await server.until_closed()
        assert os.listdir(tmp_path) in ([], ["0"])
