"""What a signer lets its caller choose of an endpoint, and the endpoint that it signs for.

`rules` says where AWS would send a request; here is what is stricter or wider, because a signature has to hold wherever
the request arrives. The host is always the regional one. `addressing_style` is "virtual" (`bucket.host`), "path"
(`host/bucket`) or "auto": virtual at AWS, path at a custom endpoint, whose certificate and DNS seldom know the bucket. A
bucket whose name cannot be a host label is always in the path, an access point by its ARN always in the host.
An endpoint whose host is the bucket (`bucket_endpoint`) has it neither in the path nor before the host.
https://docs.aws.amazon.com/AmazonS3/latest/userguide/VirtualHosting.html
https://docs.aws.amazon.com/general/latest/gr/s3.html
"""

from __future__ import annotations

import re
from functools import lru_cache
from typing import NamedTuple

from ..errors import InvalidRequest, Problem, UnsupportedRequest, describe, nearest
from .arns import DNS_SUFFIXES, partition_of
from .hosts import (
    Endpoint,
    EndpointInputs,
    SignatureKind,
    base_of,
    conflicts,
    endpoint_at,
    is_ip_address,
    region_problems,
    sigv4,
    split_url,
    url_problems,
)
from .operations import Trait, is_point_arn
from .rules import ordinary_bucket, resolve_endpoint

__all__ = ["ADDRESSING_STYLES", "Endpoint", "EndpointOptions", "option_problems", "resolve"]

ADDRESSING_STYLES = ("auto", "virtual", "path")

# Names that SDKs take for a region and that are no host's.
_NO_REGION = re.compile(r"aws-(?:[a-z-]+-)?global|fips-.+|.+-fips|s3-external-1")
# What AWS reads out of a bucket's name: directory buckets, their access points, aliases of Outposts.
_AWS_SUFFIXES = ("--x-s3", "--xa-s3", "--op-s3")
_SWITCHES = ("use_dualstack", "use_fips", "use_accelerate", "use_arn_region", "bucket_endpoint")
# Partitions without dualstack hosts: botocore refuses to make them, although AWS's rules spell some.
_NO_DUALSTACK = ("aws-iso-e", "aws-iso-f")
# Transfer Acceleration has its hosts for buckets in the host only.
_ACCELERATED = ("s3-accelerate.amazonaws.com", "s3-accelerate.dualstack.amazonaws.com")
# Why no signer here can make these signatures.
_UNSIGNED = {
    SignatureKind.SIGV4A: "multi-region access points take SigV4A only; name the access point of one region",
    SignatureKind.S3EXPRESS: "objects of directory buckets (S3 Express) are signed in a session, which only a call to S3 opens",
}


class EndpointOptions(NamedTuple):
    """What the caller chose, validated by `option_problems`; hashable, so that resolving can be remembered."""

    region: str
    endpoint_url: str | None = None
    addressing_style: str = "auto"
    use_dualstack: bool = False
    use_fips: bool = False
    use_accelerate: bool = False
    use_arn_region: bool = True
    bucket_endpoint: bool = False
    stripped_prefix: str = ""


def option_problems(options: EndpointOptions) -> list[Problem]:
    """What is wrong with the options, each by itself; if nothing is, which of them exclude each other."""
    alone = [*_region_problems(options.region), *_style_problems(options.addressing_style), *url_problems(options.endpoint_url)]
    if problems := [*alone, *_switch_problems(options)]:
        return problems
    if options.use_accelerate and options.addressing_style == "path":
        expected = "'auto' or 'virtual' beside use_accelerate, whose hosts have the bucket in them"
        problems.append(Problem("addressing_style", expected, "'path'"))
    if options.use_dualstack and options.endpoint_url is None and partition_of(options.region) in _NO_DUALSTACK:
        problems.append(Problem("use_dualstack", f"False in {options.region}, whose partition has no dualstack hosts", "True"))
    problems += _bucket_endpoint_problems(options) + conflicts(_inputs(options, None, frozenset()))
    return problems + _prefix_problems(options)


def _bucket_endpoint_problems(options: EndpointOptions) -> list[Problem]:
    if not options.bucket_endpoint:
        return []
    problems = []
    if options.endpoint_url is None:
        problems.append(Problem("bucket_endpoint", "False without an endpoint_url, whose host would be the bucket", "True"))
    if options.addressing_style == "path":
        expected = "'auto' or 'virtual' beside bucket_endpoint, since the bucket is in the host"
        problems.append(Problem("addressing_style", expected, "'path'"))
    return problems


def _prefix_problems(options: EndpointOptions) -> list[Problem]:
    if options.stripped_prefix == "" or _prefix_fits(options):
        return []
    expected = "'', or the path of public_endpoint_url without a slash at its end, which the proxy removes"
    return [Problem("stripped_prefix", expected, describe(options.stripped_prefix))]


def _prefix_fits(options: EndpointOptions) -> bool:
    """Whether there is a prefix that a proxy removes, and it is all of the endpoint's base path."""
    path = split_url(options.endpoint_url or "").path.removesuffix("/")
    return bool(path) and path == options.stripped_prefix


def _region_problems(region: object) -> list[Problem]:
    if isinstance(region, str) and _NO_REGION.fullmatch(region):
        expected = "a bucket's region: other hosts redirect, which breaks signatures, or are chosen by an option"
        return [Problem("region", expected, repr(region))]
    return region_problems([region])


