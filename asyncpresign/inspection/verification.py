"""Whether a presigned URL or form holds: signature, clock, signed headers, and every condition of a policy.

Whatever is well-formed is verified, and every check is done and named; what cannot be read is `InvalidRequest`. Signatures
and tokens are compared in constant time, and no text that is made here holds one.
https://docs.aws.amazon.com/AmazonS3/latest/API/sigv4-query-string-auth.html
https://docs.aws.amazon.com/AmazonS3/latest/API/sigv4-HTTPPOSTConstructPolicy.html
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TypeVar

from .._s3.forms import form_field
from .._sigv4.canonical import PAYLOAD
from .._sigv4.post_policy import FILENAME, LENGTH, Policy, Rule, basename, is_met, needs_condition, read_policy
from .._sigv4.presigned import TOKENS, read_credential, read_timestamp
from .._sigv4.signing import ALGORITHM, CredentialScope, signature, signing_key, utc
from ..errors import InvalidRequest, Problem, VerificationError, describe
from ..models import Credentials
from .checks import Check, authentication_check, check, day_check, header_checks, payload_header_check, url_checks
from .reading import CredentialsFinder, Pairs, end_of, find, has_ended, read, read_pairs, same

_Part = TypeVar("_Part")

TOLERANCE = timedelta(minutes=15)
"""How far ahead of S3's clock a request may be dated."""
_AUTHENTICATE = frozenset({"authorization", *(name.lower() for name in TOKENS)})
METHODS = ("GET", "PUT", "HEAD", "DELETE", "POST")
# What S3 documents and SDKs write. Servers read other forms of ISO 8601 differently, or not at all.
_EXPIRATION = re.compile(r"([0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2})(?:\.([0-9]{3}))?Z")


@dataclass(frozen=True, slots=True)
class Verification:
    """Everything that was looked at, in order. True when all of it holds, until `expires_at` (aware UTC)."""

    ok: bool
    checks: tuple[Check, ...]
    expires_at: datetime

    def __bool__(self) -> bool:
        return self.ok

    @property
    def failures(self) -> tuple[Check, ...]:
        """The checks that do not hold."""
        return tuple(check for check in self.checks if not check.ok)

    def raise_if_failed(self) -> None:
        """Raises `VerificationError`, which says every failure."""
        if not self.ok:
            raise VerificationError("; ".join(map(str, self.failures)))


def verify_url(
    url: str,
    credentials: Credentials | CredentialsFinder,
    *,
    method: str,
    headers: Pairs | None = None,
    at: datetime | None = None,
    tolerance: timedelta = TOLERANCE,
    region: str | None = None,
    service: str = "s3",
    stripped_prefix: str = "",
) -> Verification:
    """Whether S3 would authenticate a request with this `url`, `method` and `headers` at `at` (now).

    Where servers differ, the strictest counts. Whether the signer has the permission, and what the request asks for, is not
    looked at, except that an object's path has no encoded slash. Nor is the body: where an `x-amz-content-sha256` is signed, a
    server compares the body's SHA-256 with it.

    Args:
        url: As it was requested, with its host; a `Host` among the headers is the one that counts, letter by letter.
        credentials: The signer's, or a function from access key id to them, or to None for one that is not known.
        method: The HTTP method, in capitals.
        headers: All headers that were sent, decoded as UTF-8 (`surrogateescape`). Any framework's collection will do: anything
            with `items()`, in which a name may be there more than once.
        at: An aware datetime.
        tolerance: How far ahead of `at` the request may be dated.
        region: The region that the URL has to be signed for; None for any.
        service: The service that the URL has to be signed for: also "s3express", "s3-object-lambda" and "s3-outposts".
        stripped_prefix: The beginning of the path that a proxy removes before the server sees it, which is not signed.

    Raises:
        InvalidRequest: `url` is not a presigned URL, or an argument has the wrong type.
    """
    problems: list[Problem] = [] if isinstance(method, str) else [Problem("method", "a str", describe(method))]
    moment = _moment(at, tolerance, problems + _scope_problems(region, service))
    sent, repeated = read_pairs("headers", {} if headers is None else headers)
    signed = read(url, stripped_prefix)
    sent.setdefault("host", signed.host)
    found = find(credentials, signed.access_key_id)
    signs = frozenset(signed.signed_headers)
    missing = [name for name in signed.signed_headers if name not in sent]
    unsigned = [name for name in sent if name.startswith("x-amz-") and name not in signs]
    beside = sorted(_AUTHENTICATE.intersection(sent))
    hashed = {name: _encodable(value) for name, value in sent.items()}
    checks = (
        *url_checks(signed),
        *_common_checks(found, signed.scope, region, service, signed.signed_at - moment, tolerance, moment),
        check("method", method in METHODS, f"S3 has no other methods than {', '.join(METHODS)}"),
        check("expiry", moment <= end_of(signed), f"it ended at {end_of(signed).isoformat()}"),
        check("signed headers", not missing, f"not sent: {', '.join(missing)}"),
        check("unsigned headers", not unsigned, f"x-amz- headers that are not signed: {', '.join(unsigned)}"),
        *header_checks(signed, sent, repeated),
        payload_header_check(signed, sent.get(PAYLOAD)),
        check("authorization", not beside, f"sent beside a URL that authenticates: {', '.join(beside)}"),
        _token_check(found, signed.session_token),
        _signature_check(
            found,
            signed.signature,
            lambda secret: signed.expected_signature(signed.canonical_request(_encodable(method), hashed), secret),
        ),
    )
    return _verification(checks, end_of(signed), found)


