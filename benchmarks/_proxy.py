"""An HTTP proxy before an S3 server that spoils some of what goes through it, as it is told: `python -m benchmarks._proxy`.

Its arguments are the server's port and the faults, as JSON: `[[what, number, fault], ...]` spoils the `number`-th (from 1)
request that is a `what`: "range" (a GET of one) or "part" (a PUT of one). `fault` is "refuse" (503 SlowDown instead of the
server's answer) or "cut" (half of the body goes through, then the connection is reset). It prints its port, and when its
input ends, how many requests of each kind it saw and how often each fault was done. It runs in a process of its own, so
that what it holds is not counted for whoever is measured.
"""

from __future__ import annotations

import asyncio
import json
import re
import sys
from collections import Counter
from contextlib import suppress

PIECE = 256 * 1024
# What is signed to have ended already is signed for this long, and nothing else is.
STALE_SECONDS = 60
STALE = b"X-Amz-Expires=%d&" % STALE_SECONDS
REFUSAL = b"<Error><Code>SlowDown</Code><Message>told by a benchmark</Message></Error>"


class Ended(Exception):
    """The connection is done with."""


class Proxy:
    """Counts requests by kind and spoils those that `faults` names."""

    def __init__(self, port: int, faults: list[tuple[str, int, str]]) -> None:
        self._port = port
        self._faults = {(what, number): fault for what, number, fault in faults}
        self._open: set[asyncio.StreamWriter] = set()
        self.seen: Counter[str] = Counter()
        self.done: Counter[str] = Counter()

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        up_reader, up_writer = await asyncio.open_connection("127.0.0.1", self._port, limit=1 << 20)
        self._open |= {writer, up_writer}
        try:
            while True:
                await self._exchange(reader, writer, up_reader, up_writer)
        except (Ended, OSError, asyncio.IncompleteReadError):
            pass
        finally:
            for ended in (writer, up_writer):
                ended.transport.abort()
            self._open -= {writer, up_writer}

    async def end(self) -> None:
        for writer in self._open:
            writer.transport.abort()
        while self._open:
            await asyncio.sleep(0)

    async def _exchange(
        self,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
        up_reader: asyncio.StreamReader,
        up_writer: asyncio.StreamWriter,
    ) -> None:
        head = await reader.readuntil(b"\r\n\r\n")
        fault = self._fault(head)
        size = _length(head)
        if fault == "refuse":
            await relay(reader, None, size)
            writer.write(b"HTTP/1.1 503 Slow Down\r\nContent-Length: %d\r\n\r\n" % len(REFUSAL) + REFUSAL)
            return
        up_writer.write(head)
        await relay(reader, up_writer, size // 2 if fault == "cut" else size)
        if fault == "cut" and size:
            raise Ended
        answer = await up_reader.readuntil(b"\r\n\r\n")
        writer.write(answer)
        if head.startswith(b"HEAD ") or answer[9:12] in (b"204", b"304"):
            return
        if re.search(rb"\r\ntransfer-encoding: *chunked", answer, re.IGNORECASE):
            await relay_chunked(up_reader, writer)
            return
        size = _length(answer)
        await relay(up_reader, writer, size // 2 if fault == "cut" else size)
        if fault == "cut":
            raise Ended

    def _fault(self, head: bytes) -> str | None:
        if STALE in head:  # the server's to refuse: a request that is spoilt twice is tried again once
            what = "stale"
        elif head.startswith(b"GET ") and re.search(rb"\r\nrange: *bytes=", head, re.IGNORECASE):
            what = "range"
        elif head.startswith(b"PUT ") and b"partNumber=" in head.partition(b"\r\n")[0]:
            what = "part"
        else:
            what = "other"
        self.seen[what] += 1
        fault = self._faults.get((what, self.seen[what]))
        if fault is not None:
            self.done[f"{fault} {what}"] += 1
        return fault


def _length(head: bytes) -> int:
    found = re.search(rb"\r\ncontent-length: *(\d+)", head, re.IGNORECASE)
    return int(found[1]) if found else 0


async def relay(reader: asyncio.StreamReader, writer: asyncio.StreamWriter | None, size: int) -> None:
    while size:
        piece = await reader.read(min(PIECE, size))
        if not piece:
            raise Ended
        size -= len(piece)
        if writer is not None:
            writer.write(piece)
            await writer.drain()


async def relay_chunked(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    size = -1
    while size:
        line = await reader.readline()
        size = int(line, 16)
        writer.write(line)
        await relay(reader, writer, size + 2)


async def main(port: int, faults: list[tuple[str, int, str]]) -> None:
    proxy = Proxy(port, faults)
    server = await asyncio.start_server(proxy.serve, "127.0.0.1", 0, limit=1 << 20)
    print(server.sockets[0].getsockname()[1], flush=True)
    await asyncio.to_thread(sys.stdin.read)
    print(json.dumps({"requests": proxy.seen, "faults": proxy.done}), flush=True)
    server.close()
    await proxy.end()


if __name__ == "__main__":
    with suppress(KeyboardInterrupt):
        asyncio.run(main(int(sys.argv[1]), json.loads(sys.argv[2])))
