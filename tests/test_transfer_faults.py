"""`Transfer` over real sockets against a server that misbehaves: each fault ends whole after a retry, or as the right error."""

from __future__ import annotations

import asyncio
import os
import socket
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import aiohttp
import anyio
import pytest
from aiohttp.abc import AbstractResolver

from asyncpresign import (
    Credentials,
    Download,
    IntegrityError,
    InvalidRequest,
    NetworkError,
    OfflineSigner,
    PresignedPost,
    PresignedRequest,
    PresignError,
    Redirected,
    RetryPolicy,
    S3Object,
    SlowDown,
    Transfer,
    TransferResult,
    Upload,
)

from .fake_transport import NOW, SECRET, FakeTransport, World
from .fault_server import OK, RESET, STALE, FaultServer, Read, Reply, Then, answer, chunked, redirect, s3_error
from .faults import CONTENT, FAULTS, SINGLE, UPLOADS, WHOLE, Fault, Kind

END = datetime(2026, 11, 24, tzinfo=UTC)
TARGET = "/bucket/a%2Fb'~%2b?X-Amz-Signature=0123456789abcdef&&x=%7E"
OBJECT = S3Object("bucket", "a/b")

Place = PresignedPost | S3Object | str
Call = Callable[..., Awaitable[TransferResult]]


async def download(moving: Transfer, place: Any, path: Path, **options: Any) -> TransferResult:
    return await moving.download(place, path, **options)


async def upload(moving: Transfer, place: Any, path: Path, **options: Any) -> TransferResult:
    return await moving.upload(CONTENT, place, **options)


async def upload_form(moving: Transfer, place: Any, path: Path, **options: Any) -> TransferResult:
    return await moving.upload_form(CONTENT, place, **options)


CALLS: dict[Kind, Call] = {Kind.DOWNLOAD: download, Kind.UPLOAD: upload, Kind.FORM: upload_form}


@pytest.fixture(params=CALLS)
def kind(request: pytest.FixtureRequest) -> Kind:
    chosen: Kind = request.param
    return chosen


def place_of(kind: Kind, server: FaultServer) -> Place:
    """What is signed already."""
    if kind is Kind.FORM:
        return PresignedPost(f"{server.origin}/bucket", {"key": "a/b", "policy": "p"}, END)
    return server.origin + TARGET


def signer_for(server: FaultServer, asked: list[None] | None = None) -> OfflineSigner:
    """Its credentials come from a source, which notes down when it is asked."""
    notes = asked if asked is not None else []

    def source() -> Credentials:
        notes.append(None)
        return Credentials("AKIDEXAMPLE", SECRET, f"token {len(notes)}")

    return OfflineSigner(source, region="us-east-1", endpoint_url=server.origin, clock=lambda: NOW)


def transfer(world: World | None = None, signer: OfflineSigner | None = None, **options: Any) -> Transfer:
    return Transfer(signer, edge=(world or World()).edge(), **options)


# --- the table --------------------------------------------------------------------------------------------------------

RUN = [(name, kind) for name, row in FAULTS.items() if row.replies for kind in row.kinds]


@pytest.mark.parametrize(("name", "kind"), RUN)
async def test_a_fault_ends_as_its_row_says(name: str, kind: Kind, tmp_path: Path) -> None:
    fault, world = FAULTS[name], World()
    async with FaultServer(fault.replies, otherwise=fault.then) as server:
        signer = signer_for(server) if fault.signed_here else None
        place = OBJECT if fault.signed_here else place_of(kind, server)
        async with transfer(world, signer, **fault.options) as moving:
            await fault.ends(CALLS[kind](moving, place, tmp_path / "file", **fault.item))
            assert len(server.seen) == (fault.requests or fault.attempts)
            assert fault.waits in (None, tuple(world.sleeps))
            if fault.error is None:
                check_whole(kind, server, tmp_path)
            else:
                assert os.listdir(tmp_path) == []
        await server.until_closed()


