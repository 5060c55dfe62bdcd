"""An HTTP server that misbehaves on request, on raw sockets, so that tests see and send exact bytes.

What it does is data: one `Reply` for each request, in the order in which they come, whatever connection they come by. It
never waits for time to pass, and it ends with its context, whatever its clients do.
"""

from __future__ import annotations

import asyncio
import select
import socket
import ssl as ssl_module
import struct
from collections.abc import Callable, Coroutine, Iterable
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import datetime
from email.utils import format_datetime
from enum import Enum
from types import TracebackType
from typing import Self

import anyio


class Read(Enum):
    """How much of a request is read before the answer is sent."""

    ALL = "head and body"
    HEAD = "head"


class Then(Enum):
    """What happens to the connection after the answer."""

    KEEP = "the next request may come"
    CLOSE = "closed, unread bytes and all"
    RESET = "reset"
    HOLD = "kept open, and what comes is thrown away, until the client closes it"
    STALL = "kept open, and nothing is read until the server ends"
    DRIP = "kept open, and the last byte of the answer is sent again every few milliseconds until the client closes it"
    REPEAT = "kept open, and the whole answer is sent again and again until the client closes it"


@dataclass(frozen=True, slots=True)
class Reply:
    """`raw`, or what `of` makes of the request, goes out as it is, after `read` of the request; a byte at a time if `drip`."""

    raw: bytes = b""
    then: Then = Then.KEEP
    read: Read = Read.ALL
    drip: bool = False
    of: Callable[[Seen], bytes] | None = None


@dataclass(slots=True)
class Seen:
    """A request as it came: `headers` in order, names as they were written. `body` grows while it is being read."""

    line: str
    headers: list[tuple[str, str]]
    connection: int
    body: bytes = b""
    head: bytes = b""

    @property
    def method(self) -> str:
        return self.line.split(" ")[0]

    @property
    def target(self) -> str:
        return self.line.split(" ")[1]

    def header(self, name: str) -> str | None:
        return next((value for given, value in self.headers if given.lower() == name.lower()), None)


def answer(status: int = 200, body: bytes = b"", *, headers: Iterable[tuple[str, str]] = (), length: bool = True) -> bytes:
    """A whole answer; `length=False` leaves Content-Length out."""
    lines = [f"HTTP/1.1 {status} Words", *(f"{name}: {value}" for name, value in headers)]
    if length:
        lines.append(f"Content-Length: {len(body)}")
    return "\r\n".join([*lines, "", ""]).encode() + body


def chunked(body: bytes, size: int = 7) -> bytes:
    pieces = [body[start : start + size] for start in range(0, len(body), size)]
    coded = b"".join(f"{len(piece):x}\r\n".encode() + piece + b"\r\n" for piece in pieces) + b"0\r\n\r\n"
    return answer(headers=[("Transfer-Encoding", "chunked")], length=False) + coded


def s3_error(status: int, code: str, message: str = "told by a test", *, headers: Iterable[tuple[str, str]] = ()) -> bytes:
    document = f'<?xml version="1.0" encoding="UTF-8"?>\n<Error><Code>{code}</Code><Message>{message}</Message>'
    document += "<RequestId>the-request-id</RequestId></Error>"
    return answer(status, document.encode(), headers=[("Content-Type", "application/xml"), *headers])


def html_error(status: int) -> bytes:
    return answer(status, b"<html><body><h1>Bad & unparsable <br> gateway</body>", headers=[("Content-Type", "text/html")])


def redirect(status: int, location: str) -> bytes:
    return answer(status, headers=[("Location", location)])


def http_date(moment: datetime) -> str:
    return format_datetime(moment, usegmt=True)


OK = Reply(answer(200, b"fine"))
# What a server does that ended an idle connection while the next request was on its way.
STALE = Reply(b"", Then.CLOSE, Read.HEAD)
RESET = Reply(b"", Then.RESET)


