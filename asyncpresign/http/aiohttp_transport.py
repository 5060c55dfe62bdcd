"""The `Transport` over aiohttp: the only place that imports aiohttp's client.

aiohttp's defaults serve web pages, not signatures: it re-quotes URLs, adds headers, decompresses, stores cookies,
follows redirects and ends everything after five minutes. All of that is off here. Foreign exceptions become
`NetworkError`, unchained, because their texts can hold a URL.
"""

from __future__ import annotations

import asyncio
import errno
import ssl as ssl_module
import time
from base64 import b64encode
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from enum import Enum
from typing import Any, cast
from urllib.parse import unquote

import aiohttp
import anyio
from aiohttp.abc import AbstractStreamWriter
from aiohttp.http_exceptions import HttpProcessingError
from yarl import URL

from ..errors import InvalidRequest, NetworkError, PresignError, Problem, describe
from .framing import MAX_HEAD, HeadScanner, check_request, ends_cleanly
from .proxies import check_proxy, proxy_from_environment
from .transport import LIST_HEADERS, Answer, Request, RequestBody

# Seconds to connect (TCP, TLS), and without a byte in either direction; bytes a second that a body must bring in that time.
# There is no total: big objects take long.
CONNECT = 30.0
STALL = 60.0
SLOWEST = 256.0

# Bytes of a body that the server must take within the time of a stall: few enough for 64 uploads on a thin line.
PIECE = 64 * 1024

# aiohttp stops reading from the socket when it holds twice as many bytes. Its own default of 64 KiB halves the rate of large
# bodies; more than this wins nothing, and every range of a large object has such a buffer.
READ_BUFFER = 512 * 1024

# Idle connections that are kept open, to all hosts together; the oldest ones to other hosts are closed first.
IDLE = 64

# Every header takes at least four bytes on the wire, so that this many headers never fit into a head.
_MAX_HEADERS = MAX_HEAD // 4

_NO_AUTOMATIC_HEADERS = ("Accept", "Accept-Encoding", "Content-Type", "User-Agent")
_FOREIGN = (aiohttp.ClientError, OSError, ValueError)


class _Payload(aiohttp.Payload):
    """A `RequestBody` as aiohttp wants it: of known length, so never chunked, which S3 refuses."""

    def __init__(self, body: RequestBody, request: Request, stall: float) -> None:
        super().__init__(body)
        self._size = body.size
        self._stall = stall
        self._request = request
        self._writing: asyncio.Task[object] | None = None
        self.watch: _Watch | None = None
        self.failure: BaseException | None = None

    @property
    def consumed(self) -> bool:
        """What aiohttp asks before it sends a body once more by itself: never, since a source may be read only once."""
        return self._writing is not None

    async def write(self, writer: AbstractStreamWriter) -> None:
        """Send the body. A source that fails is remembered; a connection that fails is the answer's to report.

        A server may refuse a body before it has read all of it. Its answer is worth more than the write error that
        follows, so writing just stops, and reading finds the answer or the end of the connection.
        """
        self._writing = asyncio.current_task()
        watch = self.watch
        assert watch is not None, "set by _Request.send"
        chunks, measure = self._value.chunks(), _Measure(self._value.size)
        try:
            async for chunk in chunks:
                measure.add(chunk)
                watch.expect_response()
                try:
                    await _write(writer, chunk, self._stall)
                except TimeoutError:
                    raise NetworkError("the server stopped taking the body", request=str(self._request)) from None
                except (OSError, aiohttp.ClientError):
                    return
            measure.end()
            watch.expect_response()
        except asyncio.CancelledError:
            raise
        except BaseException as error:
            self.failure = error
            if isinstance(error, Exception):
                raise
            # asyncio would raise it out of the event loop; `_request` raises it to the caller.
            raise RuntimeError("the source of the body stopped") from None
        finally:
            watch.request_sent()
            await chunks.aclose()

    async def stop(self) -> None:
        """Wait until nobody reads the source any more: aiohttp cancels who does, and goes on. Drop what was not sent."""
        if self._writing is not None and not self._writing.done():
            self._writing.cancel()
            with anyio.CancelScope(shield=True):
                await asyncio.wait([self._writing])
        if self.watch is not None:
            self.watch.drop_unsent()

    async def write_with_length(self, writer: AbstractStreamWriter, content_length: int | None) -> None:
        await self.write(writer)

    def decode(self, encoding: str = "utf-8", errors: str = "strict") -> str:
        raise TypeError("a streamed body has no text")


