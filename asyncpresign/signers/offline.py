"""The `Signer` that needs nothing but the standard library and never opens a socket.

Its credentials may come from a source, which is asked again before they end; what it signs with is always one snapshot.
"""

from __future__ import annotations

import os
import types
from collections.abc import Generator, Iterable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, Self, Unpack

from .._s3.hoisting import Hoist
from ..credentials import CredentialCache, CredentialSource, default_source
from ..errors import InvalidRequest, Problem, describe
from ..models import Credentials, PresignedPost, PresignedRequest, PresignedURLs, S3Object
from ..profiles import read_profile
from .base import Operation, Seconds
from .life import utc_now
from .presigner import Presigner, PresignerOptions

if TYPE_CHECKING:
    from .._sigv4.post_policy import Condition

# A clock that was never set can be decades off; more is a mistake.
_FARTHEST = timedelta(days=36_525)
_NOBODY = Credentials("nobody", "nothing")


@types.coroutine
def _breathe() -> Generator[None, None, None]:
    """Let other tasks run. It is what `asyncio.sleep(0)` does, without importing asyncio to sign."""
    yield


class OfflineSigner:
    """`Presigner` as an asynchronous `Signer`; see there for the options and what is raised.

    `credentials` are fixed ones, or a source: any function, coroutine function included, that returns them, such as
    `default_source()` or `botocore_source()`. A source is asked when it is first needed, and again before what it gave
    ends; a `CredentialsError` says why that failed, once nothing valid is left.
    """

    def __init__(self, credentials: Credentials | CredentialSource, **options: Unpack[PresignerOptions]) -> None:
        # A wrong option is told here, though a source is not asked before it is needed; the region is looked up once.
        first = Presigner(credentials if isinstance(credentials, Credentials) else _NOBODY, **options)
        self._options: PresignerOptions = {**options, "region": first.region}
        self._clock = options.get("clock") or utc_now
        self._offset = timedelta()
        self._cache = CredentialCache(credentials, clock=self._now)
        self._fixed = isinstance(credentials, Credentials)
        self._snapshot = credentials if isinstance(credentials, Credentials) else None
        self._presigner = first if self._snapshot is None else self._build(self._snapshot)

    @classmethod
    def from_env(cls, environ: Mapping[str, str] | None = None, **options: Unpack[PresignerOptions]) -> OfflineSigner:
        """A signer set up as AWS's tools would be by `environ` (the process's) and the profile in AWS's shared files.

        This constructor and `AiobotocoreSigner.create` alone use a configured endpoint. Each option is the first of:

        - the argument, also None: `endpoint_url=None` is AWS, whatever is configured;
        - the variable: `AWS_REGION`, `AWS_DEFAULT_REGION`; `AWS_ENDPOINT_URL_S3`, `AWS_ENDPOINT_URL`;
          `AWS_USE_FIPS_ENDPOINT`, `AWS_USE_DUALSTACK_ENDPOINT`; `AWS_S3_USE_ARN_REGION`;
        - the profile's setting: `region`; the `endpoint_url` of its `services` section for `s3`, then its own;
          `use_fips_endpoint`, `use_dualstack_endpoint`; and below `s3 =`, `addressing_style`, `use_accelerate_endpoint`,
          `use_dualstack_endpoint` and `use_arn_region`.

        `AWS_IGNORE_CONFIGURED_ENDPOINT_URLS` or the profile's `ignore_configured_endpoint_urls` switch configured endpoints
        off. FIPS and dualstack choose AWS's hosts where there is no endpoint. The credentials are `default_source`'s. Two
        small files are read at once, so a coroutine that must not wait for a disk calls it in a thread.

        Raises:
            InvalidRequest: What `Presigner` raises, or a setting that cannot be used, with its place.
            CredentialsError: A file that cannot be read, or a named profile that is not there.
        """
        from .configured import configured  # not needed to sign

        variables = os.environ if environ is None else environ
        found = configured(variables, read_profile(None, variables), options)
        return OfflineSigner(default_source(environ=variables), **found)

    def __repr__(self) -> str:
        inner = repr(self._presigner) if self._snapshot else f"a source of credentials, region={self._presigner.region!r}"
        return f"{type(self).__name__}({inner})"

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        """Nothing to close: it opens nothing."""

    async def presigner(self) -> Presigner:
        """The synchronous core with the credentials of this moment, for code that has no event loop or wants no `await`."""
        if self._fixed:
            return self._presigner
        snapshot = await self._cache.get()
        if snapshot is not self._snapshot:
            self._presigner, self._snapshot = self._build(snapshot), snapshot
        return self._presigner

    async def adjust(self, *, clock_offset: timedelta | None = None, refresh_credentials: bool = False) -> bool:
        """Take `clock_offset` (the server's time minus the clock's) for all signatures to come, or ask the source anew.

        Returns whether anything changed: not, when the source fails while its last credentials are still good. Raises
        `InvalidRequest`, and `CredentialsError` when it fails and they are not.
        """
        if clock_offset is not None and not (isinstance(clock_offset, timedelta) and abs(clock_offset) <= _FARTHEST):
            raise InvalidRequest(
                Problem("clock_offset", f"a timedelta of at most {_FARTHEST.days} days", describe(clock_offset))
            )
        changed = clock_offset is not None and clock_offset != self._offset
        if clock_offset is not None and changed:
            self._offset = clock_offset
            self._presigner = self._presigner if self._snapshot is None else self._build(self._snapshot)
        return (await self._cache.refresh() if refresh_credentials else False) or changed

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
        return (await self.presigner()).presign(
            operation,
            params,
            expires_in=expires_in,
            http_method=http_method,
            hoist_headers=hoist_headers,
            extra_query=extra_query,
            extra_headers=extra_headers,
            signing_time=signing_time,
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
        """See `Presigner.presign_urls`. Other tasks run between batches; all URLs are of one moment and one snapshot."""
        urls, batches = (await self.presigner()).batches(operation, bucket, keys, params, expires_in)
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
        return (await self.presigner()).presign_post(
            bucket,
            key,
            fields=fields,
            conditions=conditions,
            content_length_range=content_length_range,
            expires_in=expires_in,
            signing_time=signing_time,
        )

    def _build(self, credentials: Credentials) -> Presigner:
        # The system's clock is told faster than one that has to be called.
        corrected = self._options.get("clock") is not None or self._offset
        options: PresignerOptions = {**self._options, "clock": self._now if corrected else None}
        return Presigner(credentials, **options)

    def _now(self) -> datetime:
        """The corrected time. Past the end of the calendar it stays there, where no signer signs."""
        given = self._clock()
        try:
            return given + self._offset if self._offset else given
        except OverflowError:
            return datetime.max.replace(tzinfo=UTC)
