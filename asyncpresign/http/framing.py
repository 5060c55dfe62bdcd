"""What HTTP/1.1 can carry, and where a message ends: pure functions over strings and bytes, for every transport.

A transport alone decides how a body is framed. What a signer or a caller says about framing has to agree with that, or the
request is refused before a byte is sent: a body longer than its `Content-Length` is read by the server as a next request.
https://www.rfc-editor.org/rfc/rfc9112
https://www.rfc-editor.org/rfc/rfc9110#name-fields
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping

from ..errors import InvalidRequest, Problem, describe
from .transport import ORIGIN, Request, origin_of

MAX_HEAD = 64 * 1024
"""Bytes of a response's head, with the interim (1xx) responses before it."""

_PRINTABLE = re.compile(r"[!-~]*")
_BAD_ESCAPE = re.compile(r"%(?![0-9A-Fa-f]{2})")
_TOKEN = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
# Visible characters, spaces, tabs, and whatever UTF-8 can encode beyond ASCII.
_VALUE = re.compile("[\t -~\u0080-\ud7ff\ue000-\U0010ffff]*")

_CANNOT_CARRY = "a header without control characters, in Unicode that UTF-8 can encode"
_OURS = "no such header: the transport sends the whole body with a Content-Length"


def check_request(request: Request) -> None:
    """Raises `InvalidRequest` with every reason why HTTP/1.1 cannot carry `request` as it is."""
    problems = [*url_problems(request.url), *_header_problems(request)]
    if not (isinstance(request.method, str) and _TOKEN.fullmatch(request.method)):
        problems.append(Problem("method", "an HTTP method", describe(request.method)))
    if problems:
        raise InvalidRequest(*problems)


def url_problems(url: object) -> list[Problem]:
    """Why `url` cannot go onto the wire byte for byte; its characters are shown, never the URL."""
    if not isinstance(url, str):
        return [Problem("url", "a str", describe(url))]
    found = _PRINTABLE.match(url)
    end = found.end() if found else 0
    if end < len(url):
        return [Problem("url", "percent-encoded ASCII", f"{url[end]!a} at {end}", "sign or quote the URL anew")]
    if "#" in url:
        return [Problem("url", "no fragment, which HTTP does not send", f"'#' at {url.index('#')}", "'#' in a key is %23")]
    if bad := _BAD_ESCAPE.search(url):
        return [Problem("url", "two hexadecimal digits after every '%'", f"others at {bad.start()}", "'%' in a key is %25")]
    origin = ORIGIN.match(url)
    if origin is None or not 0 < int(origin[3] or 1) < 65536:
        return [Problem("url", "http:// or https://, a host, and a port of 1 to 65535 if any", describe(url))]
    return []


def _header_problems(request: Request) -> Iterator[Problem]:
    seen: set[str] = set()
    for name, value in request.headers.items():
        argument = f"headers[{name!r}]" if isinstance(name, str) and len(name) < 64 else "headers"
        if not (isinstance(name, str) and _TOKEN.fullmatch(name)):
            yield Problem(argument, "a header's name", describe(name))
            continue
        if not (isinstance(value, str) and _VALUE.fullmatch(value)):
            yield Problem(argument, _CANNOT_CARRY, describe(value))
            continue
        lowered = name.lower()
        if lowered in seen:
            yield Problem(argument, "each header once, whatever its case", "it twice")
        seen.add(lowered)
        if lowered in _FRAMING and (problem := _FRAMING[lowered](value.strip(" \t"), request)):
            expected, got = problem
            yield Problem(argument, expected, got)


# --- headers that belong to the transport -----------------------------------------------------------------------------

_Framing = Callable[[str, Request], tuple[str, str] | None]


def _length_problem(value: str, request: Request) -> tuple[str, str] | None:
    size = 0 if request.body is None else request.body.size
    return None if value == str(size) else (f"{size}, the size of the body in bytes", ascii(value[:32]))


def _host_problem(value: str, request: Request) -> tuple[str, str] | None:
    origin = origin_of(request.url)
    scheme, host, port = origin
    named = not set("/?@") & set(value) and origin_of(f"{scheme}://{value}") == origin
    return None if named else (f"{host}:{port}, the URL's host", ascii(value[:64]))


def _connection_problem(value: str, _: Request) -> tuple[str, str] | None:
    return None if value.lower() in ("keep-alive", "close") else ("keep-alive or close", ascii(value[:32]))


def _refused(value: str, _: Request) -> tuple[str, str] | None:
    return _OURS, ascii(value[:32])


_FRAMING: Mapping[str, _Framing] = {
    "content-length": _length_problem,
    "host": _host_problem,
    "connection": _connection_problem,
    **dict.fromkeys(("expect", "keep-alive", "proxy-connection", "te", "trailer", "transfer-encoding", "upgrade"), _refused),
}


# --- the end of a message ---------------------------------------------------------------------------------------------

_END_OF_HEAD = re.compile(rb"\n\r?\n")


class HeadScanner:
    """Finds where heads end in bytes that arrive in pieces of any size, and counts what they take."""

    __slots__ = ("_last", "size")

    def __init__(self) -> None:
        self._last = b""
        self.size: int = 0

    def end(self, data: bytes) -> int:
        """How many bytes of `data` belong to the head: all of them, or those up to the end of its empty line."""
        joined = self._last + data
        found = _END_OF_HEAD.search(joined)
        taken = len(data) if found is None else found.end() - len(self._last)
        self._last = b"" if found else joined[-2:]
        self.size += taken
        return taken


def ends_cleanly(last: bytes) -> bool:
    """Whether `last`, the last bytes of a chunked body, stop at its end: an empty line, and nothing after it."""
    return last.endswith(b"\r\n\r\n") and not last.endswith(b"\r\n\r\n\r\n")