class _Measure:
    """Raises `InvalidRequest` for a body that is not of its own size, before the surplus is sent."""

    def __init__(self, size: int) -> None:
        self._size = self._left = size

    def add(self, chunk: bytes) -> None:
        self._left -= len(chunk)
        if self._left < 0:
            raise self._wrong("more")

    def end(self) -> None:
        if self._left:
            raise self._wrong(f"{self._left} bytes fewer")

    def _wrong(self, got: str) -> InvalidRequest:
        return InvalidRequest(Problem("body", f"exactly its size of {self._size} bytes", got))


async def _write(writer: AbstractStreamWriter, chunk: bytes, stall: float) -> None:
    """aiohttp's timeouts begin when the body is sent, so a server that stops reading would be waited for for ever."""
    view, now = memoryview(chunk), asyncio.get_running_loop().time
    async with asyncio.timeout(None) as limit:
        for start in range(0, len(view), PIECE):
            limit.reschedule(now() + stall)
            await writer.write(view[start : start + PIECE])


class _Pace:
    """Notices a body that drips: each byte in time, and never an end. Only time that is waited for the server counts."""

    def __init__(self, seconds: float, slowest: float, monotonic: Callable[[], float]) -> None:
        self._seconds = seconds
        self._slowest = slowest
        self.monotonic = monotonic
        self._waited = 0.0
        self._came = 0

    def note(self, seconds: float, size: int) -> None:
        """`size` bytes came, after so many seconds. Raises `NetworkError` when too few did since the last time it looked."""
        self._waited += seconds
        self._came += size
        if self._waited < self._seconds:
            return
        if self._came < self._slowest * self._waited:
            raise NetworkError(f"fewer than {self._slowest:g} bytes a second for {self._seconds:g} seconds")
        self._waited, self._came = 0.0, 0


class _Answer:
    """aiohttp's response as an `Answer`."""

    def __init__(self, response: aiohttp.ClientResponse, request: Request, pace: _Pace, stall: float) -> None:
        self._content = response.content
        self._request = request
        self._pace = pace
        self._stall = stall
        self.status = response.status
        headers: dict[str, str] = {}
        for name, value in response.headers.items():
            lower = name.lower()
            if lower in LIST_HEADERS and lower in headers:
                headers[lower] += f", {value}"
            headers.setdefault(lower, value)
        self.headers: Mapping[str, str] = headers

    async def chunks(self) -> AsyncIterator[bytes]:
        pace = self._pace
        began = pace.monotonic()
        while chunk := await self._next():
            pace.note(pace.monotonic() - began, len(chunk))
            yield chunk
            began = pace.monotonic()

    async def _next(self) -> bytes:
        """The next bytes, empty at the end. The time limit includes what aiohttp reads and keeps, such as chunk sizes."""
        failure: PresignError
        try:
            if (chunk := self._content.read_nowait()) or self._content.at_eof():
                return chunk
            async with asyncio.timeout(self._stall):
                return await self._content.readany()
        except TimeoutError:
            failure = NetworkError(f"no byte of the body in {self._stall:g} seconds", request=str(self._request))
        except _FOREIGN as error:
            failure = _ours(error, self._request)
        raise failure  # outside of the handler, as below


# --- connections ------------------------------------------------------------------------------------------------------


class _Phase(Enum):
    """What may arrive on a connection."""

    NOTHING = "no request is sent yet, or its response is complete"
    HEAD = "the response's head"
    BODY = "the response's body"


