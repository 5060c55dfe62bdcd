"""Where exactly a body is too slow: by the transport's clock, which a test sets, over a real socket."""

from __future__ import annotations

from contextlib import nullcontext
from typing import Any

import pytest

from asyncpresign import NetworkError
from asyncpresign.http.aiohttp_transport import AiohttpTransport
from asyncpresign.http.transport import Request

from .fault_server import FaultServer, Reply, Then, answer

STALL, SLOWEST = 5, 2


class Clock:
    """Says, each time it is asked, that so many seconds have passed."""

    def __init__(self, seconds: float) -> None:
        self.seconds = seconds
        self.now = 0.0

    def __call__(self) -> float:
        self.now += self.seconds
        return self.now


@pytest.mark.parametrize(
    ("seconds", "size", "too_slow"),
    [
        (STALL, STALL * SLOWEST, False),
        (STALL, STALL * SLOWEST - 1, True),
        (2 * STALL, 2 * STALL * SLOWEST, False),
        (2 * STALL, 2 * STALL * SLOWEST - 1, True),
        (STALL - 0.5, 1, False),
    ],
    ids=["as slow as may be", "a byte less", "over a longer wait", "a byte less over a longer wait", "not looked at yet"],
)
async def test_a_body_may_be_as_slow_as_the_limit_and_no_slower(seconds: float, size: int, too_slow: bool) -> None:
    transport = AiohttpTransport(stall=STALL, slowest=SLOWEST, monotonic=Clock(seconds))
    expected: Any = (
        pytest.raises(NetworkError, match="fewer than 2 bytes a second for 5 seconds") if too_slow else nullcontext()
    )
    async with FaultServer([Reply(answer(200, bytes(size)), Then.CLOSE)]) as server:
        async with transport.send(Request("GET", f"{server.origin}/bucket/key", {})) as received:
            with expected:
                assert b"".join([chunk async for chunk in received.chunks()]) == bytes(size)
        await transport.aclose()


async def test_a_body_that_stops_is_an_error_of_its_request() -> None:
    transport = AiohttpTransport(stall=0.05)
    async with FaultServer([Reply(answer(200, b"12345")[:-2], Then.HOLD)]) as server:
        async with transport.send(Request("GET", f"{server.origin}/bucket/key", {})) as received:
            with pytest.raises(NetworkError, match=r"no byte of the body in 0\.05 seconds") as caught:
                _ = [chunk async for chunk in received.chunks()]
        assert caught.value.request == f"GET {server.origin}/bucket/key"
        await transport.aclose()
