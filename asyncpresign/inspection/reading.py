"""What a presigned URL says of itself, and how whatever is given to be inspected is read.

https://docs.aws.amazon.com/AmazonS3/latest/API/sigv4-query-string-auth.html
"""

from __future__ import annotations

import hmac
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, Protocol

from .._s3.matching import Place, locate, matching_operations
from .._sigv4.post_policy import fold
from .._sigv4.presigned import SignedURL, read_url
from .._sigv4.signing import CredentialScope
from ..errors import InvalidRequest, Problem, describe
from ..models import Credentials

CredentialsFinder = Callable[[str], Credentials | None]

# How collections that hold a name more than once return all of its values: multidict, WebOb, Bottle; Werkzeug, Django,
# Starlette, urllib3; httpx, Tornado; http.client, email, wsgiref. The `items()` of some of them has only the first or the last.
_ALL_OF = ("getall", "getlist", "get_list", "get_all")


class Pairs(Protocol):
    """Names and values, as a mapping or any framework's headers or form has them; a name may be there more than once."""

    def items(self) -> Iterable[tuple[str, str]]: ...


@dataclass(frozen=True, slots=True)
class InspectedURL:
    """What a presigned URL says of itself; nothing of it is proven.

    Times are aware and in UTC, `expires_in` is in seconds. `bucket` and `key` are taken from the path, and from the host at
    AWS. `operations` are all that the URL could be for: its method is not in it, and away from AWS a host does not tell
    whether the bucket is in it.
    """

    host: str
    bucket: str | None
    key: str | None
    algorithm: str
    access_key_id: str
    date: str
    region: str
    service: str
    signed_at: datetime
    expires_in: int
    expires_at: datetime
    signed_headers: tuple[str, ...]
    has_session_token: bool
    operations: tuple[str, ...]

    @property
    def operation(self) -> str | None:
        """The operation, where the URL could be for one only."""
        return self.operations[0] if len(self.operations) == 1 else None

    @property
    def scope(self) -> str:
        """The credential scope: day, region, service."""
        return str(CredentialScope(self.date, self.region, self.service))

    @property
    def seconds_left(self) -> float:
        """From now by this machine's clock to the end; negative when it is past."""
        return (self.expires_at - datetime.now(UTC)).total_seconds()


def inspect_url(url: str, *, stripped_prefix: str = "", bucket_endpoint: bool = False) -> InspectedURL:
    """Read a URL presigned with SigV4.

    Args:
        url: As it is requested.
        stripped_prefix: As `Presigner` was given it: the beginning of the path that a proxy removes. `key` is what follows.
        bucket_endpoint: As `Presigner` was given it. The URL does not say the bucket then, so `bucket` is None.

    Raises:
        InvalidRequest: `url` is none, or an argument has the wrong type.
    """
    signed = read(url, stripped_prefix)
    if not isinstance(bucket_endpoint, bool):
        raise InvalidRequest(Problem("bucket_endpoint", "a bool", describe(bucket_endpoint)))
    places: tuple[Place, ...] = locate(signed.host, signed.path)
    if bucket_endpoint:
        places = (Place(signed.host, signed.path[1:] or None),)
    return InspectedURL(
        host=signed.host,
        bucket=None if bucket_endpoint else places[0].bucket,
        key=places[0].key,
        algorithm=signed.algorithm,
        access_key_id=signed.access_key_id,
        date=signed.scope.date,
        region=signed.scope.region,
        service=signed.scope.service,
        signed_at=signed.signed_at,
        expires_in=signed.expires_in,
        expires_at=end_of(signed),
        signed_headers=signed.signed_headers,
        has_session_token=signed.session_token is not None,
        operations=matching_operations(places, dict(signed.query), signed.signed_headers),
    )


# --- reading what was given -------------------------------------------------------------------------------------------


def read(url: object, stripped_prefix: object = "") -> SignedURL:
    """Raises `InvalidRequest` for what is no URL presigned with SigV4, or does not begin with `stripped_prefix`."""
    if not isinstance(stripped_prefix, str):
        raise InvalidRequest(Problem("stripped_prefix", "a str", describe(stripped_prefix)))
    try:
        if isinstance(url, str):
            return read_url(url, stripped_prefix.removesuffix("/"))
    except ValueError as error:
        raise InvalidRequest(Problem("url", str(error), describe(url))) from None
    raise InvalidRequest(Problem("url", "a str", describe(url)))


def end_of(signed: SignedURL) -> datetime:
    """When the URL ends; the end of time for what no calendar holds."""
    try:
        return signed.signed_at + timedelta(seconds=signed.expires_in)
    except OverflowError:
        return datetime.max.replace(tzinfo=UTC)


def find(credentials: object, access_key_id: str) -> Credentials | None:
    """The credentials with this id; None when there are none."""
    found = credentials(access_key_id) if callable(credentials) else credentials
    if not isinstance(found, Credentials | None) or credentials is None:
        expected = "asyncpresign.Credentials, or a function from access key id to them or None"
        raise InvalidRequest(Problem("credentials", expected, describe(found)))
    return found if found and found.access_key_id == access_key_id else None


def has_ended(found: Credentials | None, moment: datetime) -> bool:
    """Whether these are temporary credentials that ended before `moment`."""
    return found is not None and found.expires_at is not None and found.expires_at < moment


def same(one: str, other: str) -> bool:
    """In constant time for texts of one length."""
    return hmac.compare_digest(one.encode(errors="surrogatepass"), other.encode(errors="surrogatepass"))


def read_pairs(argument: str, given: object) -> tuple[dict[str, str], frozenset[str]]:
    """The values by name, and the names that are there more than once; names in small letters.

    Raises `InvalidRequest` for what has no items that are pairs of strings.
    """
    try:
        items = [(name, value) for name, value in given.items()]  # type: ignore[attr-defined]
        ask: Callable[[str], Any] | None = next(
            (method for name in _ALL_OF if callable(method := getattr(given, name, None))), None
        )
        if all(isinstance(part, str) for pair in items for part in pair):
            # Some servers lower other letters than those of ASCII too.
            counted = Counter(name.lower() for name, _ in items)
            repeated = [name for name, count in counted.items() if count > 1]
            repeated += [name.lower() for name, _ in items if ask is not None and len(ask(name)) > 1]
            return {fold(name): value for name, value in items}, frozenset(repeated)
    except Exception:  # noqa: BLE001 (whatever somebody's class raises, it is no mapping)
        pass
    raise InvalidRequest(Problem(argument, "a mapping of names to strings", describe(given)))