@dataclass
class FaultServer:
    """Answers with `script`, one reply a request, and with `otherwise` when that is used up.

    `listening=False` leaves the port bound and connections refused until `listen()` is called.
    """

    script: Iterable[Reply] = ()
    otherwise: Reply = OK
    host: str = "127.0.0.1"
    ssl: ssl_module.SSLContext | None = None
    listening: bool = True
    seen: list[Seen] = field(default_factory=list)
    connections: int = 0
    open: int = 0
    most_open: int = 0
    _writers: set[asyncio.StreamWriter] = field(default_factory=set)

    def begin(self, script: Iterable[Reply]) -> None:
        """Answer with `script` from now on."""
        self._replies = iter(script)

    async def __aenter__(self) -> Self:
        self.begin(self.script)
        self._tasks: set[asyncio.Task[None]] = set()
        self._changed = anyio.Event()
        self._ending = asyncio.Event()
        self._socket = socket.socket(socket.AF_INET6 if ":" in self.host else socket.AF_INET)
        self._socket.setblocking(False)
        self._socket.bind((self.host, 0))
        self.port: int = self._socket.getsockname()[1]
        if self.listening:
            self.listen()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._ending.set()
        asyncio.get_running_loop().remove_reader(self._socket)
        with anyio.CancelScope(shield=True):
            # Every task gets to where it can be cancelled.
            await asyncio.sleep(0)
            for task in (tasks := list(self._tasks)):
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            # One turn of the loop for the transports' own goodbyes.
            await asyncio.sleep(0)
        self._socket.close()

    def listen(self) -> None:
        self._socket.listen(1000)
        self.listening = True
        asyncio.get_running_loop().add_reader(self._socket, self._accept)

    def _start(self, work: Coroutine[None, None, None]) -> None:
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    def _accept(self) -> None:
        connection, _ = self._socket.accept()
        connection.setblocking(False)
        self.connections += 1
        self.open += 1
        self.most_open = max(self.most_open, self.open)
        self._start(self._serve(connection, self.connections))
        self._change()

    @property
    def origin(self) -> str:
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{'https' if self.ssl else 'http'}://{host}:{self.port}"

    @property
    def tasks(self) -> set[asyncio.Task[None]]:
        """The server's own tasks, which a test must not take for its client's."""
        return set(self._tasks)

    async def until_closed(self) -> None:
        """Wait until every client has closed its connection; fails the test after five seconds."""
        with anyio.fail_after(5):
            while self.open or self._backlog():
                await self._next_change()

    async def say(self, raw: bytes) -> None:
        """Send what nobody asked for, on every open connection."""
        for writer in self._writers:
            writer.write(raw)
            await writer.drain()

    async def until_seen(self, count: int) -> None:
        with anyio.fail_after(5):
            while len(self.seen) < count:
                await self._next_change()

    async def until_open(self, count: int) -> None:
        with anyio.fail_after(5):
            while self.open < count:
                await self._next_change()

    def _backlog(self) -> bool:
        """Whether somebody is connected whom the loop has not told us of yet."""
        return self.listening and bool(select.select([self._socket], [], [], 0)[0])

    async def _next_change(self) -> None:
        if self._backlog():
            await asyncio.sleep(0)
        else:
            await self._changed.wait()

    def _change(self) -> None:
        self._changed.set()
        self._changed = anyio.Event()

    async def _serve(self, connection: socket.socket, number: int) -> None:
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        loop = asyncio.get_running_loop()
        reader = asyncio.StreamReader(limit=1 << 20)
        protocol = asyncio.StreamReaderProtocol(reader)
        try:
            transport, _ = await loop.connect_accepted_socket(lambda: protocol, connection, ssl=self.ssl)
            writer = asyncio.StreamWriter(transport, protocol, reader, loop)
            self._writers.add(writer)
            self._change()
            try:
                while await self._exchange(number, reader, writer):
                    pass
                writer.close()
                await writer.wait_closed()
            finally:
                self._writers.discard(writer)
                transport.abort()
        except (ConnectionError, ssl_module.SSLError):
            pass
        except asyncio.CancelledError:
            if not self._ending.is_set():
                raise
        finally:
            self.open -= 1
            self._change()

    async def _exchange(self, number: int, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
        start = await reader.read(1)
        if not start.isalpha():
            # The end, or a TLS client that this plain server answers as plain servers do.
            writer.write(answer(400) if start else b"")
            return False
        try:
            head = start + await reader.readuntil(b"\r\n\r\n")
        except asyncio.IncompleteReadError:
            return False
        line, *lines = head.decode("utf-8").removesuffix("\r\n\r\n").split("\r\n")
        headers = [(name, value.strip()) for name, _, value in (part.partition(":") for part in lines)]
        seen = Seen(line, headers, number, head=head)
        self.seen.append(seen)
        self._change()
        reply = next(self._replies, self.otherwise)
        if reply.read is Read.ALL:
            await _read_body(seen, reader)
        raw = reply.raw if reply.of is None else reply.of(seen)
        for piece in [raw[at : at + 1] for at in range(len(raw))] if reply.drip else [raw]:
            writer.write(piece)
            await writer.drain()
            await asyncio.sleep(0)
        match reply.then:
            case Then.KEEP:
                return True
            case Then.RESET:
                writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                writer.transport.abort()
            case Then.HOLD:
                with suppress(ConnectionError):
                    while await reader.read(1 << 16):
                        pass
            case Then.DRIP | Then.REPEAT:
                again, pause = (reply.raw[-1:], 0.002) if reply.then is Then.DRIP else (reply.raw, 0.0)
                while True:
                    writer.write(again)
                    await writer.drain()
                    await asyncio.sleep(pause)
            case Then.STALL:
                writer.transport.pause_reading()
                await self._ending.wait()
            case Then.CLOSE:
                pass
        return False


async def _read_body(seen: Seen, reader: asyncio.StreamReader) -> None:
    coding = seen.header("Transfer-Encoding")
    assert coding is None, "S3 refuses bodies of unknown length"
    left = int(seen.header("Content-Length") or 0)
    parts = []
    while left:
        part = await reader.read(min(left, 1 << 18))
        if not part:
            break
        parts.append(part)
        left -= len(part)
    seen.body = b"".join(parts)
