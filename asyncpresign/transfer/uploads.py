"""How one object goes up: by PUT or as a `multipart/form-data` form; one that is large, in parts (`multipart`)."""

from __future__ import annotations

import mimetypes
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import replace
from functools import partial
from typing import Any

from .._s3.operations import text_problem
from ..errors import IntegrityError, InvalidRequest, PreconditionFailed, Problem, describe
from ..http.transport import Request, RequestBody
from ..models import PresignedPost, S3Object
from .exchange import DOCUMENT, Exchange, Moved, read_answer
from .existing import stored_alike
from .form import field_problems, form_body, form_content_type
from .integrity import encode, offered
from .items import FormUpload, Upload
from .multipart import buffered, upload_parts
from .plan import MAX_OBJECT, MAX_PUT, GiB, part_size_for
from .proving import MD5, Asked, Sums, asked, digest, digest_parameter, judge
from .sources import OpenSource, open_source

# Reads the system's tables now: a coroutine must not wait for files.
mimetypes.init()


async def upload(exchange: Exchange, item: Upload) -> tuple[Moved, int]:
    place = item.destination
    params = _params(item)
    wanted = asked(item.checksum, params)
    if not isinstance(place, S3Object):
        exchange.signing(place, "destination", "put_object", "PUT", params)
    source = await open_source(item.source, item.size, exchange.threads)
    try:
        in_parts = isinstance(place, S3Object) and exchange.sizes.in_parts(source.size)
        _check_size(source.size, in_parts)
        if isinstance(place, S3Object) and in_parts:
            moved, attempts = await upload_parts(exchange, place, source, params or {}, wanted)
        else:
            moved, attempts = await _put(exchange, item, source, params, wanted)
        return _proven(exchange, moved), attempts
    finally:
        source.close()


def _params(item: Upload) -> Mapping[str, Any] | None:
    """The caller's, with what `if_none_match` says."""
    if item.if_none_match is None:
        return item.params
    problems = []
    if item.if_none_match != "*":
        problems.append(Problem("if_none_match", "'*', the only one that S3 knows", describe(item.if_none_match)))
    if not isinstance(item.destination, S3Object):
        problems.append(Problem("if_none_match", "an S3Object as destination; in what is signed already it stands or not"))
    if "IfNoneMatch" in (item.params or {}):
        problems.append(Problem("params['IfNoneMatch']", "nothing beside if_none_match=", "a value"))
    if problems:
        raise InvalidRequest(*problems)
    return {**(item.params or {}), "IfNoneMatch": "*"}


def _check_size(size: int, in_parts: bool) -> None:
    most = MAX_OBJECT if in_parts else MAX_PUT
    if size > most:
        cure = "" if in_parts else "to an S3Object, with a Transfer(signer), it goes in parts"
        raise InvalidRequest(Problem("source", f"at most {most // GiB} GiB, S3's limit", f"{size} bytes", cure))


def _proven(exchange: Exchange, moved: Moved) -> Moved:
    if exchange.require_checksum and moved.verified_by in (None, "size"):
        raise IntegrityError("it is stored, but the server says no checksum that would prove it", permanent=True)
    return moved


async def _put(
    exchange: Exchange, item: Upload, source: OpenSource, params: Mapping[str, Any] | None, wanted: Asked
) -> tuple[Moved, int]:
    place = item.destination
    async with AsyncExitStack() as held:
        signs_digest = isinstance(place, S3Object) and wanted.kind is not None
        # A digest that nobody gave is signed before the first byte is sent.
        source = await held.enter_async_context(_held(exchange, source, signs_digest and wanted.expected is None))
        if signs_digest:
            params = await _with_digest(source, wanted, params or {})
        sign = exchange.signing(place, "destination", "put_object", "PUT", params)

        async def put(body: RequestBody) -> Request:
            return replace(await sign(), body=body)

        try:
            return await exchange.persist(_delivery(exchange, source, put, wanted), exchange.allowed(place, source))
        except PreconditionFailed as error:
            if not isinstance(place, S3Object) or (params or {}).get("IfNoneMatch") != "*":
                raise
            name = await stored_alike(exchange, place, source, params or {})
            if name is None:
                raise
            return Moved(source.size, name), error.attempts


@asynccontextmanager
async def _held(exchange: Exchange, source: OpenSource, needed: bool = False) -> AsyncIterator[OpenSource]:
    """`source`; or its bytes in memory, to be sent again, if it can be read only once and is no larger than a part."""
    small = source.size <= part_size_for(source.size, exchange.sizes.part_size)
    if source.repeatable or not (small or needed):
        yield source
        return
    async with buffered(exchange, source, 0, source.size) as kept:
        yield replace(kept, name=source.name)


