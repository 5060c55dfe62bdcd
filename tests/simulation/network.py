"""The network in memory: transports as asyncio's own, below the real connector and parser of aiohttp.

A connection has two lines with latency and bandwidth; what is written is cut anywhere on its way. The client's side is a
`ClientTransport`, which behaves as asyncio's socket transport does (flow control, `eof_received`, `connection_lost` in the
next turn of the loop). The server's side is a `Peer`, which is called with what arrives. aiohttp makes real sockets, which
are never connected; they are closed with their connection, so a descriptor that is left open is noticed.
"""

from __future__ import annotations

import asyncio
import errno
import random
import socket
from asyncio import transports
from collections import deque
from collections.abc import Callable
from itertools import pairwise
from typing import Any, Protocol

from .loop import SimulatedLoop

KERNEL = 64 * 1024
"""Bytes that were written and have not arrived, at most: what a system buffers for a socket."""


class Peer(Protocol):
    """The server's side of a connection."""

    def received(self, data: bytes) -> None: ...

    def ended(self) -> None:
        """The client closed the connection, or it broke."""


class Line:
    """One direction: delivers in order, after a latency and as fast as the bandwidth allows."""

    def __init__(self, loop: SimulatedLoop, latency: float, bandwidth: float, deliver: Callable[[Any], None]) -> None:
        self._loop = loop
        self._latency = latency
        self._bandwidth = bandwidth
        self._deliver = deliver
        self._at = 0.0

    def send(self, data: bytes) -> None:
        for piece in cut(self._loop.chance, data):
            self._put(piece, len(piece))

    def put(self, event: Any, delay: float = 0.0) -> None:
        """Deliver what is no data, such as the end."""
        self._put(event, 0, delay)

    def _put(self, event: Any, size: int, delay: float = 0.0) -> None:
        jitter = 0.5 + self._loop.chance.random()
        at = self._loop.time() + self._latency * jitter + delay
        self._at = max(self._at + 1e-7, at) + size / self._bandwidth
        self._loop.call_at(self._at, self._deliver, event)


def cut(chance: random.Random, data: bytes) -> list[bytes]:
    """`data` in pieces, cut anywhere: mostly few, now and then a byte at a time."""
    size = len(data)
    draw = chance.random()
    if size < 2 or draw < 0.6:
        return [data]
    if draw < 0.63 and size <= 400:
        return [data[at : at + 1] for at in range(size)]
    if draw < 0.75:
        # Somewhere in the head or the last bytes, where parsers have states.
        places = sorted({min(size, chance.randrange(1, 200)), max(0, size - chance.randrange(1, 6))})
    else:
        places = sorted(chance.randrange(size) for _ in range(chance.randrange(1, 4)))
    edges = [0, *places, size]
    return [data[first:last] for first, last in pairwise(edges) if first < last]


class End:
    """The server closed its side."""


class Reset:
    """The connection was reset."""


class Unasked:
    """`data` that no request asked for; it is dropped when the client has begun a request since it was sent."""

    def __init__(self, data: bytes, written: int) -> None:
        self.data = data
        self.written = written


