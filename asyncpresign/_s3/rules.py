"""Where a request to S3 goes, and what its signature is for: all that AWS's published rule set resolves, decided here.

Text in, text out: no rule engine, no copy of the rules, nothing looked up. What stands where it is stranger than it has to
be (an alias of an Outpost that ignores the endpoint, say) is AWS's rule; the tests compare every answer with botocore's,
and hold a table of the few that differ on purpose. What signers allow on top of this is `endpoints`.
https://docs.aws.amazon.com/AmazonS3/latest/userguide/VirtualHosting.html
https://docs.aws.amazon.com/AmazonS3/latest/userguide/access-points-naming.html
https://docs.aws.amazon.com/AmazonS3/latest/userguide/s3-express-networking.html
"""

from __future__ import annotations

from collections.abc import Callable

from .._sigv4.canonical import uri_encode
from ..errors import InvalidRequest, Problem, UnsupportedRequest, describe
from .arns import Arn, dns_suffix, parse_arn, partition_of
from .hosts import (
    LABEL,
    Base,
    Endpoint,
    EndpointInputs,
    Signature,
    SignatureKind,
    base_of,
    can_be_host,
    conflicts,
    endpoint_at,
    host_of,
    is_ip_address,
    region_problems,
    signed_region,
    sigv4,
    url_problems,
    with_bucket,
)

# How long the names of zones are: `use1-az4`, `apne1-az4`, and those of local zones.
_ZONE_LENGTHS = (8, 9, 13, 14, 20)
_OUTPOSTS_LACK = ("S3 on Outposts", "use_dualstack", "use_fips", "use_accelerate")
_LABEL_TEXT = "letters of ASCII, digits and hyphens"


def resolve_endpoint(inputs: EndpointInputs) -> Endpoint:
    """The endpoint for `inputs`.

    Raises `InvalidRequest` or `UnsupportedRequest`, naming the input, for what no endpoint of S3 answers to.
    """
    if problems := _problems(inputs):
        raise InvalidRequest(*problems)
    bucket = inputs.bucket
    if bucket is None:
        return _account(inputs)
    for sign, decide in _NAMES:
        if bucket.startswith(sign) if sign == "arn:" else bucket.isascii() and bucket.endswith(sign):
            return decide(inputs, bucket)
    return ordinary_bucket(inputs, bucket)


def _problems(inputs: EndpointInputs) -> list[Problem]:
    # Only what has no bucket in its host has regions of several labels.
    problems = region_problems(inputs.region.split(".") if inputs.bucket is None else [inputs.region])
    return problems + url_problems(inputs.endpoint_url) + conflicts(inputs)


# --- the account, and what is a bucket's name and nothing else ---------------------------------------------------------


def _account(inputs: EndpointInputs) -> Endpoint:
    if inputs.s3express_control:
        return endpoint_at(base_of(inputs, host_of(inputs, "s3express-control")), "", sigv4(inputs, "s3express"))
    if not inputs.object_lambda:
        return endpoint_at(base_of(inputs, _regional_host(inputs)), "", sigv4(inputs))
    _refuse(inputs, "S3 Object Lambda", "use_dualstack", "use_accelerate")
    return endpoint_at(base_of(inputs, host_of(inputs, "s3-object-lambda")), "", sigv4(inputs, "s3-object-lambda"))


def ordinary_bucket(inputs: EndpointInputs, bucket: str) -> Endpoint:
    """The endpoint of a general purpose bucket, whatever its name might mean to AWS."""
    host = _accelerated_host(inputs, bucket) if inputs.use_accelerate else _regional_host(inputs)
    base = base_of(inputs, host)
    # A wildcard certificate covers one label, so a dotted bucket can be a host over plain HTTP only.
    labels = bucket.split(".") if base.scheme == "http" else [bucket]
    if not inputs.path_style and can_be_host(bucket, labels) and not (len(labels) == 1 and is_ip_address(base.hostname)):
        return endpoint_at(base, f"{bucket}.", sigv4(inputs))
    return endpoint_at(with_bucket(base, bucket), "", sigv4(inputs))


def _accelerated_host(inputs: EndpointInputs, bucket: str) -> str:
    if partition_of(inputs.region) == "aws-cn":
        raise _unsupported("use_accelerate", "China has no accelerated hosts")
    if inputs.path_style or not can_be_host(bucket, [bucket]):
        raise _unsupported(
            "use_accelerate", "the bucket has to be in the host, as one label; neither path style nor this name allows it"
        )
    if not inputs.use_dualstack:
        return f"s3-accelerate.{dns_suffix(inputs.region)}"
    place = ".us-east-1" if inputs.region == "aws-global" else ""
    return f"s3-accelerate.dualstack{place}.{dns_suffix(inputs.region)}"


def _regional_host(inputs: EndpointInputs) -> str:
    plain = not (inputs.use_fips or inputs.use_dualstack)
    if plain and (inputs.region == "aws-global" or (inputs.use_global_endpoint and inputs.region == "us-east-1")):
        return f"s3.{dns_suffix(inputs.region)}"
    return host_of(inputs, "s3", region=signed_region(inputs))


