"""Where `resolve_endpoint` and AWS's rules differ on purpose: one table, which test_endpoint_rules reads and the docs show."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from asyncpresign._s3.arns import Arn, parse_arn
from asyncpresign._s3.hosts import EndpointInputs


@dataclass(frozen=True)
class Difference:
    """Where we refuse what AWS's rules answer, or (`answers`) answer otherwise."""

    name: str
    reason: str
    applies: Callable[[EndpointInputs], bool]
    answers: bool = False


def arn_of(inputs: EndpointInputs) -> Arn:
    return parse_arn(inputs.bucket or "") or Arn("", "", "", "", ("",))


def is_multi_region(inputs: EndpointInputs) -> bool:
    return arn_of(inputs).resource[0] == "accesspoint" and not arn_of(inputs).region


DIFFERENCES = (
    Difference(
        "endpoint that is no URL",
        "AWS's rules then forget the endpoint for some names, and send the request to AWS",
        lambda inputs: inputs.endpoint_url == "not a url",
    ),
    Difference(
        "region that is no label of a host",
        "AWS's rules look at it for some names only; the host would not exist",
        lambda inputs: inputs.region in ("us_east-1", "-us", "us-east.special"),
    ),
    Difference(
        "aws-global for a dotted bucket by HTTP",
        "signed for us-east-1 as everything else of that region; AWS's rule forgets it here",
        lambda inputs: (
            inputs.region == "aws-global"
            and "." in (inputs.bucket or "")
            and (inputs.endpoint_url or "").lower().startswith("http:")
        ),
        answers=True,
    ),
    Difference(
        "alias of an Outpost with an option that Outposts lack",
        "AWS's rule refuses it beside an ARN, and drops it beside an alias: a request that asked for FIPS would go elsewhere",
        lambda inputs: (
            (inputs.bucket or "").endswith("--op-s3") and (inputs.use_fips or inputs.use_dualstack or inputs.use_accelerate)
        ),
    ),
    Difference(
        "multi-region access point of another service",
        "only S3 has them; AWS's rule does not look at the service",
        lambda inputs: is_multi_region(inputs) and arn_of(inputs).service != "s3",
    ),
    Difference(
        "multi-region access point with more behind its name",
        "AWS's rule drops what follows, where it refuses that for all other access points",
        lambda inputs: is_multi_region(inputs) and len(arn_of(inputs).resource) > 2,
    ),
)
