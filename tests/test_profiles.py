"""AWS's shared files read as botocore reads them, which is the oracle; and what is said of those that give no keys."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest
from botocore.session import Session
from hypothesis import given
from hypothesis import strategies as st

from asyncpresign import Credentials, CredentialsError, InvalidRequest
from asyncpresign.credentials import find_region
from asyncpresign.profiles import read_profile
from tests.test_redaction import SECRET, TOKEN, assert_clean, everything_about

KEYS = "aws_access_key_id = {0}ID\naws_secret_access_key = {0}SECRET\n"
A, B = KEYS.format("A"), KEYS.format("B")


def write(folder: Path, credentials: str | None, config: str | None) -> dict[str, str]:
    """The files, where there are any, and the environment that names them."""
    paths = {"AWS_SHARED_CREDENTIALS_FILE": folder / "credentials", "AWS_CONFIG_FILE": folder / "config"}
    for path, text in zip(paths.values(), (credentials, config), strict=True):
        path.unlink(missing_ok=True)
        if text is not None:
            path.write_text(text, encoding="utf-8")
    return {name: str(path) for name, path in paths.items()}


def in_botocore(environ: dict[str, str], profile: str | None) -> Any:
    """What botocore's session finds in `environ`: its credentials."""
    with pytest.MonkeyPatch.context() as patch:
        for name, value in environ.items():
            patch.setenv(name, value)
        return Session(profile=profile).get_credentials()


# Credentials file, config file, profile asked for, AWS_PROFILE.
AS_BOTOCORE: dict[str, tuple[str | None, str | None, str | None, str | None]] = {
    "the default of the credentials file": (f"[default]\n{A}", None, None, None),
    "the default of the config file": (None, f"[default]\n{A}", None, None),
    "the default named as a profile": (None, f"[profile default]\n{A}", None, None),
    "the last default of two": (None, f"[default]\n{A}\n[profile default]\n{B}", None, None),
    "by argument": (f"[default]\n{A}\n[x]\n{B}", None, "x", None),
    "by AWS_PROFILE": (f"[default]\n{A}\n[x]\n{B}", None, None, "x"),
    "argument before AWS_PROFILE": (f"[x]\n{A}\n[y]\n{B}", None, "x", "y"),
    "a profile of the config file": (None, f"[profile x]\n{A}", "x", None),
    "a quoted name": (None, f'[profile "a b"]\n{A}', "a b", None),
    "a name with spaces of the credentials file": (f"[a b]\n{A}", None, "a b", None),
    "more blanks before the name": (None, f"[profile   x]\n{A}", "x", None),
    "a section that is no profile": (f"[x]\n{A}", f"[preview]\n{B}\n[x]\n{B}\n[profile 'y]\n{B}", "x", None),
    "a name of two words without quotes": (None, f"[profile x]\n{A}\n[profile x y]\n{B}", "x", None),
    "the word profile in the credentials file is a name": (f"[profile x]\n{A}\n[x]\n{B}", None, "profile x", None),
    "the credentials file wins": (f"[x]\n{A}", f"[profile x]\n{B}", "x", None),
    "the credentials file wins with its keys only": (f"[x]\n{A}", f"[profile x]\n{B}aws_session_token = T\n", "x", None),
    "the credentials file without keys": ("[x]\nregion = r\n", f"[profile x]\n{A}", "x", None),
    "the credentials file with half a key": ("[x]\naws_secret_access_key = s\n", f"[profile x]\n{A}", "x", None),
    "a token": (f"[x]\n{A}aws_session_token = T/+=\n", None, "x", None),
    "an empty token": (f"[x]\n{A}aws_session_token =\n", None, "x", None),
    "a token, older spelling": (f"[x]\n{A}aws_security_token = T\n", None, "x", None),
    "two tokens": (f"[x]\n{A}aws_session_token = T\naws_security_token = U\n", None, "x", None),
    "capital letters": (f"[x]\n{A.upper()}AWS_SESSION_TOKEN = T\n", None, "x", None),
    "names differ by case": (f"[x]\n{A}\n[X]\n{B}", None, "X", None),
    "colons and no blanks": ("[x]\naws_access_key_id:ID\naws_secret_access_key=a=b:c\n", None, "x", None),
    "percent, hash and semicolon": ("[x]\naws_access_key_id = ID\naws_secret_access_key = 100%(a)s#;b ;c\n", None, "x", None),
    "comments and empty lines": (f"# one\n\n[x]\n; two\n{A}\n# three = 3\n", "# nothing\n", "x", None),
    "the section that all inherit": (f"[DEFAULT]\n{A}\n[x]\nregion = r\n", None, "x", None),
    "nested settings": (f"[x]\n{A}s3 =\n  max_concurrent_requests = 20\n", None, "x", None),
    "part of a role": (f"[x]\n{A}source_profile = y\nexternal_id = e\n", None, "x", None),
    "a process of the config file": (f"[x]\n{A}", "[profile x]\ncredential_process = none\n", "x", None),
    "part of SSO": (f"[x]\n{A}", "[profile x]\nsso_session = s\nsso_start_url = u\n", "x", None),
    "not only ASCII": (f"[x]\n# ключ\n{A}\n[пользователь]\n{B}", None, "пользователь", None),
}


