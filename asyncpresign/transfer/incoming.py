"""One object on its way into one sink: asked for, received, gone on with where it broke, proven.

A small object, or one whose size is not known, is asked for plainly. When the answer says that it is large, the answer is
given up and the object fetched in ranges side by side; where it is known to be large beforehand, one byte is asked for
instead, which keeps the connection. Whatever follows the first answer is pinned to its ETag by `If-Match`. A server that
answers a range with all of the object is taken at its word. In a run with a journal, the ranges that a dead process got are
not asked for again.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

import anyio

from ..errors import (
    IntegrityError,
    JournalError,
    LocalFileError,
    NetworkError,
    PreconditionFailed,
    PresignError,
    ResponseError,
    TransferError,
)
from ..http.transport import Answer
from .crew import work_through
from .decide import Action, refuses_range
from .exchange import Exchange, Moved, Sign, with_headers
from .files import CHUNK, SMALL
from .gates import Lane
from .integrity import Hasher, Proof, offered, update
from .plan import PARTS_AT_ONCE, Piece, part_size_for, pieces
from .ranges import Head, byte_range, likely_part_size, read_head
from .sinks import Sink


@dataclass(frozen=True, slots=True)
class Expected:
    """What the caller says of the object: `size` in bytes, `proof`, ETag (`if_match`); and whether a `part` is all he wants."""

    size: int | None = None
    proof: Proof | None = None
    if_match: str | None = None
    part: bool = False


class _Final(Exception):
    """`error` has been tried again for one range as often as it may be, or nothing cures it."""

    def __init__(self, error: PresignError) -> None:
        super().__init__()
        self.error = error


class _NoRanges(Exception):
    """The object has to come in one response: a range was refused, or the response to it was all of the object, or nothing
    that says of what version.
    """


async def receive(answer: Answer, at: int, end: int | None, chunk: int, keep: Callable[[bytes, int], Awaitable[None]]) -> None:
    """Hand the body, whose first byte belongs at offset `at`, to `keep(data, offset)` in pieces that are worth a call.

    All that comes is handed on, also before a `NetworkError` leaves. Raises `IntegrityError` when it does not end at `end`.
    """
    waiting: list[bytes] = []
    size = 0

    async def flush() -> None:
        nonlocal at, size
        if size:
            data = waiting[0] if len(waiting) == 1 else b"".join(waiting)
            waiting.clear()
            start, at, size = at, at + size, 0
            await keep(data, start)

    try:
        async for piece in answer.chunks():
            waiting.append(piece)
            size += len(piece)
            if end is not None and at + size > end:
                raise IntegrityError(f"the body is longer than was said: more than {end} bytes")
            if size >= chunk:
                await flush()
    except NetworkError:
        await flush()
        raise
    await flush()
    if end is not None and at < end:
        raise IntegrityError(f"{at} bytes arrived instead of {end}")


class Incoming:
    """Brings what `sign` asks for into `sink`. `fetch`, once, returns what was moved and the number of attempts."""

    def __init__(self, exchange: Exchange, sign: Sign, allowed: frozenset[Action], sink: Sink, expected: Expected) -> None:
        self._exchange = exchange
        self._sign = sign
        self._allowed = allowed
        self._sink = sink
        self._expected = expected
        limits = exchange.limits
        self._chunk = min(CHUNK, max(SMALL, limits.memory // (2 * limits.concurrency)))
        self._workers = min(PARTS_AT_ONCE, limits.concurrency)
        self._ranges = True
        self._changed = False
        # Digests of what arrived, with those of ETags that are no proof, and which they are not.
        self._unlike: set[tuple[bytes, bytes]] = set()
        self._retried = 0
        self._forget()

    def _forget(self) -> None:
        self._held = 0
        self._total: int | None = None
        # The ETag of the first answer, which all others must have.
        self._pin: str | None = None
        self._proof: Proof | None = None
        self._guessed = False
        self._hasher: Hasher | None = None
        self._arrived: dict[int, Piece] = {}
        self._done = 0
        self._split = False
        self._following = False
        self._doubtful = False
        # The server has responded to a range with a range, so that a refusal is about something else.
        self._takes_ranges = False

    async def fetch(self) -> tuple[Moved, int]:
        try:
            return await self._fetched()
        except BaseException:
            # The temporary file is removed next. A journal that failed raises its error again when the item ends.
            with anyio.CancelScope(shield=True), suppress(JournalError):
                await self._clear_memo()
            raise

    async def _fetched(self) -> tuple[Moved, int]:
        try:
            moved, attempts = await self._exchange.persist(self._attempt, self._allowed, self._resumable)
        except _Final as final:
            error = final.error
        except (IntegrityError, LocalFileError) as failure:
            # All of it came, once, and it cannot be asked for again: what nobody vouches for refutes nothing.
            if not self._doubtful or len(self._unlike) > 1 or self._exchange.require_checksum:
                raise
            moved = Moved(self._held, self._by_size(), await self._sink.commit())
            return moved, failure.attempts + self._retried
        else:
            return moved, attempts + self._retried
        raise error

    def _resumable(self) -> int:
        """How many bytes can be followed by a range of the same version."""
        return self._held if self._pin and self._ranges else 0

    async def _attempt(self, at: int) -> Moved:
        if at == 0:
            await self._restart()
        try:
            split = await self._first(at)
            if split:
                await self._in_ranges()
        except PreconditionFailed as error:
            raise self._again(error) from None
        except _NoRanges:
            self._ranges = False
            return await self._attempt(0)
        verified_by = self._prove()
        return Moved(self._held, verified_by, await self._sink.commit())

    async def _restart(self) -> None:
        if self._split:
            await self._clear_memo()
        await self._sink.restart()
        self._forget()

    async def _clear_memo(self) -> None:
        """Awaited before the temporary file that the memo describes is written over or removed."""
        memo = self._exchange.memo
        # A save that was cancelled may still be written, before this one.
        if memo is not None and (memo.state or self._done):
            await memo.save(None)

    # --- what is asked for, and what comes ----------------------------------------------------------------------------

    async def _first(self, at: int) -> bool:
        """The object, or what is missing of it. Returns whether it has only been found to be one for ranges."""
        # A checksum is told with the whole object only.
        probe = at == 0 and self._is_large(self._expected.size) and not self._exchange.require_checksum
        lane, end = (Lane.PROBE, 1) if probe else (Lane.DATA, None)
        try:
            async with self._exchange.answer(self._asking(at, end), lane) as answer:
                head = read_head(answer.status, answer.headers)
                if at and head.ranged:
                    self._check(head)
                else:
                    if at:
                        await self._restart()
                        at = 0
                    if self._begins_ranges(answer, head, probe):
                        return True
                if not at:
                    await self._clear_memo()
                await receive(answer, at, self._total, self._chunk, self._keep)
        except ResponseError as error:
            if (probe or at) and refuses_range(error):
                raise _NoRanges from None
            raise
        return False

    def _begins_ranges(self, answer: Answer, head: Head, probe: bool) -> bool:
        if probe:
            self._ranges = self._takes_ranges = head.ranged
        self._begin(head, answer, whole=probe or not head.ranged)
        if self._is_large(self._total) and self._pin:
            return True
        if probe and head.ranged:
            # It is not for ranges after all.
            raise _NoRanges
        return False

    def _is_large(self, size: int | None) -> bool:
        ranges = self._ranges and self._sink.anywhere and not self._expected.part
        return size is not None and ranges and self._exchange.sizes.in_parts(size)

    def _asking(self, first: int = 0, end: int | None = None) -> Sign:
        """For the bytes from `first` to before `end`, of the object that was begun."""
        headers = {"Range": byte_range(first, end)} if first or end is not None else {}
        if pin := self._pin or self._expected.if_match:
            headers["If-Match"] = pin
        return with_headers(self._sign, headers) if headers else self._sign

    def _begin(self, head: Head, answer: Answer, whole: bool) -> None:
        """Learn from the first answer what the rest must be; not `whole`: from one to a range that the caller asked for."""
        self._check_condition(answer)
        self._total = head.total if whole else head.size
        size = self._expected.size
        if size is not None and self._total not in (None, size):
            raise IntegrityError(f"the object has {self._total} bytes, not the {size} that were expected")
        self._total = size if self._total is None else self._total
        # Offsets in a part are not those of the object: it cannot be gone on with.
        self._pin = head.etag if whole else None
        self._proof = self._expected.proof
        if self._proof is None and whole:
            self._choose(offered(answer.headers, whole=not head.ranged))
        if self._proof is None and self._exchange.require_checksum:
            told = "nothing but its size could prove the object: give checksum=, or have one stored with it"
            raise _Final(IntegrityError(told))
        self._hasher = None if self._proof is None else self._proof.hasher(self._part_size())

    def _choose(self, proofs: list[Proof]) -> None:
        self._proof = next((proof for proof in proofs if not proof.parts), None)
        for proof in proofs if self._proof is None else []:
            self._proof = proof
            if self._part_size() > 0:
                self._guessed = proof.parts > 1
                return
            self._proof = None

    def _part_size(self) -> int:
        """Of the upload that a proof of parts is about; 0 when it cannot be known."""
        if self._proof is None or not self._proof.parts or self._total is None:
            return 0
        return likely_part_size(self._total, self._proof.parts, self._exchange.sizes.part_size) or 0

    def _check_condition(self, answer: Answer) -> None:
        """Some servers ignore `If-Match`."""
        etag = answer.headers.get("etag", "").removeprefix("W/").strip('"')
        if self._expected.if_match and etag and f'"{etag}"' not in self._expected.if_match:
            raise PreconditionFailed("the object has another ETag than if_match=", status=412)

    def _check(self, head: Head) -> None:
        """Whether an answer to a range is of the version of the object that was begun."""
        if head.etag is None:
            raise _NoRanges
        if head.etag != self._pin:
            raise PreconditionFailed("another ETag than that of the first answer", status=412)
        if head.total != self._total:
            raise IntegrityError(f"the object has {head.total} bytes in one answer and {self._total} in another")

    def _again(self, error: PreconditionFailed) -> PresignError:
        """The object is another one now: it is begun anew, once, unless the caller wants no other."""
        if self._expected.if_match or self._pin is None or self._changed:
            return error
        self._changed = True
        return IntegrityError("the object changed while it was read")

    async def _keep(self, data: bytes, at: int) -> None:
        if self._hasher is not None:
            await update(self._hasher, data, self._exchange.threads.run)
        await self._sink.write(data, at)
        self._held = at + len(data)

    # --- in ranges ----------------------------------------------------------------------------------------------------

    async def _in_ranges(self) -> None:
        total = self._total or 0
        todo = await self._missing(pieces(total, self._piece_size()))
        try:
            await work_through(todo, min(self._workers, len(todo)), self._range)
        except PreconditionFailed:
            raise
        except TransferError as error:
            raise _Final(error) from None
        self._held = total

    def _piece_size(self) -> int:
        return part_size_for(self._total or 0, self._exchange.sizes.part_size)

    async def _missing(self, todo: list[Piece]) -> list[Piece]:
        """Those of `todo` that a journal does not know to be in the file that its last run left."""
        self._split = True
        memo = self._exchange.memo
        if memo is None or not memo.state:
            return todo
        state = dict(memo.state)
        done, file = int(state.pop("done", "0"), 16), state.pop("file", "")
        arrived = {piece.number: piece for piece in todo if done >> piece.number & 1}
        end = max((piece.start + piece.size for piece in arrived.values()), default=0)
        if state != self._state() or not await self._sink.adopt(self._total or 0, file, end):
            await self._clear_memo()
            return todo
        self._done = done
        self._takes_ranges = done > 0
        self._arrived = arrived
        missing = [piece for piece in todo if piece.number not in self._arrived]
        await self._follow()
        return missing

    def _state(self) -> dict[str, Any]:
        return {"etag": self._pin, "size": self._total, "part_size": self._piece_size()}

    async def _note(self, piece: Piece) -> None:
        """`piece` outlives the process."""
        if self._exchange.memo is not None:
            file = await self._sink.sync()
            self._done |= 1 << piece.number
            await self._exchange.memo.save({**self._state(), "done": f"{self._done:x}", "file": file})

    async def _range(self, piece: Piece) -> None:
        got = 0
        end = piece.start + piece.size

        async def keep(data: bytes, at: int) -> None:
            nonlocal got
            await self._sink.write(data, at)
            got = at + len(data) - piece.start

        async def attempt(at: int) -> None:
            nonlocal got
            got, start = at, piece.start + at
            try:
                async with self._exchange.answer(self._asking(start, end)) as answer:
                    head = read_head(answer.status, answer.headers)
                    if not head.ranged:
                        raise _NoRanges
                    self._check(head)
                    self._takes_ranges = True
                    await receive(answer, start, end, self._chunk, keep)
            except ResponseError as error:
                if not self._takes_ranges and refuses_range(error):
                    raise _NoRanges from None
                raise

        _, attempts = await self._exchange.persist(attempt, self._allowed, lambda: got)
        self._retried += attempts - 1
        await self._note(piece)
        self._arrived[piece.number] = piece
        await self._follow()

    async def _follow(self) -> None:
        """Hash, in order, what has arrived without a gap; by reading it again, whoever is the first to get here."""
        if self._following or self._hasher is None:
            return
        self._following = True
        try:
            while piece := self._arrived.pop(self._next_number(), None):
                await self._sink.replay(self._hasher.update, piece.start, piece.size)
                self._held = piece.start + piece.size
        finally:
            self._following = False

    def _next_number(self) -> int:
        return self._held // self._piece_size() + 1

    # --- proof --------------------------------------------------------------------------------------------------------

    def _prove(self) -> str | None:
        """What proved the bytes. Raises `IntegrityError`."""
        proof, hasher = self._proof, self._hasher
        if proof is not None and hasher is not None:
            digest = hasher.digest()
            if digest == proof.digest:
                return proof.name
            if not self._guessed and (proof.vouched or not self._came_before(digest, proof)):
                raise IntegrityError(f"the bytes that arrived have another {proof.name} than they should have")
            if self._exchange.require_checksum:
                told = f"the object's {proof.name} cannot be computed without the size of the parts it was uploaded in"
                told = told if self._guessed else "the object's ETag is not its MD5, and nothing else could prove it"
                raise _Final(IntegrityError(f"{told}: give checksum="))
        return self._by_size()

    def _by_size(self) -> str | None:
        return "size" if self._total is not None else None

    def _came_before(self, digest: bytes, proof: Proof) -> bool:
        """Whether the same bytes have arrived before, with the same digest beside them that is not theirs."""
        self._doubtful = (digest, proof.digest) not in self._unlike
        self._unlike.add((digest, proof.digest))
        return not self._doubtful
