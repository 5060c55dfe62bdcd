"""The values that signers take and give: frozen, picklable, JSON-ready, and silent about what grants access.

`to_dict` gives JSON types only (times as ISO 8601 with `Z`, `"v": 1` for the format) and `from_dict` reads them back;
a repr never shows a secret, a token or a signature.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Mapping
from datetime import datetime
from typing import Any, Literal, Self, SupportsIndex, get_args

from ._s3.arns import split_bucket
from ._sigv4.signing import iso8601, utc
from ._values import dataclass
from .errors import CredentialsError, InvalidRequest, Problem, describe, redact

BodyKind = Literal["none", "required", "optional"]


def _moment(text: Any) -> datetime | None:
    """What `iso8601` wrote, or None."""
    try:
        return utc(datetime.fromisoformat(text))
    except (TypeError, ValueError):
        return None


def _is_text(value: Any) -> bool:
    return isinstance(value, str)


def _is_texts(value: Any) -> bool:
    return isinstance(value, Mapping) and all(isinstance(part, str) for item in value.items() for part in item)


# What every field of every `to_dict` holds.
_HOLDS: Mapping[str, Callable[[Any], bool]] = {
    "v": lambda value: value == 1 and not isinstance(value, bool),
    "method": _is_text,
    "url": _is_text,
    "urls": lambda value: isinstance(value, list) and all(map(_is_text, value)),
    "headers": _is_texts,
    "fields": _is_texts,
    "expires_at": lambda value: _moment(value) is not None,
    "operation": lambda value: value is None or _is_text(value),
    "body": lambda value: value in get_args(BodyKind),
}


def _rebuild(cls: Any, data: Any, names: str) -> Any:
    """An instance of `cls` from its `to_dict`, which has `names`. Raises `InvalidRequest` for anything else."""
    wanted = {"v", *names.split()}
    if not isinstance(data, Mapping) or set(data) != wanted:
        raise InvalidRequest(Problem("data", f"what {cls.__name__}.to_dict() returned", describe(data)))
    problems = [
        Problem(f"data[{name!r}]", f"what {cls.__name__}.to_dict() returned", describe(data[name]))
        for name in sorted(wanted)
        if not _HOLDS[name](data[name])
    ]
    if problems:
        raise InvalidRequest(*problems)
    copies = {name: dict(value) if isinstance(value, Mapping) else value for name, value in data.items() if name != "v"}
    return cls(**{**copies, "expires_at": _moment(data["expires_at"])})


@dataclass(frozen=True, slots=True)
class Credentials:
    """An access key pair; `session_token` and `expires_at` (aware) belong to temporary ones.

    Raises `InvalidRequest` for an empty or mistyped part or a naive `expires_at`.
    """

    access_key_id: str
    secret_access_key: str
    session_token: str | None = None
    expires_at: datetime | None = None

    def __post_init__(self) -> None:
        required = {"access_key_id": self.access_key_id, "secret_access_key": self.secret_access_key}
        optional = {} if self.session_token is None else {"session_token": self.session_token}
        problems = [
            Problem(name, "a text that is not empty", describe(value) if not value else f"a {type(value).__name__}")
            for name, value in {**required, **optional}.items()
            if not isinstance(value, str) or not value
        ]
        problems += [
            Problem(name, "a text without line breaks and other control characters", "another text")
            for name, value in {**required, **optional}.items()
            if isinstance(value, str) and not value.isprintable()
        ]
        if self.expires_at is not None and utc(self.expires_at) is None:
            problems.append(Problem("expires_at", "a datetime with a time zone", describe(self.expires_at)))
        if problems:
            raise InvalidRequest(*problems)

    @classmethod
    def from_env(cls, environ: Mapping[str, str] | None = None) -> Self:
        """What `AWS_ACCESS_KEY_ID`, `AWS_SECRET_ACCESS_KEY` and `AWS_SESSION_TOKEN` of `environ` (the process's) say.

        `AWS_SECURITY_TOKEN`, the older name of the token, comes first, as in botocore. `AWS_CREDENTIAL_EXPIRATION` (ISO 8601),
        which some tools export, becomes `expires_at`. Raises `CredentialsError` when a required variable is missing or one of
        them cannot be what it is called.
        """
        variables = os.environ if environ is None else environ
        names = ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY")
        if missing := [name for name in names if not variables.get(name)]:
            raise CredentialsError(f"no credentials in the environment: {' and '.join(missing)} not set")
        expiration = variables.get("AWS_CREDENTIAL_EXPIRATION")
        expires_at = _moment(expiration) if expiration else None
        if expiration and expires_at is None:
            raise CredentialsError("AWS_CREDENTIAL_EXPIRATION is not an ISO 8601 time with a zone")
        token = variables.get("AWS_SECURITY_TOKEN") or variables.get("AWS_SESSION_TOKEN") or None
        try:
            return cls(variables[names[0]], variables[names[1]], token, expires_at)
        except InvalidRequest as error:
            raise CredentialsError(f"the environment's credentials cannot be used: {error}") from None

    @classmethod
    def from_profile(cls, name: str | None = None, environ: Mapping[str, str] | None = None) -> Self:
        """The keys of profile `name` in AWS's shared files, which are read at every call.

        The profile is `name`, else `AWS_DEFAULT_PROFILE`, else `AWS_PROFILE` of `environ` (the process's), else "default".
        The files are `AWS_SHARED_CREDENTIALS_FILE` and `AWS_CONFIG_FILE`, else `~/.aws/credentials` and `~/.aws/config`,
        merged as botocore does. The earliest of `aws_credential_expiration`, `x_security_token_expires` and
        `aws_expiration`, which tools store beside a session token, becomes `expires_at`.

        Raises `CredentialsError` for a file that cannot be read, a profile that is missing or lacks a key, one that needs a
        role, SSO, a login or a process, and without a `name` if `AWS_WEB_IDENTITY_TOKEN_FILE` is set, which botocore uses
        before it looks at a profile: all that is what `botocore_source` is for.
        """
        from .profiles import profile_keys  # not loaded to sign

        keys = profile_keys(name, os.environ if environ is None else environ)
        ends = []
        for setting, text in keys.expiries.items():
            if (end := _moment(text)) is None:
                raise CredentialsError(f"{setting} of {keys.place} is not an ISO 8601 time with a zone")
            ends.append(end)
        try:
            return cls(keys.access_key_id, keys.secret_access_key, keys.session_token, min(ends, default=None))
        except InvalidRequest as error:
            raise CredentialsError(f"the profile's credentials cannot be used: {error}") from None

    def __repr__(self) -> str:
        token = ", session_token=..." if self.session_token else ""
        end = f", expires_at={iso8601(self.expires_at)}" if self.expires_at else ""
        return f"Credentials({self.access_key_id[:4]}..., secret_access_key=...{token}{end})"


@dataclass(frozen=True, slots=True)
class S3Object:
    """An object by name. `key` is the exact key, not encoded."""

    bucket: str
    key: str
    version_id: str | None = None

    @classmethod
    def parse(cls, uri: str) -> Self:
        """`s3://bucket/key`, the key taken as it stands (nothing is decoded); the bucket may be the ARN of an access point.

        Raises `InvalidRequest` for anything else.
        """
        bucket, key = split_bucket(uri.removeprefix("s3://")) if isinstance(uri, str) else ("", "")
        if not bucket or not key or not uri.startswith("s3://"):
            raise InvalidRequest(Problem("uri", "s3://bucket/key", describe(uri)))
        return cls(bucket, key)

    def __str__(self) -> str:
        return f"s3://{self.bucket}/{self.key}"

    def to_params(self) -> dict[str, str]:
        """The operation parameters that name this object: Bucket, Key and, where there is one, VersionId."""
        version = {} if self.version_id is None else {"VersionId": self.version_id}
        return {"Bucket": self.bucket, "Key": self.key, **version}


@dataclass(frozen=True, slots=True)
class PresignedRequest:
    """A request that anybody may send until `expires_at` (aware UTC).

    `url` is to reach the wire byte for byte; `headers` are exactly those the client must send (`Host` comes from the
    URL); `body` says whether a body is expected.
    """

    method: str
    url: str
    headers: Mapping[str, str]
    expires_at: datetime
    operation: str | None = None
    body: BodyKind = "none"

    def __hash__(self) -> int:
        return hash(self.url)

    def __repr__(self) -> str:
        names, end = sorted(self.headers), iso8601(self.expires_at)
        return f"PresignedRequest({self.method} {redact(self.url)}, headers={names}, expires_at={end})"

    def to_dict(self) -> dict[str, Any]:
        """JSON-ready; holds the live URL."""
        return {
            "v": 1,
            "method": self.method,
            "url": self.url,
            "headers": dict(self.headers),
            "expires_at": iso8601(self.expires_at),
            "operation": self.operation,
            "body": self.body,
        }

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Self:
        """What `to_dict` returned. Raises `InvalidRequest` for anything else."""
        request: Self = _rebuild(cls, data, "method url headers expires_at operation body")
        return request

    def curl(self, *, file: str | None = None) -> str:
        """A POSIX shell line that sends this request; `file` is uploaded, or written by a GET. Raises `InvalidRequest`."""
        _check_file(file)
        import shlex

        words = ["curl", "--fail-with-body", "--path-as-is", "--globoff"]
        if self.method == "HEAD":
            words += ["--head"]
        elif self.method not in ("GET", "PUT") or (self.method == "PUT" and file is None):
            words += ["--request", self.method]
        for name, value in self.headers.items():
            # curl drops a header without a value unless it ends in a semicolon.
            words += ["--header", f"{name}: {value}" if value else f"{name};"]
        if file is not None:
            words += ["--output" if self.method == "GET" else "--upload-file", file]
        return shlex.join([*words, self.url])


def _check_file(file: object, *, needed: bool = False) -> None:
    if not isinstance(file, str) and (needed or file is not None):
        raise InvalidRequest(Problem("file", "the name of a file, a str", describe(file)))


class PresignedURLs(list[str]):
    """URLs in the order of the keys, all for `method` and all good until `expires_at` (aware UTC)."""

    method: str
    expires_at: datetime

    def __init__(self, urls: Iterable[str] = (), *, method: str, expires_at: datetime) -> None:
        super().__init__(urls)
        self.method = method
        self.expires_at = expires_at

    def __repr__(self) -> str:
        return f"PresignedURLs({len(self)} {self.method} URLs, expires_at={iso8601(self.expires_at)})"

    def __reduce_ex__(self, protocol: SupportsIndex) -> tuple[Any, ...]:
        return (_urls_from, (list(self), self.method, self.expires_at))

    def to_dict(self) -> dict[str, Any]:
        """JSON-ready; holds the live URLs."""
        return {"v": 1, "urls": list(self), "method": self.method, "expires_at": iso8601(self.expires_at)}

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Self:
        """What `to_dict` returned. Raises `InvalidRequest` for anything else."""
        urls: Self = _rebuild(cls, data, "urls method expires_at")
        return urls


def _urls_from(urls: list[str], method: str, expires_at: datetime) -> PresignedURLs:
    return PresignedURLs(urls, method=method, expires_at=expires_at)


@dataclass(frozen=True, slots=True)
class PresignedPost:
    """A form that anybody may post until `expires_at` (aware UTC): `fields` in order, then the file, last, as `file`."""

    url: str
    fields: Mapping[str, str]
    expires_at: datetime

    def __hash__(self) -> int:
        return hash((self.url, self.expires_at))

    def __repr__(self) -> str:
        return f"PresignedPost({redact(self.url)}, fields={list(self.fields)}, expires_at={iso8601(self.expires_at)})"

    def to_dict(self) -> dict[str, Any]:
        """JSON-ready; holds the live signature. `url` and `fields` are what Uppy and boto3's users expect."""
        return {"v": 1, "url": self.url, "fields": dict(self.fields), "expires_at": iso8601(self.expires_at)}

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Self:
        """What `to_dict` returned. Raises `InvalidRequest` for anything else."""
        post: Self = _rebuild(cls, data, "url fields expires_at")
        return post

    def curl(self, file: str) -> str:
        """A POSIX shell line that uploads `file` through this form.

        Raises `InvalidRequest` for a field that curl cannot be told.
        """
        _check_file(file, needed=True)
        if cut := [name for name in self.fields if "=" in name]:
            # curl takes everything after the first `=` for the value, and knows no way around that.
            raise InvalidRequest(
                *(Problem(f"fields[{name!r}]", "a name without '=', which ends it in curl", repr(name)) for name in cut)
            )
        if "\0" in "".join(self.fields.values()):
            raise InvalidRequest(
                Problem("fields", "values without NUL, which ends an argument of a program", "a value with one")
            )
        import shlex

        words = ["curl", "--fail-with-body"]
        for name, value in self.fields.items():
            # --form-string takes the value as it is: --form would read `@` and `<` as file names.
            words += ["--form-string", f"{name}={value}"]
        quoted = file.replace("\\", "\\\\").replace('"', '\\"')
        return shlex.join([*words, "--form", f'file=@"{quoted}"', self.url])

    def html(
        self, *, title: str = "Upload a file", accept: str | None = None, fragment: bool = False, nonce: str | None = None
    ) -> str:
        """A self-contained page with this form, or with `fragment` the form alone, to stand in a page of yours.

        It works without JavaScript; with it, size and type are checked before the file is sent, progress is shown, and S3's
        answer is said in words. It sends by script only while the form has no `success_action_redirect`, and falls back to
        the plain form where the bucket lets no page read its answers (CORS). `accept` limits the file chooser, as in HTML
        (".jpg,image/*"); None takes it from the form's Content-Type, "" from nowhere. `nonce` is that of your
        Content-Security-Policy; without one, `content_security_policy` lets style and script pass by their hashes, and the
        page carries it itself.
        Raises `InvalidRequest` for an argument of a wrong type, a `url` that is no http(s) address, and fields that no browser
        sends as they are.
        """
        from ._s3.form_page import page

        return page(self.url, self.fields, self.expires_at, title=title, accept=accept, fragment=fragment, nonce=nonce)

    def content_security_policy(self) -> str:
        """The strictest `Content-Security-Policy` header under which `html` works. Raises `InvalidRequest` as `html` does."""
        from ._s3.form_page import content_security_policy

        return content_security_policy(self.url, self.fields)
