"""The contract of every `Transport`, over real sockets: what is asked for reaches the wire, and nothing else does.

A new transport is a further row of `TRANSPORTS`, and everything here holds for it too.
"""

from __future__ import annotations

import asyncio
import os
import socket
import ssl as ssl_module
import traceback
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import aiohttp
import anyio
import pytest
import trustme
from aiohttp.abc import AbstractResolver

from asyncpresign import InvalidRequest, LocalFileError, NetworkError, PresignError
from asyncpresign.http.aiohttp_transport import AiohttpTransport
from asyncpresign.http.transport import Request, Transport

from .fault_server import OK, STALE, FaultServer, Read, Reply, Then, answer, chunked, redirect, s3_error

SECRET = "5ec2e7" * 10
QUERY = f"X-Amz-Credential=AKIDEXAMPLE%2F20130524&X-Amz-Signature={SECRET}"

Factory = Callable[..., AbstractAsyncContextManager[Transport]]


@asynccontextmanager
async def owned(ssl: ssl_module.SSLContext | None = None, **options: Any) -> AsyncIterator[Transport]:
    transport = AiohttpTransport(ssl=ssl, **options)
    try:
        yield transport
    finally:
        await transport.aclose()


@asynccontextmanager
async def borrowed(ssl: ssl_module.SSLContext | None = None, **options: Any) -> AsyncIterator[Transport]:
    """On the pool of a session that would add all that a session can add."""
    connector = aiohttp.TCPConnector(ssl=True if ssl is None else ssl)
    headers = {"Authorization": SECRET, "X-Amz-Security-Token": SECRET, "Accept": "text/html", "User-Agent": "somebody"}
    jar = aiohttp.CookieJar(unsafe=True)
    jar.update_cookies({"session": SECRET})
    async with aiohttp.ClientSession(connector=connector, headers=headers, cookie_jar=jar, trust_env=True) as session:
        transport = AiohttpTransport(session=session, **options)
        yield transport
        await transport.aclose()
        assert not session.closed


TRANSPORTS: Mapping[str, Factory] = {"aiohttp": owned, "aiohttp-borrowed": borrowed}


@pytest.fixture(params=TRANSPORTS.values(), ids=TRANSPORTS.keys())
def factory(request: pytest.FixtureRequest) -> Factory:
    made: Factory = request.param
    return made


@pytest.fixture
async def transport(factory: Factory) -> AsyncIterator[Transport]:
    async with factory() as made:
        yield made


@dataclass
class Body:
    """A body of `parts`; `before` is awaited before each of them."""

    parts: Sequence[bytes]
    before: Callable[[int], Awaitable[None]] | None = None
    started: int = 0
    closed: int = 0

    @property
    def size(self) -> int:
        return sum(map(len, self.parts))

    async def chunks(self) -> AsyncIterator[bytes]:
        self.started += 1
        try:
            for number, part in enumerate(self.parts):
                if self.before is not None:
                    await self.before(number)
                yield part
        finally:
            self.closed += 1


def get(server: FaultServer, target: str = f"/bucket/key?{QUERY}", **headers: str) -> Request:
    return Request("GET", server.origin + target, headers)


def put(server: FaultServer, body: Body, target: str = f"/bucket/key?{QUERY}", **headers: str) -> Request:
    return Request("PUT", server.origin + target, headers, body)


async def fetch(transport: Transport, request: Request) -> tuple[int, Mapping[str, str], bytes]:
    async with transport.send(request) as received:
        return received.status, received.headers, b"".join([chunk async for chunk in received.chunks()])


def assert_ours(error: BaseException) -> None:
    """An error of ours, with nothing that grants access in any text that is shown of it."""
    assert isinstance(error, PresignError)
    shown = "".join(traceback.format_exception(error)) + str(error) + repr(error) + repr(error.__dict__)
    assert SECRET not in shown
    assert "aiohttp.client" not in shown.replace("aiohttp.client_exceptions", "")
    assert error.__cause__ is None
    assert error.__context__ is None or type(error.__context__) is TimeoutError


def strangers(server: FaultServer) -> set[asyncio.Task[object]]:
    """Tasks that are neither the test's, nor the server's, nor the runner's."""
    known = ("TestRunner.", "test_")
    names = {task: getattr(task.get_coro(), "__qualname__", "") for task in asyncio.all_tasks() - server.tasks}
    return {task for task, name in names.items() if not name.startswith(known)}


# --- what goes out ----------------------------------------------------------------------------------------------------

TARGETS = [
    "/",
    "/bucket/a%2Fb%27c%7Ed",
    "/bucket/plain'~!$&()*,;=:@",
    "//bucket//key//",
    "/bucket/a/../b/./c",
    "/bucket/..",
    "/bucket/a+b;c",
    "/bucket/%2b%2B%c3%A9%C3%a9",
    "/bucket/%E2%82%AC%F0%9F%98%80",
    "/bucket/key?&a=b&&c&=d&",
    "/bucket/key?a=%2F%2f+%20;b=c?d/e",
    "/bucket/key?response-content-disposition=attachment%3B%20filename%3D%22a%20b.txt%22",
    "/bucket/%25%32%46",
    f"/bucket/key?X-Amz-Security-Token=a%2Bb%3D%3D&{QUERY}",
]


@pytest.mark.parametrize("target", TARGETS)
@pytest.mark.parametrize("method", ["GET", "PUT"])
async def test_url_bytes_reach_the_wire_unchanged(transport: Transport, method: str, target: str) -> None:
    async with FaultServer() as server:
        await fetch(transport, Request(method, server.origin + target, {}, Body([b"x"]) if method == "PUT" else None))
        assert server.seen[0].line == f"{method} {target} HTTP/1.1"


@pytest.mark.parametrize("method", ["GET", "HEAD", "DELETE"])
async def test_there_is_no_header_but_host_and_what_was_given(transport: Transport, method: str) -> None:
    async with FaultServer([Reply(answer(headers=[("X", "y")]))]) as server:
        await fetch(transport, Request(method, f"{server.origin}/", {"x-amz-meta-A": "b"}))
        names = [(name, value) for name, value in server.seen[0].headers if name != "Content-Length"]
        assert sorted(names) == [("Host", f"127.0.0.1:{server.port}"), ("x-amz-meta-A", "b")]
        assert server.seen[0].header("Content-Length") in (None, "0")


