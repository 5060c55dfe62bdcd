"""What AWS's shared profile files say of a profile, as botocore reads them: its keys, its region, its settings.

It reads two small files each time it is asked, and never runs, fetches or caches anything. No error shows what is in a
file, the names of its profiles apart.
https://docs.aws.amazon.com/cli/latest/userguide/cli-configure-files.html
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from typing import NamedTuple

from .errors import CredentialsError, InvalidRequest, Problem, describe, nearest

# A setting is a string, or the settings that are indented below it.
Section = Mapping[str, str | Mapping[str, str]]

# What a profile can need beside its keys. botocore asks in this order: the first, the credentials file's keys, the second,
# the config file's keys. The last are settings that only mean something together with others.
_BEFORE_KEYS = {
    "role_arn": "a role",
    "web_identity_token_file": "a role",
    "sso_role_name": "SSO",
    "sso_account_id": "SSO",
}
_BEFORE_CONFIG_KEYS = {"login_session": "a login", "credential_process": "a process"}
_INSTEAD_OF_KEYS = {
    "source_profile": "a role",
    "credential_source": "a role",
    "sso_session": "SSO",
    "sso_start_url": "SSO",
}

_ACCESS_KEY, _SECRET_KEY = "aws_access_key_id", "aws_secret_access_key"
_TOKENS = ("aws_security_token", "aws_session_token")  # the first is the older spelling, and wins as in botocore
# Names under which tools that fetch temporary keys store when these expire. botocore reads none of them.
_EXPIRIES = ("aws_credential_expiration", "x_security_token_expires", "aws_expiration")

_WEB_IDENTITY = "AWS_WEB_IDENTITY_TOKEN_FILE"


class ProfileKeys(NamedTuple):
    """The keys of the profile at `place`; `expiries` are the settings that say when they expire, by name."""

    place: str
    access_key_id: str
    secret_access_key: str
    session_token: str | None
    expiries: Mapping[str, str]


@dataclass(frozen=True, slots=True, repr=False)
class Profile:
    """A profile's section in each file, and all `services` sections; `place` names the profile and the files."""

    place: str
    credentials: Section
    config: Section
    services: Mapping[str, Section]

    @property
    def merged(self) -> Section:
        return {**self.config, **self.credentials}

    def text(self, name: str) -> str | None:
        """The setting `name`, or None. Raises `CredentialsError` if other settings are indented below it."""
        value = self.merged.get(name)
        if isinstance(value, Mapping):
            raise CredentialsError(f"{name} of {self.place} has settings below it, and should be one string")
        return value or None


def profile_keys(name: str | None, environ: Mapping[str, str]) -> ProfileKeys:
    """The keys of profile `name` (else `AWS_DEFAULT_PROFILE`, else `AWS_PROFILE`, else "default").

    Raises `CredentialsError` when there is no such profile, it lacks a key, or botocore would ask another source: the
    profile's own, or without a `name` the web identity of the environment.
    """
    if not name and environ.get(_WEB_IDENTITY):
        raise CredentialsError(
            f"{_WEB_IDENTITY} is set and selects a role before any profile that is not named in the call: "
            "asyncpresign.botocore_source assumes that role, Credentials.from_profile('default') uses the profile's keys"
        )
    profile = read_profile(name, environ, required=True)
    _refuse(profile, _BEFORE_KEYS)
    if _ACCESS_KEY in profile.credentials:
        return _keys(profile, profile.credentials)
    _refuse(profile, _BEFORE_CONFIG_KEYS)
    if _ACCESS_KEY in profile.config:
        return _keys(profile, profile.config)
    _refuse(profile, _INSTEAD_OF_KEYS)
    return _keys(profile, profile.merged)


def profile_region(name: str | None, environ: Mapping[str, str]) -> str | None:
    """The profile's region, if it has one. Raises `CredentialsError` for a profile that was named and is not there."""
    return read_profile(name, environ).text("region")


def _refuse(profile: Profile, needs: Mapping[str, str]) -> None:
    for key, what in needs.items():
        if key in profile.merged:
            raise CredentialsError(f"{profile.place} needs {what} ({key}): asyncpresign.botocore_source can do that")


