"""The HTTP side of the simulated S3, and what goes wrong there: a table of faults, each a script of what is sent and when.

A fault is a function of the request, of `do` (which does what was asked and returns the true response) and of chance; it
returns steps. Whether `do` is called is the difference between a request that was lost and one whose response was.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Collection
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from .bucket import Request, Response, error, md5, request_of
from .network import Connection

if TYPE_CHECKING:
    from .world import World

Step = tuple[Any, ...]
Do = Callable[[], Response]
Script = Callable[[Request, Do, random.Random], list[Step]]


@dataclass(frozen=True, slots=True)
class Fault:
    """`early`: before the body is read. `lasting`: an item that meets it may fail although it is tried again."""

    script: Script
    operations: Collection[str] = ()
    early: bool = False


FAULTS: dict[str, Fault] = {}
READS, WRITES = ("get", "range"), ("put", "form", "part")
DOCUMENTS = ("create", "complete", "parts", "listing", "uploads")


def fault(name: str, *operations: str, early: bool = False) -> Callable[[Script], Script]:
    def register(script: Script) -> Script:
        FAULTS[name] = Fault(script, operations, early)
        return script

    return register


def says(name: str, status: int, code: str, message: str = "", *operations: str, **headers: str) -> None:
    """A fault that is a refusal; the request has no effect."""
    given = {key.replace("_", "-"): value for key, value in headers.items()}
    FAULTS[name] = Fault(lambda request, do, chance: [("send", error(status, code, message, **given).encoded())], operations)


says("503", 503, "SlowDown")
says("503 with Retry-After", 503, "SlowDown", Retry_After="3")
says("500", 500, "InternalError")
says("429", 429, "TooManyRequests")
says("403 expired", 403, "AccessDenied", "Request has expired")
says("400 ExpiredToken", 400, "ExpiredToken")
says("403 denied", 403, "AccessDenied", "no")
says("404", 404, "NoSuchKey", "", *READS)
says("301", 301, "PermanentRedirect", Location="https://elsewhere.test/")
says("202", 202, "Accepted", "", "get")
says("409", 409, "ConditionalRequestConflict", "", "put", "complete")


@fault("502 of a gateway, nothing done")
def _gateway(request: Request, do: Do, chance: random.Random) -> list[Step]:
    return [("send", Response(502, b"<html>bad & ugly", {"Content-Type": "text/html"}).encoded())]


@fault("504 of a gateway, done")
def _gateway_done(request: Request, do: Do, chance: random.Random) -> list[Step]:
    do()
    return [("send", Response(504, b"<html>bad & ugly", {"Content-Type": "text/html"}).encoded())]


@fault("reset, nothing done")
def _reset(request: Request, do: Do, chance: random.Random) -> list[Step]:
    return [("reset",)]


@fault("closed, nothing done")
def _closed(request: Request, do: Do, chance: random.Random) -> list[Step]:
    return [("end",)]


@fault("response lost, done")
def _lost(request: Request, do: Do, chance: random.Random) -> list[Step]:
    do()
    return [(chance.choice(("reset", "end")),)]


@fault("head cut, done")
def _head_cut(request: Request, do: Do, chance: random.Random) -> list[Step]:
    raw = do().encoded()
    return [("send", raw[: chance.randrange(1, raw.index(b"\r\n\r\n") + 4)]), (chance.choice(("reset", "end")),)]


@fault("no response")
def _silent(request: Request, do: Do, chance: random.Random) -> list[Step]:
    return [("hold",)]


@fault("no response, done")
def _silent_done(request: Request, do: Do, chance: random.Random) -> list[Step]:
    do()
    return [("hold",)]


@fault("no HTTP")
def _garbage(request: Request, do: Do, chance: random.Random) -> list[Step]:
    return [("send", b"\x16\x03\x01 this is no HTTP\r\n\r\n"), ("end",)]


@fault("slow response")
def _slow(request: Request, do: Do, chance: random.Random) -> list[Step]:
    return [("wait", chance.uniform(0.01, 30.0)), ("send", do().encoded())]


@fault("head drips")
def _drip(request: Request, do: Do, chance: random.Random) -> list[Step]:
    raw = do().encoded()
    return [each for at in range(len(raw)) for each in (("send", raw[at : at + 1]), ("wait", 2.0))]


@fault("interim responses")
def _interim(request: Request, do: Do, chance: random.Random) -> list[Step]:
    many = [("send", b"HTTP/1.1 102 Processing\r\n\r\n"), ("wait", 0.001)] * chance.randrange(1, 5)
    return [*many, ("send", do().encoded())]


@fault("a surplus response")
def _surplus(request: Request, do: Do, chance: random.Random) -> list[Step]:
    again = Response(200, b"surplus", {"ETag": f'"{md5(b"surplus").hex()}"', "x-amz-request-id": "r"}).encoded()
    return [("send", do().encoded()), ("unasked", again, chance.choice((0.0, 0.0, 0.001, 0.05)))]


@fault("surplus bytes")
def _surplus_bytes(request: Request, do: Do, chance: random.Random) -> list[Step]:
    return [("send", do().encoded()), ("unasked", chance.randbytes(chance.randrange(1, 30)), chance.choice((0.0, 0.001)))]


@fault("connection: close")
def _closing(request: Request, do: Do, chance: random.Random) -> list[Step]:
    response = do()
    response.headers["Connection"] = "close"
    return [("send", response.encoded()), ("end",)]


@fault("closed while idle")
def _stale(request: Request, do: Do, chance: random.Random) -> list[Step]:
    return [("send", do().encoded()), ("wait", chance.choice((0.0, 0.001, 0.1, 5.0))), ("end if idle",)]


@fault("half-closed after the response")
def _half(request: Request, do: Do, chance: random.Random) -> list[Step]:
    return [("send", do().encoded()), ("half",)]


# --- bodies that come down --------------------------------------------------------------------------------------------


@fault("body cut", *READS)
def _body_cut(request: Request, do: Do, chance: random.Random) -> list[Step]:
    raw = do().encoded()
    start = raw.index(b"\r\n\r\n") + 4
    if start == len(raw):
        return [("send", raw)]
    return [("send", raw[: chance.randrange(start, len(raw))]), (chance.choice(("reset", "end")),)]


@fault("body stops", *READS)
def _body_stops(request: Request, do: Do, chance: random.Random) -> list[Step]:
    raw = do().encoded()
    start = raw.index(b"\r\n\r\n") + 4
    return [("send", raw)] if start == len(raw) else [("send", raw[: chance.randrange(start, len(raw))]), ("hold",)]


@fault("body in slow pieces", *READS)
def _body_slow(request: Request, do: Do, chance: random.Random) -> list[Step]:
    raw = do().encoded()
    size = max(1, len(raw) // 5)
    return [each for at in range(0, len(raw), size) for each in (("send", raw[at : at + size]), ("wait", chance.random()))]


@fault("a byte is another", *READS)
def _flipped(request: Request, do: Do, chance: random.Random) -> list[Step]:
    response = do()
    if response.body and response.status in (200, 206) and _is_md5(response.headers.get("ETag", "")):
        at = chance.randrange(len(response.body))
        response.body = response.body[:at] + bytes([response.body[at] ^ 1]) + response.body[at + 1 :]
    return [("send", response.encoded())]


def _is_md5(etag: str) -> bool:
    return len(etag) == 34


@fault("unasked 206", "get")
def _unasked(request: Request, do: Do, chance: random.Random) -> list[Step]:
    response = do()
    size = len(response.body)
    if response.status == 200 and size > 1:
        first = chance.randrange(size)
        last = chance.randrange(first, size)
        response.body = response.body[first : last + 1]
        response.status = 206
        response.headers["Content-Range"] = f"bytes {first}-{last}/{size}"
    return [("send", response.encoded())]


@fault("another range", "range")
def _other_range(request: Request, do: Do, chance: random.Random) -> list[Step]:
    response = do()
    if response.status == 206 and len(response.body) > 1:
        response.body = response.body[1:]
        first, _, rest = response.headers["Content-Range"].removeprefix("bytes ").partition("-")
        response.headers["Content-Range"] = f"bytes {int(first) + 1}-{rest}"
    return [("send", response.encoded())]


@fault("longer than said", *READS)
def _longer(request: Request, do: Do, chance: random.Random) -> list[Step]:
    return [("send", do().encoded()), ("unasked", b"and more", 0.0), ("end",)]


@fault("in chunks", *READS, *DOCUMENTS)
def _chunks(request: Request, do: Do, chance: random.Random) -> list[Step]:
    return [("send", _chunked(do(), chance))]


@fault("chunks cut", *READS)
def _chunks_cut(request: Request, do: Do, chance: random.Random) -> list[Step]:
    raw = _chunked(do(), chance)
    return [("send", raw[: chance.randrange(raw.index(b"\r\n\r\n") + 4, len(raw))]), (chance.choice(("reset", "end")),)]


def _chunked(response: Response, chance: random.Random) -> bytes:
    lines = [f"HTTP/1.1 {response.status} Words", *(f"{name}: {value}" for name, value in response.headers.items())]
    raw = "\r\n".join([*lines, "Transfer-Encoding: chunked", "", ""]).encode()
    body, size = response.body, chance.randrange(1, max(2, len(response.body)))
    for at in range(0, len(body), size):
        piece = body[at : at + size]
        raw += f"{len(piece):x}\r\n".encode() + piece + b"\r\n"
    return raw + b"0\r\n\r\n"


@fault("no ETag", *READS)
def _no_etag(request: Request, do: Do, chance: random.Random) -> list[Step]:
    response = do()
    response.headers.pop("ETag", None)
    return [("send", response.encoded())]


@fault("range ignored", "range")
def _ignored(request: Request, do: Do, chance: random.Random) -> list[Step]:
    return [("send", do().encoded())]  # `Peer` asks for the whole object


# --- bodies that go up ------------------------------------------------------------------------------------------------


@fault("refused before the body was read", *WRITES, early=True)
def _early(request: Request, do: Do, chance: random.Random) -> list[Step]:
    return [("send", error(*chance.choice(((503, "SlowDown"), (400, "EntityTooLarge")))).encoded()), ("wait", 0.1), ("end",)]


@fault("reset while the body is sent", *WRITES, early=True)
def _early_reset(request: Request, do: Do, chance: random.Random) -> list[Step]:
    return [("reset",)]


@fault("stops reading", *WRITES, early=True)
def _stops_reading(request: Request, do: Do, chance: random.Random) -> list[Step]:
    return [("stop reading",), ("hold",)]


@fault("another ETag", *WRITES)
def _other_etag(request: Request, do: Do, chance: random.Random) -> list[Step]:
    response = do()
    if "ETag" in response.headers:
        response.headers["ETag"] = f'"{md5(b"another").hex()}"'
    return [("send", response.encoded())]


# --- documents --------------------------------------------------------------------------------------------------------


@fault("an error in a 200", "complete")
def _error_in_200(request: Request, do: Do, chance: random.Random) -> list[Step]:
    response = error(500, "InternalError")
    response.status = 200
    return [("send", response.encoded())]


@fault("unreadable document, done", *DOCUMENTS)
def _unreadable(request: Request, do: Do, chance: random.Random) -> list[Step]:
    response = do()
    response.body = response.body[: len(response.body) // 2]
    return [("send", response.encoded())]


OPERATIONS = ("get", "range", "head", *WRITES, *DOCUMENTS, "abort", "other")
FITTING: dict[str, list[str]] = {
    operation: [name for name, each in FAULTS.items() if not each.operations or operation in each.operations]
    for operation in OPERATIONS
}


# --- a connection -----------------------------------------------------------------------------------------------------


class Serving:
    """The server's side of one connection: reads a request, plays its script, reads the next."""

    def __init__(self, world: World, host: str, connection: Connection) -> None:
        self._world = world
        self.host = host
        self.connection = connection
        self._buffer = bytearray()
        self._request: Request | None = None
        self._fault: str | None = None
        self._needed = 0
        # Between the head of a request and the end of its response.
        self.active = False
        self._deaf = False

    # --- what the network calls

    def received(self, data: bytes) -> None:
        if self._deaf:
            return
        self._buffer += data
        if self.active and self._request is None:
            self._world.violate(f"the client sent {len(data)} bytes beyond its request on connection {self.connection.number}")
            self._deaf = True
            return
        self._read()

    def ended(self) -> None:
        self._deaf = True
        self._world.inactive(self)

    # --- requests

    def _read(self) -> None:
        if self._request is None:
            end = self._buffer.find(b"\r\n\r\n")
            if end < 0:
                return
            try:
                self._request = request_of(self.host, bytes(self._buffer[:end]))
                self._needed = int(self._request.headers.get("content-length", 0))
            except ValueError as error:
                self._world.violate(f"the client sent what is no request: {bytes(self._buffer[:40])!r} ({error})")
                self._deaf = True
                return
            del self._buffer[: end + 4]
            self.active = True
            self._fault = self._world.met(self, self._request)
            if self._fault is not None and FAULTS[self._fault].early:
                self._play(self._request)
                return
        if len(self._buffer) >= self._needed:
            body = bytes(self._buffer[: self._needed])
            del self._buffer[: self._needed]
            if self._buffer:
                self._world.violate(
                    f"the client sent {len(self._buffer)} bytes beyond its request: {bytes(self._buffer[:40])!r}"
                )
                self._deaf = True
                return
            complete = replace(self._request, body=body)
            self._request = None
            self._world.loop.call_later(self._world.service_time(), self._respond, complete)

    def _respond(self, request: Request) -> None:
        name, self._fault = self._fault, None

        def do() -> Response:
            if name == "range ignored":
                headers = {key: value for key, value in request.headers.items() if key != "range"}
                return self._world.answer(replace(request, headers=headers))
            return self._world.answer(request)

        if name is None:
            self._run([("send", do().encoded())])
        else:
            self._run(FAULTS[name].script(request, do, self._world.chance))

    def _play(self, request: Request) -> None:
        """A script that does not wait for the body, nor care for it."""
        assert self._fault is not None
        self._deaf = True
        self._run(FAULTS[self._fault].script(request, lambda: error(500, "none"), self._world.chance))

    # --- scripts

    def _run(self, steps: list[Step]) -> None:
        kind = ""
        while steps:
            kind, *arguments = steps.pop(0)
            if kind != "end if idle" and not any(step[0] in ("send", "hold") for step in (*steps, (kind,))):
                # Nothing of the response is left to be sent: the next request may come.
                self._world.inactive(self)
                self.active = False
            match kind:
                case "send":
                    self.connection.send(*arguments)
                case "unasked":
                    self.connection.unasked(*arguments)
                case "end":
                    self._deaf = True
                    self.connection.end()
                case "end if idle":
                    if not self.active and not self._buffer:
                        self._deaf = True
                        self.connection.end()
                case "half":
                    self.connection.half_close()
                case "reset":
                    self._deaf = True
                    self.connection.reset()
                case "stop reading":
                    self.connection.reading = False
                case "hold":
                    return
                case "wait":
                    self._world.loop.call_later(arguments[0], self._run, steps)
                    return
        if not self._deaf and kind != "end if idle":
            self._world.inactive(self)
            self.active = False
