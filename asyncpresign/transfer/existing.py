"""Whether what is stored under a key already is what was to be stored there: asked once, after a refusal or a lost answer."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from .._s3.multipart import LIST, taken
from ..errors import ResponseError
from ..models import S3Object
from .exchange import Exchange
from .gates import Lane
from .integrity import offered
from .proving import Known, digest_like
from .sources import OpenSource


async def stored_alike(
    exchange: Exchange, place: S3Object, source: OpenSource, params: Mapping[str, Any], known: Known | None = None
) -> str | None:
    """The name of the checksum by which the object is `source`, None when it is not, or when nothing says so.

    `known` are digests of `source` that need not be computed, the only ones there are of a source that is read once.
    `params` are those of the upload. Raises a `TransferError` when the object cannot be asked for.
    """
    named = {**taken(LIST, params), "ChecksumMode": "ENABLED"}
    sign = exchange.signing(place, "destination", "head_object", "HEAD", named)

    async def attempt(_: int) -> Mapping[str, str]:
        async with exchange.answer(sign, Lane.PROBE) as answer:
            return answer.headers

    try:
        headers, _ = await exchange.persist(attempt, exchange.allowed(place, None))
    except ResponseError:
        # Who may write need not be allowed to look.
        return None
    if headers.get("content-length") != str(source.size):
        return None
    for proof in offered(headers):
        ours = (known or {}).get((proof.checksum.name, proof.parts))
        if ours is None and source.repeatable:
            ours = await digest_like(source, proof, exchange.sizes.part_size)
        if ours is not None and (proof.vouched or ours == proof.digest):
            return proof.name if ours == proof.digest else None
    return None
