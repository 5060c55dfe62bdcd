"""The `Transport` over aiohttp: the only place that imports aiohttp's client.

aiohttp's defaults serve web pages, not signatures: it re-quotes URLs, adds headers, decompresses, stores cookies,
follows redirects and ends everything after five minutes. All of that is off here. Foreign exceptions become
`NetworkError`, unchained, because their texts can hold a URL.
"""

from __future__ import annotations

import asyncio
import re
import ssl as ssl_module
import time
from base64 import b64encode
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager, suppress
from urllib.parse import unquote, urlsplit
from urllib.request import getproxies, proxy_bypass

import aiohttp
import anyio
from aiohttp.abc import AbstractStreamWriter
from yarl import URL

from ..errors import InvalidRequest, NetworkError, PresignError, Problem, describe
from .transport import Answer, Request, RequestBody

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

_WORD = re.compile(r"[!-~]+")
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
        self.failure: Exception | None = None

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
        chunks = self._value.chunks()
        try:
            async for chunk in chunks:
                try:
                    await _write(writer, chunk, self._stall)
                except TimeoutError:
                    raise NetworkError("the server stopped taking the body", request=str(self._request)) from None
                except (OSError, aiohttp.ClientError):
                    return
        except Exception as error:
            self.failure = error
            raise
        finally:
            await chunks.aclose()

    async def stop(self) -> None:
        """Wait until nobody reads the source any more: aiohttp cancels who does, and goes on."""
        if self._writing is not None and not self._writing.done():
            self._writing.cancel()
            with anyio.CancelScope(shield=True):
                await asyncio.wait([self._writing])

    async def write_with_length(self, writer: AbstractStreamWriter, content_length: int | None) -> None:
        await self.write(writer)

    def decode(self, encoding: str = "utf-8", errors: str = "strict") -> str:
        raise TypeError("a streamed body has no text")


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

    def __init__(self, response: aiohttp.ClientResponse, request: Request, pace: _Pace) -> None:
        self._content = response.content
        self._request = request
        self._pace = pace
        self.status = response.status
        headers: dict[str, str] = {}
        for name, value in response.headers.items():
            headers.setdefault(name.lower(), value)
        self.headers: Mapping[str, str] = headers

    async def chunks(self) -> AsyncIterator[bytes]:
        pace = self._pace
        began = pace.monotonic()
        while chunk := await self._next():
            pace.note(pace.monotonic() - began, len(chunk))
            yield chunk
            began = pace.monotonic()

    async def _next(self) -> bytes:
        try:
            return await self._content.readany()
        except _FOREIGN as error:
            failure = _ours(error, self._request)
        raise failure  # outside of the handler, as below


class AiohttpTransport:
    """A session of its own; on a connection pool of its own, or on that of a borrowed session, which it never closes.

    Of a borrowed session nothing else is used: its headers, cookies and credentials would break signatures. `ssl` is a
    context or False (no verification) and belongs to the pool, so it cannot stand beside `session`; `proxy` is a URL, and
    `trust_env` lets the environment name it. `connect`, in seconds, is how long a connection may take to come about, `stall`
    how long the server may neither give nor take a byte, `slowest` how many bytes a second a body must bring over a `stall`
    of waiting for it. `monotonic` is the clock. Raises `InvalidRequest`.
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
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._proxy = None if proxy is None else check_proxy("proxy", proxy)
        self._trust_env = trust_env
        self._stall = stall
        self._slowest = slowest
        self._monotonic = monotonic
        self._timeout = aiohttp.ClientTimeout(total=None, connect=None, sock_connect=connect, sock_read=stall)
        self._session = aiohttp.ClientSession(
            connector=_new_pool(ssl) if session is None else _borrowed_pool(session, ssl),
            connector_owner=session is None,
            cookie_jar=aiohttp.DummyCookieJar(),
            proxy=self._proxy,
        )
        # Trying again is the transfer's to decide and to count; aiohttp has no public switch for it (the contract suite looks).
        self._session._retry_connection = False

    @asynccontextmanager
    async def send(self, request: Request) -> AsyncIterator[Answer]:
        if self._session.closed:
            raise InvalidRequest(Problem("session", "an open aiohttp.ClientSession", "a closed one"))
        payload = _Payload(request.body, request, self._stall) if request.body is not None else None
        try:
            response = await self._request(request, payload)
            try:
                yield _Answer(response, request, _Pace(self._stall, self._slowest, self._monotonic))
            finally:
                # Closes a connection that was not read to its end.
                response.release()
        finally:
            if payload is not None:
                await payload.stop()

    async def _request(self, request: Request, payload: _Payload | None) -> aiohttp.ClientResponse:
        proxy = self._proxy
        try:
            url = URL(request.url, encoded=True)
            environments = _environments_proxy(url) if self._trust_env else None
            proxy = environments or proxy
            return await self._session.request(
                request.method,
                url,
                proxy=environments,
                headers=request.headers,
                data=payload,
                allow_redirects=False,
                auto_decompress=False,
                skip_auto_headers=_NO_AUTOMATIC_HEADERS,
                read_bufsize=READ_BUFFER,
                raise_for_status=False,
                timeout=self._timeout,
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


def _borrowed_pool(session: object, ssl: object) -> aiohttp.BaseConnector:
    if not isinstance(session, aiohttp.ClientSession):
        raise InvalidRequest(Problem("session", "an aiohttp.ClientSession", describe(session)))
    if ssl is not None:
        raise InvalidRequest(Problem("ssl", "nothing beside session=, whose connector has its own", "a value"))
    if session.connector is None or session.closed:
        raise InvalidRequest(Problem("session", "an open aiohttp.ClientSession", "a closed one"))
    return session.connector


def _environments_proxy(url: URL) -> str | None:
    """Not by aiohttp's own `trust_env`, which reads .netrc too and adds its credentials to requests that are signed."""
    proxy = None if proxy_bypass(url.raw_host or "") else getproxies().get(url.scheme)
    return None if proxy is None else check_proxy("the environment's proxy", proxy)


def check_proxy(argument: str, proxy: object) -> str:
    """`proxy` if it is a URL that can be one's. Raises `InvalidRequest`, which shows nothing of it: where it is malformed,
    nothing says which part is the password."""
    if isinstance(proxy, str):
        with suppress(ValueError):
            parts = urlsplit(proxy)
            # The port is read, which raises for one that is none; an `@` elsewhere is of a password that is not encoded.
            whole = (parts.port, parts.path.strip("/"), parts.query, parts.fragment)[1:] == ("", "", "")
            if parts.scheme in ("http", "https") and parts.hostname and whole and _WORD.fullmatch(proxy):
                return proxy
    raise InvalidRequest(Problem(argument, "a URL such as http://user:password@host:3128, percent-encoded", describe(proxy)))


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
    return NetworkError(f"{type(error).__name__}: {text}", request=str(request), permanent=permanent)
