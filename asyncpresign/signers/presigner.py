"""The synchronous core that every offline signer is built on: validates, decides the moment and the life, signs.

It reads no environment and opens no socket; the clock is an argument.
https://docs.aws.amazon.com/AmazonS3/latest/API/sigv4-query-string-auth.html
https://docs.aws.amazon.com/AmazonS3/latest/API/sigv4-post-example.html
"""

from __future__ import annotations

import marshal
import re
from collections.abc import Callable, Hashable, Iterable, Iterator, Mapping, Sequence
from datetime import datetime
from itertools import islice
from typing import TYPE_CHECKING, Any, Literal, NamedTuple, TypedDict

from .._s3.endpoints import EndpointOptions, option_problems, resolve
from .._s3.hoisting import Hoist, addition_problems, extend
from .._s3.operations import GLANCES, BoundRequest, are_plain_keys, bind, key_problems, lookup
from .._sigv4.canonical import trim, uri_encode, uri_encode_all
from .._sigv4.presign import OpenTemplate, Proof, SignedTemplate, URLTemplate, prove, url_template
from .._sigv4.signing import CredentialScope
from .._values import maker
from ..errors import InvalidRequest, Problem, UnsupportedRequest, describe, nearest
from ..models import BodyKind, Credentials, PresignedPost, PresignedRequest, PresignedURLs, S3Object
from .base import Operation, Seconds
from .life import Clock, Kept, Lives, Moment, in_seconds, window_problems

if TYPE_CHECKING:
    from .._sigv4.post_policy import Condition, FormArguments

# How many URLs are signed before an asynchronous caller yields to its event loop: less than a millisecond's work.
BATCH = 256

_METHOD = re.compile(r"[A-Z]+")

_new_request = maker(PresignedRequest)
_new_post = maker(PresignedPost)


# A form as a function of the key; None for what needs a closer look.
_FormAnswer = Callable[[str], PresignedPost | None]


class _Outline(NamedTuple):
    """All of a request but its URL and its end, whatever texts stand for its open parameters.

    Of these, `keyed` is whether the key is one, `query` are those in the query, `sent` those in headers, and how the headers
    are called. In `headers` their values are empty.
    """

    operation: str
    method: str
    body: BodyKind
    headers: dict[str, str]
    keyed: bool
    query: tuple[str, ...]
    sent: tuple[tuple[str, str], ...]


class _Plan(NamedTuple):
    """What a call comes to, whoever signs it, whenever."""

    template: URLTemplate
    outline: _Outline
    region: str
    service: str


class _Ready(NamedTuple):
    """A plan with what signs it in one moment for so many seconds; its template is filled if only a key is open."""

    template: SignedTemplate | OpenTemplate
    outline: _Outline
    expires_at: datetime


_Shape = tuple[Hashable, ...]
# The values of open parameters, by name, as they travel.
_Texts = dict[str, str]
# `http_method`, `extra_query`, `extra_headers`, `hoist_headers`
_Changes = tuple[str | None, Mapping[str, str] | None, Mapping[str, str] | None, Hoist]