# --- directory buckets, and access points to them: S3 Express ----------------------------------------------------------


def _directory_bucket(inputs: EndpointInputs, bucket: str) -> Endpoint:
    if inputs.s3express_control and inputs.endpoint_url is None:
        _refuse(inputs, "S3 Express", "use_accelerate")
        base = with_bucket(base_of(inputs, host_of(inputs, "s3express-control")), bucket)
        return endpoint_at(base, "", _express(inputs, SignatureKind.SIGV4))
    return _zonal(inputs, bucket, "--x-s3")


def _directory_point(inputs: EndpointInputs, bucket: str) -> Endpoint:
    return _zonal(inputs, bucket, "--xa-s3")


def _express(inputs: EndpointInputs, kind: SignatureKind) -> Signature:
    return Signature(kind, "s3express", (inputs.region,))


def _zonal(inputs: EndpointInputs, bucket: str, suffix: str) -> Endpoint:
    _refuse(inputs, "S3 Express", "use_accelerate")
    signature = _express(inputs, SignatureKind.SIGV4 if inputs.no_s3express_session else SignatureKind.S3EXPRESS)
    base = base_of(inputs, "")
    if inputs.endpoint_url is not None and is_ip_address(base.hostname):
        return endpoint_at(base._replace(path=f"/{uri_encode(bucket)}{base.path}"), "", signature)
    if not can_be_host(bucket, [bucket]):
        raise _invalid("bucket", f"a directory bucket named in small {_LABEL_TEXT}, of at most 63", bucket)
    if inputs.endpoint_url is not None:
        return endpoint_at(base, f"{bucket}.", signature)
    host = host_of(inputs, "s3express", f"-{_zone(bucket, suffix)}")
    return endpoint_at(base_of(inputs, host), f"{bucket}.", signature)


def _zone(bucket: str, suffix: str) -> str:
    name = bucket.removesuffix(suffix)
    length = next((length for length in _ZONE_LENGTHS if name[-length - 2 : -length] == "--"), None)
    if length is None:
        raise _invalid("bucket", f"a name with its zone, such as 'name--use1-az4{suffix}'", bucket)
    return name[-length:]


# --- Outposts by their aliases -----------------------------------------------------------------------------------------


def _outpost_alias(inputs: EndpointInputs, bucket: str) -> Endpoint:
    """`{point}{o or e}{17 of the Outpost's id}{20 more}{4 of a region's code}...--op-s3`, counted from its end."""
    if len(bucket) < 50:
        return ordinary_bucket(inputs, bucket)
    _refuse(inputs, *_OUTPOSTS_LACK)
    hardware, outpost, region = bucket[-50], bucket[-49:-32], bucket[-12:-8]
    if not LABEL.fullmatch(outpost):
        raise _invalid("bucket", f"an Outpost's id of {_LABEL_TEXT}", outpost)
    if not can_be_host(bucket, [bucket]):
        raise _invalid("bucket", f"an alias named in small {_LABEL_TEXT}, of at most 63", bucket)
    if hardware not in "eo":
        raise _invalid("bucket", "the hardware 'o' or 'e' before the Outpost's id", hardware)
    base = base_of(inputs, "")
    if region != "beta":  # the alias says where it is: AWS's rule is that no endpoint changes that
        base = Base("https", host_of(inputs, "s3-outposts"), "", "")
    elif inputs.endpoint_url is None:
        raise _invalid("endpoint_url", "a URL, which aliases of this region need", "nothing")
    place = "ec2." if hardware == "e" else f"op-{outpost}."
    return endpoint_at(_outposts_base(base), f"{bucket}.{place}", *_outposts(inputs.region))


def _outposts_base(base: Base) -> Base:
    """Outposts are reached by TLS and have no base path, whatever the endpoint says."""
    return base._replace(scheme="https", path="")


def _outposts(region: str) -> tuple[Signature, ...]:
    return Signature(SignatureKind.SIGV4A, "s3-outposts", ("*",)), Signature(SignatureKind.SIGV4, "s3-outposts", (region,))


# --- ARNs --------------------------------------------------------------------------------------------------------------


def _of_arn(inputs: EndpointInputs, bucket: str) -> Endpoint:
    arn = parse_arn(bucket)
    if arn is None:
        raise _invalid("bucket", "an ARN, arn:partition:service:region:account:resource", bucket)
    if inputs.path_style:
        raise _unsupported("bucket", "an ARN is part of the host, which neither path style nor an address as endpoint allows")
    match arn.service, arn.resource[0]:
        case "s3-object-lambda", "accesspoint":
            return _object_lambda_point(inputs, arn)
        case "s3", "accesspoint":
            return _access_point(inputs, arn) if arn.region else _multi_region_point(inputs, arn)
        case "s3-outposts", kind if kind not in ("", "accesspoint"):
            return _outpost_point(inputs, arn)
        case _:
            expected = "the ARN of an access point of s3, s3-object-lambda or s3-outposts"
            plain = (arn.service, arn.region, arn.account, len(arn.resource)) == ("s3", "", "", 1)
            suggestion = "a bucket goes by its name alone" if plain else ""
            raise InvalidRequest(Problem("bucket", expected, _shown(bucket), suggestion))