def _style_problems(style: object) -> list[Problem]:
    if style in ADDRESSING_STYLES:
        return []
    suggestion = nearest(str(style), ADDRESSING_STYLES)
    return [Problem("addressing_style", "'auto', 'virtual' or 'path'", describe(style), suggestion)]


def _switch_problems(options: EndpointOptions) -> list[Problem]:
    given = ((name, getattr(options, name)) for name in _SWITCHES)
    return [Problem(name, "True or False", describe(value)) for name, value in given if not isinstance(value, bool)]


@lru_cache(maxsize=1024)
def resolve(options: EndpointOptions, bucket: str | None, traits: frozenset[Trait] = frozenset()) -> Endpoint:
    """Where `bucket` (None: the account) is for an operation, with the one signature that signers make: SigV4, for one region.

    Neither the options nor the name hold a problem of their own. Raises `InvalidRequest` for an ARN that is none of S3's, and
    `UnsupportedRequest` for what the options do not reach or no signer signs.
    """
    inputs = _inputs(options, bucket, traits)
    if options.bucket_endpoint:
        return _behind_proxy(_bucket_host(inputs), options)
    if bucket is not None and inputs.endpoint_url is not None and _is_in_host(bucket, options):
        hint = "bucket_endpoint=True says that the host is the bucket"
        raise InvalidRequest(Problem("bucket", "a bucket that is not in the host of endpoint_url already", repr(bucket), hint))
    if bucket is None or options.endpoint_url is None or not bucket.endswith(_AWS_SUFFIXES):
        endpoint = resolve_endpoint(inputs)
    else:
        endpoint = ordinary_bucket(inputs, bucket)  # other servers read nothing out of a name
    if bucket is not None and bucket.startswith("arn:") and not is_point_arn(bucket):
        # AWS's rules resolve these, to hosts that do not exist.
        expected = "an ARN of an access point in a partition of AWS ('aws', 'aws-cn', ...), of an account of 12 digits"
        raise InvalidRequest(Problem("bucket", expected, describe(bucket)))
    for signature in endpoint.signatures:
        if signature.kind is SignatureKind.SIGV4:
            return _behind_proxy(endpoint._replace(signatures=(signature,)), options)
    raise UnsupportedRequest(f"bucket: {_UNSIGNED[endpoint.signatures[0].kind]}")


def _behind_proxy(endpoint: Endpoint, options: EndpointOptions) -> Endpoint:
    """`endpoint` as clients see it. What a proxy removes stands before the path, and is not signed."""
    return endpoint._replace(origin=endpoint.origin + options.stripped_prefix, path=endpoint.path or "/")


def _bucket_host(inputs: EndpointInputs) -> Endpoint:
    if inputs.bucket is None:
        raise UnsupportedRequest("bucket_endpoint: this operation is of no bucket, and the host of endpoint_url is one")
    if inputs.bucket.startswith("arn:"):
        raise UnsupportedRequest("bucket: an ARN has a host of its own, and bucket_endpoint says that the endpoint's is it")
    return endpoint_at(base_of(inputs, ""), "", sigv4(inputs))


def _is_in_host(bucket: str, options: EndpointOptions) -> bool:
    """Whether the endpoint's host is or begins with `bucket`, so that it would be there twice.

    A server may have the first label of its name from the bucket by chance, which "path" says. A host of one label and an
    address are no bucket's.
    """
    host = (split_url(options.endpoint_url or "").hostname or "").lower()
    if options.addressing_style == "path" and not host.endswith(tuple(DNS_SUFFIXES)):
        return False
    return "." in host and f"{host}.".startswith(f"{bucket.lower()}.") and not is_ip_address(host)


def _inputs(options: EndpointOptions, bucket: str | None, traits: frozenset[Trait]) -> EndpointInputs:
    return EndpointInputs(
        region=options.region,
        bucket=bucket,
        endpoint_url=_signed_url(options),
        path_style=Trait.PATH_STYLE in traits or _is_path_style(options, bucket),
        use_fips=options.use_fips,
        use_dualstack=options.use_dualstack,
        use_accelerate=options.use_accelerate,
        use_arn_region=options.use_arn_region,
        no_access_points=Trait.NO_ACCESS_POINTS in traits,
        no_s3express_session=Trait.NO_SESSION in traits,
        s3express_control=Trait.EXPRESS_CONTROL in traits,
        object_lambda=Trait.OBJECT_LAMBDA in traits,
    )


def _signed_url(options: EndpointOptions) -> str | None:
    """The endpoint without the path that a proxy removes."""
    url = options.endpoint_url
    return url.removesuffix("/").removesuffix(options.stripped_prefix) if url and _prefix_fits(options) else url


def _is_path_style(options: EndpointOptions, bucket: str | None) -> bool:
    # Nothing can stand before an address, a dotted bucket included, which AWS's rules put there.
    if options.endpoint_url is not None and is_ip_address(split_url(options.endpoint_url).hostname or ""):
        return True
    if bucket is not None and bucket.startswith("arn:"):
        return False
    if options.addressing_style != "auto" or options.endpoint_url is None:
        return options.addressing_style == "path"
    return split_url(options.endpoint_url).hostname not in _ACCELERATED
