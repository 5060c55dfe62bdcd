"""The seam between what signs and what uses signatures."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any, Protocol, runtime_checkable

from .._s3.hoisting import Hoist
from .._s3.operations import OperationName
from ..models import PresignedPost, PresignedRequest, PresignedURLs, S3Object

if TYPE_CHECKING:
    from .._sigv4.post_policy import Condition

Seconds = int | timedelta
Operation = OperationName | str


@runtime_checkable
class Signer(Protocol):
    """Whatever signs: `OfflineSigner` and its kin. A backend refuses what it cannot honour; it never drops it."""

    async def presign(
        self,
        operation: Operation,
        params: Mapping[str, Any] | None = None,
        *,
        expires_in: Seconds = 3600,
        http_method: str | None = None,
        hoist_headers: Hoist = False,
        extra_query: Mapping[str, str] | None = None,
        extra_headers: Mapping[str, str] | None = None,
        signing_time: datetime | None = None,
    ) -> PresignedRequest:
        """See `Presigner.presign`."""
        ...

    async def presign_urls(
        self,
        operation: Operation,
        bucket: str,
        keys: Iterable[str | S3Object],
        *,
        params: Mapping[str, Any] | None = None,
        expires_in: Seconds = 3600,
    ) -> PresignedURLs:
        """See `Presigner.presign_urls`."""
        ...

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
        ...


@runtime_checkable
class Adjustable(Protocol):
    """A signer that can be told what a server's answer taught: optional. The transfer asks for fresh credentials only, once for
    all items, and keeps the clocks of servers to itself: what one server says must not date what is signed for others."""

    async def adjust(self, *, clock_offset: timedelta | None = None, refresh_credentials: bool = False) -> bool:
        """Take a clock correction or fetch fresh credentials. Returns whether anything changed."""
        ...