class _Watch:
    """aiohttp's parser during one exchange and while the connection is idle after it, with what aiohttp does not check.

    aiohttp takes whatever arrives on an idle connection for the response to the next request, and renews its time limit with
    every byte. Here a connection that receives a byte that belongs to no response is closed, and the head of a response has
    one time limit and one size limit, interim (1xx) responses included.
    """

    def __init__(self, protocol: Any, bodyless: bool, stall: float) -> None:
        self._protocol = protocol
        # The protocol forgets it when it closes it.
        self._transport = protocol.transport
        self._parser = protocol._parser
        self._bodyless = bodyless
        self._stall = stall
        self._phase = _Phase.NOTHING
        self._head = HeadScanner()
        self._payload: Any = None
        # Bytes of the body that are still to come; None where only the parser can find the end.
        self._left: int | None = None
        self._last = b""
        self._timer: asyncio.TimerHandle | None = None
        # The time limits are ours: see request_sent and _Answer._next.
        protocol.read_timeout = None

    def expect_response(self) -> None:
        """The first byte of the request is about to be sent."""
        if self._phase is _Phase.NOTHING and self._payload is None:
            self._phase = _Phase.HEAD

    def request_sent(self) -> None:
        """Start the time limit of the response's head, unless that has arrived already."""
        if self._payload is None and self._timer is None:
            self._timer = asyncio.get_running_loop().call_later(self._stall, self._expire)

    def _expire(self) -> None:
        self._protocol.set_exception(aiohttp.SocketTimeoutError(f"no complete response head in {self._stall:g} seconds"))

    def _stop_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()

    def drop_unsent(self) -> None:
        """Close a connection that was given up: asyncio keeps it open until the peer has read all that was written."""
        if self._transport.is_closing() and self._transport.get_write_buffer_size():
            self._transport.abort()

    # --- what aiohttp calls

    def feed_data(self, data: bytes) -> tuple[Any, bool, bytes]:
        """The messages that begin in `data`, whether the protocol is upgraded, and what follows then. Raises to close."""
        if self._phase is _Phase.HEAD:
            return self._feed_head(data)
        if self._phase is _Phase.NOTHING and data:
            raise HttpProcessingError(message="the server sent bytes that no request asked for")
        if self._payload is None:
            # aiohttp feeds nothing while somebody reads what has arrived of the response before.
            return (), False, b""
        self._feed_body(data)
        return (), False, b""

    def feed_eof(self) -> Any:
        self._stop_timer()
        return self._parser.feed_eof()

    def pause_reading(self) -> None:
        self._parser.pause_reading()

    # --- how far the response is

    def _feed_head(self, data: bytes) -> tuple[Any, bool, bytes]:
        messages: list[Any] = []
        while data and self._phase is _Phase.HEAD:
            end = self._head.end(data)
            if self._head.size > MAX_HEAD:
                raise HttpProcessingError(message=f"a response head of more than {MAX_HEAD} bytes")
            found, upgraded, rest = self._parser.feed_data(data[:end])
            data = data[end:]
            messages += found
            for message, payload in found:
                # As aiohttp has it: what is no interim response, 101 among them, is the response.
                if not 100 <= message.code < 200 or message.code == 101:
                    self._begin_body(message, payload)
            if upgraded:
                return messages, True, rest + data
        if data:
            self._feed_body(data)
        return messages, False, b""

    def _begin_body(self, message: Any, payload: Any) -> None:
        self._stop_timer()
        self._payload = payload
        self._bodyless = self._bodyless or message.code in (204, 304) or message.code < 200
        if message.code < 200:
            # Nothing that was asked for: who knows what follows.
            self._protocol.force_close()
        if self._bodyless:
            self._left = 0
        elif not message.chunked and "Content-Length" in message.headers:
            self._left = int(message.headers["Content-Length"])
        self._phase = _Phase.NOTHING if self._left == 0 else _Phase.BODY

    def _feed_body(self, data: bytes) -> None:
        """Raises for a surplus that is not HTTP: then `Content-Length` was wrong. Else it belongs to another request."""
        if self._left is None:
            self._feed_unmeasured(data)
            return
        own, surplus = data[: self._left], data[self._left :]
        self._left -= len(own)
        if own or not data:
            self._parser.feed_data(own)
        if self._left == 0:
            self._phase = _Phase.NOTHING
        if surplus:
            self._give_up_connection()
            if not self._bodyless:
                self._parser.feed_data(surplus)

    def _feed_unmeasured(self, data: bytes) -> None:
        """Feed a body whose end only the parser finds."""
        self._last = (self._last + data)[-6:]
        others, _, _ = self._parser.feed_data(data)
        if self._payload.is_eof():
            self._phase = _Phase.NOTHING
            if others or not ends_cleanly(self._last):
                self._give_up_connection()

    def _give_up_connection(self) -> None:
        """The response is good, and the connection must not be used again."""
        self._protocol.force_close()
        # aiohttp may have put it into the pool already. It is closed later if a part of the body is still to be handed on.
        if self._payload.is_eof() and self._protocol.transport is not None:
            self._protocol.transport.close()


