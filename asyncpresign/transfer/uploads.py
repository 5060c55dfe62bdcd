"""How one object goes up: by PUT or as a `multipart/form-data` form."""

from __future__ import annotations

import mimetypes
from collections.abc import Awaitable, Callable

from .._s3.operations import text_problem
from ..errors import InvalidRequest, Problem, describe
from ..http.transport import Request, RequestBody
from ..models import PresignedPost, S3Object
from .exchange import DOCUMENT, Exchange, Moved, allowed_actions, by_signer, read_answer
from .form import form_body, form_content_type
from .items import FormUpload, Upload
from .sources import OpenSource, open_source

# Reads the system's tables now: a coroutine must not wait for files.
mimetypes.init()


async def upload(exchange: Exchange, item: Upload) -> tuple[Moved, int]:
    sign = exchange.signing(item.destination, "destination", "put_object", "PUT", item.params)
    source = await open_source(item.source, item.size, exchange.threads)

    async def attempt() -> Moved:
        request = await sign()
        return await _deliver(exchange, Request(request.method, request.url, request.headers, source), source)

    try:
        return await exchange.persist(attempt, allowed_actions(item.destination, source))
    finally:
        source.close()


async def upload_form(exchange: Exchange, item: FormUpload) -> tuple[Moved, int]:
    source = await open_source(item.source, item.size, exchange.threads)
    try:
        filename, content_type = _file_part(item, source)
        sign = _form_signing(exchange, item, content_type)

        async def attempt() -> Moved:
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
            return await _deliver(exchange, Request("POST", post.url, headers, form), source)

        return await exchange.persist(attempt, allowed_actions(item.destination, source))
    finally:
        source.close()


async def _deliver(exchange: Exchange, request: Request, source: RequestBody) -> Moved:
    async with exchange.answer(request) as answer:
        await read_answer(answer, DOCUMENT, request)
    # S3 compares what arrives with Content-Length before it stores anything.
    return Moved(source.size, "size")


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
