"""The `Signer` of an aiobotocore client: its credentials, region and endpoint, and our signatures.

A client of botocore presigns with SigV2 in many regions and for a host that redirects, changes the conditions it is given
and fails on operations with a body; steering all that through its events would change what it does for its owner. So the
client is only asked what it knows, by calls that change nothing, and what is signed is what every other signer signs.

The one door of aiobotocore.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any, Literal, Self, TypedDict, Unpack
from urllib.parse import urlsplit

from .._s3.arns import DNS_SUFFIXES
from ..credentials import botocore_source, find_region
from ..errors import InvalidRequest, MissingExtra, Problem, UnsupportedRequest, describe
from .base import Seconds
from .life import Clock
from .offline import OfflineSigner
from .presigner import PresignerOptions

try:
    from aiobotocore.client import AioBaseClient
    from aiobotocore.session import AioSession, get_session
except ImportError:
    raise MissingExtra("aiobotocore", "AiobotocoreSigner") from None

# The hosts that botocore has for S3 by itself: global, regional, legacy regional, and those of the options that they name.
_AWS_HOST = re.compile(
    rf"""(?x) s3 (?P<accelerate>-accelerate)? (?P<fips>-fips)? (?P<dualstack>\.dualstack)?
    (?: [.-] [a-z0-9-]+ )? \. (?: {"|".join(map(re.escape, sorted(DNS_SUFFIXES)))} )"""
)


class SigningOptions(TypedDict, total=False):
    """What a client does not know; see `Presigner`."""

    public_endpoint_url: str | None
    short_credentials: Literal["clamp", "raise"]
    signing_window: Seconds | None
    clock: Clock | None


class _Chain:
    """A client's credentials in the shape of a session's, which is what a source is made of."""

    def __init__(self, client: AioBaseClient) -> None:
        self._client = client

    async def get_credentials(self) -> Any:
        # The client has no public name for them; it renews them by itself.
        return self._client._get_credentials()


class AiobotocoreSigner(OfflineSigner):
    """Signs with the credentials of an aiobotocore S3 client, for its region and the endpoint that it is set up for.

    The signature is always SigV4 and the host always the regional one, whatever the client presigns for its owner, which
    does not change; the client is neither called over the network nor closed. Raises `InvalidRequest` for what is no
    such client and `UnsupportedRequest` for one that is bound to a kind of endpoint that cannot be signed.
    """

    def __init__(self, client: AioBaseClient, **options: Unpack[SigningOptions]) -> None:
        if not isinstance(client, AioBaseClient) or client.meta.service_model.service_name != "s3":
            raise InvalidRequest(Problem("client", "an aiobotocore client for S3", describe(client)))
        place: PresignerOptions = {**_place(client), **options}
        super().__init__(botocore_source(_Chain(client)), **place)

    @classmethod
    @asynccontextmanager
    async def create(cls, session: AioSession | None = None, **options: Unpack[PresignerOptions]) -> AsyncIterator[Self]:
        """A signer without a client: with the credentials that the chain of `session` (default: a new one) finds.

        The options are `Presigner`'s; without a `region` it is the environment's or that of the session's profile. Making
        a client would read megabytes of JSON in the event loop, and nothing of it is needed to sign.
        """
        session = session or get_session()
        if options.get("region") is None:
            profile = session.get_config_variable("profile")
            options["region"] = await asyncio.to_thread(find_region, profile=profile) or ""
        signer = cls.__new__(cls)
        OfflineSigner.__init__(signer, botocore_source(session), **options)
        async with signer:
            yield signer


def _place(client: AioBaseClient) -> PresignerOptions:
    """Region, endpoint and all that chooses a host, as `client` has them."""
    meta, config = client.meta, client.meta.config
    chosen = config.s3 or {}
    if meta.region_name in (None, "aws-global"):
        raise UnsupportedRequest("client: it has no region, and none is guessed; use AiobotocoreSigner.create(region=...)")
    accelerate = bool(chosen.get("use_accelerate_endpoint"))
    place: PresignerOptions = {
        "region": meta.region_name,
        "addressing_style": "virtual" if accelerate else chosen.get("addressing_style") or "auto",  # as the client does
        "use_accelerate": accelerate,
        "use_arn_region": chosen.get("use_arn_region") is not False,
    }
    aws = _AWS_HOST.fullmatch(urlsplit(meta.endpoint_url).hostname or "")
    if aws is None:  # where a client has its own endpoint, FIPS and dualstack change nothing for its owner either
        return {**place, "endpoint_url": meta.endpoint_url}
    return {
        **place,
        "use_dualstack": bool(config.use_dualstack_endpoint or aws["dualstack"]),
        "use_fips": bool(config.use_fips_endpoint or aws["fips"]),
        "use_accelerate": bool(accelerate or aws["accelerate"]),
    }