@pytest.mark.parametrize("name", AS_BOTOCORE)
def test_the_keys_are_those_that_botocore_finds(name: str, tmp_path: Path) -> None:
    credentials, config, profile, chosen = AS_BOTOCORE[name]
    environ = write(tmp_path, credentials, config) | ({} if chosen is None else {"AWS_PROFILE": chosen})
    wanted = in_botocore(environ, profile)
    found = Credentials.from_profile(profile, environ)
    assert found == Credentials(wanted.access_key, wanted.secret_key, wanted.token or None)


FROM_FILES = ("shared-credentials-file", "config-file")
# Values that no provider of botocore's can use without a network or a program, neither of which it gets to.
SETTINGS = {
    "aws_access_key_id": "ID",
    "aws_secret_access_key": "SECRET",
    "aws_session_token": "TOKEN",
    "role_arn": "arn:aws:iam::1:role/x",
    "source_profile": "other",
    "credential_source": "Environment",
    "web_identity_token_file": "missing",
    "sso_account_id": "1",
    "sso_role_name": "role",
    "sso_start_url": "https://localhost:1/",
    "sso_region": "us-east-1",
    "credential_process": "asyncpresign-no-such-program",
    "login_session": "none",
}
SECTIONS = st.lists(st.sampled_from(sorted(SETTINGS)), unique=True)


def section_of(settings: list[str], file: str) -> str:
    return "".join(f"{name} = {SETTINGS[name] + file * name.startswith('aws_')}\n" for name in settings)


@given(SECTIONS, SECTIONS)
def test_whatever_two_files_say_botocore_is_never_contradicted(
    tmp_path_factory: pytest.TempPathFactory, credentials: list[str], config: list[str]
) -> None:
    texts = f"[x]\n{section_of(credentials, '1')}\n[other]\n{A}", f"[profile x]\n{section_of(config, '2')}"
    environ = write(tmp_path_factory.getbasetemp(), *texts)
    try:
        wanted = in_botocore(environ, "x")
    except Exception:  # noqa: BLE001 (of many kinds: what botocore was about to do is not a matter of keys)
        wanted = None
    from_files = wanted is not None and wanted.method in FROM_FILES
    try:
        found = Credentials.from_profile("x", environ)
    except CredentialsError:
        assert not from_files
    else:
        assert from_files
        assert found == Credentials(wanted.access_key, wanted.secret_key, wanted.token)


# --- where the files are ----------------------------------------------------------------------------------------------


def test_the_processs_environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in write(tmp_path, f"[x]\n{A}", "[profile x]\nregion = r\n").items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("AWS_PROFILE", "x")
    assert Credentials.from_profile() == Credentials("AID", "ASECRET")
    assert find_region() == "r"


def test_the_home_directory_and_variables_in_a_path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("USERPROFILE", str(tmp_path))
    (tmp_path / ".aws").mkdir()
    write(tmp_path / ".aws", f"[default]\n{A}", f"[profile x]\n{B}")
    assert Credentials.from_profile(environ={}) == Credentials("AID", "ASECRET")
    assert Credentials.from_profile("x", {}) == Credentials("BID", "BSECRET")
    monkeypatch.setenv("ASYNCPRESIGN_TEST", ".aws")
    assert Credentials.from_profile("x", {"AWS_CONFIG_FILE": "~/$ASYNCPRESIGN_TEST/config"}) == Credentials("BID", "BSECRET")