def verify_post(
    fields: Pairs,
    credentials: Credentials | CredentialsFinder,
    *,
    bucket: str,
    size: int,
    filename: str | None = None,
    at: datetime | None = None,
    tolerance: timedelta = TOLERANCE,
    region: str | None = None,
    service: str = "s3",
) -> Verification:
    """Whether S3 would authenticate a form with these `fields` and a file for `bucket`, and its policy allows it.

    Args:
        fields: The fields that were sent before the file, without it. As with `headers` of `verify_url`, any framework's
            collection will do, and a name that is there more than once does not hold.
        credentials: See `verify_url`.
        bucket: The bucket that the form was posted to.
        size: The file's, in bytes.
        filename: The file's, which takes the place of `${filename}`; None is an empty one.
        at: See `verify_url`.
        tolerance: See `verify_url`.
        region: See `verify_url`.
        service: See `verify_url`.

    Raises:
        InvalidRequest: This is no signed form (a part of the proof is missing, or the policy cannot be read in one way only),
            or an argument has the wrong type.
    """
    problems = [Problem("bucket", "a str", describe(bucket))] if not isinstance(bucket, str) else []
    if not isinstance(size, int) or isinstance(size, bool) or size < 0:
        problems.append(Problem("size", "the file's size in bytes", describe(size)))
    if not isinstance(filename, str | None):
        problems.append(Problem("filename", "a str or None", describe(filename)))
    moment = _moment(at, tolerance, problems + _scope_problems(region, service))
    given, repeated = read_pairs("fields", fields)
    access_key_id, scope, signed_at, policy, end = _read_form(given)
    found = find(credentials, access_key_id)
    values = {"bucket": bucket} | {name: _expand(name, value, filename) for name, value in given.items()}
    stated = {rule.field for rule in policy.rules if rule.operator != LENGTH}
    extra = sorted(name for name in values if needs_condition(name) and name not in stated)
    checks = (
        check("algorithm", given["x-amz-algorithm"] == ALGORITHM, f"the algorithm is not {ALGORITHM}"),
        day_check(scope.date, given["x-amz-date"]),
        authentication_check("fields", given),
        *_common_checks(found, scope, region, service, signed_at - moment, tolerance, moment),
        check("expiry", moment < end, f"it ended at {end.isoformat()}"),
        _token_check(found, given.get("x-amz-security-token")),
        _signature_check(
            found, given["x-amz-signature"], lambda secret: signature(signing_key(secret, scope), given["policy"])
        ),
        check("key", _is_key(values.get("key", "")), "a key of 1 to 1024 bytes of UTF-8 without NUL is needed"),
        check("bucket", values["bucket"] == bucket, "the field names another bucket than the form was posted to"),
        check("names", not repeated, "a field may be there once, whatever the case of its name"),
        check("extra fields", not extra, f"no condition speaks of {', '.join(extra)}"),
        *(_condition_check(rule, values, size) for rule in policy.rules),
    )
    return _verification(checks, end, found)