async def test_header_values_are_sent_as_they_are(transport: Transport) -> None:
    given = {"x-amz-meta-name": "grün – 日本 \U0001f600", "Content-Type": "text/plain; charset=x", "x-amz-acl": "a,  b"}
    async with FaultServer() as server:
        await fetch(transport, put(server, Body([b"x"]), **given))
        assert {name: server.seen[0].header(name) for name in given} == given
        assert len(server.seen[0].headers) == len(given) + 2


@pytest.mark.parametrize("host", ["localhost", "LOCALHOST"])
async def test_the_host_header_is_what_was_signed(transport: Transport, host: str) -> None:
    async with FaultServer() as server:
        await fetch(transport, Request("GET", f"http://{host}:{server.port}/", {}))
        assert (server.seen[0].header("Host") or "").lower() == f"localhost:{server.port}"


async def test_an_ipv6_host(transport: Transport, ipv6: None) -> None:
    async with FaultServer(host="::1") as server:
        assert (await fetch(transport, get(server)))[0] == 200
        assert server.seen[0].header("Host") == f"[::1]:{server.port}"


@pytest.fixture
def ipv6() -> None:
    try:
        socket.create_server(("::1", 0), family=socket.AF_INET6).close()
    except OSError:
        pytest.skip("no IPv6 on loopback")


MB = 1 << 20
BODIES = {
    "empty": [],
    "empty piece": [b""],
    "small": [b"abc"],
    "pieces": [b"a", b"", b"bc", b"d" * 70_000],
    "large": [bytes([number]) * MB for number in range(4)],
}


@pytest.mark.parametrize("parts", BODIES.values(), ids=BODIES.keys())
@pytest.mark.parametrize("method", ["PUT", "POST"])
async def test_a_body_has_a_length_and_is_never_chunked(transport: Transport, method: str, parts: list[bytes]) -> None:
    body = Body(parts)
    async with FaultServer() as server:
        await fetch(transport, Request(method, f"{server.origin}/k", {}, body))
        seen = server.seen[0]
        assert seen.body == b"".join(parts)
        assert [value for name, value in seen.headers if name.lower() == "content-length"] == [str(body.size)]
        assert sorted(name for name, _ in seen.headers) == ["Content-Length", "Host"]
    assert (body.started, body.closed) == (1, 1)


async def test_a_content_length_that_was_signed_is_not_sent_twice(transport: Transport) -> None:
    async with FaultServer() as server:
        await fetch(transport, put(server, Body([b"abc"]), **{"Content-Length": "3"}))
        assert [value for name, value in server.seen[0].headers if name.lower() == "content-length"] == ["3"]


@pytest.mark.parametrize("method", ["PUT", "POST"])
async def test_no_body_has_length_zero(transport: Transport, method: str) -> None:
    async with FaultServer() as server:
        await fetch(transport, Request(method, server.origin + "/", {}))
        assert server.seen[0].header("Content-Length") == "0"
        assert server.seen[0].header("Content-Type") is None


async def test_a_content_encoding_is_not_acted_upon(transport: Transport) -> None:
    async with FaultServer() as server:
        await fetch(transport, put(server, Body([b"not gzip"]), **{"Content-Encoding": "gzip"}))
        assert server.seen[0].body == b"not gzip"
        assert server.seen[0].header("Content-Encoding") == "gzip"


@pytest.fixture
def hostile_environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """A netrc with credentials for everybody."""
    netrc = tmp_path / "netrc"
    netrc.write_text("default login somebody password something\n")
    netrc.chmod(0o600)
    monkeypatch.setenv("NETRC", str(netrc))
    for name in ("http_proxy", "https_proxy", "all_proxy", "no_proxy"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.upper(), raising=False)