def test_an_empty_name_is_none(tmp_path: Path) -> None:
    """Where botocore looks for a profile without a name."""
    environ = write(tmp_path, f"[default]\n{A}", None)
    assert Credentials.from_profile("", {**environ, "AWS_PROFILE": ""}) == Credentials("AID", "ASECRET")


# --- no keys ----------------------------------------------------------------------------------------------------------

SECRETS = [SECRET, TOKEN]
HALF = f"aws_secret_access_key = {SECRET}\n"
NO_KEYS: dict[str, tuple[str | None, str | None, list[str]]] = {
    "nothing": (None, None, ["no profile 'x'", "(no such file)", "there is no profile at all"]),
    "another": (f"[xy]\n{A}", f"[profile b]\n{A}", ["profiles there are: 'b', 'xy'; did you mean 'xy'?"]),
    "no section of a profile": (None, f"[x]\n{HALF}", ["there is no profile at all"]),
    "empty": ("[x]\n", None, ["profile 'x'", "has no aws_access_key_id and no aws_secret_access_key"]),
    "no access key": (f"[x]\n{HALF}", None, ["has no aws_access_key_id"]),
    "no secret": ("[x]\naws_access_key_id = A\n", f"[profile x]\n{A}", ["has no aws_secret_access_key"]),
    "an empty secret": ("[x]\naws_access_key_id = A\naws_secret_access_key =\n", None, ["has no aws_secret_access_key"]),
    "two lines": (f"[x]\naws_access_key_id = A\n{HALF}  {SECRET}\n", None, ["without line breaks"]),
    "a role": (f"[x]\n{A}", f"[profile x]\nrole_arn = {SECRET}\nsource_profile = y\n", ["needs a role (role_arn)"]),
    "a role by token": (f"[x]\n{A}", f"[profile x]\nweb_identity_token_file = {SECRET}\n", ["(web_identity_token_file)"]),
    "an account of SSO": (f"[x]\n{A}", "[profile x]\nsso_account_id = 1\n", ["needs SSO (sso_account_id)"]),
    "SSO": (None, "[profile x]\nsso_session = s\nsso_account_id = 1\nsso_role_name = r\n", ["needs SSO (sso_role_name)"]),
    "a login": (None, "[profile x]\nlogin_session = s\n", ["needs a login (login_session)"]),
    "a process": (None, f"[profile x]\n{A}credential_process = {SECRET}\n", ["needs a process (credential_process)"]),
    "half a role": (None, "[profile x]\nsource_profile = y\n", ["needs a role (source_profile)"]),
    "a source": (None, "[profile x]\ncredential_source = Environment\n", ["needs a role (credential_source)"]),
    "half of SSO": (None, "[profile x]\nsso_session = s\n", ["needs SSO (sso_session)"]),
    "older SSO": (None, "[profile x]\nsso_start_url = s\n", ["needs SSO (sso_start_url)"]),
    "no section at all": (f"{HALF}[x]\n", None, ["credentials' is not an INI file", "(line 1)"]),
    "no setting": (f"[x]\n{A}{SECRET}\n", None, ["credentials' is not an INI file", "(line 4)"]),
    "twice": (None, f"[profile x]\n{HALF}{HALF}", ["config' is not an INI file", "(line 3)"]),
    "two sections": (f"[x]\n{HALF}[{SECRET}]\n[{SECRET}]\n", None, ["credentials' is not an INI file", "(line 4)"]),
}


@pytest.mark.parametrize("name", NO_KEYS)
def test_why_a_profile_gives_no_keys(name: str, tmp_path: Path) -> None:
    credentials, config, said = NO_KEYS[name]
    environ = write(tmp_path, credentials, config)
    with pytest.raises(CredentialsError) as raised:
        Credentials.from_profile("x", environ)
    assert [words for words in said if words not in str(raised.value)] == []
    assert ("botocore_source" in str(raised.value)) == ("needs" in str(raised.value))
    assert str(tmp_path) in str(raised.value) or "cannot be used" in str(raised.value)
    assert_clean(everything_about(raised.value), SECRETS)


