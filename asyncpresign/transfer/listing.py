"""What a bucket holds, page after page, by presigned ListObjectsV2.

https://docs.aws.amazon.com/AmazonS3/latest/API/API_ListObjectsV2.html
"""

from __future__ import annotations

from collections.abc import AsyncGenerator
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from typing import Any, cast

from .._s3.documents import Listing, parse_error, parse_list_objects_v2
from ..errors import IntegrityError, InvalidRequest, Problem, describe
from ..http.transport import Request
from ..models import S3Object
from .crew import Caught, as_presign_error
from .decide import response_error
from .exchange import Exchange, read_answer
from .gates import Lane
from .paths import SHOWN

# Pages in a row that hold nothing: S3 gives some where much was deleted, and no real one gives this many.
EMPTY_PAGES = 1000
# A page has at most 1,000 keys of 1,024 bytes, each of which may be written as nine.
PAGE_BYTES = 16 * 1024 * 1024


@dataclass(frozen=True, slots=True)
class ObjectInfo:
    """An object as a listing says it is: `size` in bytes, `etag` with its quotes, `last_modified` aware."""

    object: S3Object
    size: int
    etag: str
    last_modified: datetime | None
    storage_class: str


@dataclass(frozen=True, slots=True)
class CommonPrefix:
    """What keys have in common up to a delimiter: `prefix` ends with it."""

    bucket: str
    prefix: str


Listed = ObjectInfo | CommonPrefix


def check_texts(**named: object) -> None:
    """Raises `InvalidRequest` for those that are no texts."""
    problems = [Problem(name, "a text", describe(value)) for name, value in named.items() if not isinstance(value, str)]
    if problems:
        raise InvalidRequest(*problems)


def listed(exchange: Exchange, bucket: str, prefix: str, delimiter: str | None) -> AsyncGenerator[Listed]:
    """See `Transfer.list_objects`. One page is in memory at a time, and no request is open while the caller looks at it."""
    check_texts(bucket=bucket, prefix=prefix, delimiter=delimiter or "")
    exchange.require_signer("bucket")
    return _pages(exchange, bucket, prefix, delimiter)


class Circle:
    """Notices a series of pages that goes in a circle: by one mark kept, of a page that is twice as far each time (Brent)."""

    def __init__(self) -> None:
        self._kept: object = None
        self._power = self._steps = 1

    def closes(self, mark: object) -> bool:
        """Whether `mark`, of the next page, is one that was here before. Later by up to twice the circle's length."""
        if mark == self._kept:
            return True
        if self._steps == self._power:
            self._kept = mark
            self._power *= 2
            self._steps = 0
        self._steps += 1
        return False


async def _pages(exchange: Exchange, bucket: str, prefix: str, delimiter: str | None) -> AsyncGenerator[Listed]:
    params = {"Bucket": bucket, "Prefix": prefix, "EncodingType": "url"} | ({"Delimiter": delimiter} if delimiter else {})
    token: str | None = None
    tokens, contents, empty = Circle(), Circle(), 0
    while True:
        page = await _page(exchange, params if token is None else {**params, "ContinuationToken": token})
        # Two milliseconds for 1,000 keys.
        entries = await exchange.threads.run(_entries, bucket, page)
        for _, entry in entries:
            yield entry
        if not page.is_truncated:
            return
        if page.next_token in (None, "", token):
            raise IntegrityError(f"the listing of {bucket!r} is cut off, and the server does not say how to go on")
        token = page.next_token
        empty = 0 if entries else empty + 1
        # Keys are not in order on every server, and a token may be new each time: neither alone shows a circle.
        again = bool(entries) and contents.closes((entries[0][0], entries[-1][0], len(entries)))
        if tokens.closes(token) or again or empty > EMPTY_PAGES:
            raise IntegrityError(f"the listing of {bucket!r} does not end: its pages go in a circle")


async def _page(exchange: Exchange, params: dict[str, Any]) -> Listing:
    signer = exchange.require_signer("bucket")

    async def sign() -> Request:
        signed = await exchange.signed(partial(signer.presign, "list_objects_v2", params))
        return Request(signed.method, signed.url, signed.headers, None, signed.expires_at)

    async def attempt(_: int) -> Listing:
        async with exchange.answer(sign, Lane.PROBE) as answer:
            body = await read_answer(answer, PAGE_BYTES)
            if (document := await exchange.parsed(parse_error, body)) is not None:
                raise response_error(answer.status, answer.headers, document, now=exchange.edge.now())
            try:
                page = await exchange.parsed(parse_list_objects_v2, body)
            except InvalidRequest:
                raise IntegrityError("the answer is not a listing of objects") from None
            return _checked(page, params["Prefix"], params.get("Delimiter"))

    with Caught() as caught:
        page, _ = await exchange.persist(attempt, exchange.allowed(S3Object(params["Bucket"], ""), None))
        return page
    raise as_presign_error(cast("Exception", caught.failure))


def _checked(page: Listing, prefix: str, delimiter: str | None) -> Listing:
    """`page`, if it holds nothing but what was asked for. Raises `IntegrityError`."""
    outside = [
        *(each.key for each in page.objects if not each.key or not each.key.startswith(prefix)),
        *(each for each in page.common_prefixes if not each.startswith(prefix) or not delimiter or len(each) <= len(prefix)),
    ]
    if outside:
        told = f"the listing holds {len(outside)} keys that were not asked for, such as {outside[0][:SHOWN]!r}"
        raise IntegrityError(f"{told}: they do not begin with the prefix {prefix[:SHOWN]!r}")
    return page


def _entries(bucket: str, page: Listing) -> list[tuple[str, Listed]]:
    """Objects and prefixes in the order of their names, as S3 has them, and not first the ones and then the others."""
    found: list[tuple[str, Listed]] = [
        (each.key, ObjectInfo(S3Object(bucket, each.key), each.size, each.etag, each.last_modified, each.storage_class))
        for each in page.objects
    ]
    found += [(prefix, CommonPrefix(bucket, prefix)) for prefix in page.common_prefixes]
    return sorted(found, key=lambda pair: pair[0])