async def test_the_environment_is_not_asked(
    factory: Factory, hostile_environment: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:1")
    async with FaultServer() as server, factory() as transport:
        assert (await fetch(transport, get(server)))[0] == 200
        assert server.seen[0].header("Authorization") is None


async def test_trust_env_names_the_proxy_and_adds_no_credentials(
    factory: Factory, hostile_environment: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with FaultServer() as proxy, factory(trust_env=True) as transport:
        monkeypatch.setenv("http_proxy", proxy.origin)
        url = f"http://bucket.example.test/a%2Fb'?{QUERY}"
        assert (await fetch(transport, Request("GET", url, {})))[0] == 200
        seen = proxy.seen[0]
        assert seen.line == f"GET {url} HTTP/1.1"
        assert seen.header("Host") == "bucket.example.test"
        assert seen.header("Authorization") is None
        monkeypatch.setenv("no_proxy", "127.0.0.1")
        async with FaultServer() as server:
            assert (await fetch(transport, get(server)))[0] == 200
            assert server.seen[0].target.startswith("/bucket/")
            assert server.seen[0].header("Authorization") is None


async def test_the_proxy_for_all_schemes_and_exemptions_by_port(
    factory: Factory, hostile_environment: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with FaultServer() as proxy, FaultServer() as server, FaultServer() as other, factory(trust_env=True) as transport:
        monkeypatch.setenv("ALL_PROXY", proxy.origin)
        monkeypatch.setenv("NO_PROXY", f"localhost,127.0.0.1:{server.port}")
        await fetch(transport, get(server))
        await fetch(transport, get(other))
        assert (len(server.seen), len(other.seen), len(proxy.seen)) == (1, 0, 1)


async def test_a_proxy_can_be_given_with_its_password(hostile_environment: None) -> None:
    async with FaultServer() as proxy:
        transport = AiohttpTransport(proxy=proxy.origin.replace("://", "://me:secret@"))
        try:
            assert (await fetch(transport, Request("GET", f"http://bucket.example.test/k?{QUERY}", {})))[0] == 200
            assert proxy.seen[0].target == f"http://bucket.example.test/k?{QUERY}"
            assert proxy.seen[0].header("Proxy-Authorization") == "Basic bWU6c2VjcmV0"
            assert proxy.seen[0].header("Authorization") is None
        finally:
            await transport.aclose()


# --- what comes back --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
async def test_no_redirect_is_followed(transport: Transport, status: int) -> None:
    async with FaultServer() as server:
        server._replies = iter([Reply(redirect(status, f"{server.origin}/elsewhere"))])
        code, headers, _ = await fetch(transport, put(server, Body([b"x"])))
        assert (code, headers["location"], len(server.seen)) == (status, f"{server.origin}/elsewhere", 1)


@pytest.mark.parametrize("coding", ["gzip", "deflate", "br", "nonsense"])
async def test_nothing_is_decompressed(transport: Transport, coding: str) -> None:
    async with FaultServer([Reply(answer(body=b"as it came", headers=[("Content-Encoding", coding)]))]) as server:
        _, headers, body = await fetch(transport, get(server))
        assert (headers["content-encoding"], body) == (coding, b"as it came")


async def test_cookies_are_not_sent_back(transport: Transport) -> None:
    async with FaultServer([Reply(answer(headers=[("Set-Cookie", "a=b; Path=/")]))]) as server:
        for _ in range(2):
            await fetch(transport, Request("GET", f"http://localhost:{server.port}/", {}))
        assert [seen.header("Cookie") for seen in server.seen] == [None, None]


async def test_header_names_are_lower_case_and_the_first_of_two_counts(transport: Transport) -> None:
    headers = [("ETag", '"one"'), ("etag", '"two"'), ("X-Amz-Meta-Name", "grün")]
    async with FaultServer([Reply(answer(headers=headers))]) as server:
        _, received, _ = await fetch(transport, get(server))
        assert received["etag"] == '"one"'
        assert received["x-amz-meta-name"] == "grün"
        assert all(name == name.lower() for name in received)


async def test_the_members_of_a_list_are_taken_together(transport: Transport) -> None:
    """Google's storage sends one header for each of an object's digests."""
    headers = [("X-Goog-Hash", "crc32c=AAAAAA=="), ("ETag", '"one"'), ("x-goog-hash", "md5=B"), ("Digest", "a=b, c=d")]
    async with FaultServer([Reply(answer(headers=headers))]) as server:
        _, received, _ = await fetch(transport, get(server))
        assert (received["x-goog-hash"], received["digest"]) == ("crc32c=AAAAAA==, md5=B", "a=b, c=d")


WHOLE = {
    "length": answer(body=b"the whole body"),
    "chunked": chunked(b"the whole body"),
    "no length, closed": answer(body=b"the whole body", length=False),
    "HTTP/1.0": b"HTTP/1.0 200 OK\r\n\r\nthe whole body",
    "100 first": b"HTTP/1.1 100 Continue\r\n\r\n" + answer(body=b"the whole body"),
}


@pytest.mark.parametrize("drip", [False, True], ids=["at once", "drip"])
@pytest.mark.parametrize("raw", WHOLE.values(), ids=WHOLE.keys())
async def test_a_whole_body_however_it_comes(transport: Transport, raw: bytes, drip: bool) -> None:
    async with FaultServer([Reply(raw, Then.CLOSE, drip=drip)]) as server:
        assert (await fetch(transport, get(server)))[2] == b"the whole body"


async def test_a_head_has_no_body_whatever_its_length_says(transport: Transport) -> None:
    raw = answer(body=b"x" * 100)[:-100]
    async with FaultServer([Reply(raw)]) as server:
        _, headers, body = await fetch(transport, Request("HEAD", server.origin + "/", {}))
        assert (headers["content-length"], body) == ("100", b"")
        assert (await fetch(transport, get(server)))[2] == b"fine"
        assert server.connections == 1


HEAD = b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\n"
BROKEN = {
    "closed before the head": Reply(b"", Then.CLOSE),
    "reset before the head": Reply(b"", Then.RESET),
    "closed in the head": Reply(HEAD[:20], Then.CLOSE),
    "reset in the head": Reply(HEAD[:20], Then.RESET),
    "no body": Reply(HEAD, Then.CLOSE),
    "short body": Reply(HEAD + b"12345", Then.CLOSE),
    "reset in the body": Reply(HEAD + b"12345", Then.RESET),
    "short chunked body": Reply(chunked(b"0123456789")[:-5], Then.CLOSE),
    "chunks of no length": Reply(chunked(b"0123456789").replace(b"7\r\n", b"seven\r\n"), Then.CLOSE),
    "not HTTP": Reply(b"SSH-2.0-OpenSSH_9.2\r\n\r\n", Then.CLOSE),
    "no status": Reply(b"HTTP/1.1 \r\n\r\n", Then.CLOSE),
    "two lengths": Reply(HEAD.replace(b"\r\n\r\n", b"\r\nContent-Length: 5\r\n\r\n") + b"12345", Then.CLOSE),
    "endless header": Reply(HEAD[:-2] + b"X: " + b"y" * 100_000 + b"\r\n\r\n", Then.CLOSE),
}


@pytest.mark.parametrize("reply", BROKEN.values(), ids=BROKEN.keys())
@pytest.mark.parametrize("method", ["GET", "POST"])
async def test_an_incomplete_answer_is_a_network_error(transport: Transport, method: str, reply: Reply) -> None:
    body = Body([b"sent"]) if method == "POST" else None
    async with FaultServer([reply], otherwise=reply) as server:
        with pytest.raises(NetworkError) as caught:
            await fetch(transport, Request(method, f"{server.origin}/bucket/key?{QUERY}", {}, body))
        assert_ours(caught.value)
        assert not caught.value.permanent
        assert caught.value.request == f"{method} {server.origin}/bucket/key"
        await server.until_closed()


UNREACHABLE = {
    "refused": "http://127.0.0.1:{port}/key",
    "no such host": "http://no-such-host.invalid/key",
}


@pytest.mark.parametrize("url", UNREACHABLE.values(), ids=UNREACHABLE.keys())
async def test_no_connection_is_a_network_error(transport: Transport, url: str) -> None:
    async with FaultServer(listening=False) as server:
        with pytest.raises(NetworkError) as caught:
            await fetch(transport, Request("GET", url.format(port=server.port) + f"?{QUERY}", {}))
        assert_ours(caught.value)


BAD = {
    "no scheme": Request("GET", f"bucket/key?{QUERY}", {}),
    "no host": Request("GET", f"http:///key?{QUERY}", {}),
    "another scheme": Request("GET", f"ftp://host/key?{QUERY}", {}),
    "a port that is none": Request("GET", f"http://host:99999/key?{QUERY}", {}),
    "a port in letters": Request("GET", f"http://host:port/key?{QUERY}", {}),
    "a space": Request("GET", f"http://127.0.0.1:1/a key?{QUERY}", {}),
    "a tab": Request("GET", f"http://127.0.0.1:1/a\tkey?{QUERY}", {}),
    "a NUL": Request("GET", f"http://127.0.0.1:1/a\0key?{QUERY}", {}),
    "a fragment": Request("GET", f"http://127.0.0.1:1/a#key?{QUERY}", {}),
    "an escape without digits": Request("GET", f"http://127.0.0.1:1/100%?{QUERY}", {}),
    "an escape of one digit": Request("GET", f"http://127.0.0.1:1/a?x=%2&{QUERY}", {}),
    "a letter beyond ASCII": Request("GET", f"http://127.0.0.1:1/\u00e9?{QUERY}", {}),
    "a host that ends at a backslash": Request("GET", f"http://127.0.0.1\\@elsewhere.test/key?{QUERY}", {}),
    "line break in a header": Request("GET", f"http://127.0.0.1:1/key?{QUERY}", {"x": f"a\r\nb: {SECRET}"}),
    "line break in a header's name": Request("GET", f"http://127.0.0.1:1/key?{QUERY}", {"x\r\ny": "z"}),
    "control character in a header": Request("GET", f"http://127.0.0.1:1/key?{QUERY}", {"x": "a\x01b"}),
    "lone surrogate in a header": Request("GET", f"http://127.0.0.1:1/key?{QUERY}", {"x": "a\ud800b"}),
    "a header that is no string": Request("GET", f"http://127.0.0.1:1/key?{QUERY}", {"x": 5}),  # type: ignore[dict-item]
    "space in the method": Request("GET /", f"http://127.0.0.1:1/key?{QUERY}", {}),
    "line break in the URL": Request("GET", f"http://127.0.0.1:1/key\r\nx: y?{QUERY}", {}),
}


@pytest.mark.parametrize("request_", BAD.values(), ids=BAD.keys())
async def test_what_http_cannot_carry_is_refused(transport: Transport, request_: Request) -> None:
    with pytest.raises(InvalidRequest) as caught:
        await fetch(transport, request_)
    assert_ours(caught.value)


async def test_a_scheme_in_capitals_is_a_scheme(transport: Transport) -> None:
    async with FaultServer() as server:
        assert (await fetch(transport, Request("GET", f"HTTP://127.0.0.1:{server.port}/k?{QUERY}", {})))[2] == b"fine"
        assert server.seen[0].target == f"/k?{QUERY}"


# --- bodies and early answers -----------------------------------------------------------------------------------------


async def test_an_error_of_the_source_comes_out_as_it_is(transport: Transport) -> None:
    failure = LocalFileError("changed", path="/some/file")

    async def fail(number: int) -> None:
        if number == 1:
            raise failure

    body = Body([b"x" * 100, b"y"], fail)
    async with FaultServer() as server:
        with pytest.raises(LocalFileError) as caught:
            await fetch(transport, put(server, body))
        assert caught.value is failure
        await server.until_closed()
        assert (body.started, body.closed) == (1, 1)
        assert (await fetch(transport, get(server)))[0] == 200


EARLY = Reply(answer(413, b"too large", headers=[("Connection", "close")]), Then.HOLD, Read.HEAD)


@pytest.mark.parametrize("then", [Then.HOLD, Then.STALL, Then.CLOSE])
async def test_an_answer_that_comes_before_the_body_is_sent_is_read(transport: Transport, then: Then) -> None:
    release = asyncio.Event()

    async def wait(number: int) -> None:
        # The answer is on its way before the second piece is asked for, and read before the third.
        if number > 0:
            await release.wait()

    body = Body([b"x" * 100, b"y" * (8 << 20), b"z"], wait)
    async with FaultServer([Reply(EARLY.raw, then, Read.HEAD)]) as server:
        with anyio.fail_after(5):
            async with transport.send(put(server, body)) as received:
                release.set()
                assert received.status == 413
                assert b"".join([chunk async for chunk in received.chunks()]) == b"too large"
        if then is not Then.STALL:
            await server.until_closed()
    assert body.closed == 1


@pytest.mark.parametrize("then", [Then.HOLD, Then.CLOSE])
async def test_an_answer_that_comes_while_the_body_is_sent_is_read(transport: Transport, then: Then) -> None:
    body = Body([bytes(1 << 20)] * 16)
    for _ in range(10):
        async with FaultServer([Reply(EARLY.raw, then, Read.HEAD)]) as server:
            with anyio.fail_after(5):
                assert (await fetch(transport, put(server, body)))[::2] == (413, b"too large")
            await server.until_closed()


# --- connections ------------------------------------------------------------------------------------------------------


async def test_a_connection_is_used_again_when_the_body_was_read(transport: Transport) -> None:
    async with FaultServer() as server:
        for number in range(5):
            await fetch(transport, get(server) if number % 2 else put(server, Body([b"abc"])))
        assert server.connections == 1


async def test_leaving_early_gives_the_connection_up_at_once(transport: Transport) -> None:
    raw = answer(body=b"x" * 100)[:-50]
    async with FaultServer([Reply(raw, Then.HOLD)]) as server:
        with anyio.fail_after(5):
            async with transport.send(get(server)) as received:
                assert received.status == 200
            await server.until_closed()
        assert (await fetch(transport, get(server)))[0] == 200
        assert server.connections == 2


@pytest.mark.parametrize("where", ["source", "socket"])
async def test_leaving_early_stops_a_body_that_is_being_sent(transport: Transport, where: str) -> None:
    forever = asyncio.Event()

    async def wait(number: int) -> None:
        if number == 1 and where == "source":
            await forever.wait()

    body = Body([b"x"] + [bytes(1 << 20)] * 32, wait)
    then = Then.HOLD if where == "source" else Then.STALL
    async with FaultServer([Reply(answer(400, b""), then, Read.HEAD)]) as server:
        with anyio.fail_after(5):
            async with transport.send(put(server, body)) as received:
                assert received.status == 400
            if where == "source":
                await server.until_closed()
    assert body.closed == 1


async def test_an_exception_inside_comes_out_and_closes_the_connection(transport: Transport) -> None:
    async with FaultServer([Reply(HEAD + b"123", Then.HOLD)]) as server:
        with pytest.raises(LookupError, match="mine"):
            async with transport.send(get(server)):
                raise LookupError("mine")
        await server.until_closed()


@pytest.mark.parametrize("method", ["GET", "PUT", "POST"])
async def test_a_connection_that_was_closed_while_idle(transport: Transport, method: str) -> None:
    """It is either noticed, or a `NetworkError`; a body is never sent twice: it may be one that can be read once."""
    body = Body([b"abc"]) if method != "GET" else None
    async with FaultServer([OK, STALE]) as server:
        await fetch(transport, get(server))
        try:
            status, _, _ = await fetch(transport, Request(method, f"{server.origin}/k?{QUERY}", {}, body))
        except NetworkError as error:
            assert_ours(error)
        else:
            assert (status, server.connections) == (200, 2)
    assert body is None or body.started == body.closed == 1


async def test_nothing_is_tried_twice(transport: Transport) -> None:
    reply = Reply(b"", Then.CLOSE)
    async with FaultServer(otherwise=reply) as server:
        for number in (1, 2):
            with pytest.raises(NetworkError):
                await fetch(transport, get(server))
            assert len(server.seen) == number


async def test_a_stall_ends_in_a_network_error(factory: Factory) -> None:
    for raw in (b"", HEAD + b"12345"):
        async with factory(stall=0.05) as transport, FaultServer(otherwise=Reply(raw, Then.HOLD)) as server:
            with pytest.raises(NetworkError) as caught:
                await fetch(transport, get(server))
            assert_ours(caught.value)
            assert not caught.value.permanent
            await server.until_closed()


async def test_a_server_that_stops_reading_is_a_network_error(factory: Factory) -> None:
    body = Body([bytes(1 << 20)] * 64)
    async with factory(stall=0.05) as transport, FaultServer([Reply(b"", Then.STALL, Read.HEAD)]) as server:
        with anyio.fail_after(5), pytest.raises(NetworkError, match="stopped taking the body") as caught:
            await fetch(transport, put(server, body))
        assert_ours(caught.value)
        assert not caught.value.permanent
        assert caught.value.request == f"PUT {server.origin}/bucket/key"
        assert strangers(server) == set()
    assert body.started == body.closed == 1


# --- framing ----------------------------------------------------------------------------------------------------------

FRAMING = {
    "a length below the body's": {"Content-Length": "5"},
    "a length above the body's": {"content-length": "11"},
    "a length with a sign": {"CONTENT-LENGTH": "+10"},
    "a length with a leading zero": {"Content-Length": "010"},
    "two lengths": {"Content-Length": "10", "content-length": "10"},
    "chunked": {"Transfer-Encoding": "chunked"},
    "chunked in small letters": {"transfer-encoding": "identity"},
    "another host": {"host": "elsewhere.test"},
    "a connection that drops a header": {"Connection": "x-amz-date"},
    "an expectation": {"Expect": "100-continue"},
    "an upgrade": {"UPGRADE": "h2c"},
    "trailers": {"te": "trailers"},
    "a length behind a space": {"Content-Length ": "5"},
    "a length behind a tab": {"Transfer-Encoding\t": "chunked"},
}


@pytest.mark.parametrize("headers", FRAMING.values(), ids=FRAMING.keys())
async def test_framing_that_disagrees_with_the_body_is_refused_before_a_byte_is_sent(
    transport: Transport, headers: Mapping[str, str]
) -> None:
    body = Body([b"0123456789"])
    async with FaultServer() as server:
        with pytest.raises(InvalidRequest) as caught:
            await fetch(transport, put(server, body, **headers))
        assert_ours(caught.value)
        assert {problem.argument.strip("\t ") for problem in caught.value.problems} != set()
        assert (server.connections, body.started) == (0, 0)


async def test_a_length_without_a_body_is_refused(transport: Transport) -> None:
    async with FaultServer() as server:
        with pytest.raises(InvalidRequest, match="Content-Length"):
            await fetch(transport, Request("GET", f"{server.origin}/", {"Content-Length": "5"}))
        assert server.connections == 0


async def test_framing_that_agrees_is_sent_once(transport: Transport) -> None:
    async with FaultServer() as server:
        given = {"content-length": "3", "HOST": f"127.0.0.1:{server.port}", "Connection": "keep-alive"}
        await fetch(transport, put(server, Body([b"abc"]), **given))
        names = [name.lower() for name, _ in server.seen[0].headers]
        assert sorted(names) == ["connection", "content-length", "host"]


@pytest.mark.parametrize("parts", [[b"0123456789", b"GET /evil HTTP/1.1\r\n"], [b"0123456789 and more"], [b"0123", b"456"], []])
async def test_a_body_of_another_size_than_it_says_never_reaches_the_next_request(
    transport: Transport, parts: list[bytes]
) -> None:
    class Lying(Body):
        size = 10

    body = Lying(parts)
    async with FaultServer() as server:
        with anyio.fail_after(5), pytest.raises(InvalidRequest, match="exactly its size of 10 bytes") as caught:
            await fetch(transport, put(server, body))
        assert_ours(caught.value)
        await server.until_closed()
        assert len(server.seen) <= 1
        assert all(seen.body in (b"", b"0123", b"0123456", b"0123456789") for seen in server.seen)
        assert (await fetch(transport, get(server)))[0] == 200
    assert body.closed == 1


# --- bytes that no request asked for ----------------------------------------------------------------------------------

STALE_ANSWER = answer(200, b"STALE")
SURPLUS = {
    "a response": STALE_ANSWER,
    "half a response": STALE_ANSWER[:20],
    "an empty line": b"\r\n",
    "an interim response": b"HTTP/1.1 102 Processing\r\n\r\n",
}
FIRST = {
    "length": ("GET", answer(200, b"first")),
    "no content": ("GET", b"HTTP/1.1 204 Words\r\n\r\n"),
    "not modified": ("GET", b"HTTP/1.1 304 Words\r\nContent-Length: 5\r\n\r\n"),
    "empty": ("GET", answer(200, b"")),
    "chunked": ("GET", chunked(b"first")),
    "chunked, with a trailer": ("GET", chunked(b"first")[:-2] + b"X: y\r\n\r\n"),
    "error": ("GET", s3_error(404, "NoSuchKey")),
    "HEAD": ("HEAD", answer(200, b"first")[:-5]),
    "PUT": ("PUT", answer(200, b"first")),
}


@pytest.mark.parametrize("surplus", SURPLUS.values(), ids=SURPLUS.keys())
@pytest.mark.parametrize(("method", "raw"), FIRST.values(), ids=FIRST.keys())
@pytest.mark.parametrize("when", ["with the response", "while idle"])
async def test_a_connection_with_bytes_after_the_response_is_closed(
    transport: Transport, when: str, method: str, raw: bytes, surplus: bytes
) -> None:
    first = Reply(raw + (surplus if when == "with the response" else b""))
    async with FaultServer([first]) as server:
        body = Body([b"x"]) if method == "PUT" else None
        status, _, content = await fetch(transport, Request(method, f"{server.origin}/k?{QUERY}", {}, body))
        assert status == int(raw.split(b" ")[1])
        assert content in (b"", b"first") or status == 404
        if when == "while idle":
            await server.say(surplus)
        await server.until_closed()
        assert (await fetch(transport, get(server)))[::2] == (200, b"fine")
        assert server.connections == 2


async def test_a_surplus_that_comes_before_the_body_is_read_closes_the_connection(transport: Transport) -> None:
    large = bytes(4 << 20)  # more than is read ahead
    async with FaultServer([Reply(answer(200, large) + STALE_ANSWER)]) as server:
        assert (await fetch(transport, get(server)))[2] == large
        await server.until_closed()
        assert (await fetch(transport, get(server)))[2] == b"fine"


@pytest.mark.parametrize("method", ["PUT", "POST"])
async def test_a_response_that_is_read_late_does_not_disturb_the_next_request(transport: Transport, method: str) -> None:
    """All of it has arrived, so its connection is in use again, by a request whose body is not there yet."""
    async with FaultServer([Reply(answer(200, b"first"))]) as server, transport.send(get(server)) as late:

        async def read_late(number: int) -> None:
            assert b"".join([chunk async for chunk in late.chunks()]) == b"first"

        while not getattr(late, "_content").is_eof():  # noqa: B009 (of aiohttp's stream, which tells when all has arrived)
            await asyncio.sleep(0)
        body = Body([b"x"], read_late)
        assert (await fetch(transport, Request(method, f"{server.origin}/k?{QUERY}", {}, body)))[2] == b"fine"
        assert server.connections == 1


async def test_a_response_that_comes_before_its_request_is_not_taken(transport: Transport) -> None:
    """The body's source is still waiting for its first byte, so nothing of the request has been sent."""
    async with FaultServer() as server:

        async def early(number: int) -> None:
            await server.until_open(1)
            while not server._writers:
                await asyncio.sleep(0)
            await server.say(STALE_ANSWER)
            await server.until_closed()

        with anyio.fail_after(5), pytest.raises(NetworkError) as caught:
            await fetch(transport, put(server, Body([b"x"], early)))
        assert_ours(caught.value)
        assert server.seen == []
        assert (await fetch(transport, get(server)))[2] == b"fine"


# --- time limits ------------------------------------------------------------------------------------------------------


@pytest.mark.skipif(not os.path.isdir("/proc/self/fd"), reason="looks at processes through /proc")
@pytest.mark.parametrize("size", [100_000, 1 << 24])
async def test_a_connection_whose_peer_stops_reading_is_closed(factory: Factory, size: int) -> None:
    """Also when all of the body was written, and some of it waits in the connection's own buffer."""
    async with FaultServer([Reply(b"", Then.STALL, Read.HEAD)]) as server, factory(stall=0.05) as transport:
        before = len(os.listdir("/proc/self/fd"))
        with pytest.raises(NetworkError):
            await fetch(transport, put(server, Body([bytes(size)])))
        await asyncio.sleep(0)
        assert len(os.listdir("/proc/self/fd")) - before == server.open == 1


_HEAD = b"HTTP/1.1 200 OK\r\n"
SLOW = {
    "a head that drips": Reply(_HEAD + b"X: y", Then.DRIP),
    "interim responses one after another": Reply(b"HTTP/1.1 102 Processing\r\n\r\n", Then.REPEAT),
    "empty lines before the head": Reply(b"\r\n", Then.REPEAT),
    "a chunk extension that drips": Reply(_HEAD + b"Transfer-Encoding: chunked\r\n\r\n5;x", Then.DRIP),
    "a chunk size that drips": Reply(_HEAD + b"Transfer-Encoding: chunked\r\n\r\n0", Then.DRIP),
    "a trailer that drips": Reply(chunked(b"whole")[:-2] + b"X: y", Then.DRIP),
}


@pytest.mark.parametrize("method", ["GET", "PUT"])
@pytest.mark.parametrize("reply", SLOW.values(), ids=SLOW.keys())
async def test_every_phase_of_a_response_ends_in_time(factory: Factory, reply: Reply, method: str) -> None:
    async with factory(stall=0.05) as transport, FaultServer(otherwise=reply) as server:
        body = Body([b"x"]) if method == "PUT" else None
        with anyio.fail_after(5), pytest.raises(NetworkError) as caught:
            await fetch(transport, Request(method, f"{server.origin}/bucket/key?{QUERY}", {}, body))
        assert_ours(caught.value)
        assert not caught.value.permanent
        await server.until_closed()
        assert strangers(server) == set()


async def test_the_time_limit_of_a_head_starts_when_the_body_is_sent(factory: Factory) -> None:
    started = asyncio.get_running_loop().time()

    async def slow(number: int) -> None:
        while asyncio.get_running_loop().time() < started + 0.2:
            await asyncio.sleep(0.01)

    async with factory(stall=0.05) as transport, FaultServer() as server:
        assert (await fetch(transport, put(server, Body([b"x", b"y"], slow))))[0] == 200
        assert len(server.seen) == 1


@pytest.mark.parametrize(
    "reply", [Reply(b"", Then.HOLD), SLOW["a head that drips"], SLOW["interim responses one after another"]]
)
async def test_a_proxy_that_opens_no_tunnel_is_given_up_in_time(
    factory: Factory, hostile_environment: None, monkeypatch: pytest.MonkeyPatch, reply: Reply
) -> None:
    async with FaultServer(otherwise=reply) as proxy, factory(trust_env=True, connect=0.1) as transport:
        monkeypatch.setenv("https_proxy", proxy.origin)
        with anyio.fail_after(5), pytest.raises(NetworkError) as caught:
            await fetch(transport, Request("GET", f"https://bucket.example.test/k?{QUERY}", {}))
        assert_ours(caught.value)
        assert not caught.value.sent
        await proxy.until_closed()


class Never(AbstractResolver):
    async def resolve(self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_INET) -> Any:
        await anyio.sleep_forever()

    async def close(self) -> None:
        """Nothing is open."""


async def test_a_name_that_is_never_resolved_is_given_up_in_time() -> None:
    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(resolver=Never())) as session:
        transport = AiohttpTransport(session=session, connect=0.1)
        with anyio.fail_after(5), pytest.raises(NetworkError) as caught:
            await fetch(transport, Request("GET", f"http://bucket.example.test/k?{QUERY}", {}))
        assert not caught.value.sent
        await transport.aclose()


async def test_waiting_for_a_slot_of_a_borrowed_pool_is_no_connecting() -> None:
    """With one connection, the second request waits longer than a connection may take."""
    release = anyio.Event()

    async def hold(number: int) -> None:
        await release.wait()

    async with FaultServer() as server, aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=1)) as session:
        transport = AiohttpTransport(session=session, connect=0.05)
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(fetch, transport, put(server, Body([b"x"], hold)))
            await server.until_open(1)
            tasks.start_soon(fetch, transport, get(server))
            await anyio.sleep(0.1)
            release.set()
        assert [seen.method for seen in server.seen] == ["PUT", "GET"]
        await transport.aclose()