# Calls that differ in no more than texts share one. A web service makes a few kinds of calls, often with as many credentials
# as it has tenants.
_PLANS = Kept(1024)


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
    bucket_endpoint: bool
    stripped_prefix: str


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
    from there and is at least two windows. `clock` returns the current time, aware. `bucket_endpoint` says that the endpoint's
    host is the bucket, as a CDN's or a domain of your own is, so that the bucket is put nowhere. `stripped_prefix` is the path
    of `public_endpoint_url` ("/minio") where a proxy removes it: the URL has it, and the signature covers the rest. Raises
    `InvalidRequest` with everything that is wrong.
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
        bucket_endpoint: bool = False,
        stripped_prefix: str = "",
    ) -> None:
        visited = endpoint_url if public_endpoint_url is None else public_endpoint_url
        if region is None:
            from ..credentials import find_region  # which reads files, and is not loaded to sign for a region that is told

            region = find_region()
        place = region or ""
        self._options = EndpointOptions(
            place,
            visited,
            addressing_style,
            use_dualstack,
            use_fips,
            use_accelerate,
            use_arn_region,
            bucket_endpoint,
            stripped_prefix,
        )
        problems = option_problems(self._options) + window_problems(signing_window)
        if not isinstance(credentials, Credentials):
            problems.append(Problem("credentials", "asyncpresign.Credentials", describe(credentials)))
        if short_credentials not in ("clamp", "raise"):
            problems.append(Problem("short_credentials", "'clamp' or 'raise'", describe(short_credentials)))
        if clock is not None and not callable(clock):
            problems.append(Problem("clock", "a function that returns the time, aware", describe(clock)))
        if problems:
            raise InvalidRequest(*problems)
        self._credentials = credentials
        self._temporary = credentials.session_token is not None
        self._lives = Lives(credentials.expires_at, short_credentials, signing_window, clock)

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
        window say. `http_method` replaces the operation's own. `extra_query` and `extra_headers` are signed along; the SHA-256
        of the body in an `x-amz-content-sha256` among them is signed in place of `UNSIGNED-PAYLOAD`.
        `hoist_headers` moves the `x-amz-*` headers that S3 also takes from a query there; "strict" refuses what would
        remain. Raises `InvalidRequest`, `UnsupportedRequest`, or `CredentialsError` when the credentials end too early.
        """
        bare = http_method is None and extra_query is None and extra_headers is None and hoist_headers is False
        changes = None if bare else (http_method, extra_query, extra_headers, hoist_headers)
        params = {} if params is None else params
        moment = self._lives.now() if signing_time is None else None
        shape, texts = _shape(operation, params, expires_in, changes)
        ready: _Ready | None = None if moment is None else moment.kept.get(shape)
        if ready is None:
            ready = self._ready(shape, texts, moment, operation, params, expires_in, signing_time, changes)
        return _answer(ready, texts)

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
        named = {**shared, "Bucket": bucket, "Key": "-"} if isinstance(shared, Mapping) else shared
        problems, moment = [*_keys_problems(keys), *_shared_problems(shared)], self._lives.now()

        def prepare(params: Mapping[str, Any], problems: Sequence[Problem] = ()) -> tuple[_Ready, _Texts]:
            shape, texts = _shape(operation, params, expires_in)
            known: _Ready | None = None if problems else moment.kept.get(shape)
            return known or self._ready(shape, texts, moment, operation, params, expires_in, problems=problems), texts

        def sign_version(key: S3Object, argument: str) -> str:
            try:
                return _answer(*prepare({**shared, **key.to_params()})).url
            except InvalidRequest as error:
                problems = [Problem(argument, one.expected, one.got, one.suggestion) for one in error.problems]
                raise InvalidRequest(*problems) from None

        ready, texts = prepare(named, problems)
        template, outline = ready.template, ready.outline
        if outline.headers:
            wanted = ", ".join(sorted(outline.headers))
            raise UnsupportedRequest(f"params: {wanted} must be sent as headers, which a list of URLs cannot say; use presign")
        urls = PresignedURLs(method=outline.method, expires_at=ready.expires_at)
        if isinstance(template, OpenTemplate):
            template = template.fill([uri_encode(texts[name]) for name in outline.query], [])
        return urls, _sign_batches(template, bucket, keys, sign_version)

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
        seconds = expires_in if type(expires_in) is int else in_seconds(expires_in)
        call = _fingerprint((bucket, fields, conditions, content_length_range, seconds))
        moment = self._lives.now() if signing_time is None else None
        answer: _FormAnswer | None = None if moment is None or call is None else moment.kept.get(call)
        if answer is not None and (known := answer(key)) is not None:
            return known
        return self._new_form(call, bucket, key, fields, conditions, content_length_range, expires_in, signing_time)

    def _new_form(
        self,
        call: bytes | None,
        bucket: str,
        key: str,
        fields: Mapping[str, str] | None,
        conditions: Sequence[Condition] | None,
        content_length_range: tuple[int, int] | None,
        expires_in: Seconds,
        signing_time: datetime | None,
    ) -> PresignedPost:
        # JSON and what else a form needs is not loaded to sign a URL.
        from .._s3.forms import form_problems, size_problems, unmet_problems
        from .._sigv4.post_policy import LENGTH, form_template, sign_form, speaks_of_key

        fields = {} if fields is None else fields
        stated = () if conditions is None else conditions
        problems = form_problems(bucket, key, fields, stated, content_length_range)
        problems += self._lives.problems(expires_in, signing_time)
        if problems:
            raise InvalidRequest(*problems)
        endpoint = resolve(self._options, bucket)
        moment = self._lives.moment(signing_time)
        _, expires_at = self._lives.life(moment, expires_in)
        if content_length_range is not None and (bounds := [LENGTH, *content_length_range]) not in map(list, stated):
            stated = [*stated, bounds]
        given: FormArguments = {
            "bucket": bucket,
            "fields": fields,
            "conditions": stated,
            "expiration": f"{expires_at:%Y-%m-%dT%H:%M:%SZ}",
            "access_key_id": self._credentials.access_key_id,
            "secret_access_key": self._credentials.secret_access_key,
            "session_token": self._credentials.session_token,
            "scope": CredentialScope(moment.timestamp[:8], endpoint.region, endpoint.service),
            "timestamp": moment.timestamp,
        }
        signed = sign_form(key=key, **given)
        if problems := [*unmet_problems(stated, signed), *size_problems(signed)]:
            raise InvalidRequest(*problems)
        if call is not None and not speaks_of_key(stated):
            moment.kept.keep(call, _form_answer(endpoint.url, form_template(**given), expires_at))
        return PresignedPost(endpoint.url, signed, expires_at)

    def _ready(
        self,
        shape: _Shape | None,
        texts: _Texts,
        moment: Moment | None,
        operation: Operation,
        params: Mapping[str, Any],
        expires_in: Seconds,
        signing_time: datetime | None = None,
        changes: _Changes | None = None,
        problems: Iterable[Problem] = (),
    ) -> _Ready:
        """What signs the call; without a `moment` it is that of `signing_time`.

        Raises `InvalidRequest` with everything wrong with it, and `problems`.
        """
        problems = [*problems, *self._lives.problems(expires_in, signing_time)]
        plan = self._plan(shape, texts, operation, params, changes, problems)
        moment = moment or self._lives.moment(signing_time)
        proof, expires_at = self._proof(plan, moment, expires_in)
        template, outline = plan.template.at(proof), plan.outline
        ready = _Ready(template if outline.query or outline.sent else template.fill([], []), outline, expires_at)
        return ready if shape is None else moment.kept.keep(shape, ready)

    def _plan(
        self,
        shape: _Shape | None,
        texts: _Texts,
        operation: Operation,
        params: Mapping[str, Any],
        changes: _Changes | None,
        problems: list[Problem],
    ) -> _Plan:
        place = (self._options, self._temporary, shape)
        known: _Plan | None = None if problems else _PLANS.get(place)
        if known is not None:
            return known
        http_method, extra_query, extra_headers, hoist_headers = changes or (None, None, None, False)
        problems += [*_method_problems(http_method), *addition_problems(extra_query, extra_headers, hoist_headers)]
        bound = _bind(operation, params, problems)
        if changes is not None:
            bound = bound._replace(method=http_method or bound.method)
            bound = extend(bound, extra_query, extra_headers, hoist_headers)
        plan = self._new_plan(bound, texts)
        # A customer's own key is forgotten with its second.
        return plan if shape is None or _holds_secret(bound) else _PLANS.keep(place, plan)

    def _new_plan(self, bound: BoundRequest, texts: _Texts) -> _Plan:
        endpoint = resolve(self._options, bound.bucket, bound.traits)
        if bound.host_prefix:
            endpoint = endpoint.behind(bound.host_prefix)
        keyed = "Key" in texts
        query, sent = _open_places(bound, texts)
        template = url_template(
            method=bound.method,
            origin=endpoint.origin,
            host=endpoint.host,
            path=endpoint.path if bound.key is None else endpoint.object_path("" if keyed else bound.key),
            query=[(wire, None if wire in query else value) for wire, value in bound.query],
            headers={wire: None if wire in sent else value for wire, value in bound.headers.items()},
            with_token=self._temporary,
            payload_hash=bound.payload_hash,
        )
        outline = _Outline(
            bound.operation,
            bound.method,
            bound.body.value,
            {wire: "" if wire in sent else value for wire, value in bound.headers.items()},
            keyed,
            tuple([query[wire] for wire, _ in bound.query if wire in query]),
            tuple([(wire, sent[wire]) for wire in bound.headers if wire in sent]),
        )
        return _Plan(template, outline, endpoint.region, endpoint.service)

    def _proof(self, plan: _Plan, moment: Moment, expires_in: Seconds) -> tuple[Proof, datetime]:
        """What signs a plan in a moment for so long, and until when. Raises `CredentialsError` as `Lives.life` does."""
        place = (plan.region, plan.service, expires_in)
        known: tuple[Proof, datetime] | None = moment.kept.get(place)
        if known is not None:
            return known
        seconds, expires_at = self._lives.life(moment, expires_in)
        proof = prove(
            access_key_id=self._credentials.access_key_id,
            secret_access_key=self._credentials.secret_access_key,
            session_token=self._credentials.session_token,
            scope=CredentialScope(moment.timestamp[:8], plan.region, plan.service),
            timestamp=moment.timestamp,
            expires_in=seconds,
        )
        return moment.kept.keep(place, (proof, expires_at))


def _shape(
    operation: Operation,
    params: Mapping[str, Any],
    expires_in: Seconds,
    changes: _Changes | None = None,
) -> tuple[_Shape | None, _Texts]:
    """What calls share that differ in no more than texts, and the texts; None where values are none that can be remembered."""
    texts: _Texts = {}
    if type(operation) is not str or (type(params) is not dict and not isinstance(params, Mapping)):
        return None, texts
    shape: list[Any] = [operation, expires_in]
    if type(expires_in) is not int or changes is not None:
        shape = [operation, _fingerprint((in_seconds(expires_in), changes))]
    known, open_to = shape[1] is not None, GLANCES[operation]
    for name, value in params.items():
        shape.append(name)
        if name in open_to and (text := open_to[name](value)) is not None:
            texts[name] = text
            shape.append(True)
        elif type(value) is str:
            shape.append(value)
        else:
            mark = _fingerprint(value)
            known = known and mark is not None
            shape.append(mark)
    return tuple(shape) if known else None, texts


def _open_places(bound: BoundRequest, texts: _Texts) -> tuple[dict[str, str], dict[str, str]]:
    """Which parameters are open in the query and in the headers, by how they are called there."""
    parameters = lookup(bound.operation).parameters
    query, sent = {}, {}
    for name in texts:
        one = parameters[name]
        if one.place == "query":
            query[one.wire] = name
        elif one.place == "header" and one.wire in bound.headers:
            sent[one.wire] = name
        elif one.place == "header":  # and hoisted
            query[one.wire.lower()] = name
    return query, sent


def _answer(ready: _Ready, texts: _Texts) -> PresignedRequest:
    template, (operation, method, body, headers, keyed, query, sent), expires_at = ready
    rest = uri_encode(texts["Key"], keep_slash=True) if keyed else ""
    if isinstance(template, SignedTemplate):
        return _new_request(method, template.url(rest), headers.copy(), expires_at, operation, body)
    headers, trimmed = headers.copy(), []
    for wire, name in sent:
        headers[wire] = text = texts[name]
        trimmed.append(trim(text))
    url = template.url(rest, [uri_encode(texts[name]) for name in query], trimmed)
    return _new_request(method, url, headers, expires_at, operation, body)


def _sign_batches(
    template: SignedTemplate,
    bucket: str | None,
    keys: Iterable[str | S3Object],
    sign_version: Callable[[S3Object, str], str],
) -> Iterator[list[str]]:
    """`template` signs keys of `bucket`; a version's URL is asked for with the name of the argument, for what may be wrong."""
    problems: list[Problem] = []
    source, read = iter(keys), 0
    while batch := list(islice(source, BATCH)):
        names: list[Any] = batch if are_plain_keys(batch) else _names(batch, bucket)
        urls: list[str] = []
        if names is batch or are_plain_keys(names):
            urls = template.urls([] if problems else uri_encode_all(names, keep_slash=True))
        else:
            for index, key in enumerate(batch, read):
                try:
                    one = _sign_key(template, bucket, key, sign_version, f"keys[{index}]")
                    urls += [] if problems else [one]
                except InvalidRequest as error:
                    problems += error.problems
        yield urls
        read += len(batch)
    if problems:
        raise InvalidRequest(*problems)


