"""Whether a presigned URL or form holds: signature, clock, signed headers, and every condition of a policy.

Whatever is well-formed is verified, and every check is done and named; what cannot be read is `InvalidRequest`. Signatures
and tokens are compared in constant time, and no text that is made here holds one.
https://docs.aws.amazon.com/AmazonS3/latest/API/sigv4-query-string-auth.html
https://docs.aws.amazon.com/AmazonS3/latest/API/sigv4-HTTPPOSTConstructPolicy.html
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TypeVar

from .._s3.forms import form_field
from .._sigv4.post_policy import FILENAME, LENGTH, Policy, Rule, basename, is_met, needs_condition, read_policy
from .._sigv4.presign import MAX_EXPIRES, MIN_EXPIRES
from .._sigv4.presigned import normal_host, read_credential, read_timestamp
from .._sigv4.signing import ALGORITHM, CredentialScope, signature, signing_key, utc
from ..errors import InvalidRequest, Problem, VerificationError, describe
from ..models import Credentials
from .reading import CredentialsFinder, end_of, find, read, same

_Part = TypeVar("_Part")

TOLERANCE = timedelta(minutes=15)
"""How far ahead of S3's clock a request may be dated."""
# S3 itself and its kinds of endpoints.
_SERVICES = ("s3", "s3express", "s3-object-lambda", "s3-outposts")


@dataclass(frozen=True, slots=True)
class Check:
    """One thing that was looked at: its name, whether it holds, and what is wrong where it does not."""

    name: str
    ok: bool
    detail: str = ""

    def __str__(self) -> str:
        return f"{self.name}: {'holds' if self.ok else self.detail}"


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
    headers: Mapping[str, str] | None = None,
    at: datetime | None = None,
    tolerance: timedelta = TOLERANCE,
) -> Verification:
    """Whether S3 would accept a request with this `url`, `method` and `headers` (all that were sent) at `at` (now).

    `credentials` are the signer's, or a function from access key id to them, or to None for one that is not known. The
    request may be dated up to `tolerance` ahead. A `Host` among the headers is the one that counts. Raises `InvalidRequest`
    for what is no presigned URL.
    """
    moment = _moment(at, tolerance, [] if isinstance(method, str) else [Problem("method", "a str", describe(method))])
    # Servers hand on bytes that are no UTF-8 as surrogates, which nobody signed.
    sent = {name.lower(): _encodable(value) for name, value in _texts("headers", headers or {}).items()}
    signed = read(url)
    sent["host"] = normal_host(signed.scheme, sent.get("host", signed.host))
    found = find(credentials, signed.access_key_id)
    ahead = signed.signed_at - moment
    signs = frozenset(signed.signed_headers)
    missing = [name for name in signed.signed_headers if name not in sent]
    unsigned = [name for name in sent if name.startswith("x-amz-") and name not in signs]
    checks = (
        *_common_checks(signed.algorithm, found, signed.scope, signed.timestamp, ahead, tolerance, moment),
        _check("life", MIN_EXPIRES <= signed.expires_in <= MAX_EXPIRES, f"{MIN_EXPIRES} to {MAX_EXPIRES} seconds are allowed"),
        _check("expiry", moment <= end_of(signed), f"it ended at {end_of(signed).isoformat()}"),
        _check("host", "host" in signed.signed_headers, "host is not among the signed headers"),
        _check("signed headers", not missing, f"not sent: {', '.join(missing)}"),
        _check("unsigned headers", not unsigned, f"x-amz- headers that are not signed: {', '.join(unsigned)}"),
        _token_check(found, signed.session_token),
        _signature_check(
            found,
            signed.signature,
            lambda secret: signed.expected_signature(signed.canonical_request(_encodable(method), sent), secret),
        ),
    )
    return _verification(checks, end_of(signed), found)