def check_whole(kind: Kind, server: FaultServer, folder: Path) -> None:
    """What was asked for arrived whole, at both ends, and nothing else is there."""
    last = server.seen[-1]
    match kind:
        case Kind.DOWNLOAD:
            assert os.listdir(folder) == ["file"]
            assert (folder / "file").read_bytes() == CONTENT
            assert last.method == "GET"
        case Kind.UPLOAD:
            assert (last.method, last.body) == ("PUT", CONTENT)
        case _:
            assert last.line == "POST /bucket HTTP/1.1"
            assert b"\r\n\r\n" + CONTENT + b"\r\n--asyncpresign-" in last.body
            assert last.header("Content-Length") == str(len(last.body))


def test_every_row_is_run() -> None:
    texts = "".join(path.read_text(encoding="utf-8") for path in Path(__file__).parent.glob("test_*.py"))
    assert [name for name, row in FAULTS.items() if not row.replies and f'FAULTS["{name}"]' not in texts] == []


async def test_a_url_is_sent_as_it_is(kind: Kind, tmp_path: Path) -> None:
    async with FaultServer(otherwise=WHOLE) as server, transfer() as moving:
        await CALLS[kind](moving, place_of(kind, server), tmp_path / "file")
        assert server.seen[0].target == ("/bucket" if kind is Kind.FORM else TARGET)


async def test_a_connection_refused_is_tried_again(kind: Kind, tmp_path: Path) -> None:
    async with FaultServer(otherwise=WHOLE, listening=False) as server:
        world = World()
        wait = world._sleep

        async def listen_then_wait(seconds: float) -> None:
            if not server.listening:
                server.listen()
            await wait(seconds)

        world._sleep = listen_then_wait  # type: ignore[method-assign]
        async with transfer(world) as moving:
            await FAULTS["refused"].ends(CALLS[kind](moving, place_of(kind, server), tmp_path / "file"))
            check_whole(kind, server, tmp_path)


async def test_a_connection_refused_for_ever(kind: Kind, tmp_path: Path) -> None:
    async with FaultServer(listening=False) as server, transfer() as moving:
        await FAULTS["refused for ever"].ends(CALLS[kind](moving, place_of(kind, server), tmp_path / "file"))
        assert os.listdir(tmp_path) == []


async def test_a_connection_that_was_closed_while_idle(kind: Kind, tmp_path: Path) -> None:
    async with FaultServer([WHOLE, STALE], otherwise=WHOLE) as server, transfer() as moving:
        await moving.upload(b"", server.origin)
        await FAULTS["idle connection"].ends(CALLS[kind](moving, place_of(kind, server), tmp_path / "file"))
        check_whole(kind, server, tmp_path)
        assert (len(server.seen), server.connections) == (3, 2)


async def test_a_name_that_cannot_be_resolved(kind: Kind, tmp_path: Path) -> None:
    server = FaultServer(host="no-such-host.test")
    server.port = 80
    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(resolver=NoNames())) as session:
        async with transfer(session=session) as moving:
            error = await FAULTS["no such host"].ends(CALLS[kind](moving, place_of(kind, server), tmp_path / "file"))
        assert "the name 'no-such-host.test' cannot be resolved" in str(error)


class NoNames(AbstractResolver):
    """A resolver of a network without names."""

    async def resolve(self, host: str, port: int = 0, family: int = 0) -> list[Any]:
        raise OSError(socket.EAI_NONAME, "Name or service not known")

    async def close(self) -> None:
        """Nothing is open."""


@pytest.mark.parametrize("kind", UPLOADS)
async def test_a_body_that_is_not_taken(kind: Kind, tmp_path: Path) -> None:
    """More of it than any socket buffers."""
    (large := tmp_path / "large").write_bytes(bytes(32 << 20))
    fault = FAULTS["body not taken"]
    async with FaultServer(otherwise=Reply(b"", Then.STALL, Read.HEAD)) as server, transfer(**fault.options) as moving:
        place: Any = place_of(kind, server)
        work = moving.upload(large, place) if kind is Kind.UPLOAD else moving.upload_form(large, place)
        assert "stopped taking the body" in str(await fault.ends(work))