@pytest.mark.parametrize("line", [b"HTTP/1.1 101 Words", b"HTTP/1.1 000 Words\r\nContent-Length: 0"])
async def test_a_status_that_is_no_response_gives_the_connection_up(factory: Factory, line: bytes) -> None:
    async with factory(stall=0.2) as transport, FaultServer([Reply(line + b"\r\n\r\n")]) as server:
        with suppress(NetworkError):
            await fetch(transport, get(server))
        await server.until_closed()
        assert (await fetch(transport, get(server)))[2] == b"fine"


# --- the size of a head -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("headers", [[("x-amz-meta-a", "y" * 60_000)], [(f"x-amz-meta-{n}", "y" * 40) for n in range(1000)]])
async def test_a_head_of_sixty_thousand_bytes_is_read(transport: Transport, headers: list[tuple[str, str]]) -> None:
    async with FaultServer([Reply(answer(200, b"fine", headers=headers))]) as server:
        _, received, content = await fetch(transport, get(server))
        assert content == b"fine"
        assert {name: received[name] for name, _ in headers} == dict(headers)


async def test_a_reason_of_sixty_thousand_bytes_is_read(transport: Transport) -> None:
    raw = answer(200, b"fine").replace(b" Words", b" " + b"y" * 60_000, 1)
    async with FaultServer([Reply(raw)]) as server:
        status, _, content = await fetch(transport, get(server))
        assert (status, content) == (200, b"fine")


