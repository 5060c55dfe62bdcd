"""How one object goes up: by PUT or as a `multipart/form-data` form."""

from __future__ import annotations

import mimetypes
from collections.abc import Awaitable, Callable

from .._s3.operations import text_problem
from ..errors import InvalidRequest, Problem, describe
from ..http.transport import Request, RequestBody
from ..models import PresignedPost, S3Object
from .adjust import by_signer
from .exchange import DOCUMENT, Exchange, Moved, Sign, read_answer
from .form import form_body, form_content_type
from .items import FormUpload, Upload
from .sources import OpenSource, open_source

# Reads the system's tables now: a coroutine must not wait for files.
mimetypes.init()


async def upload(exchange: Exchange, item: Upload) -> tuple[Moved, int]:
    sign = exchange.signing(item.destination, "destination", "put_object", "PUT", item.params)
    source = await open_source(item.source, item.size, exchange.threads)

    async def with_body() -> Request:
        request = await sign()
        return Request(request.method, request.url, request.headers, source, request.expires_at)

    try:
        return await exchange.persist(_delivery(exchange, with_body, source), exchange.allowed(item.destination, source))
    finally:
        source.close()


async def upload_form(exchange: Exchange, item: FormUpload) -> tuple[Moved, int]:
    source = await open_source(item.source, item.size, exchange.threads)
    try:
        filename, content_type = _file_part(item, source)
        sign = _form_signing(exchange, item, content_type)

        async def with_file() -> Request:
            post = await sign()
            boundary = f"asyncpresign-{exchange.edge.token()}"
            form = form_body(
                post.fields,
                source,
                filename=filename,
                content_type=content_type or "application/octet-stream",
                boundary=boundary,
            )
            headers = {"Content-Type": form_content_type(boundary)}
            return Request("POST", post.url, headers, form, post.expires_at)

        return await exchange.persist(_delivery(exchange, with_file, source), exchange.allowed(item.destination, source))
    finally:
        source.close()


def _delivery(exchange: Exchange, sign: Sign, source: RequestBody) -> Callable[[int], Awaitable[Moved]]:
    async def attempt(_: int) -> Moved:
        async with exchange.answer(sign) as answer:
            await read_answer(answer, DOCUMENT)
        # S3 compares what arrives with Content-Length before it stores anything.
        return Moved(source.size, "size")

    return attempt


def _form_signing(exchange: Exchange, item: FormUpload, content_type: str | None) -> Callable[[], Awaitable[PresignedPost]]:
    place = item.destination
    if isinstance(place, S3Object):
        signer = exchange.require_signer("destination")
        fields = dict(item.fields or {})
        if content_type is not None and "content-type" not in (name.lower() for name in fields):
            fields["Content-Type"] = content_type

        async def sign() -> PresignedPost:
            signing = signer.presign_post(place.bucket, place.key, fields=fields, conditions=item.conditions)
            return await by_signer(signing)

        return sign
    if not isinstance(place, PresignedPost):
        raise InvalidRequest(Problem("destination", "a PresignedPost or an S3Object", describe(place)))
    given = [name for name in ("fields", "conditions") if getattr(item, name) is not None]
    if given:
        raise InvalidRequest(*(Problem(name, "nothing beside a form that is signed already", "a value") for name in given))

    async def keep() -> PresignedPost:
        exchange.check_life(place.expires_at, Request("POST", place.url, {}))
        return place

    return keep


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
