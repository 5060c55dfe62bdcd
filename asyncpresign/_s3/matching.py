"""The way back: which bucket, object and operation a request is for, as far as its host, path, query and headers tell.

A request says less than a call: at a custom endpoint a bucket in the host cannot be told from the host, and many operations
share one path. So what is returned is all that it could be.
https://docs.aws.amazon.com/AmazonS3/latest/userguide/VirtualHosting.html
"""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from functools import cache
from typing import NamedTuple

from ._operations_table import TABLE
from .arns import DNS_SUFFIXES
from .operations import Operation, lookup

_SUFFIXES = "|".join(re.escape(suffix) for suffix in sorted(DNS_SUFFIXES))
_AWS_HOST = re.compile(rf"(?:(.+)\.)?s3[a-z0-9-]*(?:\.dualstack)?(?:\.[a-z0-9-]+)?\.(?:{_SUFFIXES})")
_IPV4 = re.compile(r"[0-9.]+(?::|$)")
# Said of a URL by signing, or by SDKs that name the operation.
_OF_ANY = ("x-amz-", "x-id")


class Place(NamedTuple):
    """What a request addresses: nothing (the account), a bucket, or an object of it."""

    bucket: str | None
    key: str | None


def locate(host: str, path: str) -> tuple[Place, ...]:
    """Where a request to `host` with the decoded `path` may go, the likelier first.

    AWS's hosts tell. At any other host of several labels the bucket may be in the path, or the first of them.
    """
    found = _AWS_HOST.fullmatch(host)
    bucket, _, key = path[1:].partition("/")
    in_path = Place(bucket or None, key or None)
    if found:
        return (Place(found[1], path[1:] or None) if found[1] else in_path,)
    label, dot, _ = host.partition(".")
    return (in_path, Place(label, path[1:] or None)) if dot and not _IPV4.match(host) else (in_path,)


class _Shape(NamedTuple):
    """What the requests of an operation have, and may have; headers in small letters."""

    name: str
    has_bucket: bool
    has_key: bool
    static_query: dict[str, str]
    needed_query: frozenset[str]
    known_query: frozenset[str]
    needed_headers: frozenset[str]
    known_headers: frozenset[str]
    beginnings: tuple[str, ...]


@cache
def _shapes() -> tuple[_Shape, ...]:
    """Of every operation whose path is a bucket's or an object's."""
    return tuple(_shape(operation) for operation in map(lookup, TABLE) if operation.fixed_key is None)


def _shape(operation: Operation) -> _Shape:
    def wires(place: str, *, required: bool = False) -> frozenset[str]:
        rows = (row for row in operation.parameters.values() if row.place == place and (row.required or not required))
        return frozenset(row.wire.lower() if place.startswith("header") else row.wire for row in rows)

    return _Shape(
        name=operation.name,
        has_bucket="Bucket" in wires("path"),
        has_key="Key" in wires("path"),
        static_query=dict(operation.static_query),
        needed_query=wires("query", required=True),
        known_query=wires("query") | dict(operation.static_query).keys(),
        needed_headers=wires("header", required=True),
        known_headers=wires("header") | {"host"},
        beginnings=tuple(wires("header-map")),
    )


def matching_operations(places: Collection[Place], query: Mapping[str, str], headers: Collection[str]) -> tuple[str, ...]:
    """Names of the operations that a request could be, whatever its method; `headers` are names in small letters."""
    headers = frozenset(headers)
    fitting = [shape for shape in _shapes() if any(_fits(shape, place, query, headers) for place in places)]
    # The headers that an operation knows tell more, unless the caller added some that none knows.
    telling = [shape for shape in fitting if all(_knows(shape, name) for name in headers)] or fitting
    named = [shape for shape in telling if shape.name == query.get("x-id")]
    return tuple(shape.name for shape in named or telling)


def _fits(shape: _Shape, place: Place, query: Mapping[str, str], headers: frozenset[str]) -> bool:
    return (
        (shape.has_bucket, shape.has_key) == (place.bucket is not None, place.key is not None)
        and shape.needed_query <= query.keys()
        and shape.needed_headers <= headers
        and shape.static_query.items() <= query.items()
        and all(name in shape.known_query or name.lower().startswith(_OF_ANY) for name in query)
    )


def _knows(shape: _Shape, header: str) -> bool:
    return header in shape.known_headers or header.startswith(shape.beginnings)