class ClientTransport(transports._FlowControlMixin, asyncio.Transport):  # type: ignore[name-defined,misc]
    """As asyncio's `_SelectorSocketTransport`, above a `Connection` instead of a socket."""

    def __init__(self, connection: Connection, protocol: asyncio.BaseProtocol, sock: socket.socket) -> None:
        super().__init__({"socket": sock, "peername": connection.address}, connection.loop)
        self._connection = connection
        self._protocol = protocol
        self._sock = sock
        self._buffer = bytearray()
        self._closing = False
        self._eof = False
        self._lost = False
        self._paused = False
        self._waiting: deque[Any] = deque()

    # --- what aiohttp calls -------------------------------------------------------------------------------------------

    def set_protocol(self, protocol: asyncio.BaseProtocol) -> None:
        self._protocol = protocol

    def get_protocol(self) -> asyncio.BaseProtocol:
        return self._protocol

    def is_closing(self) -> bool:
        return self._closing

    def is_reading(self) -> bool:
        return not self._closing and not self._paused

    def pause_reading(self) -> None:
        self._paused = True

    def resume_reading(self) -> None:
        if self._paused and not self._closing:
            self._paused = False
            self._loop.call_soon(self._drain)

    def get_write_buffer_size(self) -> int:
        return len(self._buffer)

    def write(self, data: Any) -> None:
        if self._eof:
            raise RuntimeError("Cannot call write() after write_eof()")
        if not data or self._lost:
            return
        if self._connection.broken:
            self._fatal(BrokenPipeError(errno.EPIPE, "Broken pipe"))
            return
        data = bytes(data)
        if not self._buffer:
            data = self._connection.write(data)
        if data:
            self._buffer += data
            self._maybe_pause_protocol()

    def writelines(self, list_of_data: Any) -> None:
        self.write(b"".join(list_of_data))

    def can_write_eof(self) -> bool:
        return True

    def write_eof(self) -> None:
        if not self._closing and not self._eof:
            self._eof = True
            if not self._buffer:
                self._connection.shut()

    def close(self) -> None:
        if self._closing:
            return
        self._closing = True
        if not self._buffer:
            self._loop.call_soon(self._call_connection_lost, None)

    def abort(self) -> None:
        self._force_close(None)

    # --- what the network calls ---------------------------------------------------------------------------------------

    def room(self) -> None:
        """Some of what was written has arrived."""
        if self._buffer and not self._lost:
            rest = self._connection.write(bytes(self._buffer))
            del self._buffer[: len(self._buffer) - len(rest)]
            self._maybe_resume_protocol()
            if not self._buffer:
                if self._closing:
                    self._call_connection_lost(None)
                elif self._eof:
                    self._connection.shut()

    def arrived(self, event: Any) -> None:
        if self._closing:
            return
        self._waiting.append(event)
        self._drain()

    def _drain(self) -> None:
        while self._waiting and not self._paused and not self._closing:
            event = self._waiting.popleft()
            if isinstance(event, bytes):
                self._data_received(event)
            elif isinstance(event, Unasked):
                self._data_received(event.data)
            elif isinstance(event, End):
                if not self._protocol.eof_received():  # type: ignore[attr-defined]
                    self.close()
            else:
                self._fatal(ConnectionResetError(errno.ECONNRESET, "Connection reset by peer"))

    def _data_received(self, data: bytes) -> None:
        if isinstance(self._protocol, asyncio.BufferedProtocol):
            feed(self._protocol, data)
        else:
            self._protocol.data_received(data)  # type: ignore[attr-defined]

    def _fatal(self, error: OSError) -> None:
        self._force_close(error)

    def _force_close(self, error: Exception | None) -> None:
        if self._lost:
            return
        self._buffer.clear()
        self._closing = True
        self._lost = True
        self._connection.reset_by_client()
        self._loop.call_soon(self._call_connection_lost, error)

    def _call_connection_lost(self, error: Exception | None) -> None:
        self._lost = True
        try:
            self._protocol.connection_lost(error)
        finally:
            self._sock.close()
            self._connection.closed_by_client()


def feed(protocol: asyncio.BufferedProtocol, data: bytes) -> None:
    """As asyncio's `_feed_data_to_buffered_proto`."""
    while data:
        buffer = memoryview(protocol.get_buffer(len(data)))
        taken = min(len(buffer), len(data))
        buffer[:taken] = data[:taken]
        protocol.buffer_updated(taken)
        data = data[taken:]


