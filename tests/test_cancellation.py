"""Whatever is under way is cancelled at every await there is: no task, temporary file, descriptor or connection is left."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from pathlib import Path

import pytest

from asyncpresign import Download, FormUpload, PresignedPost, PresignedRequest, Transfer, Upload
from asyncpresign.http.transport import Request
from asyncpresign.transfer.items import Item

from .fake_transport import FakeTransport, Say, World, error
from .fault_server import OK, FaultServer, Reply, answer, s3_error
from .faults import FAULTS
from .sweep import Cancel, at_every_turn, at_its_awaits, by_a_scope, sweep
from .test_transfer_faults import END, TARGET

CONTENT = os.urandom(200_000)
WHOLE, SLOW = Reply(answer(200, CONTENT)), Reply(s3_error(503, "SlowDown"))

Work = Callable[[Transfer, str, Path], Awaitable[object]]


async def stream_of(items: list[Item], moving: Transfer) -> None:
    async with moving.stream(items) as results:
        async for result in results:
            assert result.error is None


async def parts() -> AsyncIterator[bytes]:
    for start in range(0, len(CONTENT), 50_000):
        await asyncio.sleep(0)
        yield CONTENT[start : start + 50_000]


def items(origin: str, folder: Path) -> list[Item]:
    post = PresignedPost(f"{origin}/bucket", {"key": "k"}, END)
    up = folder / "up"
    return [Download(origin + TARGET, folder / "down"), Upload(up, origin + TARGET), FormUpload(up, post)] * 2


WORKS: dict[str, Work] = {
    "download": lambda moving, origin, folder: moving.download(origin + TARGET, folder / "down"),
    "download to memory": lambda moving, origin, folder: moving.download(origin + TARGET),
    "upload": lambda moving, origin, folder: moving.upload(folder / "up", origin + TARGET),
    "upload of a stream": lambda moving, origin, folder: moving.upload(parts(), origin + TARGET, size=len(CONTENT)),
    "form": lambda moving, origin, folder: moving.upload_form(folder / "up", PresignedPost(f"{origin}/b", {"key": "k"}, END)),
    "send": lambda moving, origin, folder: moving.send(PresignedRequest("GET", origin + TARGET, {}, END)),
    "stream": lambda moving, origin, folder: stream_of(items(origin, folder), moving),
    "run": lambda moving, origin, folder: moving.run(items(origin, folder)),
}


def descriptors() -> list[str]:
    return sorted(os.listdir("/proc/self/fd")) if os.path.isdir("/proc/self/fd") else []


def check_folder(folder: Path) -> None:
    """What was uploaded, and what was downloaded, whole or not at all."""
    assert sorted(os.listdir(folder)) in (["up"], ["down", "up"])
    if (down := folder / "down").exists():
        assert down.read_bytes() == CONTENT
        down.unlink()


def retried(name: str) -> bool:
    """Whether it can be refused first, so that a retry is cancelled too: a stream can be sent once."""
    return name != "upload of a stream"


def replies(name: str, server: FaultServer) -> Iterator[Reply]:
    if retried(name):
        yield SLOW
    while True:
        yield WHOLE if server.seen[-1].method == "GET" else OK


def say(request: Request, _: bytes) -> Say:
    body = tuple(CONTENT[start : start + 50_000] for start in range(0, len(CONTENT), 50_000))
    return Say(body=body if request.method == "GET" else b"")


@pytest.mark.parametrize("cancel", [at_its_awaits, at_every_turn, by_a_scope])
@pytest.mark.parametrize("name", WORKS)
async def test_work_over_sockets(name: str, cancel: Cancel, tmp_path: Path) -> None:
    assert FAULTS["cancelled"].attempts == 0
    (tmp_path / "up").write_bytes(CONTENT)
    async with FaultServer() as server:
        before = descriptors()

        async def work() -> None:
            server.begin(replies(name, server))
            async with Transfer(edge=World().edge(), concurrency=2) as moving:
                await WORKS[name](moving, server.origin, tmp_path)

        async def check() -> None:
            await server.until_closed()
            assert descriptors() == before
            check_folder(tmp_path)

        assert await sweep(work, check, cancel) > 2


@pytest.mark.parametrize("cancel", [at_every_turn, by_a_scope])
@pytest.mark.parametrize("name", WORKS)
async def test_work_in_every_state_of_its_tasks(name: str, cancel: Cancel, tmp_path: Path) -> None:
    (tmp_path / "up").write_bytes(CONTENT)
    before, transport = descriptors(), FakeTransport(otherwise=say)

    async def work() -> None:
        transport.answers = [error(503, "SlowDown")] if retried(name) else []
        async with Transfer(transport=transport, edge=World().edge(), concurrency=2) as moving:
            await WORKS[name](moving, "http://s3.test", tmp_path)

    async def check() -> None:
        assert transport.open == 0
        assert descriptors() == before
        check_folder(tmp_path)

    assert await sweep(work, check, cancel) > 2
