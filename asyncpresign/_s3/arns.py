"""What a region's name and an ARN say: the partition of the one, the parts of the other. Nothing is looked up anywhere.

https://docs.aws.amazon.com/IAM/latest/UserGuide/reference-arns.html
"""

from __future__ import annotations

import re
from functools import lru_cache
from typing import NamedTuple

from ._partitions_table import PARTITIONS

# What a region that no partition has is taken for: a new one, or that of another server.
_DEFAULT = "aws"


class Arn(NamedTuple):
    """The parts of an ARN. `region` and `account` may be empty, as may pieces of `resource`, of which there is one at least."""

    partition: str
    service: str
    region: str
    account: str
    resource: tuple[str, ...]

    def piece(self, index: int) -> str:
        """A piece of the resource, empty where there is none."""
        return self.resource[index] if index < len(self.resource) else ""


def parse_arn(text: str) -> Arn | None:
    """The parts of `arn:partition:service:region:account:resource`; None for any other text.

    The pieces of a resource stand between `:` or `/`.
    """
    prefix, *parts = text.split(":", 5)
    if prefix != "arn" or len(parts) < 5 or not (parts[0] and parts[1] and parts[4]):
        return None
    partition, service, region, account, resource = parts
    return Arn(partition, service, region, account, tuple(resource.replace(":", "/").split("/")))


# Slashes within an ARN separate nothing but its pieces.
_POINT = r"(?s)(arn:(?:[^:/]+:){2}(?:[^:/]*:){2}(?:outpost[:/][^:/]+[:/])?accesspoint[:/][^:/]+)/(.*)"


def split_bucket(text: str) -> tuple[str, str]:
    """A bucket, or an access point's ARN, and the key that follows its slash; both as they stand."""
    if point := re.fullmatch(_POINT, text):
        return point[1], point[2]
    bucket, _, key = text.partition("/")
    return bucket, key


@lru_cache(maxsize=256)
def partition_of(region: str) -> str:
    """The name of the partition that has `region`: a known one, else by the form of the name, else `aws`."""
    for name, (_, _, regions) in PARTITIONS.items():
        if region in regions.split():
            return name
    return next((name for name, (_, pattern, _) in PARTITIONS.items() if re.match(pattern, region)), _DEFAULT)


def dns_suffix(region: str) -> str:
    """The domain of AWS's hosts in `region`."""
    return PARTITIONS[partition_of(region)][0]


DNS_SUFFIXES = frozenset(suffix for suffix, _, _ in PARTITIONS.values())