def _fingerprint(arguments: Any) -> bytes | None:
    """The same for arguments that are the same in value and type; None for what is made of more than plain values."""
    try:
        return marshal.dumps(arguments, 0)
    except ValueError:
        return None


def _holds_secret(bound: BoundRequest) -> bool:
    """Whether the headers have a key of the customer's."""
    return any(name.lower().endswith("-customer-key") for name in bound.headers)


def _form_answer(url: str, form: Callable[[str], dict[str, str]], expires_at: datetime) -> _FormAnswer:
    from .._s3.forms import is_plain_form_key, room

    left = room({**form(""), "policy": ""})

    def answer(key: str) -> PresignedPost | None:
        if not is_plain_form_key(key):
            return None
        signed = form(key)
        # Four bytes a character are never too few; what may be too much is looked at closely.
        return _new_post(url, signed, expires_at) if len(signed["policy"]) + 4 * len(key) <= left else None

    return answer


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


def _keys_problems(keys: object) -> list[Problem]:
    if isinstance(keys, str | bytes | S3Object):
        return [Problem("keys", "an iterable of keys", describe(keys), "put it into a list")]
    return [] if isinstance(keys, Iterable) else [Problem("keys", "an iterable of keys", describe(keys))]


def _shared_problems(params: object) -> list[Problem]:
    """What a call that names bucket and keys by itself cannot say once more."""
    twice = [name for name in ("Bucket", "Key") if name in params] if isinstance(params, Mapping) else []
    expected = "parameters beside Bucket and Key, which bucket= and keys= are"
    return [Problem(f"params[{name!r}]", expected, name) for name in twice]


def _names(keys: list[str | S3Object], bucket: str | None) -> list[Any]:
    """The keys of which no more than the name counts by their name, the others as they are."""
    return [key.key if isinstance(key, S3Object) and key.version_id is None and key.bucket == bucket else key for key in keys]


def _sign_key(
    template: SignedTemplate, bucket: str | None, key: object, sign_version: Callable[[S3Object, str], str], argument: str
) -> str:
    """The URL of one key. Raises `InvalidRequest`, which speaks of `argument`."""
    match key:
        case S3Object(bucket=other) if other != bucket:
            expected = "an object of the bucket that the call names"
            raise InvalidRequest(Problem(argument, expected, "one of another bucket"))
        case str(name) | S3Object(key=str(name)):
            if problems := key_problems(name, argument):
                raise InvalidRequest(*problems)
        case _:
            raise InvalidRequest(Problem(argument, "a str or an S3Object", describe(key)))
    if isinstance(key, S3Object) and key.version_id is not None:
        return sign_version(key, argument)
    return template.url(uri_encode(name, keep_slash=True))
