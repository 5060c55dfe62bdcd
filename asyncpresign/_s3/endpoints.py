"""Which host and path a bucket has, and for which region a request is signed.

Always the regional host, always `s3`'s own rules: nothing is looked up. `addressing_style` is "virtual"
(`bucket.host`), "path" (`host/bucket`) or "auto": virtual at AWS, path at a custom endpoint, whose certificate and DNS
seldom know the bucket. A bucket whose name cannot be a host label is always in the path.
https://docs.aws.amazon.com/AmazonS3/latest/userguide/VirtualHosting.html
https://docs.aws.amazon.com/general/latest/gr/s3.html
"""

from __future__ import annotations

import ipaddress
import re
from dataclasses import dataclass
from functools import lru_cache
from urllib.parse import SplitResult, urlsplit

from .._sigv4.canonical import uri_encode
from ..errors import Problem, UnsupportedRequest, describe, nearest

ADDRESSING_STYLES = ("auto", "virtual", "path")

# Region prefix -> DNS suffix, first match wins; the last row is the partition `aws`.
PARTITIONS = (
    ("cn-", "amazonaws.com.cn"),
    ("us-isob-", "sc2s.sgov.gov"),
    ("us-isof-", "csp.hci.ic.gov"),
    ("us-iso-", "c2s.ic.gov"),
    ("eu-isoe-", "cloud.adc-e.uk"),
    ("eusc-", "amazonaws.eu"),
    ("", "amazonaws.com"),
)

# Names that SDKs take for a region and that are no host's.
_NO_REGION = re.compile(r"aws-(?:[a-z-]+-)?global|fips-.+|.+-fips|s3-external-1")
# Directory buckets, and aliases of Outposts: another service's hosts and signatures.
_OTHER_SERVICE = ("--x-s3", "--xa-s3", "--op-s3")
_HOST_LABEL = re.compile(r"(?!-)[A-Za-z0-9-]{1,63}(?<!-)")
_BUCKET_LABEL = re.compile(r"(?!-)[a-z0-9-]{1,63}(?<!-)")
_LIKE_IPV4 = re.compile(r"(?:[0-9]{1,3}\.){3}[0-9]{1,3}")
# RFC 3986 without what would move a signature: user, query, fragment, a port in a second spelling.
_URL = re.compile(
    r"""(?ix) https?:// (?: [a-z0-9._-]+ | \[[0-9a-f:.]+\] ) (?: :[1-9][0-9]{0,4} )?
    (?: / (?: [a-z0-9/._~!$&'()*+,;=:@-] | %[0-9a-f]{2} )* )?"""
)
_DEFAULT_PORTS = {"http": 80, "https": 443}


@dataclass(frozen=True, slots=True)
class EndpointOptions:
    """What the caller chose, validated by `check_options`; hashable, so that resolving can be remembered."""

    region: str
    endpoint_url: str | None = None
    addressing_style: str = "auto"


@dataclass(frozen=True, slots=True)
class Endpoint:
    """Where a bucket is. `origin` and `path` go into the URL as they are; `host` is what is signed, normalised.

    `path` is encoded and starts with `/`: the endpoint's own, and the bucket where it is not in the host.
    """

    origin: str
    host: str
    path: str

    def object_path(self, key: str) -> str:
        """The encoded path of the object `key`: joined by text, never resolved, so `../` and `//` stay what they are."""
        return f"{self.path.removesuffix('/')}/{uri_encode(key, keep_slash=True)}"


def option_problems(options: EndpointOptions) -> list[Problem]:
    """What is wrong with the region, the endpoint and the addressing style."""
    problems = []
    region: object = options.region
    if region is None or region == "":
        problems.append(Problem("region", "an AWS region such as 'eu-central-1'", "nothing"))
    elif not isinstance(region, str) or not _HOST_LABEL.fullmatch(region):
        problems.append(Problem("region", "an AWS region such as 'eu-central-1'", describe(region)))
    elif _NO_REGION.fullmatch(region):
        expected = "a bucket's region: other hosts redirect, which breaks signatures, or are chosen by an option"
        problems.append(Problem("region", expected, repr(region)))
    if options.addressing_style not in ADDRESSING_STYLES:
        style = str(options.addressing_style)
        suggestion = nearest(style, ADDRESSING_STYLES)
        problems.append(
            Problem("addressing_style", "'auto', 'virtual' or 'path'", describe(options.addressing_style), suggestion)
        )
    if options.endpoint_url is not None:
        problems += _url_problems(options.endpoint_url)
    return problems


def _url_problems(url: object) -> list[Problem]:
    if isinstance(url, str) and _URL.fullmatch(url) and _is_sound(url):
        return []
    return [Problem("endpoint_url", "http(s)://host[:port][/base/path] without user, query and fragment", describe(url))]


def _is_sound(url: str) -> bool:
    try:
        parts = urlsplit(url)
        _ = parts.port
    except ValueError:  # a port over 65535, brackets around what is no address
        return False
    # Clients resolve `.` and `..`, and some servers drop empty segments: the path that was signed would not arrive.
    return not {"", ".", ".."}.intersection(parts.path.removesuffix("/").split("/")[1:])


@lru_cache(maxsize=1024)
def resolve(options: EndpointOptions, bucket: str | None) -> Endpoint:
    """Where `bucket` (None: the account) is. Neither `options` nor the name hold a problem.

    Raises `UnsupportedRequest` for an ARN, and for a name that another service than S3 answers to.
    """
    if options.endpoint_url is None:
        suffix = next(suffix for prefix, suffix in PARTITIONS if options.region.startswith(prefix))
        parts = SplitResult("https", f"s3.{options.region}.{suffix}", "", "", "")
    else:
        parts = urlsplit(options.endpoint_url)
    base = parts.path or "/"
    if bucket is None:
        return _endpoint(parts, parts.netloc, base)
    if bucket.startswith("arn:"):
        raise UnsupportedRequest("bucket: access points and other ARNs cannot be signed by this version; name a bucket")
    if options.endpoint_url is None and bucket.endswith(_OTHER_SERVICE):
        raise UnsupportedRequest("bucket: directory buckets (S3 Express) and Outposts cannot be signed by this version")
    if _is_virtual(options, parts, bucket):
        return _endpoint(parts, f"{bucket}.{parts.netloc}", base)
    return _endpoint(parts, parts.netloc, f"{base.removesuffix('/')}/{uri_encode(bucket)}")


def _is_virtual(options: EndpointOptions, parts: SplitResult, bucket: str) -> bool:
    if options.addressing_style == "path" or (options.addressing_style == "auto" and options.endpoint_url is not None):
        return False
    if _is_ip_address(parts.hostname or ""):
        return False
    # A wildcard certificate covers one label, so a dotted bucket can be a host over plain HTTP only.
    labels = bucket.split(".") if parts.scheme == "http" else [bucket]
    return len(bucket) >= 3 and all(map(_BUCKET_LABEL.fullmatch, labels)) and not _LIKE_IPV4.fullmatch(bucket)


def _is_ip_address(host: str) -> bool:
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return False
    return True


def _endpoint(parts: SplitResult, authority: str, path: str) -> Endpoint:
    """`authority` stays in the URL as written; clients lower its case and leave out a default port, so that is signed."""
    host = authority.lower()
    if parts.port == _DEFAULT_PORTS[parts.scheme]:
        host = host.removesuffix(f":{parts.port}")
    return Endpoint(f"{parts.scheme}://{authority}", host, path)
