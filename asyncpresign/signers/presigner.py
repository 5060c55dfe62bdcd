"""The synchronous core that every offline signer is built on: validates, decides the moment and the life, signs.

It reads no environment and opens no socket; the clock is an argument.
https://docs.aws.amazon.com/AmazonS3/latest/API/sigv4-query-string-auth.html
https://docs.aws.amazon.com/AmazonS3/latest/API/sigv4-post-example.html
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from itertools import islice
from typing import Any, Literal, TypedDict

from .._s3.endpoints import Endpoint, EndpointOptions, option_problems, resolve
from .._s3.forms import form_problems, size_problems, unmet_problems
from .._s3.hoisting import Hoist, addition_problems, extend
from .._s3.operations import BoundRequest, bind, key_problems
from .._sigv4.post_policy import LENGTH, Condition, sign_form
from .._sigv4.presign import MAX_EXPIRES, MIN_EXPIRES, presign_url
from .._sigv4.signing import CredentialScope, amz_date, utc
from ..credentials import find_region
from ..errors import CredentialsError, InvalidRequest, Problem, UnsupportedRequest, describe, nearest
from ..models import Credentials, PresignedPost, PresignedRequest, PresignedURLs, S3Object
from .base import Operation, Seconds

Clock = Callable[[], datetime]

# How many URLs are signed before an asynchronous caller yields to its event loop: about a millisecond's work.
BATCH = 64

_METHOD = re.compile(r"[A-Z]+")
# Years of four digits, in which the longest life ends too.
_FIRST, _LAST = datetime(1000, 1, 1, tzinfo=UTC), datetime(9999, 1, 1, tzinfo=UTC)


def utc_now() -> datetime:
    return datetime.now(UTC)


@dataclass(frozen=True, slots=True)
class _Validity:
    """When a signature starts, in which scope, and how long it lasts."""

    timestamp: str
    scope: CredentialScope
    expires_in: int
    expires_at: datetime


class PresignerOptions(TypedDict, total=False):
    """The arguments of `Presigner` beside the credentials; see there."""

    region: str | None
    endpoint_url: str | None
    public_endpoint_url: str | None
    addressing_style: Literal["auto", "virtual", "path"]
    use_dualstack: bool
    use_fips: bool
    use_accelerate: bool
    use_arn_region: bool
    short_credentials: Literal["clamp", "raise"]
    signing_window: Seconds | None
    clock: Clock | None


class Presigner:
    """Signs with fixed credentials for one region.

    `region` is the bucket's; None asks `AWS_REGION`, `AWS_DEFAULT_REGION` and the profile. `endpoint_url` names a
    server that is not AWS, `public_endpoint_url` the same server as the client of the URL will see it, where that
    differs: it is the one that is signed. `addressing_style` is "auto" (virtual at AWS, path elsewhere), "virtual" or
    "path". `use_dualstack` (IPv6 too), `use_fips` and `use_accelerate` choose other hosts of AWS's. Where a bucket is
    asked for, the ARN of an access point (of S3, an object lambda or an Outpost) will do, and signs for the ARN's
    region, unless `use_arn_region` is False and that is another one. A URL that would outlive temporary credentials is
    signed for what is left of them ("clamp") or refused ("raise"): `short_credentials`. `signing_window` (seconds or a
    `timedelta`) signs for the last full window, so that a URL stays the same, and cacheable, that long; its life counts
    from there and is at least two windows. `clock` returns the current time, aware. Raises `InvalidRequest` with
    everything that is wrong.
    """

    def __init__(
        self,
        credentials: Credentials,
        *,
        region: str | None = None,
        endpoint_url: str | None = None,
        public_endpoint_url: str | None = None,
        addressing_style: Literal["auto", "virtual", "path"] = "auto",
        use_dualstack: bool = False,
        use_fips: bool = False,
        use_accelerate: bool = False,
        use_arn_region: bool = True,
        short_credentials: Literal["clamp", "raise"] = "clamp",
        signing_window: Seconds | None = None,
        clock: Clock | None = None,
    ) -> None:
        visited = endpoint_url if public_endpoint_url is None else public_endpoint_url
        place = (find_region() if region is None else region) or ""
        self._options = EndpointOptions(
            place, visited, addressing_style, use_dualstack, use_fips, use_accelerate, use_arn_region
        )
        problems = option_problems(self._options) + _window_problems(signing_window)
        if not isinstance(credentials, Credentials):
            problems.append(Problem("credentials", "asyncpresign.Credentials", describe(credentials)))
        if short_credentials not in ("clamp", "raise"):
            problems.append(Problem("short_credentials", "'clamp' or 'raise'", describe(short_credentials)))
        if clock is not None and not callable(clock):
            problems.append(Problem("clock", "a function that returns the time, aware", describe(clock)))
        if problems:
            raise InvalidRequest(*problems)
        self._credentials = credentials
        self._short_credentials = short_credentials
        self._window = None if signing_window is None else int(_in_seconds(signing_window))
        self._clock = clock or utc_now

    def __repr__(self) -> str:
        place = f", endpoint_url={self._options.endpoint_url!r}" if self._options.endpoint_url else ""
        return f"{type(self).__name__}({self._credentials!r}, region={self._options.region!r}{place})"

    @property
    def region(self) -> str:
        """The region it signs for."""
        return self._options.region

    def presign(
        self,
        operation: Operation,
        params: Mapping[str, Any] | None = None,
        *,
        expires_in: Seconds = 3600,
        http_method: str | None = None,
        hoist_headers: Hoist = False,
        extra_query: Mapping[str, str] | None = None,
        extra_headers: Mapping[str, str] | None = None,
        signing_time: datetime | None = None,
    ) -> PresignedRequest:
        """Sign one request for anybody to send.

        `operation` is the S3 API's name ("get_object" or "GetObject"), `params` its parameters as botocore names and
        types them; those that travel in headers come back in `headers`, for the client to send. `expires_in` is seconds
        (1..604800) or a `timedelta`; `signing_time` (aware) is the very moment to sign for, whatever the clock and a signing
        window say. `http_method` replaces the operation's own. `extra_query` and `extra_headers` are signed along.
        `hoist_headers` moves the `x-amz-*` headers that S3 also takes from a query there; "strict" refuses what would
        remain. Raises `InvalidRequest`, `UnsupportedRequest`, or `CredentialsError` when the credentials end too early.
        """
        problems = [*self._life_problems(expires_in, signing_time), *_method_problems(http_method)]
        problems += addition_problems(extra_query, extra_headers, hoist_headers)
        bound = _bind(operation, {} if params is None else params, problems)
        if extra_query or extra_headers or hoist_headers:
            bound = extend(bound, extra_query, extra_headers, hoist_headers)
        endpoint = resolve(self._options, bound.bucket, bound.traits)
        if bound.host_prefix:
            endpoint = endpoint.behind(bound.host_prefix)
        validity = self._validity(expires_in, signing_time, endpoint)
        method = http_method or bound.method
        url = self._url(endpoint, method, bound.key, bound.query, bound.headers, validity)
        return PresignedRequest(method, url, bound.headers, validity.expires_at, bound.operation, bound.body.value)

    def presign_urls(
        self,
        operation: Operation,
        bucket: str,
        keys: Iterable[str | S3Object],
        *,
        params: Mapping[str, Any] | None = None,
        expires_in: Seconds = 3600,
    ) -> PresignedURLs:
        """Sign a URL for each of `keys`, in order and all of the same moment.

        `keys` are texts or `S3Object`s of `bucket`, whose version counts; `params` holds for all. Raises `InvalidRequest`
        (every bad key is named by its place), `UnsupportedRequest` for a parameter that would become a header.
        """
        urls, batches = self.batches(operation, bucket, keys, params, expires_in)
        for batch in batches:
            urls += batch
        return urls

    def batches(
        self,
        operation: Operation,
        bucket: str,
        keys: Iterable[str | S3Object],
        params: Mapping[str, Any] | None,
        expires_in: Seconds,
    ) -> tuple[PresignedURLs, Iterator[list[str]]]:
        """The empty result of `presign_urls`, and the batches to fill it with: an event loop breathes in between."""
        shared = {} if params is None else params
        problems = [*_keys_problems(keys), *self._life_problems(expires_in, None), *_shared_problems(shared)]
        named = {**shared, "Bucket": bucket, "Key": "-"} if isinstance(shared, Mapping) else shared
        template = _bind(operation, named, problems)
        endpoint = resolve(self._options, template.bucket, template.traits)
        validity = self._validity(expires_in, None, endpoint)
        if template.headers:
            wanted = ", ".join(sorted(template.headers))
            raise UnsupportedRequest(f"params: {wanted} must be sent as headers, which a list of URLs cannot say; use presign")
        urls = PresignedURLs(method=template.method, expires_at=validity.expires_at)
        return urls, self._sign_batches(operation, template, keys, shared, endpoint, validity)

    def _sign_batches(
        self,
        operation: Operation,
        template: BoundRequest,
        keys: Iterable[str | S3Object],
        params: Mapping[str, Any],
        endpoint: Endpoint,
        validity: _Validity,
    ) -> Iterator[list[str]]:
        problems: list[Problem] = []
        numbered = enumerate(keys)
        while batch := list(islice(numbered, BATCH)):
            urls = []
            for index, key in batch:
                bound, found = _bind_key(operation, template, key, params, f"keys[{index}]")
                problems += found
                if not problems:
                    urls.append(self._url(endpoint, bound.method, bound.key, bound.query, {}, validity))
            yield urls
        if problems:
            raise InvalidRequest(*problems)

    def presign_post(
        self,
        bucket: str,
        key: str,
        *,
        fields: Mapping[str, str] | None = None,
        conditions: Sequence[Condition] | None = None,
        content_length_range: tuple[int, int] | None = None,
        expires_in: Seconds = 3600,
        signing_time: datetime | None = None,
    ) -> PresignedPost:
        """Sign a `multipart/form-data` form for anybody to post one file with.

        `key` may end in `${filename}`. `fields` are sent as they are, in order, and every one of them that no condition
        speaks of gets an exact one (a beginning, where S3 puts the file's name in). `conditions` are `{"field": "value"}`,
        `["eq" | "starts-with", "$field", "value"]` or `["content-length-range", minimum, maximum]`, in bytes, for which
        `content_length_range` is the short form. A form that S3 would refuse is not signed: `InvalidRequest` says why.
        Raises `UnsupportedRequest` too, and `CredentialsError` when the credentials end too early.
        """
        fields = {} if fields is None else fields
        stated = () if conditions is None else conditions
        problems = form_problems(bucket, key, fields, stated, content_length_range)
        problems += self._life_problems(expires_in, signing_time)
        if problems:
            raise InvalidRequest(*problems)
        endpoint = resolve(self._options, bucket)
        validity = self._validity(expires_in, signing_time, endpoint)
        if content_length_range is not None and (bounds := [LENGTH, *content_length_range]) not in map(list, stated):
            stated = [*stated, bounds]
        signed = sign_form(
            bucket=bucket,
            key=key,
            fields=fields,
            conditions=stated,
            expiration=f"{validity.expires_at:%Y-%m-%dT%H:%M:%SZ}",
            access_key_id=self._credentials.access_key_id,
            secret_access_key=self._credentials.secret_access_key,
            session_token=self._credentials.session_token,
            scope=validity.scope,
            timestamp=validity.timestamp,
        )
        if problems := [*unmet_problems(stated, signed), *size_problems(signed)]:
            raise InvalidRequest(*problems)
        return PresignedPost(endpoint.url, signed, validity.expires_at)

    def _url(
        self,
        endpoint: Endpoint,
        method: str,
        key: str | None,
        query: Sequence[tuple[str, str]],
        headers: Mapping[str, str],
        validity: _Validity,
    ) -> str:
        return presign_url(
            method=method,
            origin=endpoint.origin,
            host=endpoint.host,
            path=endpoint.path if key is None else endpoint.object_path(key),
            query=query,
            headers=headers,
            access_key_id=self._credentials.access_key_id,
            secret_access_key=self._credentials.secret_access_key,
            session_token=self._credentials.session_token,
            scope=validity.scope,
            timestamp=validity.timestamp,
            expires_in=validity.expires_in,
        )

    def _life_problems(self, expires_in: object, signing_time: object) -> list[Problem]:
        problems = []
        if not _are_seconds(expires_in):
            expected = f"whole seconds from {MIN_EXPIRES} to {MAX_EXPIRES} (seven days), or a timedelta of that"
            problems.append(Problem("expires_in", expected, describe(expires_in)))
        elif self._window is not None and signing_time is None and _in_seconds(expires_in) < 2 * self._window:
            expected = (
                f"at least {2 * self._window} seconds, twice the signing window: a URL may be a window old when it is given"
            )
            problems.append(Problem("expires_in", expected, describe(expires_in)))
        return problems + ([] if signing_time is None else _moment_problems("signing_time", signing_time))

    def _validity(self, expires_in: Seconds, signing_time: datetime | None, endpoint: Endpoint) -> _Validity:
        """`expires_in` and `signing_time` hold no problem; what the clock says is looked at here."""
        seconds = int(_in_seconds(expires_in))
        given = self._clock() if signing_time is None else signing_time
        if problems := _moment_problems("clock", given):
            raise InvalidRequest(*problems)
        moment = given.astimezone(UTC).replace(microsecond=0)
        if self._window is not None and signing_time is None:
            moment -= timedelta(seconds=int(moment.timestamp()) % self._window)
        end = moment + timedelta(seconds=seconds)
        limit = self._credentials.expires_at
        if limit is not None and limit < end:
            # X-Amz-Expires counts whole seconds, so what is left is rounded down: a URL never outlives its credentials.
            left = int((limit - moment).total_seconds())
            if left < MIN_EXPIRES or self._short_credentials == "raise":
                ending = f"{limit.astimezone(UTC):%Y-%m-%dT%H:%M:%SZ}"
                asked = f"{seconds} seconds from {amz_date(moment)} were asked for"
                raise CredentialsError(f"the credentials end at {ending}, and {asked}")
            seconds, end = left, moment + timedelta(seconds=left)
        timestamp = amz_date(moment)
        scope = CredentialScope(timestamp[:8], endpoint.region, endpoint.service)
        return _Validity(timestamp, scope, seconds, end)


def _bind(operation: Operation, params: Mapping[str, Any], problems: list[Problem]) -> BoundRequest:
    """`bind`, whose problems are raised together with those that the rest of the call has."""
    try:
        bound = bind(operation, params)
    except InvalidRequest as error:
        raise InvalidRequest(*error.problems, *problems) from None
    if problems:
        raise InvalidRequest(*problems)
    return bound


def _method_problems(http_method: object) -> list[Problem]:
    if http_method is None or (isinstance(http_method, str) and _METHOD.fullmatch(http_method)):
        return []
    suggestion = nearest(str(http_method).upper(), ("GET", "PUT", "POST", "HEAD", "DELETE"))
    return [Problem("http_method", "an HTTP method in capitals", describe(http_method), suggestion)]


def _in_seconds(value: Any) -> Any:
    return value.total_seconds() if isinstance(value, timedelta) else value


def _are_seconds(value: object) -> bool:
    """Whether these are whole seconds that a signature can last."""
    seconds = _in_seconds(value)
    number = isinstance(seconds, int | float) and not isinstance(seconds, bool)
    return number and MIN_EXPIRES <= seconds <= MAX_EXPIRES and seconds == int(seconds)


def _window_problems(window: object) -> list[Problem]:
    if window is None or (_are_seconds(window) and _in_seconds(window) <= MAX_EXPIRES // 2):
        return []
    expected = f"whole seconds from {MIN_EXPIRES} to {MAX_EXPIRES // 2}, half of the longest life, or a timedelta of that"
    return [Problem("signing_window", expected, describe(window))]


def _moment_problems(argument: str, value: object) -> list[Problem]:
    moment = utc(value)
    if moment is not None and _FIRST <= moment <= _LAST:
        return []
    return [Problem(argument, f"a datetime with a time zone, of the years {_FIRST.year} to {_LAST.year}", describe(value))]


def _keys_problems(keys: object) -> list[Problem]:
    if isinstance(keys, str | bytes | S3Object):
        return [Problem("keys", "an iterable of keys", describe(keys), "put it into a list")]
    return [] if isinstance(keys, Iterable) else [Problem("keys", "an iterable of keys", describe(keys))]


def _shared_problems(params: object) -> list[Problem]:
    """What a call that names bucket and keys by itself cannot say once more."""
    twice = [name for name in ("Bucket", "Key") if name in params] if isinstance(params, Mapping) else []
    expected = "parameters beside Bucket and Key, which bucket= and keys= are"
    return [Problem(f"params[{name!r}]", expected, name) for name in twice]


def _bind_key(
    operation: Operation, template: BoundRequest, key: object, params: Mapping[str, Any], argument: str
) -> tuple[BoundRequest, list[Problem]]:
    """`template` with this key in place, or what is wrong with the key."""
    match key:
        case str():
            problems = key_problems(key, argument)
            query = template.query
        case S3Object(bucket=bucket) if bucket != template.bucket:
            return template, [Problem(argument, "an object of the bucket that the call names", "one of another bucket")]
        case S3Object(key=str(name), version_id=version):
            problems = key_problems(name, argument)
            if version is not None and not problems:
                return _bind_version(operation, template, {**params, **key.to_params()}, argument)
            key, query = name, template.query
        case _:
            return template, [Problem(argument, "a str or an S3Object", describe(key))]
    return BoundRequest(template.operation, template.method, template.bucket, key, template.body, query), problems


def _bind_version(
    operation: Operation, template: BoundRequest, params: Mapping[str, Any], argument: str
) -> tuple[BoundRequest, list[Problem]]:
    try:
        return bind(operation, params), []
    except InvalidRequest as error:
        return template, [Problem(argument, problem.expected, problem.got, problem.suggestion) for problem in error.problems]