class _Request(aiohttp.ClientRequest):
    """aiohttp's request, whose exchange is watched from its first byte on."""

    async def send(self, conn: Any) -> aiohttp.ClientResponse:
        stall = self.session.timeout.sock_read
        assert stall is not None
        watch = conn.protocol._parser = _Watch(conn.protocol, self.method == "HEAD", stall)
        if isinstance(self.body, _Payload):
            self.body.watch = watch
            return await super().send(conn)
        watch.expect_response()
        response = await super().send(conn)
        watch.request_sent()
        return response


class _Started:
    """What aiohttp calls while it connects, of which only the beginning counts: then the time limit starts."""

    def __init__(self, limit: asyncio.Timeout, seconds: float) -> None:
        self._limit = limit
        self._seconds = seconds

    async def send_connection_create_start(self) -> None:
        self._limit.reschedule(asyncio.get_running_loop().time() + self._seconds)

    def __getattr__(self, name: str) -> Any:
        return _nothing


async def _nothing(*_: object) -> None:
    """An event that does not count."""


class _Pool:
    """A connector that hands out clean connections only, and keeps no more than `idle` of them; None keeps all.

    Everything else of the connector is as it is.
    """

    def __init__(self, connector: aiohttp.BaseConnector, idle: int | None, seconds: float) -> None:
        self._connector: Any = connector
        self._idle = idle
        self._seconds = seconds

    def __getattr__(self, name: str) -> Any:
        return getattr(self._connector, name)

    async def connect(self, request: Any, traces: Any, timeout: Any) -> Any:  # noqa: ASYNC109 (aiohttp's signature)
        if self._idle is not None and request.connection_key not in self._connector._conns:
            self._close_idle(keep=self._idle - 1)
        while True:
            try:
                connection = await self._connect(request, timeout)
            except OSError as error:
                if error.errno in (errno.EMFILE, errno.ENFILE) and self._idle is not None and self._close_idle(keep=0):
                    # Sockets are closed in the next turn of the event loop.
                    await asyncio.sleep(0)
                    continue
                raise
            protocol = connection.protocol
            if not protocol.should_close:
                return connection
            is_new = protocol._parser is None
            connection.close()
            if is_new:
                raise aiohttp.ClientConnectionError("the server sent bytes before the request")

    async def _connect(self, request: Any, timeout: Any) -> Any:  # noqa: ASYNC109 (aiohttp's own)
        """One time limit for all that makes a connection, from name resolution to TLS, and none for waiting for a slot."""
        async with asyncio.timeout(None) as limit:
            return await self._connector.connect(request, [_Started(limit, self._seconds)], timeout)

    def _close_idle(self, keep: int) -> int:
        """Close idle connections, the oldest first, until `keep` are left. Returns how many were closed."""
        pool = self._connector._conns
        surplus = sum(map(len, pool.values())) - keep
        for _ in range(surplus):
            key = min(pool, key=lambda key: pool[key][0][1])
            protocol, _ = pool[key].popleft()
            if not pool[key]:
                del pool[key]
            protocol.close()
        return max(surplus, 0)


