"""More hosts than file descriptors: idle connections to other hosts make room. The servers are a process of their own."""

from __future__ import annotations

import os
import resource
import subprocess
import sys
from collections.abc import Iterator

import pytest

from asyncpresign import Download, Transfer

HOSTS = 120
# Fewer than there are hosts; enough for those that are under way.
SPARE = 60

SERVERS = f"""
import asyncio, sys

class Server(asyncio.Protocol):
    def connection_made(self, transport):
        self.transport = transport

    def data_received(self, data):
        self.transport.write(b"HTTP/1.1 200 Words\\r\\nContent-Length: 4\\r\\n\\r\\nfine")

async def main():
    loop = asyncio.get_running_loop()
    servers = [await loop.create_server(Server, "127.0.0.1", 0) for _ in range({HOSTS})]
    print(*(server.sockets[0].getsockname()[1] for server in servers), flush=True)
    await loop.run_in_executor(None, sys.stdin.read)

asyncio.run(main())
"""


@pytest.fixture
def ports() -> Iterator[list[int]]:
    """They end when their standard input does."""
    with subprocess.Popen([sys.executable, "-c", SERVERS], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as servers:
        assert servers.stdin is not None
        assert servers.stdout is not None
        yield list(map(int, servers.stdout.readline().split()))
        servers.stdin.close()


@pytest.fixture
def few_descriptors(ports: list[int]) -> Iterator[None]:
    before = resource.getrlimit(resource.RLIMIT_NOFILE)
    used = max(map(int, os.listdir("/dev/fd")))
    resource.setrlimit(resource.RLIMIT_NOFILE, (used + SPARE, before[1]))
    yield
    resource.setrlimit(resource.RLIMIT_NOFILE, before)


@pytest.mark.integration
@pytest.mark.parametrize("concurrency", [8, 40], ids=["idle connections are bounded", "idle connections make room"])
async def test_more_hosts_than_file_descriptors(ports: list[int], few_descriptors: None, concurrency: int) -> None:
    items = [Download(f"http://127.0.0.1:{port}/key") for port in ports for _ in range(2)]
    async with Transfer(concurrency=concurrency) as transfer:
        report = await transfer.run(items)
    assert (report.done, report.failures) == (2 * HOSTS, [])