@pytest.mark.parametrize(
    "raw",
    [
        answer(200, headers=[("x", "y" * 70_000)]),
        answer(200, headers=[(f"x-{n}", "y" * 40) for n in range(2000)]),
        b"HTTP/1.1 102 Processing\r\n\r\n" * 3000 + answer(200),
        b"HTTP/1.1 200 " + b"y" * 70_000 + b"\r\n\r\n",
    ],
    ids=["one header", "many headers", "interim responses", "reason"],
)
async def test_a_larger_head_is_a_network_error(transport: Transport, raw: bytes) -> None:
    async with FaultServer(otherwise=Reply(raw)) as server:
        with pytest.raises(NetworkError) as caught:
            await fetch(transport, get(server))
        assert_ours(caught.value)
        await server.until_closed()


# --- idle connections -------------------------------------------------------------------------------------------------


async def test_idle_connections_to_other_hosts_are_closed_first_and_the_oldest_before_others() -> None:
    async with AsyncExitStack() as stack:
        transport = await stack.enter_async_context(owned(idle=3))
        servers = [await stack.enter_async_context(FaultServer()) for _ in range(6)]
        for server in servers:
            await fetch(transport, get(server))
        for server in servers[:3]:
            await server.until_closed()
        assert [server.open for server in servers] == [0, 0, 0, 1, 1, 1]
        await fetch(transport, get(servers[3]))
        assert servers[3].connections == 1


