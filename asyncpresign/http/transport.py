"""The seam between the transfer and whatever moves bytes over HTTP.

A transport sends a request exactly as it is given and hands back the answer's head before its body. It decides
nothing: it follows no redirect, retries nothing, decompresses nothing, adds no header but `Host` and
`Content-Length`. What goes wrong is a `NetworkError` whose text has been through `Request.hiding`; nothing foreign leaves it.
"""

from __future__ import annotations

import re
from collections.abc import AsyncIterator, Callable, Iterable, Mapping
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

from .._redaction import hiding
from ..errors import redact

ORIGIN = re.compile(r"(?i:(https?))://(?:[^/?#@\\]*@)?([A-Za-z0-9._~-]+|\[[0-9A-Fa-f:.]+\])(?::([0-9]{1,5}))?(?=[/?]|$)")
"""Scheme, host and port at the beginning of a valid URL."""
_DEFAULT_PORTS = {"http": "80", "https": "443"}


LIST_HEADERS = frozenset({"digest", "repr-digest", "content-digest", "x-goog-hash"})
"""Headers whose value is a list, of which a server may send each member as a header of its own."""


def origin_of(url: str) -> tuple[str, str, str]:
    """Scheme, host and port of `url`: scheme and host in lower case, the port explicit. Empty strings for an invalid URL.

    https://www.rfc-editor.org/rfc/rfc9110#name-https-normalization-and-com
    """
    found = ORIGIN.match(url)
    if found is None:
        return "", "", ""
    scheme, host, port = found.groups()
    return scheme.lower(), host.lower(), port or _DEFAULT_PORTS[scheme.lower()]


class RequestBody(Protocol):
    """Bytes to send: exactly `size` of them."""

    @property
    def size(self) -> int: ...

    def chunks(self) -> AsyncIterator[bytes]:
        """The bytes, in order, from the start; what it raises reaches the caller of the transport as it is."""
        ...


@dataclass(frozen=True, slots=True, repr=False)
class Request:
    """What goes on the wire. `url` is sent byte for byte; `headers` are all there are but `Host` and `Content-Length`.

    `expires_at` is when the signature ends, where that is known; a transport does not look at it. `fields` are those of the
    form in `body`, if it is one, for `hiding` only.
    """

    method: str
    url: str
    headers: Mapping[str, str]
    body: RequestBody | None = None
    expires_at: datetime | None = None
    fields: Mapping[str, str] | None = None

    def __str__(self) -> str:
        """Method and address, without the query, which holds the signature."""
        address = self.url.partition("?")[0].partition("#")[0]
        return f"{self.method} {redact(address)}"

    __repr__ = __str__

    def hiding(self, extra: Iterable[str] = ()) -> Callable[[str], str]:
        """A function that masks, in a text of a server's or a library's, what grants access by this request, or is `extra`."""
        return hiding(self.url, self.headers, self.fields or {}, extra=extra)


class Answer(Protocol):
    """The head of an answer, and its body as it comes."""

    @property
    def status(self) -> int: ...

    @property
    def headers(self) -> Mapping[str, str]:
        """Names in lower case; of a header that came twice, the first, but all of `LIST_HEADERS`, with commas between."""
        ...

    def chunks(self) -> AsyncIterator[bytes]:
        """The body, in pieces of any size. A body shorter than its `Content-Length` is a `NetworkError`."""
        ...


class Transport(Protocol):
    """Sends requests. Leaving `send`'s context before the body is read gives the connection up, never blocks."""

    def send(self, request: Request) -> AbstractAsyncContextManager[Answer]: ...

    async def aclose(self) -> None:
        """Close what the transport opened, and nothing else."""
        ...


@dataclass(frozen=True, slots=True, repr=False)
class Response:
    """A whole answer: `headers` have lower-case names, `body` is as it came (never decompressed)."""

    status: int
    headers: Mapping[str, str]
    body: bytes

    def __repr__(self) -> str:
        return f"Response({self.status}, {len(self.body)} bytes)"
