"""How a large object goes up in parts, by presigned requests alone: create, parts side by side, complete.

Every request is signed just before it is sent and tried again on its own. Whatever ends the upload early, being cancelled
too, aborts it, so that no part stays behind to be paid for. What a dead run has left is taken up again where its journal
knows the upload's id: ListParts tells what is there, and the source whether it is right.
https://docs.aws.amazon.com/AmazonS3/latest/userguide/mpuoverview.html
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, replace
from datetime import timedelta
from functools import partial
from typing import Any, TypeVar

import anyio

from .._s3.documents import (
    Part,
    PartListing,
    build_complete_multipart_upload,
    parse_complete_multipart_upload,
    parse_create_multipart_upload,
    parse_error,
    parse_list_multipart_uploads,
    parse_list_parts,
)
from .._s3.multipart import ABORT, COMPLETE, CREATE, LIST, LIST_UPLOADS, PART, share, taken
from ..errors import (
    IntegrityError,
    InvalidRequest,
    NetworkError,
    NotFound,
    PreconditionFailed,
    PresignError,
    Problem,
    ResponseError,
    TransferError,
)
from ..http.transport import Request
from ..models import S3Object
from .crew import finish, work_through
from .decide import response_error, server_time
from .exchange import DOCUMENT, Exchange, Moved, Sign, read_answer
from .existing import stored_alike
from .gates import Lane
from .integrity import CHECKSUMS, encode, of_parts, of_whole, offered
from .plan import PARTS_AT_ONCE, Piece, part_size_for, pieces
from .proving import MD5, Asked, Known, Sums, digest, digest_parameter, judge
from .sources import OpenSource, Seen, bytes_source

# Seconds that an upload which is given up has to be created and to be aborted in.
GRACE = 30.0
# HTTP's dates have whole seconds, and the one that names a moment may be rounded either way.
CLOCK_PRECISION = timedelta(seconds=2)
# Of ListMultipartUploads, with a thousand uploads each.
MAX_PAGES = 10
_GATEWAY = frozenset({502, 504})
# S3 tells of a thousand parts at a time.
_LISTING = 2 * 1024 * 1024

_METHODS = {CREATE: "POST", PART: "PUT", COMPLETE: "POST", ABORT: "DELETE", LIST: "GET"}

_Result = TypeVar("_Result")


async def upload_parts(
    exchange: Exchange, place: S3Object, source: OpenSource, params: Mapping[str, Any], wanted: Asked
) -> tuple[Moved, int]:
    """Store all of `source`. Its attempts are one, and one more for every request that had to be sent again."""
    upload = _Upload(exchange, place, source, params, wanted)
    moved = await upload.run()
    return moved, 1 + upload.retries


@asynccontextmanager
async def buffered(
    exchange: Exchange, source: OpenSource, start: int, size: int, turn: anyio.Lock | None = None, seen: Seen | None = None
) -> AsyncIterator[OpenSource]:
    """A part of what can be read once, in memory, so that it can be sent again; read when it is its `turn`."""
    async with AsyncExitStack() as held:
        async with turn or anyio.Lock():
            await held.enter_async_context(exchange.memory.hold(size))
            data = b"".join([chunk async for chunk in source.part(start, size, seen).chunks()])
        yield bytes_source(data, exchange.threads)


@dataclass(frozen=True, slots=True)
class _Sent:
    """A part that is stored, and our digests of it by the names of their checksums."""

    part: Part
    size: int
    digests: Mapping[str, bytes]


def _headers(etag: str, checksums: Mapping[str, str]) -> dict[str, str]:
    """What a document says, as headers would."""
    return {"etag": etag, **{CHECKSUMS[name].header: text for name, text in checksums.items() if name in CHECKSUMS}}


class _Upload:
    def __init__(
        self, exchange: Exchange, place: S3Object, source: OpenSource, params: Mapping[str, Any], wanted: Asked
    ) -> None:
        self.retries = 0
        self._exchange = exchange
        self._place = place
        self._source = source
        self._params = params
        self._wanted = wanted
        shares = share(params)
        _check_whole(shares.whole, source.size, wanted)
        self._shares = shares.of
        kind = wanted.kind
        # S3 keeps a CRC of the whole where it can, unless told otherwise; of hashes, one of the parts' only.
        self._keeps_whole = kind is not None and kind.whole and params.get("ChecksumType") != "COMPOSITE"
        self._part_size = part_size_for(source.size, exchange.sizes.part_size)
        # The upload that is to be completed or aborted.
        self._id: str | None = None
        self._turn = anyio.Lock(fast_acquire=True)
        self._sums = Sums([], source.size, wanted.expected)

    async def run(self) -> Moved:
        if self._wanted.expected is not None and self._source.repeatable:
            # The parts go out in any order, and S3 compares no hash of the whole.
            async for _ in self._source.part(0, self._source.size, self._sums.seen).chunks():
                pass
        try:
            stored = await self._resume()
            if self._id is None:
                await finish(self._create, GRACE)
            moved = await self._complete(await self._send(stored))
        except BaseException as error:
            await self._abort(error)
            raise
        await self._abort()
        return moved

    # --- begin and end ------------------------------------------------------------------------------------------------

    async def _create(self) -> None:
        more: dict[str, Any] = {}
        kind = self._wanted.kind
        if kind is not None and kind is not MD5:
            more["ChecksumAlgorithm"] = kind.algorithm
            if self._keeps_whole:
                more["ChecksumType"] = "FULL_OBJECT"
        begun = self._exchange.edge.monotonic()
        create = self._asking(CREATE, parse_create_multipart_upload, {**more, **self._shares[CREATE]})
        lost = False

        async def attempt(number: int) -> str:
            nonlocal lost
            if lost:
                await self._none_created_since(begun)
            try:
                upload_id, _ = await create(number)
            except NetworkError as error:
                lost = lost or error.sent
                raise
            except ResponseError as error:
                # A gateway does not know what the server behind it has done.
                lost = lost or error.status in _GATEWAY
                raise
            return upload_id

        self._id = await self._persist(attempt)
        await self._remember({"upload_id": self._id, "part_size": self._part_size})

    async def _none_created_since(self, begun: float) -> None:
        """Return when the bucket lists no upload of this key that was begun since a Create whose response was lost.

        Another Create would leave the first upload open, and to be paid for; and an upload that is listed may be of another
        item or program, so it is neither gone on with nor aborted. Raises a permanent `NetworkError` when there is one, or
        when the list cannot be read to its end.
        https://docs.aws.amazon.com/AmazonS3/latest/API/API_ListMultipartUploads.html
        """
        params = {"Bucket": self._place.bucket, "Prefix": self._place.key, "EncodingType": "url"}
        params |= taken(LIST_UPLOADS, {name: value for name, value in self._params.items() if name not in params})
        marker: dict[str, str] = {}
        seen = [marker]
        while True:
            try:
                page, headers = await self._persist(
                    self._reading(self._listing({**params, **marker}), parse_list_multipart_uploads)
                )
            except TransferError as error:
                raise _unknown(error.message) from None
            elapsed = timedelta(seconds=self._exchange.edge.monotonic() - begun) + CLOCK_PRECISION
            earliest = (server_time(headers) or self._exchange.edge.now()) - elapsed
            if any(each.key == self._place.key and (each.initiated or earliest) >= earliest for each in page.uploads):
                raise _unknown("there is a new upload of this key, which may be another's")
            if not page.is_truncated:
                return
            after = {"KeyMarker": page.next_key_marker, "UploadIdMarker": page.next_upload_id_marker}
            marker = {name: value for name, value in after.items() if value}
            if "KeyMarker" not in marker or marker in seen:
                raise _unknown("the list of uploads does not go on")
            if len(seen) == MAX_PAGES:
                raise _unknown(f"the list of uploads has more than {MAX_PAGES} pages")
            seen.append(marker)

    def _listing(self, params: Mapping[str, Any]) -> Sign:
        async def sign() -> Request:
            signer = self._exchange.require_signer("destination")
            signed = await self._exchange.signed(partial(signer.presign, LIST_UPLOADS, params))
            return Request(signed.method, signed.url, signed.headers, None, signed.expires_at)

        return sign

    async def _resume(self) -> Mapping[int, Part]:
        """The parts of an upload that a dead run began, if there is one."""
        memo = self._exchange.memo
        state = memo.state if memo is not None else None
        if not state or "upload_id" not in state:
            return {}
        self._id, stored, marker = state["upload_id"], dict[int, Part](), 0
        try:
            while True:
                page, _ = await self._ask(LIST, parse_list_parts, {"PartNumberMarker": marker} if marker else {})
                stored |= parts_behind(marker, page)
                if not page.is_truncated or not page.next_part_number_marker:
                    break
                marker = page.next_part_number_marker
        except NotFound:
            self._id = None
            return {}
        self._part_size = state["part_size"]
        return stored

    async def _complete(self, sent: list[_Sent]) -> Moved:
        known = self._known(sent)
        more: dict[str, Any] = {}
        kind = self._wanted.kind
        if kind is not None and self._keeps_whole:
            more = {"ChecksumType": "FULL_OBJECT", digest_parameter(kind): encode(known[kind.name, 0])}
        body = build_complete_multipart_upload(part.part for part in sent)
        try:
            stored, headers = await self._ask(
                COMPLETE, parse_complete_multipart_upload, {**more, **self._shares[COMPLETE]}, body
            )
        except (NotFound, PreconditionFailed) as error:
            if (name := await self._is_there(error, known)) is None:
                raise
            if isinstance(error, NotFound):
                self._id = None
            return Moved(self._source.size, name)
        self._id = None
        proofs = offered({**headers, **_headers(stored.etag, stored.checksums)}, stored=True)
        return Moved(self._source.size, judge(proofs, known) or "size")

    async def _is_there(self, error: NotFound | PreconditionFailed, known: Known) -> str | None:
        """What proves that the object is stored after all: an answer was lost, or somebody else was first."""
        lost = isinstance(error, NotFound) and error.attempts > 1
        found = isinstance(error, PreconditionFailed) and self._params.get("IfNoneMatch") == "*"
        if not (lost or found):
            return None
        return await stored_alike(self._exchange, self._place, self._source, self._params, known)

    def _known(self, sent: list[_Sent]) -> Known:
        known = {(MD5.name, len(sent)): of_parts(MD5, (part.digests[MD5.name] for part in sent))}
        kind = self._wanted.kind
        if kind is not None and self._keeps_whole:
            known[kind.name, 0] = of_whole(kind, [(part.digests[kind.name], part.size) for part in sent])
        elif kind is not None:
            known[kind.name, len(sent)] = of_parts(kind, (part.digests[kind.name] for part in sent))
        return known

    async def _abort(self, cause: BaseException | None = None) -> None:
        """Leave no upload open. Who is cancelled waits for that, for `GRACE` seconds at most."""
        if self._id is None:
            return
        with anyio.move_on_after(GRACE, shield=True):
            try:
                await self._ask(ABORT, bytes, {})
            except NotFound:
                """It has ended by itself."""
            except PresignError as error:
                if cause is not None:
                    cause.add_note(f"the multipart upload {self._id} of {self._place} could not be aborted: {error}")
                return
            await self._remember(None)

    async def _remember(self, state: Mapping[str, Any] | None) -> None:
        if self._exchange.memo is not None:
            await self._exchange.memo.save(state)

    # --- parts --------------------------------------------------------------------------------------------------------

    async def _send(self, stored: Mapping[int, Part]) -> list[_Sent]:
        cut = pieces(self._source.size, self._part_size)
        sent: dict[int, _Sent] = {}

        async def work(piece: Piece) -> None:
            there = stored.get(piece.number)
            if self._source.repeatable:
                sent[piece.number] = await self._part(piece, self._source, piece.start, there)
                return
            seen = self._sums.seen
            async with buffered(self._exchange, self._source, piece.start, piece.size, self._turn, seen) as source:
                sent[piece.number] = await self._part(piece, source, 0, there)

        await work_through(cut, min(PARTS_AT_ONCE, self._exchange.limits.concurrency), work)
        return [sent[piece.number] for piece in cut]

    async def _part(self, piece: Piece, source: OpenSource, start: int, there: Part | None) -> _Sent:
        """Have `piece` stored, whose bytes are those of `source` from `start` on; `there` is what is stored for it."""
        kind = self._wanted.kind
        digests = {} if kind is None else {kind.name: await digest(source, kind, start, piece.size)}
        if there is not None and there.size == piece.size:
            ours = {MD5.name: await digest(source, MD5, start, piece.size), **digests}
            if _is_right(there, ours):
                return _Sent(there, piece.size, ours)
        more: dict[str, Any] = {"PartNumber": piece.number}
        if kind is not None:
            more[digest_parameter(kind)] = encode(digests[kind.name])
        sign = self._signing(PART, more)

        async def attempt(_: int) -> _Sent:
            sums = Sums([MD5], piece.size)

            async def with_body() -> Request:
                return replace(await sign(), body=source.part(start, piece.size, sums.seen))

            async with self._exchange.answer(with_body) as answer:
                await read_answer(answer, DOCUMENT)
                etag = answer.headers.get("etag")
                proofs = offered(answer.headers, stored=True)
            ours = {**sums.digests(), **digests}
            judge(proofs, {(name, 0): value for name, value in ours.items()})
            if not etag:
                raise IntegrityError("the server says no ETag of a part")
            checksums = {name: encode(value) for name, value in digests.items() if name != MD5.name}
            return _Sent(Part(piece.number, etag, checksums=checksums), piece.size, ours)

        return await self._persist(attempt)

    # --- requests -----------------------------------------------------------------------------------------------------

    def _signing(self, operation: str, params: Mapping[str, Any]) -> Sign:
        of_upload = {} if operation == CREATE else {"UploadId": self._id}
        named = {**self._shares[operation], **params, **of_upload}
        return self._exchange.signing(self._place, "destination", operation, _METHODS[operation], named)

    async def _ask(
        self, operation: str, parse: Callable[[bytes], _Result], params: Mapping[str, Any], body: bytes | None = None
    ) -> tuple[_Result, Mapping[str, str]]:
        """Send a small request. What its answer says, and the answer's headers."""
        return await self._persist(self._asking(operation, parse, params, body))

    def _asking(
        self, operation: str, parse: Callable[[bytes], _Result], params: Mapping[str, Any], body: bytes | None = None
    ) -> Callable[[int], Awaitable[tuple[_Result, Mapping[str, str]]]]:
        sign = self._signing(operation, params)

        async def with_body() -> Request:
            request = await sign()
            return request if body is None else replace(request, body=bytes_source(body, self._exchange.threads))

        return self._reading(with_body, parse)

    def _reading(
        self, sign: Sign, parse: Callable[[bytes], _Result]
    ) -> Callable[[int], Awaitable[tuple[_Result, Mapping[str, str]]]]:
        """An attempt at the request that `sign` signs, whose response holds what `parse` returns."""

        async def attempt(_: int) -> tuple[_Result, Mapping[str, str]]:
            async with self._exchange.answer(sign, Lane.PROBE) as answer:
                document = await read_answer(answer, _LISTING)
                # S3 begins to answer before it has put the parts together, so it can fail after having said 200.
                if (told := await self._exchange.parsed(parse_error, document)) is not None:
                    raise response_error(answer.status, answer.headers, told, now=self._exchange.edge.now())
                try:
                    return await self._exchange.parsed(parse, document), answer.headers
                except InvalidRequest:
                    raise NetworkError("the answer is not the document that it should be", sent=True) from None

        return attempt

    async def _persist(self, attempt: Callable[[int], Awaitable[_Result]]) -> _Result:
        # A part is in a file or in memory, so it can be sent again whatever the source is.
        try:
            result, attempts = await self._exchange.persist(attempt, self._exchange.allowed(self._place, None))
        except TransferError as error:
            self.retries += error.attempts - 1
            raise
        self.retries += attempts - 1
        return result