async def test_the_idle_connections_of_a_borrowed_pool_are_its_owners() -> None:
    async with AsyncExitStack() as stack:
        transport = await stack.enter_async_context(borrowed(idle=1))
        servers = [await stack.enter_async_context(FaultServer()) for _ in range(3)]
        for server in servers:
            await fetch(transport, get(server))
        assert [server.open for server in servers] == [1, 1, 1]


# --- cancellation -----------------------------------------------------------------------------------------------------


async def endless(number: int) -> None:
    if number == 2:
        await asyncio.get_running_loop().create_future()


# Exchanges that never come to their end by themselves, each waiting in another place.
HANGING = {
    "head": (Reply(b"", Then.HOLD), None),
    "body": (Reply(HEAD + b"12345", Then.HOLD), None),
    "dripped body": (Reply(HEAD + b"12345", Then.HOLD, drip=True), None),
    "answer to a body": (Reply(b"", Then.HOLD), lambda: Body([b"x" * 1000] * 3)),
    "source": (Reply(b"", Then.HOLD, Read.HEAD), lambda: Body([b"x" * 1000] * 3, endless)),
}


@pytest.mark.parametrize("how", ["task.cancel", "cancel scope"])
@pytest.mark.parametrize("hanging", HANGING.values(), ids=HANGING.keys())
async def test_cancellation_at_every_step_leaves_nothing(
    transport: Transport,
    hanging: tuple[Reply, Callable[[], Body] | None],
    how: str,
) -> None:
    reply, make_body = hanging
    for steps in range(60):
        body = make_body() if make_body is not None else None
        async with FaultServer([reply]) as server:
            request = Request("PUT" if body else "GET", f"{server.origin}/k?{QUERY}", {}, body)
            if how == "task.cancel":
                task = asyncio.create_task(fetch(transport, request))
                for _ in range(steps):
                    await asyncio.sleep(0)
                task.cancel()
                with pytest.raises(asyncio.CancelledError):
                    await task
            else:
                async with anyio.create_task_group() as tasks:
                    tasks.start_soon(fetch, transport, request)
                    for _ in range(steps):
                        await asyncio.sleep(0)
                    tasks.cancel_scope.cancel()
            await server.until_closed()
            assert strangers(server) == set()
            assert body is None or body.started == body.closed


