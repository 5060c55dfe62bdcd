"""The `Signer` of an aiobotocore client: its credentials, region and endpoint, and our signatures.

A client of botocore presigns with SigV2 in many regions and for a host that redirects, changes the conditions it is given
and fails on operations with a body; steering all that through its events would change what it does for its owner. So the
client is only asked what it knows, by calls that change nothing, and what is signed is what every other signer signs.

The one door of aiobotocore.
"""

from __future__ import annotations

import asyncio
import os
import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import Any, Literal, Self, TypedDict, Unpack
from urllib.parse import urlsplit

from .._s3.arns import DNS_SUFFIXES
from ..credentials import botocore_source
from ..errors import InvalidRequest, MissingExtra, Problem, UnsupportedRequest, describe
from ..profiles import read_profile
from .base import Seconds
from .configured import configured
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
    bucket_endpoint: bool
    stripped_prefix: str


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
    async def create(cls, session: AioSession | Any | None = None, **options: Unpack[PresignerOptions]) -> AsyncIterator[Self]:
        """A signer without a client: with the credentials, the region, the endpoint and the S3 settings of `session`.

        Making a client would read megabytes of JSON in the event loop, and nothing of it is needed to sign.

        Args:
            session: A session of aiobotocore, botocore, aioboto3 or boto3; default: a new one of aiobotocore's.
            options: `Presigner`'s. The others are found as by `OfflineSigner.from_env`, where the session's default client
                configuration, its own variables and its profile come before the process's environment.

        Raises:
            InvalidRequest: As `OfflineSigner.from_env`.
            CredentialsError: As `OfflineSigner.from_env`.
        """
        session = session or get_session()
        source = botocore_source(session)
        found = await asyncio.to_thread(_configured, session, options)
        signer = cls.__new__(cls)
        OfflineSigner.__init__(signer, source, **found)
        async with signer:
            yield signer


# The variables that a session can have of its own, or its default client configuration.
_VARIABLES = {
    "region_name": "AWS_REGION",
    "region": "AWS_REGION",
    "config_file": "AWS_CONFIG_FILE",
    "credentials_file": "AWS_SHARED_CREDENTIALS_FILE",
    "use_dualstack_endpoint": "AWS_USE_DUALSTACK_ENDPOINT",
    "use_fips_endpoint": "AWS_USE_FIPS_ENDPOINT",
    "ignore_configured_endpoint_urls": "AWS_IGNORE_CONFIGURED_ENDPOINT_URLS",
}
_S3_VARIABLES = {
    "use_arn_region": "AWS_S3_USE_ARN_REGION",
    "use_dualstack_endpoint": "AWS_USE_DUALSTACK_ENDPOINT",
}


def _configured(session: Any, options: PresignerOptions) -> PresignerOptions:
    """What `session` would give its clients. Reads AWS's files, so not in the event loop."""
    # boto3's and aioboto3's sessions keep one of botocore's.
    own = session if hasattr(session, "get_config_variable") else getattr(session, "_session", None)
    variables = own.instance_variables() if own is not None else {}
    config = own.get_default_client_config() if own is not None else None
    s3 = getattr(config, "s3", None) or {}
    chosen = {**variables, **{name: value for name in _VARIABLES if (value := getattr(config, name, None)) is not None}}
    named = [(variable, chosen.get(name)) for name, variable in reversed(_VARIABLES.items())]
    named += [(variable, s3.get(name)) for name, variable in _S3_VARIABLES.items()]
    environ = {**os.environ, **{variable: str(value) for variable, value in named if value is not None}}
    profile = read_profile(variables.get("profile"), environ)
    settings = profile.merged.get("s3")
    merged = {**(settings if isinstance(settings, dict) else {}), **{name: str(value) for name, value in s3.items()}}
    if s3:
        profile = replace(profile, credentials={**profile.credentials, "s3": merged})
    return configured(environ, profile, options)


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
