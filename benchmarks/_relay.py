"""An HTTP/1.1 relay on loopback that counts what it moves, and spoils a share of it; behind it a real server or none.

Of each key it knows how often all of it went through after `done` had it: that is work done twice. Without an upstream it
answers itself, from and with what `content` says a key holds.
"""

from __future__ import annotations

import asyncio
import random
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Self
from urllib.parse import unquote, urlsplit

BLOCK = 1 << 16
BUSY = b"<Error><Code>SlowDown</Code><Message>Injected</Message></Error>"
Streams = tuple[asyncio.StreamReader, asyncio.StreamWriter]


class Spoilt(Exception):
    """The connection is to end here."""


@dataclass
class Message:
    """The head of a request or an answer as it came, and what it says of the body behind it."""

    head: bytes
    length: int = 0

    @property
    def words(self) -> list[str]:
        return self.head.split(b"\r\n", 1)[0].decode().split(" ")

    @property
    def key(self) -> str:
        """The key that a path-style request is about."""
        return unquote(urlsplit(self.words[1]).path).lstrip("/").partition("/")[2]


@dataclass
class Relay:
    """`faults` is the share of requests that is spoilt, by `chance`: refused with 503, cut in the answer's body, or reset."""

    content: Callable[[str], bytes]
    upstream: str | None = None
    faults: float = 0.0
    chance: random.Random = field(default_factory=random.Random)
    done: set[str] = field(default_factory=set)
    twice: Counter[str] = field(default_factory=Counter)
    wrong: Counter[str] = field(default_factory=Counter)
    moved: int = 0
    injected: Counter[str] = field(default_factory=Counter)
    tasks: set[asyncio.Task[None]] = field(default_factory=set)

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0, limit=1 << 20)
        return self

    async def __aexit__(self, *_: object) -> None:
        self._server.close()
        for task in (tasks := list(self.tasks)):
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    @property
    def url(self) -> str:
        host, port = self._server.sockets[0].getsockname()[:2]
        return f"http://{host}:{port}"

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        server: Streams | None = None
        task = asyncio.current_task()
        assert task is not None
        # While it waits for a client's next request nothing else holds it.
        self.tasks.add(task)
        task.add_done_callback(self.tasks.discard)
        # A client that was killed is what this is for.
        with suppress(ConnectionError, asyncio.IncompleteReadError, Spoilt):
            if self.upstream is not None:
                parts = urlsplit(self.upstream)
                server = await asyncio.open_connection(parts.hostname, parts.port, limit=1 << 20)
            while True:
                await self._exchange((reader, writer), server)
        for each in (writer, *([server[1]] if server else [])):
            each.close()
            with suppress(ConnectionError):
                await each.wait_closed()

    async def _exchange(self, client: Streams, server: Streams | None) -> None:
        request = await _read_head(client[0])
        spoil = self.chance.choice(("busy", "cut", "reset")) if self.chance.random() < self.faults else ""
        self.injected.update([spoil] if spoil else [])
        late = request.key in self.done
        if spoil == "busy":
            await _skip(client[0], request.length)
            client[1].write(b"HTTP/1.1 503 Busy\r\nContent-Length: %d\r\n\r\n" % len(BUSY) + BUSY)
            return
        if spoil == "reset":
            client[1].transport.abort()
            raise Spoilt
        answer = await (self._forwarded if server else self._answered)(request, client, server)
        moves = answer.words[1] in ("200", "206") and request.words[0] in ("GET", "PUT") and request.key
        if spoil == "cut" and answer.length > 1:
            await _pass(_source(server, self, request), client[1], answer.length // 2)
            client[1].close()
            raise Spoilt
        await _pass(_source(server, self, request), client[1], answer.length)
        if moves:
            self.moved += 1
            self.twice.update([request.key] if late else [])

    async def _forwarded(self, request: Message, client: Streams, server: Streams | None) -> Message:
        assert server is not None
        server[1].write(request.head)
        await _pass(client[0], server[1], request.length)
        answer = await _read_head(server[0])
        client[1].write(answer.head)
        return answer

    async def _answered(self, request: Message, client: Streams, _: Streams | None) -> Message:
        body = await client[0].readexactly(request.length)
        held = self.content(request.key)
        if request.words[0] == "PUT":
            self.wrong.update([request.key] if body != held else [])
            held = b""
        answer = Message(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % len(held), len(held))
        client[1].write(answer.head)
        return answer


def _source(server: Streams | None, relay: Relay, request: Message) -> asyncio.StreamReader:
    if server is not None:
        return server[0]
    reader = asyncio.StreamReader(limit=1 << 20)
    reader.feed_data(relay.content(request.key) if request.words[0] == "GET" else b"")
    reader.feed_eof()
    return reader


async def _read_head(reader: asyncio.StreamReader) -> Message:
    head = await reader.readuntil(b"\r\n\r\n")
    names = dict(line.lower().split(b":", 1) for line in head.split(b"\r\n")[1:-2])
    return Message(head, int(names.get(b"content-length", b"0")))


async def _pass(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, length: int) -> None:
    while length:
        data = await reader.read(min(length, BLOCK))
        if not data:
            raise Spoilt
        writer.write(data)
        await writer.drain()
        length -= len(data)
    await writer.drain()


async def _skip(reader: asyncio.StreamReader, length: int) -> None:
    await reader.readexactly(length)