def _access_point(inputs: EndpointInputs, arn: Arn) -> Endpoint:
    _check_point(inputs, arn, arn.piece(1), 2)
    _refuse(inputs, "an access point", "use_accelerate")
    host = host_of(inputs, "s3-accesspoint", region=arn.region)
    return endpoint_at(base_of(inputs, host), f"{arn.piece(1)}-{arn.account}.", sigv4(inputs, region=arn.region))


def _object_lambda_point(inputs: EndpointInputs, arn: Arn) -> Endpoint:
    _refuse(inputs, "S3 Object Lambda", "use_dualstack", "use_accelerate")
    _check_point(inputs, arn, arn.piece(1), 2)
    base = base_of(inputs, host_of(inputs, "s3-object-lambda", region=arn.region))
    return endpoint_at(base, f"{arn.piece(1)}-{arn.account}.", sigv4(inputs, "s3-object-lambda", arn.region))


def _multi_region_point(inputs: EndpointInputs, arn: Arn) -> Endpoint:
    _refuse(inputs, "a multi-region access point", "use_dualstack", "use_fips", "use_accelerate")
    if inputs.no_multi_region:
        raise _unsupported("bucket", "multi-region access points are switched off")
    if not all(map(LABEL.fullmatch, arn.piece(1).split("."))) or len(arn.resource) > 2:
        raise _invalid("bucket", f"an access point named in {_LABEL_TEXT}", arn.piece(1))
    if arn.partition != (partition := partition_of(inputs.region)):
        raise _invalid("bucket", f"an ARN of the partition {partition!r}, in which the region is", arn.partition)
    base = Base("https", f"accesspoint.s3-global.{dns_suffix(inputs.region)}", "", "")
    return endpoint_at(base, f"{arn.piece(1)}.", Signature(SignatureKind.SIGV4A, "s3", ("*",)))


def _outpost_point(inputs: EndpointInputs, arn: Arn) -> Endpoint:
    _refuse(inputs, *_OUTPOSTS_LACK)
    outpost, kind, name = arn.piece(1), arn.piece(2), arn.piece(3)
    if kind != "accesspoint":
        raise _invalid("bucket", "an ARN that ends in outpost/{id}/accesspoint/{name}", "/".join(arn.resource))
    if not LABEL.fullmatch(outpost):
        raise _invalid("bucket", f"an Outpost's id of {_LABEL_TEXT}", outpost)
    _check_point(inputs, arn, name, 4, everywhere=True)
    base = _outposts_base(base_of(inputs, host_of(inputs, "s3-outposts", region=arn.region)))
    return endpoint_at(base, f"{name}-{arn.account}.{outpost}.", *_outposts(arn.region))


def _check_point(inputs: EndpointInputs, arn: Arn, name: str, length: int, *, everywhere: bool = False) -> None:
    """That `arn` names an access point, with `length` pieces of a resource, which this call may use."""
    if inputs.no_access_points and not everywhere:
        raise _unsupported("bucket", "this operation takes no access points; name a bucket")
    parts = (("a region", arn.region), ("an account", arn.account), ("an access point's name", name))
    problems = [
        Problem("bucket", f"an ARN with {part} of {_LABEL_TEXT}", _shown(text))
        for part, text in parts
        if not LABEL.fullmatch(text)
    ]
    if len(arn.resource) > length:
        problems.append(Problem("bucket", "an ARN that ends with the access point's name", _shown("/".join(arn.resource))))
    if partition_of(arn.region) != (partition := partition_of(inputs.region)):
        problems.append(Problem("bucket", f"an ARN of the partition {partition!r}, in which the region is", _shown(arn.region)))
    if not inputs.use_arn_region and arn.region != inputs.region:
        problems.append(Problem("use_arn_region", f"True, or an ARN of the region {inputs.region!r}", _shown(arn.region)))
    if problems:
        raise InvalidRequest(*problems)


# What a name begins or ends with, and what it is then; any other is a general purpose bucket.
_NAMES: tuple[tuple[str, Callable[[EndpointInputs, str], Endpoint]], ...] = (
    ("--x-s3", _directory_bucket),
    ("--xa-s3", _directory_point),
    ("--op-s3", _outpost_alias),
    ("arn:", _of_arn),
)


def _refuse(inputs: EndpointInputs, what: str, *options: str) -> None:
    for option in options:
        if getattr(inputs, option):
            raise _unsupported(option, f"{what} has no such hosts; leave it out")


def _unsupported(argument: str, why: str) -> UnsupportedRequest:
    return UnsupportedRequest(f"{argument}: {why}")


def _invalid(argument: str, expected: str, got: str) -> InvalidRequest:
    return InvalidRequest(Problem(argument, expected, _shown(got)))


def _shown(text: str) -> str:
    """`text`, unless it is long enough to be a secret that was put in the wrong place."""
    return repr(text) if len(text) <= 24 else describe(text)
