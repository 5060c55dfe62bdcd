"""The options of a signer that AWS's tools take from variables and a profile, resolved in botocore's order.

A pure function of the variables, the profile and the arguments of the call. Only `OfflineSigner.from_env` and
`AiobotocoreSigner.create` use it: no other signer looks for an endpoint that its caller did not give.
https://docs.aws.amazon.com/sdkref/latest/guide/settings-reference.html
https://docs.aws.amazon.com/sdkref/latest/guide/feature-ss-endpoints.html
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

from ..errors import InvalidRequest, Problem, describe
from ..profiles import Profile
from .presigner import PresignerOptions

_STYLES: Mapping[str, Literal["auto", "virtual", "path"]] = {"auto": "auto", "virtual": "virtual", "path": "path"}


def configured(environ: Mapping[str, str], profile: Profile, given: PresignerOptions) -> PresignerOptions:
    """All options of a signer: those of the call, else those of `environ`, else those of `profile`.

    An empty variable or setting counts as not set. `region` is "" if there is none.

    Args:
        environ: The environment variables.
        profile: The profile that the call, the session or `environ` names.
        given: The arguments of the call. They replace what is configured, also if they are None, `region` apart.

    Raises:
        InvalidRequest: A setting has a value that botocore refuses, or that it ignores where another host would be meant.
    """
    s3 = _s3_settings(profile)
    regional = (environ.get("AWS_S3_US_EAST_1_REGIONAL_ENDPOINT"), profile.text("s3_us_east_1_regional_endpoint"))
    if (chosen := _first(*regional, s3.get("us_east_1_regional_endpoint"))) not in (None, "regional", "legacy"):
        raise _wrong("us_east_1_regional_endpoint", profile, "'regional' or 'legacy'; asyncpresign always is regional", chosen)
    arns = (environ.get("AWS_S3_USE_ARN_REGION"), profile.text("s3_use_arn_region"), s3.get("use_arn_region"), "true")
    found: PresignerOptions = {"use_accelerate": _is_true(s3.get("use_accelerate_endpoint")), "use_arn_region": _is_true(*arns)}
    if "addressing_style" not in given and (style := s3.get("addressing_style")) is not None:
        if style not in _STYLES:
            raise _wrong("addressing_style", profile, "'auto', 'virtual' or 'path'", style)
        found["addressing_style"] = _STYLES[style]
    if "endpoint_url" not in given:
        found["endpoint_url"] = _endpoint(environ, profile)
    if not any({**found, **given}.get(name) for name in ("endpoint_url", "public_endpoint_url")):
        # With an endpoint there is no host of AWS to choose.
        dualstack = _is_true(environ.get("AWS_USE_DUALSTACK_ENDPOINT"), profile.text("use_dualstack_endpoint"))
        found["use_dualstack"] = _is_true(s3.get("use_dualstack_endpoint")) or dualstack
        found["use_fips"] = _is_true(environ.get("AWS_USE_FIPS_ENDPOINT"), profile.text("use_fips_endpoint"))
    found = {**found, **given}
    if found.get("region") is None:
        regions = (environ.get("AWS_REGION"), environ.get("AWS_DEFAULT_REGION"), profile.text("region"))
        found["region"] = _first(*regions) or ""
    return found


def _endpoint(environ: Mapping[str, str], profile: Profile) -> str | None:
    ignored = (environ.get("AWS_IGNORE_CONFIGURED_ENDPOINT_URLS"), profile.text("ignore_configured_endpoint_urls"))
    if _is_true(*ignored):
        return None
    variables = (environ.get("AWS_ENDPOINT_URL_S3"), environ.get("AWS_ENDPOINT_URL"))
    return _first(*variables) or _endpoint_of_services(profile) or profile.text("endpoint_url")


def _endpoint_of_services(profile: Profile) -> str | None:
    if (name := profile.text("services")) is None:
        return None
    if not (services := profile.services.get(name)):
        raise _wrong("services", profile, f"the name of a section [services {name}] that is not empty", name)
    s3 = services.get("s3") or {}
    if not isinstance(s3, Mapping):
        raise _wrong(f"s3 in [services {name}] for", profile, "settings on lines of their own", s3)
    return s3.get("endpoint_url")


def _s3_settings(profile: Profile) -> Mapping[str, str]:
    s3 = profile.merged.get("s3") or {}
    if not isinstance(s3, Mapping):
        raise _wrong("s3", profile, "settings on lines of their own", s3)
    return s3


def _first(*values: str | None) -> str | None:
    return next(filter(None, values), None)


def _is_true(*values: str | None) -> bool:
    """As botocore reads the first value: anything but `true`, in any case, is False."""
    return (_first(*values) or "").lower() == "true"


def _wrong(setting: str, profile: Profile, expected: str, value: str) -> InvalidRequest:
    return InvalidRequest(Problem(f"{setting} of {profile.place}", expected, describe(value)))
