"""The `Signer` that needs nothing but the standard library and never opens a socket."""

from __future__ import annotations

import types
from collections.abc import Generator, Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any, Literal, Self

from .._sigv4.post_policy import Condition
from ..models import Credentials, PresignedPost, PresignedRequest, PresignedURLs, S3Object
from .base import Operation, Seconds
from .presigner import Clock, Presigner


@types.coroutine
def _breathe() -> Generator[None, None, None]:
    """Let other tasks run. It is what `asyncio.sleep(0)` does, without importing asyncio to sign."""
    yield


class OfflineSigner:
    """`Presigner` as an asynchronous `Signer`; see there for the arguments and what is raised."""

    def __init__(
        self,
        credentials: Credentials,
        *,
        region: str,
        endpoint_url: str | None = None,
        addressing_style: Literal["auto", "virtual", "path"] = "auto",
        short_credentials: Literal["clamp", "raise"] = "clamp",
        clock: Clock | None = None,
    ) -> None:
        self._presigner = Presigner(
            credentials,
            region=region,
            endpoint_url=endpoint_url,
            addressing_style=addressing_style,
            short_credentials=short_credentials,
            clock=clock,
        )

    def __repr__(self) -> str:
        return f"OfflineSigner({self._presigner!r})"

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        """Nothing to close: it opens nothing."""

    async def presigner(self) -> Presigner:
        """The synchronous core, for code that has no event loop or wants no `await`."""
        return self._presigner

    async def presign(
        self,
        operation: Operation,
        params: Mapping[str, Any] | None = None,
        *,
        expires_in: Seconds = 3600,
        http_method: str | None = None,
        signing_time: datetime | None = None,
    ) -> PresignedRequest:
        """See `Presigner.presign`."""
        return self._presigner.presign(
            operation, params, expires_in=expires_in, http_method=http_method, signing_time=signing_time
        )

    async def presign_urls(
        self,
        operation: Operation,
        bucket: str,
        keys: Iterable[str | S3Object],
        *,
        params: Mapping[str, Any] | None = None,
        expires_in: Seconds = 3600,
    ) -> PresignedURLs:
        """See `Presigner.presign_urls`. Other tasks run between batches."""
        urls, batches = self._presigner.batches(operation, bucket, keys, params, expires_in)
        for batch in batches:
            urls += batch
            await _breathe()
        return urls

    async def presign_post(
        self,
        bucket: str,
        key: str,
        *,
        fields: Mapping[str, str] | None = None,
        conditions: Sequence[Condition] | None = None,
        content_length_range: tuple[int, int] | None = None,
        expires_in: Seconds = 3600,
        signing_time: datetime | None = None,
    ) -> PresignedPost:
        """See `Presigner.presign_post`."""
        return self._presigner.presign_post(
            bucket,
            key,
            fields=fields,
            conditions=conditions,
            content_length_range=content_length_range,
            expires_in=expires_in,
            signing_time=signing_time,
        )
