"""How one object comes down: what is there already, what comes, and what is only streamed past."""

from __future__ import annotations

import errno
import os
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from typing import Any, BinaryIO, get_args

from ..errors import InvalidRequest, LocalFileError, Problem, ResponseError, describe
from ..http.transport import Answer
from ..models import PresignedRequest, S3Object
from .decide import refuses_range
from .exchange import Exchange, Moved, Sign, with_headers
from .folders import Spot, open_spot
from .gates import Lane
from .incoming import Expected, Incoming
from .integrity import Proof, offered, parse_checksum
from .items import Download, IfExists, Status
from .paths import Directory
from .ranges import byte_range, check_range, likely_part_size, read_head, requested_range
from .sinks import check_destination, feed, open_sink, path_spot, size_of
from .tree import destination_of


async def download(exchange: Exchange, item: Download) -> tuple[Moved, int]:
    expected = _expected(item)
    sign = exchange.signing(item.source, "source", "get_object", "GET", _params(exchange, item))
    destination = await _opened(exchange, item)
    try:
        if item.if_exists != "overwrite":
            kept = await _what_is_there(exchange, item, sign, _spot(destination, item.if_exists), expected)
            if kept is not None:
                return kept
        exclusive, durable = item.if_exists == "error", exchange.memo is not None
        sink = await open_sink(destination, exchange.token(), exchange.threads, exclusive=exclusive, durable=durable)
        try:
            return await Incoming(exchange, sign, exchange.allowed(item.source, None), sink, expected).fetch()
        finally:
            sink.discard()
    finally:
        if isinstance(destination, Spot):
            destination.close()


async def _opened(exchange: Exchange, item: Download) -> Spot | BinaryIO | None:
    """Where it goes; a path with its folder held open."""
    match item.destination:
        case Directory():
            return await _in_directory(exchange, item.source, item.destination)
        case str() | os.PathLike():
            return await open_spot(exchange.threads, path_spot, item.destination)
        case _:
            check_destination(item.destination)
            return item.destination


async def _in_directory(exchange: Exchange, source: PresignedRequest | str | S3Object, destination: Directory) -> Spot:
    if exchange.memo is None:
        return await open_spot(exchange.threads, destination_of, source, destination)
    # What a journal has for done must not lose its folder.
    with suppress(FileNotFoundError):
        return await open_spot(exchange.threads, destination_of, source, destination, False)
    return await open_spot(exchange.threads, destination_of, source, destination, True, True, syncs=True)


def _expected(item: Download) -> Expected:
    if item.if_exists not in get_args(IfExists):
        expected = ", ".join(map(repr, get_args(IfExists)))
        raise InvalidRequest(Problem("if_exists", f"one of {expected}", describe(item.if_exists)))
    proof = None if item.checksum is None else parse_checksum(item.checksum)
    etag = item.if_match
    if etag is not None and not etag.startswith('"'):
        etag = f'"{etag}"'
    return Expected(item.size, proof, etag, _is_of_a_part(item))


def _is_of_a_part(item: Download) -> bool:
    """Whether what is asked for is a part of an object, by the caller's own words."""
    if isinstance(item.source, S3Object):
        return not {"Range", "PartNumber"}.isdisjoint(item.params or {})
    match item.source:
        case PresignedRequest(url=url, headers=headers):
            return requested_range(url, headers) is not None
        case url:
            return isinstance(url, str) and requested_range(url, {}) is not None


def _params(exchange: Exchange, item: Download) -> dict[str, Any] | None:
    """S3 tells an object's checksum to who asks for it in a signed header only: it is asked when it is needed."""
    params = None if item.params is None else dict(item.params)
    if exchange.require_checksum and item.checksum is None and isinstance(item.source, S3Object):
        return {"ChecksumMode": "ENABLED", **(params or {})}
    return params


# --- a file that is there ---------------------------------------------------------------------------------------------


def _spot(destination: Spot | BinaryIO | None, if_exists: str) -> Spot:
    if isinstance(destination, Spot):
        return destination
    raise InvalidRequest(Problem("if_exists", f"'overwrite' for a {describe(destination)}: only paths exist", repr(if_exists)))


async def _what_is_there(
    exchange: Exchange, item: Download, sign: Sign, spot: Spot, expected: Expected
) -> tuple[Moved, int] | None:
    """The file that is there, if it stays; what it is proven by, if it has to be."""
    size = size_of(spot)
    if size is None:
        return None
    if item.if_exists == "error":
        raise LocalFileError("exists already", path=spot.path, errno=errno.EEXIST)
    if item.if_exists == "skip":
        return Moved(size, None, status=Status.SKIPPED), 0
    if expected.size not in (None, size) or expected.part:
        return None
    proof, part_size, attempts = expected.proof, 0, 0
    if proof is None:
        (total, proofs), attempts = await exchange.persist(
            _probing(exchange, sign, expected, size), exchange.allowed(item.source, None)
        )
        if total != size:
            return None
        if size == 0:
            return Moved(0, "size", status=Status.SKIPPED), attempts
        proof, part_size = _best(proofs, size, exchange.sizes.part_size)
    if proof is None:
        return None
    hasher = proof.hasher(part_size)
    await feed(spot, hasher.update, exchange.threads)
    return (Moved(size, proof.name, status=Status.SKIPPED), attempts) if hasher.digest() == proof.digest else None


def _probing(
    exchange: Exchange, sign: Sign, expected: Expected, size: int
) -> Callable[[int], Awaitable[tuple[int | None, list[Proof]]]]:
    """Ask for the size and the digests of what may be the `size` bytes that are there; None for a size that is not said.

    One byte is enough, and a GET's signature is good for it, as it is not for a HEAD; an empty object has none.
    """
    headers = {"If-Match": expected.if_match} if expected.if_match else {}
    if size:
        headers["Range"] = byte_range(0, 1)

    async def attempt(_: int) -> tuple[int | None, list[Proof]]:
        try:
            async with exchange.answer(with_headers(sign, headers), Lane.PROBE) as answer:
                head = read_head(answer.status, answer.headers)
                return head.total, offered(answer.headers, whole=not head.ranged)
        except ResponseError as error:
            if not size or not refuses_range(error):
                raise
            return None, []

    return attempt


def _best(proofs: list[Proof], size: int, ours: int | None) -> tuple[Proof | None, int]:
    for proof in proofs:
        part_size = likely_part_size(size, proof.parts, ours) if proof.parts else 0
        if part_size is not None:
            return proof, part_size
    return None, 0


# --- an object that is streamed past ----------------------------------------------------------------------------------


@asynccontextmanager
async def open_answer(
    exchange: Exchange, source: PresignedRequest | str | S3Object, wanted: str | None
) -> AsyncIterator[Answer]:
    """See `Transfer.open`."""
    sign = exchange.signing(source, "source", "get_object", "GET", None)
    if wanted is not None:
        sign = with_headers(sign, {"Range": check_range(wanted)})
    async with AsyncExitStack() as stack:

        async def attempt(_: int) -> Answer:
            return await stack.enter_async_context(exchange.answer(sign, None))

        answer, _ = await exchange.persist(attempt, exchange.allowed(source, None))
        yield answer