# --- TLS --------------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def authority() -> trustme.CA:
    return trustme.CA()


@pytest.fixture(scope="module")
def server_ssl(authority: trustme.CA) -> ssl_module.SSLContext:
    context = ssl_module.SSLContext(ssl_module.PROTOCOL_TLS_SERVER)
    authority.issue_cert("127.0.0.1", "localhost").configure_cert(context)
    return context


async def test_a_certificate_of_nobody_known_is_refused_for_good(
    transport: Transport, server_ssl: ssl_module.SSLContext
) -> None:
    async with FaultServer(ssl=server_ssl) as server:
        with pytest.raises(NetworkError) as caught:
            await fetch(transport, get(server))
        assert caught.value.permanent
        assert "certificate" in str(caught.value).lower()
        assert_ours(caught.value)
        assert server.seen == []


async def test_a_certificate_for_another_host_is_refused_for_good(factory: Factory, authority: trustme.CA) -> None:
    context = ssl_module.SSLContext(ssl_module.PROTOCOL_TLS_SERVER)
    authority.issue_cert("elsewhere.test").configure_cert(context)
    trusting = ssl_module.create_default_context()
    authority.configure_trust(trusting)
    async with FaultServer(ssl=context) as server, factory(ssl=trusting) as transport:
        with pytest.raises(NetworkError) as caught:
            await fetch(transport, get(server))
        assert caught.value.permanent
        assert server.seen == []