async def test_a_handshake_that_nobody_answers(kind: Kind, tmp_path: Path) -> None:
    ending = asyncio.Event()

    async def say_nothing(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await ending.wait()
        writer.close()

    fault = FAULTS["no handshake"]
    async with await asyncio.start_server(say_nothing, "127.0.0.1", 0) as server, transfer(**fault.options) as moving:
        origin = f"https://127.0.0.1:{server.sockets[0].getsockname()[1]}"
        place = PresignedPost(origin, {"key": "k"}, END) if kind is Kind.FORM else origin + TARGET
        await fault.ends(CALLS[kind](moving, place, tmp_path / "file"))
        ending.set()


async def test_a_drip_is_no_progress(tmp_path: Path) -> None:
    """A byte for every look at the clock, which moves on by a second each time."""
    dripping = Reply(answer(200, b"x" * 100_000), drip=True)
    async with FaultServer(otherwise=dripping) as server, transfer(World(step=1.0)) as moving:
        error = await FAULTS["drip"].ends(moving.download(server.origin + TARGET, tmp_path / "file"))
        assert "fewer than 256 bytes a second" in str(error)
        assert os.listdir(tmp_path) == []
        await server.until_closed()


async def test_what_has_ended_is_not_sent(kind: Kind, tmp_path: Path) -> None:
    world, fault = World(), FAULTS["expired before it is sent"]
    ended = NOW - timedelta(seconds=1)
    url = "http://nobody.test/k?X-Amz-Date=20261123T110000Z&X-Amz-Expires={}&X-Amz-Signature=ab"
    method = {Kind.DOWNLOAD: "GET", Kind.UPLOAD: "PUT"}.get(kind, "")
    transport = FakeTransport()
    async with transfer(world, transport=transport) as moving:
        if kind is Kind.FORM:
            await fault.ends(moving.upload_form(b"x", PresignedPost("http://nobody.test/", {"key": "k"}, ended)))
        else:
            for place in (PresignedRequest(method, url.format(3600), {}, ended), url.format(3600), url.format(1)):
                error = await fault.ends(CALLS[kind](moving, place, tmp_path / "file"))
                assert "have it signed anew" in str(error)
                assert "X-Amz-Signature=ab" not in str(error)
            assert transport.sent == 0
            await CALLS[kind](moving, url.format(3601), tmp_path / "file")
    assert (transport.sent, world.sleeps) == (0 if kind is Kind.FORM else 1, [])


@pytest.mark.parametrize("status", [303, 307])
async def test_a_redirect_after_a_form(status: int, tmp_path: Path) -> None:
    """303 is S3's thanks for a form; 307 is a wrong region."""
    async with FaultServer(otherwise=Reply(redirect(status, "http://127.0.0.1:1/thanks"))) as server, transfer() as moving:
        posting = moving.upload_form(CONTENT, place_of(Kind.FORM, server))  # type: ignore[arg-type]
        if status == 303:
            assert (await posting).attempts == 1
        else:
            with pytest.raises(Redirected):
                await posting
        assert len(server.seen) == 1
        with pytest.raises(Redirected):
            await moving.upload(CONTENT, server.origin + TARGET)


# --- bodies -----------------------------------------------------------------------------------------------------------

COMES = {
    "length": (Reply(answer(200, CONTENT)), "size"),
    "chunked": (Reply(chunked(CONTENT)), None),
    "until closed": (Reply(answer(200, CONTENT, length=False), Then.CLOSE), None),
    "dripped": (Reply(answer(200, CONTENT), drip=True), "size"),
    "gzip": (Reply(answer(200, CONTENT, headers=[("Content-Encoding", "gzip")])), "size"),
}


@pytest.mark.parametrize(("reply", "verified_by"), COMES.values(), ids=COMES.keys())
async def test_a_body_arrives_whole_however_it_comes(reply: Reply, verified_by: str | None, tmp_path: Path) -> None:
    async with FaultServer([reply]) as server, transfer() as moving:
        result = await moving.download(server.origin + TARGET, tmp_path / "file")
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
        with anyio.fail_after(10):
            assert "EntityTooLarge" in str(await FAULTS["early refusal"].ends(work))
        assert len(server.seen) == 1
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


async def test_bytes_on_an_idle_connection_are_not_the_next_response(tmp_path: Path) -> None:
    fault = FAULTS["late surplus"]
    async with FaultServer(otherwise=WHOLE) as server, transfer() as moving:
        await fault.ends(moving.download(server.origin + TARGET, tmp_path / "first"))
        await server.say(answer(200, b"of nobody"))
        await server.until_closed()
        await fault.ends(moving.download(server.origin + TARGET, tmp_path / "second"))
        assert (tmp_path / "second").read_bytes() == CONTENT
        assert server.connections == 2


FRAMED = {"ContentLength": 5}


@pytest.mark.parametrize("how", ["signed for", "given", "form", "send", "part"])
async def test_a_length_that_is_not_the_bodys_is_refused_and_nothing_is_sent(how: str) -> None:
    async with FaultServer() as server, transfer(signer=signer_for(server)) as moving:
        signer = signer_for(server)
        put = await signer.presign("put_object", {"Bucket": "bucket", "Key": "k", **FRAMED})
        post = PresignedRequest("POST", f"{server.origin}/bucket?delete&X-Amz-Signature=1", {"content-length": "5"}, END)
        part = await signer.presign(
            "upload_part", {"Bucket": "bucket", "Key": "k", "UploadId": "u", "PartNumber": 1, "ContentLength": 5}
        )
        calls: dict[str, Callable[[], Awaitable[object]]] = {
            "signed for": lambda: moving.upload(CONTENT, OBJECT, params=FRAMED),
            "given": lambda: moving.upload(CONTENT, put),
            "form": lambda: moving.send(post, CONTENT),
            "send": lambda: moving.send(put, CONTENT),
            "part": lambda: moving.send(part, CONTENT),
        }
        with pytest.raises(InvalidRequest, match="the size of the body in bytes"):
            await calls[how]()
        assert server.connections == 0


@pytest.mark.parametrize("url", ["/a b", "/a#b", "/100%", "/a\tb", "/\u00e9"])
async def test_a_url_that_http_cannot_carry_is_refused_and_nothing_is_sent(kind: Kind, url: str, tmp_path: Path) -> None:
    async with FaultServer() as server, transfer() as moving:
        address = server.origin + url
        place = PresignedPost(address, {"key": "a"}, END) if kind is Kind.FORM else address
        with pytest.raises(InvalidRequest, match="url: expected"):
            await CALLS[kind](moving, place, tmp_path / "file")
        assert (server.connections, os.listdir(tmp_path)) == (0, [])


async def test_a_scheme_in_capitals_names_a_url(kind: Kind, tmp_path: Path) -> None:
    async with FaultServer(otherwise=WHOLE) as server, transfer() as moving:
        address = f"HTTP://127.0.0.1:{server.port}/bucket"
        place = PresignedPost(address, {"key": "a"}, END) if kind is Kind.FORM else address
        assert (await CALLS[kind](moving, place, tmp_path / "file")).attempts == 1


async def stream(*parts: bytes) -> AsyncIterator[bytes]:
    for part in parts:
        yield part


LARGE = 5 << 20


@pytest.mark.parametrize("fault", [RESET, STALE, Reply(s3_error(503, "SlowDown"))], ids=["reset", "stale", "503"])
async def test_a_stream_larger_than_a_part_is_sent_once(fault: Reply) -> None:
    async with FaultServer([fault]) as server, transfer(part_size=LARGE) as moving:
        with pytest.raises((NetworkError, SlowDown)) as caught:
            await moving.upload(stream(bytes(LARGE), b"c"), server.origin + TARGET, size=LARGE + 1)
        assert (caught.value.attempts, len(server.seen)) == (1, 1)


@pytest.mark.parametrize("fault", [RESET, STALE, Reply(s3_error(503, "SlowDown"))], ids=["reset", "stale", "503"])
async def test_a_smaller_stream_is_held_and_sent_again(fault: Reply) -> None:
    async with FaultServer([fault]) as server, transfer() as moving:
        result = await moving.upload(stream(b"ab", b"c"), server.origin + TARGET, size=3)
        assert (result.attempts, [seen.body for seen in server.seen][-1]) == (2, b"abc")


async def test_a_source_that_fails_closes_the_connection() -> None:
    async def broken() -> AsyncIterator[bytes]:
        yield bytes(LARGE)
        raise LookupError("mine")

    async with FaultServer() as server, transfer(part_size=LARGE) as moving:
        with pytest.raises(PresignError, match="LookupError"):
            await moving.upload(broken(), server.origin + TARGET, size=LARGE + 1)
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
    plain = [row for row in FAULTS.values() if row.kinds == SINGLE and not row.signed_here]
    rows = [row for row in plain if row.error is None and row.attempts > 1]
    faults = [reply for row in rows for reply in row.replies]
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


class Mine(Exception):
    """The caller's own."""


async def leave_by_break(moving: Transfer, items: Iterator[Download], ready: Callable[[], Awaitable[None]]) -> None:
    async with moving.stream(items) as results:
        async for _ in results:
            await ready()
            break


async def leave_by_raise(moving: Transfer, items: Iterator[Download], ready: Callable[[], Awaitable[None]]) -> None:
    with suppress(Mine):
        async with moving.stream(items) as results:
            async for _ in results:
                await ready()
                raise Mine


async def leave_by_timeout(moving: Transfer, items: Iterator[Download], ready: Callable[[], Awaitable[None]]) -> None:
    with suppress(TimeoutError):
        async with asyncio.timeout(None) as limit, moving.stream(items) as results:
            async for _ in results:
                await ready()
                limit.reschedule(asyncio.get_running_loop().time())


async def leave_by_cancel(moving: Transfer, items: Iterator[Download], ready: Callable[[], Awaitable[None]]) -> None:
    async def go_on() -> None:
        async with moving.stream(items) as results:
            async for _ in results:
                pass

    task = asyncio.create_task(go_on())
    await ready()
    task.cancel()
    await asyncio.wait([task])
    assert task.cancelled()


LEAVES = {
    "break": (FAULTS["break"], leave_by_break),
    "raise": (FAULTS["raise"], leave_by_raise),
    "timeout": (FAULTS["timeout"], leave_by_timeout),
    "cancel": (FAULTS["cancelled"], leave_by_cancel),
}


@pytest.mark.parametrize(("fault", "leave"), LEAVES.values(), ids=LEAVES.keys())
async def test_leaving_early_leaves_no_socket_and_no_file(fault: Fault, leave: Any, tmp_path: Path) -> None:
    assert fault.attempts == 0
    half = Reply(answer(200, bytes(8 << 20))[: 4 << 20], Then.HOLD)
    async with FaultServer([WHOLE], otherwise=half) as server, transfer(concurrency=4) as moving:
        items = (Download(server.origin + TARGET, tmp_path / str(number)) for number in range(100))
        before = asyncio.all_tasks() - server.tasks

        async def ready() -> None:
            await server.until_seen(5)

        await leave(moving, items, ready)
        # The transfer still stands: it is the stream that gave its connections up.
        await server.until_closed()
        assert asyncio.all_tasks() - server.tasks == before
        # The first response is whole, whichever item's request came first.
        assert len(os.listdir(tmp_path)) <= 1
