"""The way back: which bucket, object and operation a request is for, as far as its host, path, query and headers tell.

A request says less than a call: at a custom endpoint a bucket in the host cannot be told from the host, and many operations
share one path. So what is returned is all that it could be.
https://docs.aws.amazon.com/AmazonS3/latest/userguide/VirtualHosting.html
"""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from typing import NamedTuple

from ._operations_table import TABLE
from .arns import DNS_SUFFIXES
from .operations import Operation, lookup

_SUFFIXES = "|".join(re.escape(suffix) for suffix in sorted(DNS_SUFFIXES))
_AWS_HOST = re.compile(rf"(?:(.+)\.)?s3[a-z0-9-]*(?:\.dualstack)?(?:\.[a-z0-9-]+)?\.(?:{_SUFFIXES})")
# Said of a URL by signing, or by SDKs that name the operation.
_OF_ANY = ("x-amz-", "x-id")


class Place(NamedTuple):
    """What a request addresses: nothing (the account), a bucket, or an object of it."""

    bucket: str | None
    key: str | None


def locate(host: str, path: str) -> Place:
    """Where a request to `host` with the decoded `path` goes; away from AWS the bucket is taken to be in the path."""
    found = _AWS_HOST.fullmatch(host)
    if found and found[1]:
        return Place(found[1], path[1:] or None)
    bucket, _, key = path[1:].partition("/")
    return Place(bucket or None, key or None)


def matching_operations(place: Place, query: Mapping[str, str], headers: Collection[str]) -> tuple[str, ...]:
    """Names of the operations that a request could be, whatever its method; `headers` are names in small letters."""
    named = query.get("x-id")
    candidates = [lookup(named)] if named in TABLE else [lookup(name) for name in TABLE]
    fitting = [operation for operation in candidates if _fits(operation, place, query, headers)]
    # The headers that an operation knows tell more, unless the caller added some that none knows.
    telling = [operation for operation in fitting if all(_knows(operation, name) for name in headers if name != "host")]
    return tuple(operation.name for operation in telling or fitting)


def _fits(operation: Operation, place: Place, query: Mapping[str, str], headers: Collection[str]) -> bool:
    rows = operation.parameters.values()
    paths = {row.wire for row in rows if row.place == "path"}
    needed = {row.wire for row in rows if row.place == "query" and row.required}
    known = {row.wire for row in rows if row.place == "query"} | {name for name, _ in operation.static_query}
    return (
        ("Bucket" in paths) == (place.bucket is not None)
        and ("Key" in paths) == (place.key is not None)
        and operation.fixed_key is None
        and all(query.get(name) == value for name, value in operation.static_query)
        and needed <= query.keys()
        and all(name in known or name.lower().startswith(_OF_ANY) for name in query)
        and all(row.wire.lower() in headers for row in rows if row.place == "header" and row.required)
    )


def _knows(operation: Operation, header: str) -> bool:
    return any(
        row.wire.lower() == header or (row.place == "header-map" and header.startswith(row.wire.lower()))
        for row in operation.parameters.values()
        if row.place.startswith("header")
    )