async def test_a_context_of_the_callers_is_used(
    factory: Factory, authority: trustme.CA, server_ssl: ssl_module.SSLContext
) -> None:
    trusting = ssl_module.create_default_context()
    authority.configure_trust(trusting)
    async with FaultServer(ssl=server_ssl) as server, factory(ssl=trusting) as transport:
        assert (await fetch(transport, put(server, Body([bytes(1 << 20)] * 2))))[0] == 200
        assert len(server.seen[0].body) == 2 << 20
        assert (await fetch(transport, get(server)))[2] == b"fine"
        assert server.connections == 1


async def test_a_server_without_tls_is_an_error(transport: Transport) -> None:
    async with FaultServer(otherwise=Reply(answer(400))) as server:
        with pytest.raises(NetworkError) as caught:
            await fetch(transport, Request("GET", f"https://127.0.0.1:{server.port}/?{QUERY}", {}))
        assert_ours(caught.value)


# --- a session of the caller's ----------------------------------------------------------------------------------------


async def test_ssl_belongs_to_the_borrowed_pool() -> None:
    async with aiohttp.ClientSession() as session:
        with pytest.raises(InvalidRequest, match=r"^ssl: "):
            AiohttpTransport(session=session, ssl=False)


async def test_only_an_aiohttp_session_is_one() -> None:
    with pytest.raises(InvalidRequest, match="ClientSession"):
        AiohttpTransport(session="session")  # type: ignore[arg-type]


async def test_a_closed_session_is_named() -> None:
    async with aiohttp.ClientSession() as session:
        transport = AiohttpTransport(session=session)
    with pytest.raises(InvalidRequest, match="closed"):
        await fetch(transport, Request("GET", "http://127.0.0.1:1/", {}))
    await transport.aclose()
    with pytest.raises(InvalidRequest, match="closed"):
        AiohttpTransport(session=session)


async def test_closing_closes_what_was_opened_and_nothing_else() -> None:
    async with FaultServer() as server:
        async with owned() as transport:
            await fetch(transport, get(server))
            assert server.open == 1
        await server.until_closed()
        async with aiohttp.ClientSession() as session:
            borrowing = AiohttpTransport(session=session)
            await fetch(borrowing, get(server))
            await borrowing.aclose()
            assert server.open == 1
            assert not session.closed
        await server.until_closed()


def unverified(**changes: Any) -> ssl_module.SSLContext:
    context = ssl_module.create_default_context()
    for name, value in changes.items():
        setattr(context, name, value)
    return context


VERIFIES: list[tuple[Any, bool]] = [
    (None, True),
    (True, True),
    (False, False),
    (unverified(), True),
    (unverified(check_hostname=False), False),
    (unverified(check_hostname=False, verify_mode=ssl_module.CERT_NONE), False),
]


@pytest.mark.parametrize(("ssl", "verifies"), VERIFIES, ids=range(len(VERIFIES)))
async def test_whether_the_other_end_is_verified(ssl: Any, verifies: bool) -> None:
    """By what this transport is given, or by the connector of the session that it borrows."""
    async with AsyncExitStack() as stack:
        connector = aiohttp.TCPConnector(ssl=True if ssl is None else ssl)
        session = await stack.enter_async_context(aiohttp.ClientSession(connector=connector))
        for made in (AiohttpTransport(ssl=ssl), AiohttpTransport(session=session)):
            assert made.verifies is verifies
            await made.aclose()


async def test_a_pinned_certificate_is_verified() -> None:
    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(ssl=aiohttp.Fingerprint(bytes(32)))) as session:
        made = AiohttpTransport(session=session)
        assert made.verifies
        await made.aclose()