async def _with_digest(source: OpenSource, wanted: Asked, params: Mapping[str, Any]) -> Mapping[str, Any]:
    """`params` with the digest that somebody asked for; the caller's own stands."""
    kind = wanted.kind
    if kind is None or params.get(digest_parameter(kind)) is not None:
        return params
    known = wanted.expected.digest if wanted.expected is not None else await digest(source, kind)
    return {**params, digest_parameter(kind): encode(known)}


async def upload_form(exchange: Exchange, item: FormUpload) -> tuple[Moved, int]:
    wanted = asked(item.checksum)
    source = await open_source(item.source, item.size, exchange.threads)
    try:
        _check_size(source.size, in_parts=False)
        filename, content_type = _file_part(item, source)
        sign = _form_signing(exchange, item, content_type, wanted)

        async def post(body: RequestBody) -> Request:
            signed = await sign()
            boundary = f"asyncpresign-{exchange.edge.token()}"
            named = {"filename": filename, "content_type": content_type or "application/octet-stream", "boundary": boundary}
            form = form_body(signed.fields, body, **named)
            headers = {"Content-Type": form_content_type(boundary)}
            return Request("POST", signed.url, headers, form, signed.expires_at, signed.fields)

        async with _held(exchange, source) as kept:
            attempt = _delivery(exchange, kept, post, wanted)
            moved, attempts = await exchange.persist(attempt, exchange.allowed(item.destination, kept))
        return _proven(exchange, moved), attempts
    finally:
        source.close()


def _delivery(
    exchange: Exchange, source: OpenSource, send: Callable[[RequestBody], Awaitable[Request]], wanted: Asked
) -> Callable[[int], Awaitable[Moved]]:
    """An attempt to get all of `source` stored by the request that `send` makes of its bytes."""
    kinds = [kind for kind in (MD5, wanted.kind) if kind is not None and kind.available]

    async def attempt(_: int) -> Moved:
        sums = Sums(kinds, source.size, wanted.expected)

        async def sign() -> Request:
            return await send(source.part(0, source.size, sums.seen))

        async with exchange.answer(sign) as answer:
            await read_answer(answer, DOCUMENT)
            known = {(name, 0): digest for name, digest in sums.digests().items()}
            # S3 compares what arrives with Content-Length before it stores anything.
            return Moved(source.size, judge(offered(answer.headers, stored=True), known) or "size")

    return attempt


def _form_signing(
    exchange: Exchange, item: FormUpload, content_type: str | None, wanted: Asked
) -> Callable[[], Awaitable[PresignedPost]]:
    place = item.destination
    if isinstance(place, S3Object):
        signer = exchange.require_signer("destination")
        fields = _form_fields(item.fields or {}, content_type, wanted)

        async def sign() -> PresignedPost:
            signing = partial(signer.presign_post, place.bucket, place.key, fields=fields, conditions=item.conditions)
            return await exchange.signed(signing)

        return sign
    if not isinstance(place, PresignedPost):
        raise InvalidRequest(Problem("destination", "a PresignedPost or an S3Object", describe(place)))
    given = [name for name in ("fields", "conditions") if getattr(item, name) is not None]
    problems = [Problem(name, "nothing beside a form that is signed already", "a value") for name in given]
    if problems := [*problems, *field_problems(place.fields)]:
        raise InvalidRequest(*problems)

    async def keep() -> PresignedPost:
        exchange.check_life(place.expires_at, Request("POST", place.url, {}))
        return place

    return keep


def _form_fields(fields: Mapping[str, str], content_type: str | None, wanted: Asked) -> dict[str, str]:
    """The caller's, then those that follow from the item's other options."""
    more = {} if content_type is None else {"Content-Type": content_type}
    # There is no field for MD5; the ETag tells.
    if wanted.expected is not None and wanted.kind is not None and wanted.kind is not MD5:
        more |= {"x-amz-checksum-algorithm": wanted.kind.algorithm, wanted.kind.header: encode(wanted.expected.digest)}
    given = {name.lower() for name in fields}
    return {**fields, **{name: value for name, value in more.items() if name.lower() not in given}}


def _file_part(item: FormUpload, source: OpenSource) -> tuple[str, str | None]:
    """The file's name and, where one was asked for, its content type."""
    filename = (item.filename if item.filename is not None else source.name).encode("utf-8", "replace").decode()
    content_type = item.content_type
    if content_type == "guess":
        content_type = mimetypes.guess_type(filename)[0] or "application/octet-stream"
    named = {"filename": filename, "content_type": content_type or ""}
    if problems := [Problem(name, *bad) for name, value in named.items() if (bad := text_problem(value))]:
        raise InvalidRequest(*problems)
    return filename, content_type
