"""One item at a time, whatever its kind: checked, then moved by `downloads` or `uploads`."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from typing import assert_never
from urllib.parse import parse_qsl, urlsplit

from .._s3.operations import requires_checksum
from ..errors import InvalidRequest, Problem, describe
from ..http.transport import Request, Response
from ..models import PresignedRequest
from .decide import Accept
from .downloads import download
from .exchange import Exchange, read_answer
from .integrity import encode
from .items import Download, FormUpload, Item, Source, TransferResult, Upload
from .sources import OpenSource, open_source, size_problems
from .uploads import upload, upload_form

# What an item's fields hold if they hold anything; the others are looked at where they are used.
_KINDS: Mapping[str, tuple[type, str]] = {
    "params": (Mapping, "a mapping of parameter names to values"),
    "fields": (Mapping, "a mapping of field names to texts"),
    "filename": (str, "a text"),
    "content_type": (str, 'a content type, or "guess"'),
    "if_match": (str, "an ETag"),
}


# Headers that carry a digest, of which one is enough: these two beginnings, but for what says how one is made.
_DIGESTS = ("content-md5", "x-amz-checksum-")
_NO_DIGESTS = ("x-amz-checksum-algorithm", "x-amz-checksum-mode", "x-amz-checksum-type")


async def perform(exchange: Exchange, item: Item) -> TransferResult:
    """Do what `item` says. Raises a `PresignError` when it cannot be done."""
    started = exchange.edge.monotonic()
    _check_item(item)
    match item:
        case Download():
            moved, attempts = await download(exchange, item)
        case Upload():
            moved, attempts = await upload(exchange, item)
        case FormUpload():
            moved, attempts = await upload_form(exchange, item)
        case _:
            assert_never(item)
    seconds = exchange.edge.monotonic() - started
    return TransferResult(item, moved.status, moved.size, attempts, moved.verified_by, None, seconds, moved.data)


async def send(
    exchange: Exchange, request: PresignedRequest, body: Source | None, raise_for_status: bool, max_body: int
) -> Response:
    """See `Transfer.send`."""
    source = await open_source(body, None, exchange.threads) if body is not None else None

    async def attempt(_: int) -> Response:
        async with exchange.answer(sign, accept=Accept.SUCCESS if raise_for_status else Accept.ANY) as answer:
            return Response(answer.status, answer.headers, await read_answer(answer, max_body))

    try:
        headers = {**request.headers, **(await _digest(source) if _wants_digest(request) else {})}
        sign = exchange.keeping(Request(request.method, request.url, headers, source, request.expires_at))
        response, _ = await exchange.persist(attempt, exchange.allowed(None, source))
    finally:
        if source is not None:
            source.close()
    return response


def _wants_digest(request: PresignedRequest) -> bool:
    """Whether S3 refuses the body without a digest, and the request has none."""
    if not requires_checksum(request.operation):
        return False
    query = parse_qsl(urlsplit(request.url).query, keep_blank_values=True)
    given = [name.lower() for name in (*request.headers, *(name for name, _ in query))]
    return not any(name.startswith(_DIGESTS) and name not in _NO_DIGESTS for name in given)


async def _digest(source: OpenSource | None) -> dict[str, str]:
    """Content-MD5, which every server knows and which need not be signed."""
    md5 = hashlib.md5(usedforsecurity=False)
    if source is not None:
        async for _ in source.part(0, source.size, md5.update).chunks():
            pass
    return {"Content-MD5": encode(md5.digest())}


def _check_item(item: object) -> None:
    if not isinstance(item, Download | Upload | FormUpload):
        raise InvalidRequest(Problem("item", "a Download, Upload or FormUpload", describe(item)))
    values = {name: getattr(item, name, None) for name in _KINDS}
    problems = [
        Problem(name, _KINDS[name][1], describe(value))
        for name, value in values.items()
        if value is not None and not isinstance(value, _KINDS[name][0])
    ]
    if problems := [*problems, *size_problems(item.size)]:
        raise InvalidRequest(*problems)