def _unknown(why: str) -> NetworkError:
    told = "the response to the request that creates the upload was lost, and whether it was created is not known"
    return NetworkError(
        f"{told}: {why}; an upload may be left open, which the bucket's AbortIncompleteMultipartUpload rule removes",
        permanent=True,
    )


def parts_behind(marker: int, page: PartListing) -> dict[int, Part]:
    """The parts of a page of ListParts by number. Raises `IntegrityError` for one that does not go on from `marker`."""
    parts = {part.part_number: part for part in page.parts}
    onward = not page.is_truncated or page.next_part_number_marker is None or page.next_part_number_marker > marker
    if len(parts) < len(page.parts) or any(number <= marker for number in parts) or not onward:
        raise IntegrityError(f"the listing of the parts does not go on from part {marker}: it lists some of them twice")
    return parts


def _check_whole(whole: Mapping[str, Any], size: int, wanted: Asked) -> None:
    """Of what describes all bytes only the length and one digest can be looked after in parts."""
    looked_after = {"ContentLength"}
    if wanted.expected is not None:
        looked_after.add(digest_parameter(wanted.expected.checksum))
    problems = [
        Problem(f"params[{name!r}]", "one digest at most, computable here, for a source that goes up in parts", "a value")
        for name in whole
        if name not in looked_after
    ]
    if whole.get("ContentLength", size) != size:
        problems.append(Problem("params['ContentLength']", f"the source's own size of {size} bytes", "another"))
    if problems:
        raise InvalidRequest(*problems)


def _is_right(there: Part, ours: Mapping[str, bytes]) -> bool:
    """Whether a part that is stored has our bytes, and the checksum that its upload is to be completed with."""
    if any(name not in there.checksums for name in ours if name != MD5.name):
        return False
    try:
        return (
            judge(offered(_headers(there.etag, there.checksums)), {(name, 0): value for name, value in ours.items()})
            is not None
        )
    except IntegrityError:
        return False
