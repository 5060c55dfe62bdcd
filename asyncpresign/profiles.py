"""What AWS's shared profile files say of a profile, as botocore reads them: its keys and its region.

It reads two small files each time it is asked, and never runs, fetches or caches anything. No error shows what is in a
file, the names of its profiles apart.
https://docs.aws.amazon.com/cli/latest/userguide/cli-configure-files.html
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass

from .errors import CredentialsError, InvalidRequest, Problem, describe, nearest

Section = Mapping[str, str]

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


@dataclass(frozen=True, slots=True, repr=False)
class _Profile:
    """A profile's section in each file; `place` says in words which profile of which files."""

    place: str
    credentials: Section
    config: Section

    @property
    def merged(self) -> Section:
        return {**self.config, **self.credentials}


def profile_keys(name: str | None, environ: Mapping[str, str]) -> tuple[str, str, str | None]:
    """Access key id, secret access key and session token of profile `name` (else `AWS_PROFILE`, else "default").

    Raises `CredentialsError` when there is no such profile, it has no keys or not all, or it needs more than keys.
    """
    profile = _profile(name, environ, required=True)
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
    profile = _profile(name, environ, required=bool(name or environ.get("AWS_PROFILE")))
    return profile.merged.get("region") or None


def _refuse(profile: _Profile, needs: Mapping[str, str]) -> None:
    for key, what in needs.items():
        if key in profile.merged:
            raise CredentialsError(f"{profile.place} needs {what} ({key}): asyncpresign.botocore_source can do that")


def _keys(profile: _Profile, section: Section) -> tuple[str, str, str | None]:
    if missing := [key for key in (_ACCESS_KEY, _SECRET_KEY) if not section.get(key)]:
        raise CredentialsError(f"{profile.place} has no {' and no '.join(missing)}")
    token = next(filter(None, map(section.get, _TOKENS)), None)
    return section[_ACCESS_KEY], section[_SECRET_KEY], token


def _profile(name: str | None, environ: Mapping[str, str], *, required: bool) -> _Profile:
    if not isinstance(name, str | None):
        raise InvalidRequest(Problem("name", "the name of a profile, or None", describe(name)))
    paths = _paths(environ)
    credentials, config = _parse(paths[0]), _profiles_of_config(_parse(paths[1]))
    wanted = name or environ.get("AWS_PROFILE") or "default"
    place = f"profile {wanted!r} of {' and '.join(map(_shown, paths))}"
    names = sorted({*credentials, *config})
    if required and wanted not in names:
        known = f"the profiles there are: {', '.join(map(repr, names))}" if names else "there is no profile at all"
        raise CredentialsError("; ".join(filter(None, (f"no {place}", known, nearest(wanted, names)))))
    return _Profile(place, credentials.get(wanted, {}), config.get(wanted, {}))


def _paths(environ: Mapping[str, str]) -> tuple[str, str]:
    """The credentials file and the config file."""
    credentials = environ.get("AWS_SHARED_CREDENTIALS_FILE", "~/.aws/credentials")
    config = environ.get("AWS_CONFIG_FILE", "~/.aws/config")
    return os.path.expanduser(os.path.expandvars(credentials)), os.path.expanduser(os.path.expandvars(config))


def _shown(path: str) -> str:
    return repr(path) if os.path.isfile(path) else f"{path!r} (no such file)"


def _profiles_of_config(sections: Mapping[str, Section]) -> dict[str, Section]:
    named = ((_config_name(title), section) for title, section in sections.items())
    return {name: section for name, section in named if name is not None}


def _config_name(title: str) -> str | None:
    """Which profile a section of the config file is: `default` or `profile NAME`, where a name may be quoted."""
    import shlex  # as below

    if title == "default":
        return title
    try:
        words = shlex.split(title) if title.startswith("profile") else []
    except ValueError:
        return None
    return words[1] if len(words) == 2 else None


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
        return {title: dict(parser.items(title)) for title in parser.sections()}
    except OSError as error:
        problem = f"cannot be read: {error.strerror}"
    except UnicodeDecodeError:
        problem = "is not UTF-8"
    except Error as error:
        # Its text quotes the file.
        lines = [number for number, _ in getattr(error, "errors", ())] or [getattr(error, "lineno", None)]
        problem = f"is not an INI file that AWS's tools would read (line {lines[0]})"
    raise CredentialsError(f"{path!r} {problem}")
