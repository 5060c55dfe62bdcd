"""The parts that `rules` makes endpoints of: the inputs, hosts by service and option, names that can be hosts, signatures.

https://docs.aws.amazon.com/general/latest/gr/s3.html
https://datatracker.ietf.org/doc/html/rfc1123#section-2
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from enum import StrEnum
from typing import TYPE_CHECKING, NamedTuple

from .._sigv4.canonical import uri_encode
from ..errors import Problem, UnsupportedRequest, describe
from .arns import dns_suffix, partition_of

if TYPE_CHECKING:
    from urllib.parse import SplitResult

LABEL = re.compile(r"(?!-)[A-Za-z0-9-]{1,63}(?<!-)")
_BUCKET_LABEL = re.compile(r"(?!-)[a-z0-9-]{1,63}(?<!-)")
_LIKE_IPV4 = re.compile(r"(?:[0-9]{1,3}\.){3}[0-9]{1,3}")
# RFC 3986 without what would move a signature: user, query, fragment, a port in a second spelling.
# A label may contain an underscore, as names of Docker's services do; the dot of a root may end the name.
_NAME = r"[a-z0-9_] (?: [a-z0-9_-]{0,61} [a-z0-9_] )?"
_URL = rf"""(?ix) https?:// (?: (?! [^/:]{{256}} ) {_NAME} (?: \. {_NAME} )* \.? | \[[0-9a-f:.]+\] ) (?: :[1-9][0-9]{{0,4}} )?
    (?: / (?: [a-z0-9/._~!$&'()*+,;=:@-] | %[0-9a-f]{{2}} )* )?"""
_DEFAULT_PORTS = {"http": 80, "https": 443}


class SignatureKind(StrEnum):
    """How a request is signed, in the words of AWS's rules."""

    SIGV4 = "sigv4"
    SIGV4A = "sigv4a"
    S3EXPRESS = "sigv4-s3express"
    """SigV4 with the credentials of a session, which only S3 gives out."""


class Signature(NamedTuple):
    """A signature that the endpoint takes: for `regions` (SigV4: one; SigV4A: a set, in which `*` is all) of `service`."""

    kind: SignatureKind
    service: str
    regions: tuple[str, ...]


class EndpointInputs(NamedTuple):
    """All that decides on an endpoint. The operation says `no_access_points` and what follows, the caller the rest.

    `bucket` is a name, an ARN or an alias; None is the account. `use_arn_region` False insists that an ARN is of `region`.
    `use_global_endpoint` is us-east-1's own host without a region. Keys, prefixes and copy sources decide nothing.
    """

    region: str = ""
    bucket: str | None = None
    endpoint_url: str | None = None
    path_style: bool = False
    use_fips: bool = False
    use_dualstack: bool = False
    use_accelerate: bool = False
    use_global_endpoint: bool = False
    use_arn_region: bool = True
    no_multi_region: bool = False
    no_access_points: bool = False
    no_s3express_session: bool = False
    s3express_control: bool = False
    object_lambda: bool = False


class Endpoint(NamedTuple):
    """Where a request goes. `origin` and `path` go into the URL as they are; `host` is what is signed, normalised.

    `path` is encoded, and empty or beginning with `/`: the endpoint's own, and the bucket where it is not in the host.
    `signatures` are those that the endpoint takes, the service's preference first.
    """

    origin: str
    host: str
    path: str
    signatures: tuple[Signature, ...]

    @property
    def service(self) -> str:
        """The service that the first signature is for."""
        return self.signatures[0].service

    @property
    def region(self) -> str:
        """The region that the first signature is for, or the first of its set."""
        return self.signatures[0].regions[0]

    @property
    def url(self) -> str:
        """The URL without what the operation adds to it."""
        return self.origin + self.path

    def behind(self, prefix: str) -> Endpoint:
        """This endpoint with `prefix`, which ends in a dot, before its host.

        Raises `UnsupportedRequest` when that is an address.
        """
        if is_ip_address(split_url(self.origin).hostname or ""):
            raise UnsupportedRequest("endpoint_url: this operation needs a name for a host, to put its route before it")
        scheme, _, authority = self.origin.partition("://")
        return self._replace(origin=f"{scheme}://{prefix}{authority}", host=prefix.lower() + self.host)

    def object_path(self, key: str) -> str:
        """The encoded path of the object `key`: joined by text, never resolved, so `../` and `//` stay what they are."""
        return f"{self.path.removesuffix('/')}/{uri_encode(key, keep_slash=True)}"


# --- what could be none --------------------------------------------------------------------------------------------------


def conflicts(inputs: EndpointInputs) -> list[Problem]:
    """Which options exclude each other, whatever the bucket."""
    custom = inputs.endpoint_url is not None
    problems = [
        Problem(option, "False beside an endpoint_url, which is used as it is", "True")
        for option in ("use_fips", "use_dualstack", "use_accelerate")
        if getattr(inputs, option) and custom
    ]
    if inputs.use_fips and inputs.use_accelerate:
        problems.append(Problem("use_fips", "False beside use_accelerate, which has no FIPS hosts", "True"))
    if inputs.use_fips and partition_of(inputs.region) == "aws-cn":
        problems.append(Problem("use_fips", "False in China, which has no FIPS hosts", "True"))
    return problems


def region_problems(labels: Sequence[object]) -> list[Problem]:
    """Why no host could have a region of these labels; it has one, but for those of AWS's tests."""
    if all(isinstance(label, str) and LABEL.fullmatch(label) for label in labels):
        return []
    region = labels[0] if len(labels) == 1 else ".".join(map(str, labels))
    return [Problem("region", "an AWS region such as 'eu-central-1'", "nothing" if region in (None, "") else describe(region))]


def url_problems(url: object) -> list[Problem]:
    """Why `url` could not be an endpoint; None is AWS's own."""
    if url is None or (isinstance(url, str) and re.fullmatch(_URL, url) and _is_sound(url)):
        return []
    return [Problem("endpoint_url", "http(s)://host[:port][/base/path] without user, query and fragment", describe(url))]


def _is_sound(url: str) -> bool:
    try:
        parts = split_url(url)
        _ = parts.port
    except ValueError:  # a port over 65535, brackets around what is no address
        return False
    # Clients resolve `.` and `..`, and some servers drop empty segments: the path that was signed would not arrive.
    return not {"", ".", ".."}.intersection(parts.path.removesuffix("/").split("/")[1:])


# --- hosts, paths and signatures -----------------------------------------------------------------------------------------


def split_url(url: str) -> SplitResult:
    """The parts of an endpoint's URL. Raises `ValueError` for what is none."""
    from urllib.parse import urlsplit  # which loads more than signing for AWS itself needs

    return urlsplit(url)


class Base(NamedTuple):
    """An endpoint before the bucket is part of it; `hostname` is the custom endpoint's, empty at AWS."""

    scheme: str
    authority: str
    path: str
    hostname: str


def base_of(inputs: EndpointInputs, host: str) -> Base:
    """The custom endpoint, if there is one, else AWS's `host`."""
    if inputs.endpoint_url is None:
        return Base("https", host, "", "")
    parts = split_url(inputs.endpoint_url)
    return Base(parts.scheme, parts.netloc, parts.path, parts.hostname or "")


def with_bucket(base: Base, bucket: str) -> Base:
    """`base` with the bucket in its path."""
    return base._replace(path=f"{base.path.removesuffix('/')}/{uri_encode(bucket)}")


def host_of(inputs: EndpointInputs, service: str, more: str = "", region: str | None = None) -> str:
    """AWS's host of `service` with the options that the inputs ask for; `more` stands behind `-fips`."""
    fips = "-fips" if inputs.use_fips else ""
    dualstack = ".dualstack" if inputs.use_dualstack else ""
    region = region or inputs.region
    return f"{service}{fips}{more}{dualstack}.{region}.{dns_suffix(region)}"


def endpoint_at(base: Base, prefix: str, *signatures: Signature) -> Endpoint:
    """The endpoint at `base` with `prefix` before its host.

    The authority stays in the URL as written; clients lower its case and leave out a default port, so that is signed.
    """
    authority = prefix + base.authority
    host = authority.lower()
    host = host.removesuffix(f":{_DEFAULT_PORTS[base.scheme]}")
    return Endpoint(f"{base.scheme}://{authority}", host, base.path, signatures)


def sigv4(inputs: EndpointInputs, service: str = "s3", region: str | None = None) -> Signature:
    """SigV4 of `service`, for `region` or that of the inputs."""
    return Signature(SignatureKind.SIGV4, service, (region or signed_region(inputs, service),))


def signed_region(inputs: EndpointInputs, service: str = "s3") -> str:
    """The region that stands in signatures: `aws-global` is a name for us-east-1, which no other service here knows."""
    return "us-east-1" if inputs.region == "aws-global" and service == "s3" else inputs.region


def is_ip_address(host: str) -> bool:
    """Whether `host`, without brackets, is an address, which no bucket can be put before."""
    return ":" in host or bool(_LIKE_IPV4.fullmatch(host))


def can_be_host(bucket: str, labels: list[str]) -> bool:
    """Whether `bucket`, whose parts are `labels`, can stand in a host."""
    return len(bucket) >= 3 and all(map(_BUCKET_LABEL.fullmatch, labels)) and not _LIKE_IPV4.fullmatch(bucket)