def verify_post(
    fields: Mapping[str, str],
    credentials: Credentials | CredentialsFinder,
    *,
    bucket: str,
    size: int,
    filename: str | None = None,
    at: datetime | None = None,
    tolerance: timedelta = TOLERANCE,
) -> Verification:
    """Whether S3 would accept a form with these `fields` and a file of `size` bytes, called `filename`, for `bucket`.

    `fields` are those that were sent before the file. `credentials`, `at` and `tolerance` are as in `verify_url`. Raises
    `InvalidRequest` for what is no signed form: a part of the proof is missing, or the policy cannot be read.
    """
    problems = [Problem("bucket", "a str", describe(bucket))] if not isinstance(bucket, str) else []
    if not isinstance(size, int) or isinstance(size, bool) or size < 0:
        problems.append(Problem("size", "the file's size in bytes", describe(size)))
    if not isinstance(filename, str | None):
        problems.append(Problem("filename", "a str or None", describe(filename)))
    moment = _moment(at, tolerance, problems)
    given = {name.lower(): value for name, value in _texts("fields", fields).items()}
    access_key_id, scope, signed_at, policy, end = _read_form(given)
    found = find(credentials, access_key_id)
    twice = len(given) < len(fields)
    values = {name: _expand(name, value, filename) for name, value in given.items()} | {"bucket": bucket}
    stated = {rule.field for rule in policy.rules}
    extra = sorted(name for name in values if needs_condition(name) and name not in stated)
    checks = (
        *_common_checks(given["x-amz-algorithm"], found, scope, given["x-amz-date"], signed_at - moment, tolerance, moment),
        _check("expiry", moment < end, f"it ended at {end.isoformat()}"),
        _token_check(found, given.get("x-amz-security-token")),
        _signature_check(
            found, given["x-amz-signature"], lambda secret: signature(signing_key(secret, scope), given["policy"])
        ),
        _check("key", 0 < len(values.get("key", "").encode(errors="replace")) <= 1024, "a key of 1 to 1024 bytes is needed"),
        _check("names", not twice, "names that differ in case only are one field, which may be there once"),
        _check("extra fields", not extra, f"no condition speaks of {', '.join(extra)}"),
        *(_condition_check(rule, values, size) for rule in policy.rules),
    )
    return _verification(checks, end, found)


def _common_checks(
    algorithm: str,
    found: Credentials | None,
    scope: CredentialScope,
    timestamp: str,
    ahead: timedelta,
    tolerance: timedelta,
    moment: datetime,
) -> Iterator[Check]:
    yield _check("algorithm", algorithm == ALGORITHM, f"only {ALGORITHM} is verified")
    yield _check("access key", found is not None, "its id is not known here")
    ended = found is not None and found.expires_at is not None and found.expires_at < moment
    yield _check("credentials", not ended, "they have ended")
    yield _check("service", scope.service in _SERVICES, "the scope is another service's")
    yield _check("day", scope.date == timestamp[:8], f"the scope is of {scope.date}, the date of {timestamp[:8]}")
    yield _check("date", ahead <= tolerance, "it is dated ahead of the clock")


def _verification(checks: tuple[Check, ...], end: datetime, found: Credentials | None) -> Verification:
    """What temporary credentials signed ends with them."""
    limit = utc(found.expires_at) if found else None
    return Verification(all(check.ok for check in checks), checks, end if limit is None else min(end, limit))


def _check(name: str, ok: bool, detail: str) -> Check:
    return Check(name, ok, "" if ok else detail)


def _token_check(found: Credentials | None, token: str | None) -> Check:
    expected = found.session_token if found else token
    holds = token is expected if token is None or expected is None else same(token, expected)
    return _check("session token", holds, "it is not the credentials' own")


def _signature_check(found: Credentials | None, given: str, expected: Callable[[str], str]) -> Check:
    if found is None:
        return Check("signature", False, "nobody's key is there to compute it")
    return _check("signature", same(given, expected(found.secret_access_key)), "another one is computed here")


def _condition_check(rule: Rule, values: Mapping[str, str], size: int) -> Check:
    if isinstance(rule.value, tuple):
        minimum, maximum = rule.value
        return _check(LENGTH, is_met(rule, values, size), f"{size} bytes are not in {minimum}..{maximum}")
    name, field = f"{rule.operator} ${rule.field}", form_field(rule.field)
    if rule.operator == "starts-with" and not field.starts_with:
        return Check(name, False, "S3 allows an exact condition only on this field")
    wanted = "what the policy says" if field.secret else repr(rule.value)
    got = "it is missing" if rule.field not in values else f"expected {wanted}"
    return _check(name, is_met(rule, values, size), got)


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


def _texts(argument: str, given: object) -> Mapping[str, str]:
    if isinstance(given, Mapping) and all(isinstance(part, str) for pair in given.items() for part in pair):
        return given
    raise InvalidRequest(Problem(argument, "a mapping of names to texts", describe(given)))


def _encodable(text: str) -> str:
    return text.encode(errors="replace").decode()


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
    with suppress(ValueError):
        if (end := utc(datetime.fromisoformat(policy.expiration))) is not None:
            return policy, end
    raise ValueError("an expiration in ISO 8601 with a time zone")