def test_a_file_that_is_not_text(tmp_path: Path) -> None:
    environ = write(tmp_path, f"[x]\n{A}", "")
    Path(environ["AWS_CONFIG_FILE"]).write_bytes(f"[profile x]\n# {SECRET} \udcff".encode("utf-8", "surrogateescape"))
    with pytest.raises(CredentialsError, match="config' is not UTF-8") as raised:
        Credentials.from_profile("x", environ)
    assert_clean(everything_about(raised.value), SECRETS)


def test_a_file_that_cannot_be_read() -> None:
    path = "/proc/self/mem"  # the file that not even root can read from its beginning
    if not Path(path).exists():
        pytest.skip("looks at processes through /proc")
    with pytest.raises(CredentialsError, match=f"'{path}' cannot be read: Input/output error"):
        Credentials.from_profile("x", {"AWS_SHARED_CREDENTIALS_FILE": path, "AWS_CONFIG_FILE": ""})


@pytest.mark.parametrize("path", ["", os.devnull, ".", "a\0b"], ids=["empty", "devnull", "folder", "no path"])
def test_a_path_that_is_no_file_is_a_file_that_says_nothing(path: str, tmp_path: Path) -> None:
    environ = write(tmp_path, f"[x]\n{A}", None)
    assert Credentials.from_profile("x", {**environ, "AWS_CONFIG_FILE": path}) == Credentials("AID", "ASECRET")


@pytest.mark.parametrize("name", [5, b"x", ["x"]], ids=repr)
def test_a_name_that_is_no_text(name: Any) -> None:
    with pytest.raises(InvalidRequest) as raised:
        Credentials.from_profile(name, {})
    assert [problem.argument for problem in raised.value.problems] == ["name"]


# --- region -----------------------------------------------------------------------------------------------------------

CONFIG = """
[default]
region = of-default
[profile x]
region = of-x
[profile both]
region = of-config
[profile none]
[profile empty]
region =
"""
REGIONS: dict[str, tuple[dict[str, str], str | None, str | None]] = {
    "AWS_REGION": ({"AWS_REGION": "first", "AWS_DEFAULT_REGION": "second", "AWS_PROFILE": "x"}, "x", "first"),
    "AWS_DEFAULT_REGION": ({"AWS_REGION": "", "AWS_DEFAULT_REGION": "second"}, "x", "second"),
    "the default profile": ({}, None, "of-default"),
    "AWS_PROFILE": ({"AWS_PROFILE": "x"}, None, "of-x"),
    "the argument": ({"AWS_PROFILE": "none"}, "x", "of-x"),
    "the credentials file wins": ({}, "both", "of-both"),
    "none": ({}, "none", None),
    "empty": ({}, "empty", None),
    "no files": ({"AWS_CONFIG_FILE": "", "AWS_SHARED_CREDENTIALS_FILE": ""}, None, None),
    "a profile that nobody needs": ({"AWS_REGION": "first"}, "missing", "first"),
}


@pytest.mark.parametrize("name", REGIONS)
def test_the_region(name: str, tmp_path: Path) -> None:
    environ, profile, region = REGIONS[name]
    files = write(tmp_path, "[both]\nregion = of-both\n", CONFIG)
    assert find_region(environ={**files, **environ}, profile=profile) == region


@pytest.mark.parametrize(("environ", "profile"), [({}, "missing"), ({"AWS_PROFILE": "missing"}, None)], ids=["name", "env"])
def test_the_region_of_a_profile_that_is_not_there(environ: dict[str, str], profile: str | None, tmp_path: Path) -> None:
    with pytest.raises(CredentialsError, match="no profile 'missing'"):
        find_region(environ={**write(tmp_path, None, CONFIG), **environ}, profile=profile)


def test_the_region_of_a_broken_file(tmp_path: Path) -> None:
    files = write(tmp_path, None, "region")
    with pytest.raises(CredentialsError, match="config' is not an INI file"):
        find_region(environ=files)
    assert find_region(environ={**files, "AWS_REGION": "r"}) == "r"


def test_a_profile_is_shown_without_its_keys(tmp_path: Path) -> None:
    found = read_profile("x", write(tmp_path, f"[x]\n{A}", None), required=True)
    assert_clean(repr(found), [found.credentials["aws_secret_access_key"]])
