"""One object as S3 serves it to GETs, plainly and by range, with its conditions; and what goes wrong on the way, as data.

An `ObjectStore` answers requests to a `FakeTransport`: `faults` are taken first, by the value of the request's `Range`.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace

from asyncpresign import NetworkError
from asyncpresign.http.transport import Request

from .fake_transport import Say, error
from .fault_server import RESET, FaultServer, Reply, Then, answer

PIECE = 1 << 20


def md5_etag(data: bytes) -> str:
    return f'"{hashlib.md5(data).hexdigest()}"'


def parts_etag(data: bytes, size: int) -> str:
    digests = [hashlib.md5(data[start : start + size]).digest() for start in range(0, len(data), size)]
    return f'"{hashlib.md5(b"".join(digests)).hexdigest()}-{len(digests)}"'


@dataclass(frozen=True)
class Cut:
    """The answer that was due, broken off after `size` bytes."""

    size: int


@dataclass(frozen=True)
class Turned:
    """The answer that was due, its first bit turned."""


@dataclass(frozen=True)
class Whole:
    """All of the object, whatever was asked for."""


@dataclass(frozen=True)
class Replaced:
    """The object becomes another one before this request is answered."""

    data: bytes


Fault = Say | NetworkError | Cut | Turned | Whole | Replaced


@dataclass
class ObjectStore:
    data: bytes
    etag: str | None = None
    headers: Mapping[str, str] = field(default_factory=dict)
    faults: dict[str | None, list[Fault]] = field(default_factory=dict)
    ranges: bool = True
    conditions: bool = True
    piece: int = PIECE

    def __post_init__(self) -> None:
        self.etag = md5_etag(self.data) if self.etag is None else self.etag

    def __call__(self, request: Request, _: bytes) -> Say | NetworkError:
        sent = {name.lower(): value for name, value in request.headers.items()}
        due = self.faults.get(sent.get("range"))
        fault = due.pop(0) if due else None
        match fault:
            case Say() | NetworkError():
                return fault
            case Cut(size):
                answer = self.answer(sent)
                return replace(answer, body=chunks(joined(answer)[:size]), announced=len(joined(answer)), broken=True)
            case Turned():
                answer = self.answer(sent)
                body = joined(answer)
                return replace(answer, body=chunks(bytes([body[0] ^ 1]) + body[1:]))
            case Whole():
                return self.answer({})
            case Replaced(data):
                self.data, self.etag = data, md5_etag(data)
        return self.answer(sent)

    def answer(self, sent: Mapping[str, str]) -> Say:
        if self.conditions and sent.get("if-match", self.etag) != self.etag:
            return error(412, "PreconditionFailed")
        headers = {**self.headers, **({"etag": self.etag} if self.etag else {})}
        wanted = re.fullmatch(r"bytes=(\d+)-(\d*)", sent.get("range", "")) if self.ranges else None
        if wanted is None:
            return Say(200, chunks(self.data, self.piece), headers)
        first, last = int(wanted[1]), min(int(wanted[2] or len(self.data)), len(self.data) - 1)
        if first >= len(self.data):
            return error(416, "InvalidRange")
        place = {"content-range": f"bytes {first}-{last}/{len(self.data)}"}
        return Say(206, chunks(self.data[first : last + 1], self.piece), {**headers, **place})


def chunks(data: bytes, piece: int = PIECE) -> tuple[bytes, ...]:
    return tuple(data[start : start + piece] for start in range(0, len(data), piece))


def joined(say: Say) -> bytes:
    return say.body if isinstance(say.body, bytes) else b"".join(say.body)


def on_the_wire(store: ObjectStore, server: FaultServer) -> Iterator[Reply]:
    """The same over sockets: replies for a `FaultServer`, to whatever it has seen last."""
    while True:
        seen = server.seen[-1]
        say = store(Request(seen.method, seen.target, dict(seen.headers)), seen.body)
        if isinstance(say, NetworkError):
            yield RESET
            continue
        body = joined(say)
        headers = [*say.headers.items(), ("Content-Length", str(len(body) if say.announced is None else say.announced))]
        yield Reply(answer(say.status, body, headers=headers, length=False), Then.CLOSE if say.broken else Then.KEEP)