class AiohttpTransport:
    """A session of its own; on a connection pool of its own, or on that of a borrowed session, which it never closes.

    Of a borrowed session nothing else is used: its headers, cookies and credentials would break signatures. `ssl` is a
    context or False (no verification) and belongs to the pool, so it cannot stand beside `session`; `proxy` is a URL, and
    `trust_env` lets the environment name it. `connect`, in seconds, is how long a connection may take to come about; `stall`
    how long the head of a response may take, the interim (1xx) ones before it included, and how long the server may neither
    give nor take a byte of a body; `slowest` how many bytes a second a body must bring over a `stall` of waiting for it. At
    most `idle` connections are kept open between requests. `monotonic` is the clock. Raises `InvalidRequest`.
    """

    def __init__(
        self,
        *,
        session: aiohttp.ClientSession | None = None,
        ssl: ssl_module.SSLContext | bool | None = None,
        proxy: str | None = None,
        trust_env: bool = False,
        connect: float = CONNECT,
        stall: float = STALL,
        slowest: float = SLOWEST,
        idle: int = IDLE,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._proxy = None if proxy is None else check_proxy("proxy", proxy)
        self._trust_env = trust_env
        self._stall = stall
        self._slowest = slowest
        self._monotonic = monotonic
        pool = _new_pool(ssl) if session is None else _borrowed_pool(session, ssl)
        self.verifies: bool = _verifies(getattr(pool, "_ssl", False))
        """Whether responses over TLS come from the host that was asked: its certificate and name are checked."""
        self._session = aiohttp.ClientSession(
            connector=cast("aiohttp.BaseConnector", _Pool(pool, idle if session is None else None, connect)),
            connector_owner=session is None,
            cookie_jar=aiohttp.DummyCookieJar(),
            request_class=_Request,
            timeout=aiohttp.ClientTimeout(total=None, connect=None, sock_connect=connect, sock_read=stall),
            read_bufsize=READ_BUFFER,
            max_line_size=MAX_HEAD,
            max_field_size=MAX_HEAD,
            max_headers=_MAX_HEADERS,
        )
        # Trying again is the transfer's to decide and to count; aiohttp has no public switch for it (the contract suite looks).
        self._session._retry_connection = False

    @asynccontextmanager
    async def send(self, request: Request) -> AsyncIterator[Answer]:
        check_request(request)
        if self._session.closed:
            raise InvalidRequest(Problem("session", "an open aiohttp.ClientSession", "a closed one"))
        payload = _Payload(request.body, request, self._stall) if request.body is not None else None
        try:
            response = await self._request(request, payload)
            try:
                yield _Answer(response, request, _Pace(self._stall, self._slowest, self._monotonic), self._stall)
            finally:
                # Closes a connection that was not read to its end.
                response.release()
        finally:
            if payload is not None:
                await payload.stop()

    async def _request(self, request: Request, payload: _Payload | None) -> aiohttp.ClientResponse:
        proxy = (proxy_from_environment(request.url) if self._trust_env else None) or self._proxy
        try:
            return await self._session.request(
                request.method,
                URL(request.url, encoded=True),
                proxy=proxy,
                headers=request.headers,
                data=payload,
                allow_redirects=False,
                auto_decompress=False,
                skip_auto_headers=_NO_AUTOMATIC_HEADERS,
                raise_for_status=False,
            )
        except _FOREIGN as error:
            failure = payload.failure if payload is not None else None
            failure = failure or _ours(error, request, proxy)
        # Outside of the handler, which would make aiohttp's error and its texts the context of ours.
        raise failure

    async def aclose(self) -> None:
        await self._session.close()


def _new_pool(ssl: ssl_module.SSLContext | bool | None) -> aiohttp.BaseConnector:
    # The transfer bounds how much happens at once; a second bound here would only hide waiting.
    return aiohttp.TCPConnector(limit=0, ssl=True if ssl is None else ssl)


def _verifies(ssl: object) -> bool:
    """Whether an aiohttp connector with this `ssl` checks who it talks to; False where that cannot be known."""
    if isinstance(ssl, ssl_module.SSLContext):
        return ssl.check_hostname and ssl.verify_mode is not ssl_module.CERT_NONE
    return ssl is True or isinstance(ssl, aiohttp.Fingerprint)


def _borrowed_pool(session: object, ssl: object) -> aiohttp.BaseConnector:
    if not isinstance(session, aiohttp.ClientSession):
        raise InvalidRequest(Problem("session", "an aiohttp.ClientSession", describe(session)))
    if ssl is not None:
        raise InvalidRequest(Problem("ssl", "nothing beside session=, whose connector has its own", "a value"))
    if session.connector is None or session.closed:
        raise InvalidRequest(Problem("session", "an open aiohttp.ClientSession", "a closed one"))
    return session.connector


def _ours(error: Exception, request: Request, proxy: str | None = None) -> PresignError:
    """The one place that turns aiohttp's errors into ours. Their texts repeat what was sent, and what the server said."""
    user = "" if proxy is None else unquote(proxy.partition("://")[2].rpartition("@")[0])
    hide = request.hiding([user, user.partition(":")[2], b64encode(user.encode()).decode()])
    if isinstance(error, ValueError) and not isinstance(error, OSError | ssl_module.CertificateError):
        return InvalidRequest(Problem("url or headers", "what HTTP can carry", hide(f"{type(error).__name__}: {error}")))
    # Trying again cures no certificate.
    permanent = isinstance(error, aiohttp.ClientConnectorCertificateError | aiohttp.ServerFingerprintMismatch)
    if isinstance(error, aiohttp.ClientConnectorDNSError):
        return NetworkError(f"the name {error.host!r} cannot be resolved: is the endpoint right?", request=str(request))
    text = hide(str(error)) or "no further information"
    sent = not isinstance(error, aiohttp.ClientConnectorError | aiohttp.ConnectionTimeoutError)
    return NetworkError(f"{type(error).__name__}: {text}", request=str(request), permanent=permanent, sent=sent)