def _common_checks(
    found: Credentials | None,
    scope: CredentialScope,
    region: str | None,
    service: str,
    ahead: timedelta,
    tolerance: timedelta,
    moment: datetime,
) -> Iterator[Check]:
    yield check("access key", found is not None, "its id is not known here")
    yield check("credentials", not has_ended(found, moment), "they have ended")
    yield check("service", scope.service == service, f"the scope is of {scope.service}, not of {service}")
    yield check("region", region in (None, scope.region), f"the scope is of {scope.region}, not of {region}")
    yield check("date", ahead <= tolerance, "it is dated ahead of the clock")


def _verification(checks: tuple[Check, ...], end: datetime, found: Credentials | None) -> Verification:
    """What temporary credentials signed ends with them."""
    limit = utc(found.expires_at) if found else None
    return Verification(all(check.ok for check in checks), checks, end if limit is None else min(end, limit))


def _token_check(found: Credentials | None, token: str | None) -> Check:
    expected = found.session_token if found else token
    holds = token is expected if token is None or expected is None else same(token, expected)
    return check("session token", holds, "it is not the credentials' own")


def _signature_check(found: Credentials | None, given: str, expected: Callable[[str], str]) -> Check:
    if found is None:
        return Check("signature", False, "nobody's key is there to compute it")
    return check("signature", same(given, expected(found.secret_access_key)), "another one is computed here")


def _condition_check(rule: Rule, values: Mapping[str, str], size: int) -> Check:
    if isinstance(rule.value, tuple):
        minimum, maximum = rule.value
        return check(LENGTH, is_met(rule, values, size), f"{size} bytes are not in {minimum}..{maximum}")
    name, field = f"{rule.operator} ${rule.field}", form_field(rule.field)
    if rule.operator == "starts-with" and not field.starts_with:
        return Check(name, False, "S3 allows an exact condition only on this field")
    wanted = "what the policy says" if field.secret else repr(rule.value)
    got = "it is missing" if rule.field not in values else f"expected {wanted}"
    return check(name, is_met(rule, values, size), got)


def _expand(name: str, value: str, filename: str | None) -> str:
    return value if form_field(name).ours and name != "key" else value.replace(FILENAME, basename(filename or ""))


# --- reading what was given -------------------------------------------------------------------------------------------


def _moment(at: object, tolerance: object, problems: list[Problem]) -> datetime:
    moment = datetime.now(UTC) if at is None else utc(at)
    if moment is None:
        problems.append(Problem("at", "a datetime with a time zone", describe(at)))
    if not isinstance(tolerance, timedelta) or tolerance < timedelta(0):
        problems.append(Problem("tolerance", "a timedelta that is not negative", describe(tolerance)))
    if problems or moment is None:
        raise InvalidRequest(*problems)
    return moment


def _scope_problems(region: object, service: object) -> list[Problem]:
    problems = [] if isinstance(region, str | None) else [Problem("region", "a str or None", describe(region))]
    return problems + ([] if isinstance(service, str) else [Problem("service", "a str", describe(service))])


def _encodable(text: str) -> str:
    return text.encode(errors="replace").decode()


def _is_key(text: str) -> bool:
    return 0 < len(text.encode(errors="replace")) <= 1024 and text == _encodable(text) and "\0" not in text


_PROOF = ("policy", "x-amz-algorithm", "x-amz-credential", "x-amz-date", "x-amz-signature")


def _read_form(fields: Mapping[str, str]) -> tuple[str, CredentialScope, datetime, Policy, datetime]:
    if missing := [name for name in _PROOF if not fields.get(name)]:
        raise InvalidRequest(Problem("fields", f"a form signed with SigV4, which has {', '.join(missing)}", describe(fields)))
    access_key_id, scope = _part(fields, "x-amz-credential", read_credential)
    policy, end = _part(fields, "policy", _read_policy)
    return access_key_id, scope, _part(fields, "x-amz-date", read_timestamp), policy, end


def _part(fields: Mapping[str, str], name: str, read_text: Callable[[str], _Part]) -> _Part:
    try:
        return read_text(fields[name])
    except ValueError as error:
        raise InvalidRequest(Problem(f"fields[{name!r}]", str(error), describe(fields[name]))) from None


def _read_policy(text: str) -> tuple[Policy, datetime]:
    policy = read_policy(text)
    found = _EXPIRATION.fullmatch(policy.expiration)
    with suppress(ValueError):
        if found:
            end = datetime.strptime(found[1] + "Z", "%Y-%m-%dT%H:%M:%S%z")
            return policy, end.replace(microsecond=int(found[2] or 0) * 1000)
    raise ValueError("an expiration like 2026-01-01T00:00:00Z or 2026-01-01T00:00:00.000Z")