def _keys(profile: Profile, section: Section) -> ProfileKeys:
    texts = {name: value for name, value in section.items() if isinstance(value, str) and value}
    if missing := [key for key in (_ACCESS_KEY, _SECRET_KEY) if key not in texts]:
        raise CredentialsError(f"{profile.place} has no {' and no '.join(missing)}")
    token = next(filter(None, map(texts.get, _TOKENS)), None)
    # Keys without a token do not expire: what is said of an end is left over from others.
    expiries = {name: texts[name] for name in _EXPIRIES if token and name in texts}
    return ProfileKeys(profile.place, texts[_ACCESS_KEY], texts[_SECRET_KEY], token, expiries)


def read_profile(name: str | None, environ: Mapping[str, str], *, required: bool = False) -> Profile:
    """Profile `name`, else the one that `environ` names, else "default", read from both files.

    Raises `CredentialsError` for a file that cannot be used, and for a profile that is not there if it is named or `required`.
    """
    if not isinstance(name, str | None):
        raise InvalidRequest(Problem("name", "the name of a profile, or None", describe(name)))
    paths = _paths(environ)
    credentials, sections = _parse(paths[0]), _parse(paths[1])
    config = _named(sections, "profile")
    named = name or environ.get("AWS_DEFAULT_PROFILE") or environ.get("AWS_PROFILE")
    wanted = named or "default"
    place = f"profile {wanted!r} of {' and '.join(map(_shown, paths))}"
    names = sorted({*credentials, *config})
    if (required or named) and wanted not in names:
        known = f"the profiles there are: {', '.join(map(repr, names))}" if names else "there is no profile at all"
        raise CredentialsError("; ".join(filter(None, (f"no {place}", known, nearest(wanted, names)))))
    return Profile(place, credentials.get(wanted, {}), config.get(wanted, {}), _named(sections, "services"))


def _paths(environ: Mapping[str, str]) -> tuple[str, str]:
    """The credentials file and the config file."""
    credentials = environ.get("AWS_SHARED_CREDENTIALS_FILE", "~/.aws/credentials")
    config = environ.get("AWS_CONFIG_FILE", "~/.aws/config")
    return os.path.expanduser(os.path.expandvars(credentials)), os.path.expanduser(os.path.expandvars(config))


def _shown(path: str) -> str:
    return repr(path) if os.path.isfile(path) else f"{path!r} (no such file)"


def _named(sections: Mapping[str, Section], kind: str) -> dict[str, Section]:
    """The config file's sections of one kind, by name."""
    found = ((_section_name(title, kind), section) for title, section in sections.items())
    return {name: section for name, section in found if name is not None}


def _section_name(title: str, kind: str) -> str | None:
    """The name in `KIND NAME`, which may be quoted there; the profile `default` needs no `profile` before it."""
    import shlex  # as below

    if title == "default" and kind == "profile":
        return title
    try:
        words = shlex.split(title) if title.startswith(kind) else []
    except ValueError:
        return None
    return words[1] if len(words) == 2 else None


def _nested(text: str) -> str | Mapping[str, str]:
    """A value as it is, or the settings that follow it on lines of their own. Raises `ValueError`."""
    if not text.startswith("\n"):
        return text
    pairs = (line.split("=", 1) for line in text.splitlines() if line.strip())
    return {name.strip(): value.strip() for name, value in pairs}


def _parse(path: str) -> dict[str, Section]:
    """The sections of an INI file; a file that is not there has none."""
    # Not at module level: signing never needs it.
    from configparser import Error, RawConfigParser

    if not os.path.isfile(path):
        return {}
    parser = RawConfigParser()
    try:
        with open(path, encoding="utf-8") as file:
            parser.read_file(file)
        return {title: {name: _nested(value) for name, value in parser.items(title)} for title in parser.sections()}
    except OSError as error:
        problem = f"cannot be read: {error.strerror}"
    except UnicodeDecodeError:
        problem = "is not UTF-8"
    except Error as error:
        # Its text quotes the file.
        lines = [number for number, _ in getattr(error, "errors", ())] or [getattr(error, "lineno", None)]
        problem = f"is not an INI file that AWS's tools would read (line {lines[0]})"
    except ValueError:
        problem = "is not an INI file that AWS's tools would read (an indented setting has no '=')"
    raise CredentialsError(f"{path!r} {problem}")
