"""How one object comes down: asked for, received into its sink, proven, made visible."""

from __future__ import annotations

from ..errors import IntegrityError
from ..http.transport import Answer
from .exchange import Exchange, Moved
from .files import CHUNK
from .items import Download
from .sinks import Sink, check_destination, open_sink
from .tree import destination_of


async def download(exchange: Exchange, item: Download) -> tuple[Moved, int]:
    sign = exchange.signing(item.source, "source", "get_object", "GET", item.params)
    destination = destination_of(item.source, item.destination)
    check_destination(destination)
    sink = await open_sink(destination, exchange.edge.token(), exchange.threads)

    async def attempt(_: int) -> Moved:
        await sink.restart()
        async with exchange.answer(sign) as answer:
            size, verified_by = await _receive(answer, sink, item.size)
        return Moved(size, verified_by, await sink.commit())

    try:
        return await exchange.persist(attempt, exchange.allowed(item.source, None))
    finally:
        sink.discard()


async def _receive(answer: Answer, sink: Sink, size: int | None) -> tuple[int, str | None]:
    """Move the body into `sink`, in pieces that are worth a thread's while. Returns its size and what proved it."""
    announced = answer.headers.get("content-length")
    expected = int(announced) if announced is not None and announced.isdigit() else None
    if size is not None and expected not in (None, size):
        raise IntegrityError(f"the object has {expected} bytes, not the {size} that were expected")
    limit = size if expected is None else expected
    pending: list[bytes] = []
    held = total = 0
    async for chunk in answer.chunks():
        pending.append(chunk)
        held += len(chunk)
        if limit is not None and total + held > limit:
            raise IntegrityError(f"more than {limit} bytes arrived")
        if held >= CHUNK:
            await sink.write(b"".join(pending), total)
            pending.clear()
            total, held = total + held, 0
    if limit is not None and total + held < limit:
        raise IntegrityError(f"{total + held} bytes arrived instead of {limit}")
    if held:
        await sink.write(b"".join(pending), total)
    return total + held, "size" if limit is not None else None