class Connection:
    """One connection between a `ClientTransport` and a `Peer`. The server's calls are `send`, `end`, `reset`, `unasked`."""

    def __init__(self, network: Network, number: int, address: tuple[str, int]) -> None:
        chance = network.loop.chance
        self.network = network
        self.loop = network.loop
        self.number = number
        self.address = address
        self.written = 0
        self.broken = False
        self.reading = True
        self._on_the_way = 0
        self._held: list[bytes] = []
        self._client: ClientTransport | None = None
        self._peer: Peer | None = None
        self._open = True
        latency = network.latency * (0.2 + chance.random())
        bandwidth = network.bandwidth * (0.2 + chance.random())
        self._up = Line(self.loop, latency, bandwidth, self._at_server)
        self._down = Line(self.loop, latency, bandwidth, self._at_client)

    def open(self, client: ClientTransport, peer: Peer) -> None:
        self._client, self._peer = client, peer

    # --- the client's side

    def write(self, data: bytes) -> bytes:
        """Take what there is room for; returns the rest."""
        taken, rest = data[: max(0, KERNEL - self._on_the_way)], data[max(0, KERNEL - self._on_the_way) :]
        if taken:
            self._on_the_way += len(taken)
            self.written += len(taken)
            self._up.send(taken)
        return rest

    def shut(self) -> None:
        self._up.put(End())

    def reset_by_client(self) -> None:
        self._up.put(Reset())

    def closed_by_client(self) -> None:
        if self._open:
            self._open = False
            self.network.closed(self)
            self._up.put(End())

    def _at_server(self, event: Any) -> None:
        assert self._peer is not None
        if not isinstance(event, bytes):
            self._peer.ended()
        elif self.broken:
            # Nobody is there any more: the system answers with a reset.
            self._down.put(Reset())
        elif not self.reading:
            self._held.append(event)
        else:
            self._on_the_way -= len(event)
            self._peer.received(event)
            if self._client is not None:
                self._client.room()

    # --- the server's side

    @property
    def is_open(self) -> bool:
        """Whether the client has not closed it."""
        return self._open

    def read_again(self) -> None:
        self.reading = True
        held, self._held = self._held, []
        for event in held:
            self._at_server(event)

    def send(self, data: bytes) -> None:
        self._down.send(data)

    def unasked(self, data: bytes, delay: float) -> None:
        """Bytes that belong to no response, unless a request has begun when they arrive."""
        self._down.put(Unasked(data, self.written), delay)

    def end(self) -> None:
        self._down.put(End())
        self.broken = True

    def half_close(self) -> None:
        """The server sends no more, and still reads."""
        self._down.put(End())

    def reset(self) -> None:
        self._down.put(Reset())
        self.broken = True

    def _at_client(self, event: Any) -> None:
        if isinstance(event, Unasked) and event.written != self.written:
            return
        if isinstance(event, Unasked):
            self.network.surplus_arrived()
        if self._client is not None:
            self._client.arrived(event)


class Network:
    """Hosts by name. `serve` makes the peer of a new connection; `refuse` says what happens to a connection's beginning."""

    def __init__(
        self,
        loop: SimulatedLoop,
        serve: Callable[[str, Connection], Peer],
        trouble: Callable[[str, str], str | None],
        log: Callable[[str], None],
    ) -> None:
        self.loop = loop
        self._serve = serve
        self._trouble = trouble
        self.log = log
        chance = loop.chance
        self.latency = 10 ** chance.uniform(-4.5, -1.5)
        self.bandwidth = 10 ** chance.uniform(6, 9)
        self._names: dict[str, str] = {}
        self._pending: dict[int, Connection] = {}
        self._sockets: list[socket.socket] = []
        self.connections = 0
        self.open: set[int] = set()
        self.most_open = 0
        self.surplus = 0

    def surplus_arrived(self) -> None:
        self.surplus += 1

    async def resolve(self, host: str, port: int) -> list[Any]:
        await asyncio.sleep(self.latency * self.loop.chance.random())
        if self._trouble("resolve", host):
            raise socket.gaierror(socket.EAI_AGAIN, "Temporary failure in name resolution")
        number = len(self._names) + 1
        address = next((known for known, name in self._names.items() if name == host), f"10.0.0.{number}")
        self._names[address] = host
        return [(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP, "", (address, port))]

    def bury(self) -> None:
        """The process is dead; the system closes its sockets."""
        for sock in self._sockets:
            sock.close()

    async def connect(self, sock: socket.socket, address: tuple[str, int]) -> None:
        self._sockets.append(sock)
        host = self._names[address[0]]
        match self._trouble("connect", host):
            case "refused":
                await asyncio.sleep(self.latency)
                raise ConnectionRefusedError(errno.ECONNREFUSED, "Connection refused")
            case "unanswered":
                await self.loop.create_future()
            case _:
                await asyncio.sleep(self.latency * 2 * self.loop.chance.random())
        self._pending[sock.fileno()] = Connection(self, 0, address)

    async def attach(self, factory: Callable[[], asyncio.BaseProtocol], sock: socket.socket) -> Any:
        connection = self._pending.pop(sock.fileno())
        self.connections += 1
        connection.number = self.connections
        self.open.add(connection.number)
        self.most_open = max(self.most_open, len(self.open))
        protocol = factory()
        transport = ClientTransport(connection, protocol, sock)
        host = self._names[connection.address[0]]
        self.log(f"connection {connection.number} to {host}")
        connection.open(transport, self._serve(host, connection))
        waiter = self.loop.create_future()

        def made() -> None:
            protocol.connection_made(transport)
            if not waiter.done():
                waiter.set_result(None)

        self.loop.call_soon(made)
        try:
            await waiter
        except BaseException:
            transport.close()
            raise
        return transport, protocol

    def closed(self, connection: Connection) -> None:
        self.log(f"connection {connection.number} closed")
        self.open.discard(connection.number)
