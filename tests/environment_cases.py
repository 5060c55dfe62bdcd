"""Variables, two files and arguments, and where `OfflineSigner.from_env` and botocore differ over them on purpose.

One table of cases with botocore as oracle (test_environment), one of differences (docs/differences.md). `theirs` asks a
session of botocore and its client, `ours` a signer; both return who signs, for which region, and the URL up to its query.
"""

from __future__ import annotations

import asyncio
import os
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any
from unittest import mock
from urllib.parse import parse_qs, urlsplit

os.environ["BOTO_DISABLE_CRT"] = "true"  # before botocore is imported: the C runtime orders a query differently

import botocore.hooks
import botocore.session
from botocore.config import Config

from asyncpresign import OfflineSigner, PresignError

# Providers of botocore's whose credentials are keys in a variable or a file that asyncpresign reads too.
READ_HERE = ("env", "shared-credentials-file", "config-file")
# The hosts that botocore has for every region, unless the addressing style is `virtual` or `path`.
GLOBAL_HOST = re.compile(r"(?<=[/.])(s3|s3-fips)(\.us-east-1)?(?=\.amazonaws\.com/)")

DIFFERENCES: Mapping[str, str] = {
    "global host": "the host always is the region's, whatever `us_east_1_regional_endpoint` says: the global one redirects, "
    "which breaks signatures, CORS and PUT, and with FIPS botocore's is in us-east-1",
    "source that is not here": "refused with what to do: SSO, roles, web identity, logins, processes, containers, instances "
    "and the files of older tools are for `botocore_source`; no later source replaces them",
    "`AWS_REGION`": "AWS's other tools read it before `AWS_DEFAULT_REGION`, the only one that botocore reads",
    "no region": "refused: botocore signs for us-east-1 at the global endpoint",
    "empty variable": "counts as not set; botocore looks for a profile without a name, reads False or no region, or "
    "does not look at the profile's setting",
    "empty token beside another": "counts as not set; botocore signs without a token",
    "empty `web_identity_token_file`": "refused: the profile was to have a role; botocore signs with the profile's keys",
    "no settings below `s3 =`": "counts as not set; botocore fails with an AttributeError",
    "stored expiry": "`aws_credential_expiration`, `x_security_token_expires` or `aws_expiration` beside a session token "
    "becomes `expires_at`; botocore signs with keys that expired",
    "format of an expiry": "ISO 8601 with a zone: botocore guesses, and assumes the machine's zone",
    "control characters in keys": "refused: a line break is left over from copying, and no server has such a key",
    "accelerated hosts in path style": "they have the bucket in the host, so one of the two was not meant; botocore drops the "
    "path style",
    "`endpoint_url=None` given": "means AWS, whatever is configured; to botocore None is not given",
    "unreadable file": "refused: botocore goes on with the next source as if the file was not there",
    "`signature_version`": "always SigV4, which every region and server takes",
}


@dataclass(frozen=True)
class Case:
    """One set-up.

    Args:
        credentials: The credentials file; None if there is none.
        config: The config file.
        environ: The variables; `{folder}` stands for the folder of both files, where `other` is a third one.
        arguments: Of `from_env` and `create_client`; `region` is botocore's `region_name`.
        differs: The row of `DIFFERENCES`, if the outcomes do.
        url: The beginning of our URL, where both outcomes are URLs and differ.
        says: What our message contains, where we refuse.
    """

    credentials: str | bytes | None = None
    config: str | bytes | None = None
    environ: Mapping[str, str] = field(default_factory=dict)
    arguments: Mapping[str, Any] = field(default_factory=dict)
    differs: str = ""
    url: str = ""
    says: str = ""
    other: str = ""
    bucket: str = "buck"
    style: str | None = None
    """Botocore's signature version, where it is not told to sign as DESIGN says."""


@dataclass(frozen=True)
class Outcome:
    """Who signs what, or the source that is not here, or a refusal."""

    access_key_id: str = ""
    token: str = ""
    region: str = ""
    url: str = ""
    source: str = ""
    refused: bool = False
    message: str = field(default="", compare=False)


def outcome_of(url: str) -> Outcome:
    query = {name: values[0] for name, values in parse_qs(urlsplit(url).query, keep_blank_values=True).items()}
    scope = query.get("X-Amz-Credential", "////").split("/")
    return Outcome(scope[0], query.get("X-Amz-Security-Token", ""), scope[2], url.partition("?")[0])


def environment(case: Case, folder: Path) -> dict[str, str]:
    """Writes the files and returns the variables."""
    paths = {"AWS_SHARED_CREDENTIALS_FILE": folder / "credentials", "AWS_CONFIG_FILE": folder / "config"}
    for path, content in [*zip(paths.values(), (case.credentials, case.config), strict=True), (folder / "other", case.other)]:
        path.unlink(missing_ok=True)
        if content is not None:
            path.write_bytes(content if isinstance(content, bytes) else content.encode())
    given = {name: value.replace("{folder}", str(folder)) for name, value in case.environ.items()}
    return {**{name: str(path) for name, path in paths.items()}, **given}


def ours(case: Case, environ: Mapping[str, str]) -> Outcome:
    async def sign() -> str:
        return (await signer.presign("get_object", {"Bucket": case.bucket, "Key": "key"})).url

    try:
        signer = OfflineSigner.from_env(environ, **case.arguments)
        return outcome_of(asyncio.run(sign()))
    except PresignError as error:
        return Outcome(refused=True, message=str(error))


_accepts_kwargs = cache(botocore.hooks.accepts_kwargs)  # a third of the time that a new client takes


@cache
def loader() -> Any:
    """Botocore's data, read once for all sessions."""
    return botocore.session.Session().get_component("data_loader")


def theirs(case: Case, environ: Mapping[str, str]) -> Outcome:
    with (
        mock.patch.dict(os.environ, {"AWS_EC2_METADATA_DISABLED": "true", **environ}),
        mock.patch("botocore.hooks.accepts_kwargs", _accepts_kwargs),
    ):
        try:
            session = botocore.session.Session()
            session.register_component("data_loader", loader())
            credentials = session.get_credentials()
            if credentials is None or credentials.method not in READ_HERE:
                return Outcome(source=getattr(credentials, "method", "none"))
            given = {"region_name" if name == "region" else name: value for name, value in case.arguments.items()}
            config = Config(signature_version=case.style or "s3v4")
            client = session.create_client("s3", config=config, **given)
            url = client.generate_presigned_url("get_object", Params={"Bucket": case.bucket, "Key": "key"})
        except Exception as error:  # noqa: BLE001 (of many kinds)
            return Outcome(refused=True, message=f"{type(error).__name__}: {error}")
        return outcome_of(url)


def keys(name: str) -> str:
    return f"aws_access_key_id = AK{name}\naws_secret_access_key = secret\n"


ENV = {"AWS_ACCESS_KEY_ID": "AKENV", "AWS_SECRET_ACCESS_KEY": "secret"}
TWO = f"[default]\n{keys('DEFAULT')}[work]\n{keys('WORK')}"
REGIONS = "[default]\nregion = us-west-2\n[profile work]\nregion = eu-west-1\n"
EAST = {"AWS_DEFAULT_REGION": "us-east-1"}
WEST = {"AWS_DEFAULT_REGION": "us-west-2"}
ARN = "arn:aws:s3:eu-west-1:123456789012:accesspoint/point"
STORE = "http://store:9000"


def setting(*lines: str, more: str = "", **case: Any) -> Case:
    """A default profile with keys, a region and `lines`."""
    text = "[default]\nregion = us-west-2\n" + "".join(f"{line}\n" for line in lines) + more
    return Case(TWO, text, **case)


def nested(*lines: str, **case: Any) -> Case:
    return setting("s3 =", *(f"  {line}" for line in lines), **case)


SERVICES = f"[services local]\ns3 =\n  endpoint_url = {STORE}\n"
ELSEWHERE = "source that is not here"
EMPTY = "empty variable"

CASES: Mapping[str, Case] = {
    # --- which profile, whose keys ---
    "the default profile": Case(TWO, REGIONS),
    "AWS_PROFILE": Case(TWO, REGIONS, {"AWS_PROFILE": "work"}),
    "AWS_DEFAULT_PROFILE": Case(TWO, REGIONS, {"AWS_DEFAULT_PROFILE": "work"}),
    "AWS_DEFAULT_PROFILE before AWS_PROFILE": Case(TWO, REGIONS, {"AWS_DEFAULT_PROFILE": "work", "AWS_PROFILE": "default"}),
    "a profile that is not there": Case(TWO, REGIONS, {"AWS_PROFILE": "wrok"}, says="did you mean 'work'?"),
    "a default profile that is not there": Case(TWO, REGIONS, {"AWS_DEFAULT_PROFILE": "none"}, says="no profile 'none'"),
    "keys of variables beside a profile that is not there": Case(
        TWO, REGIONS, {**ENV, "AWS_PROFILE": "x"}, says="no profile 'x'"
    ),
    "keys of variables before the profile's": Case(TWO, REGIONS, {**ENV, "AWS_PROFILE": "work"}),
    "keys of variables without files": Case(environ={**ENV, **WEST}),
    "an empty AWS_PROFILE": Case(
        TWO, REGIONS, {"AWS_PROFILE": ""}, differs=EMPTY, url="https://buck.s3.us-west-2.amazonaws.com/"
    ),
    "an empty AWS_DEFAULT_PROFILE": Case(
        TWO, REGIONS, {"AWS_DEFAULT_PROFILE": "", "AWS_PROFILE": "work"}, differs=EMPTY, url="https://buck.s3.eu-west-1."
    ),
    "a profile of blanks": Case(TWO, REGIONS, {"AWS_PROFILE": " work"}, says="no profile ' work'"),
    "a profile in other letters": Case(TWO, REGIONS, {"AWS_PROFILE": "Work"}, says="no profile 'Work'"),
    "half a pair of variables": Case(TWO, REGIONS, {"AWS_ACCESS_KEY_ID": "AKENV"}, says="AWS_SECRET_ACCESS_KEY not set"),
    "the other half of a pair": Case(TWO, REGIONS, {"AWS_SECRET_ACCESS_KEY": "secret"}),
    "an empty access key": Case(TWO, REGIONS, {**ENV, "AWS_ACCESS_KEY_ID": ""}),
    "an empty secret": Case(TWO, REGIONS, {**ENV, "AWS_SECRET_ACCESS_KEY": ""}, says="AWS_SECRET_ACCESS_KEY not set"),
    "blanks around an access key": Case(environ={**ENV, **WEST, "AWS_ACCESS_KEY_ID": " AK "}),
    "a line break after an access key": Case(
        environ={**ENV, **WEST, "AWS_ACCESS_KEY_ID": "AK\n"}, differs="control characters in keys", says="access_key_id"
    ),
    "a return after a secret": Case(
        environ={**ENV, **WEST, "AWS_SECRET_ACCESS_KEY": "x\r"}, differs="control characters in keys", says="secret_access_key"
    ),
    # --- tokens ---
    "AWS_SESSION_TOKEN": Case(environ={**ENV, **WEST, "AWS_SESSION_TOKEN": "T"}),
    "AWS_SECURITY_TOKEN": Case(environ={**ENV, **WEST, "AWS_SECURITY_TOKEN": "T/+="}),
    "AWS_SECURITY_TOKEN before AWS_SESSION_TOKEN": Case(
        environ={**ENV, **WEST, "AWS_SECURITY_TOKEN": "A", "AWS_SESSION_TOKEN": "B"}
    ),
    "an empty AWS_SECURITY_TOKEN": Case(environ={**ENV, **WEST, "AWS_SECURITY_TOKEN": "", "AWS_SESSION_TOKEN": "B"}),
    "a token of variables is no profile's": Case(TWO, REGIONS, {"AWS_SESSION_TOKEN": "T"}),
    "a token of the credentials file": Case(f"[default]\n{keys('A')}aws_session_token = T\n", REGIONS),
    "two tokens of the credentials file": Case(
        f"[default]\n{keys('A')}aws_session_token = T\naws_security_token = U\n", REGIONS
    ),
    "an empty token beside another": Case(
        f"[default]\n{keys('A')}aws_session_token = T\naws_security_token =\n",
        REGIONS,
        differs="empty token beside another",
        url="https://buck.s3.us-west-2.amazonaws.com/",
    ),
    "a token of the other file": Case(f"[default]\n{keys('A')}", "[default]\nregion = eu-west-1\naws_session_token = T\n"),
    # --- when they expire ---
    "AWS_CREDENTIAL_EXPIRATION in the past": Case(
        environ={**ENV, **WEST, "AWS_CREDENTIAL_EXPIRATION": "2020-01-01T00:00:00Z"}, says="ended"
    ),
    "AWS_CREDENTIAL_EXPIRATION to come": Case(
        environ={**ENV, **WEST, "AWS_CREDENTIAL_EXPIRATION": "2100-01-01T00:00:00+02:00"}
    ),
    "AWS_CREDENTIAL_EXPIRATION that is no time": Case(
        environ={**ENV, **WEST, "AWS_CREDENTIAL_EXPIRATION": "soon"}, says="AWS_CREDENTIAL_EXPIRATION is not"
    ),
    "AWS_CREDENTIAL_EXPIRATION in another format": Case(
        environ={**ENV, **WEST, "AWS_CREDENTIAL_EXPIRATION": "Jan 1 2100 00:00 UTC"},
        differs="format of an expiry",
        says="AWS_CREDENTIAL_EXPIRATION is not",
    ),
    **{
        f"{name} in the past": Case(
            f"[default]\n{keys('A')}aws_session_token = T\n{name} = 2020-01-01T00:00:00+0000\n",
            REGIONS,
            differs="stored expiry",
            says="ended",
        )
        for name in ("aws_credential_expiration", "x_security_token_expires", "aws_expiration")
    },
    "a stored expiry to come": Case(
        f"[default]\n{keys('A')}aws_session_token = T\naws_expiration = 2100-01-01T00:00:00.000Z\n", REGIONS
    ),
    "the earlier of two stored expiries": Case(
        f"[default]\n{keys('A')}aws_session_token = T\naws_expiration = 2100-01-01T00:00:00Z\n"
        "x_security_token_expires = 2020-01-01T00:00:00Z\n",
        REGIONS,
        differs="stored expiry",
        says="ended",
    ),
    "a stored expiry that is no time": Case(
        f"[default]\n{keys('A')}aws_session_token = T\naws_expiration = soon\n",
        REGIONS,
        differs="format of an expiry",
        says="aws_expiration of profile 'default'",
    ),
    "a stored expiry of keys that do not expire": Case(
        f"[default]\n{keys('A')}aws_expiration = 2020-01-01T00:00:00Z\n", REGIONS
    ),
    # --- sources that are not here ---
    "web identity beside a default profile": Case(
        TWO,
        REGIONS,
        {"AWS_ROLE_ARN": "arn:aws:iam::123456789012:role/x", "AWS_WEB_IDENTITY_TOKEN_FILE": "/nonexistent/token"},
        differs=ELSEWHERE,
        says="AWS_WEB_IDENTITY_TOKEN_FILE is set",
    ),
    "web identity beside AWS_PROFILE": Case(
        TWO,
        REGIONS,
        {"AWS_PROFILE": "work", "AWS_ROLE_ARN": "arn:aws:iam::1:role/x", "AWS_WEB_IDENTITY_TOKEN_FILE": "/nonexistent/token"},
        differs=ELSEWHERE,
        says="AWS_WEB_IDENTITY_TOKEN_FILE is set",
    ),
    "web identity without a role": Case(
        TWO, REGIONS, {"AWS_WEB_IDENTITY_TOKEN_FILE": "/nonexistent"}, says="AWS_WEB_IDENTITY_TOKEN_FILE is set"
    ),
    "a role without web identity": Case(TWO, REGIONS, {"AWS_ROLE_ARN": "arn:aws:iam::1:role/x"}),
    "an empty web identity": Case(TWO, REGIONS, {"AWS_WEB_IDENTITY_TOKEN_FILE": ""}),
    "keys of variables before web identity": Case(TWO, REGIONS, {**ENV, "AWS_WEB_IDENTITY_TOKEN_FILE": "/nonexistent"}),
    "the profile's web identity": setting(
        "web_identity_token_file = /nonexistent", "role_arn = arn:aws:iam::1:role/x", differs=ELSEWHERE, says="needs a role"
    ),
    "an empty web identity of the profile": setting(
        "web_identity_token_file =",
        "role_arn = arn:aws:iam::1:role/x",
        differs="empty `web_identity_token_file`",
        says="needs a role",
    ),
    "the profile's role": setting(
        "role_arn = arn:aws:iam::1:role/x",
        "source_profile = work",
        more="[profile work]\n",
        differs=ELSEWHERE,
        says="(role_arn)",
    ),
    "a role in the credentials file": Case(
        f"[default]\nrole_arn = arn:aws:iam::1:role/x\nsource_profile = work\n[work]\n{keys('WORK')}",
        REGIONS,
        differs=ELSEWHERE,
        says="(role_arn)",
    ),
    "a role of a source": setting(
        "role_arn = arn:aws:iam::1:role/x", "credential_source = Ec2InstanceMetadata", says="(role_arn)"
    ),
    "SSO": setting(
        "sso_account_id = 1",
        "sso_role_name = r",
        "sso_start_url = https://localhost:1/",
        "sso_region = us-east-1",
        differs=ELSEWHERE,
        says="needs SSO",
    ),
    "half of SSO": setting("sso_role_name = r", says="needs SSO"),
    "a login": Case(None, "[default]\nregion = us-west-2\nlogin_session = s\n", says="needs a login"),
    "a process": Case(
        None,
        f"[default]\nregion = us-west-2\n{keys('A')}credential_process = asyncpresign-no-such-program\n",
        says="needs a process",
    ),
    "keys of the credentials file before a process": setting("credential_process = asyncpresign-no-such-program"),
    "a profile without keys": Case("[default]\n", REGIONS, differs=ELSEWHERE, says="has no aws_access_key_id"),
    "no files": Case(environ=WEST, differs=ELSEWHERE, says="no AWS_ACCESS_KEY_ID in the environment, and no profile 'default'"),
    "a container": Case(
        environ={**WEST, "AWS_CONTAINER_CREDENTIALS_FULL_URI": "http://no.host.of.a.container/"},
        says="AWS_CONTAINER_CREDENTIALS_FULL_URI is set, for a container's role",
    ),
    "the profile's keys before a container's": Case(
        TWO, REGIONS, {"AWS_CONTAINER_CREDENTIALS_FULL_URI": "http://no.host.of.a.container/"}
    ),
    "a file of EC2's first tools": Case(
        environ={**WEST, "AWS_CREDENTIAL_FILE": "{folder}/other"},
        other="AWSAccessKeyId=AKEC2\nAWSSecretKey=secret\n",
        differs=ELSEWHERE,
        says="AWS_CREDENTIAL_FILE is set",
    ),
    "a file of boto 2": Case(
        environ={**WEST, "BOTO_CONFIG": "{folder}/other"},
        other="[Credentials]\naws_access_key_id = AKBOTO\naws_secret_access_key = secret\n",
        differs=ELSEWHERE,
        says="BOTO_CONFIG is set",
    ),
    # --- how the files are read ---
    "keys in both files": Case(f"[default]\n{keys('A')}", f"[default]\nregion = us-west-2\n{keys('B')}"),
    "keys in the config file": Case(None, f"[default]\nregion = us-west-2\n{keys('B')}"),
    "one key in each file": Case(
        "[default]\naws_access_key_id = AK\n",
        "[default]\nregion = us-west-2\naws_secret_access_key = s\n",
        says="has no aws_secret_access_key",
    ),
    "the other key in each file": Case(
        "[default]\naws_secret_access_key = s\n",
        "[default]\nregion = us-west-2\naws_access_key_id = AK\n",
        says="has no aws_secret_access_key",
    ),
    "capital letters": Case(TWO.upper().replace("[DEFAULT]", "[default]"), "[default]\nREGION = us-west-2\n"),
    "DEFAULT is inherited": Case(f"[DEFAULT]\n{keys('ALL')}[default]\n", "[DEFAULT]\nregion = eu-west-1\n[default]\n"),
    "Default is another": Case(f"[Default]\n{keys('OTHER')}", REGIONS, differs=ELSEWHERE, says="has no aws_access_key_id"),
    "[profile x] of the credentials file": Case(
        f"[profile work]\n{keys('A')}[work]\n{keys('B')}", REGIONS, {"AWS_PROFILE": "work"}
    ),
    "[x] of the config file": Case(
        None, f"[work]\nregion = us-west-2\n{keys('A')}", {"AWS_PROFILE": "work"}, says="no profile 'work'"
    ),
    "[profile default] after [default]": Case(
        None, f"[default]\nregion = us-west-2\n{keys('A')}[profile default]\nregion = eu-west-1\n{keys('B')}"
    ),
    "[default] after [profile default]": Case(
        None, f"[profile default]\nregion = us-west-2\n{keys('A')}[default]\nregion = eu-west-1\n{keys('B')}"
    ),
    "a quoted profile": Case(
        f"[my work]\n{keys('A')}", '[profile "my work"]\nregion = eu-west-1\n', {"AWS_PROFILE": "my work"}
    ),
    "a byte order mark": Case(b"\xef\xbb\xbf" + TWO.encode(), REGIONS, says="is not an INI file"),
    "UTF-16": Case(TWO.encode("utf-16"), REGIONS, says="is not UTF-8"),
    "CRLF": Case(TWO.replace("\n", "\r\n"), REGIONS.replace("\n", "\r\n")),
    "a section twice": Case(f"{TWO}[default]\n{keys('B')}", REGIONS, says="is not an INI file"),
    "a setting twice": Case(TWO, "[default]\nregion = us-west-2\nregion = eu-west-1\n", says="is not an INI file"),
    "a comment after a value": Case("[default]\naws_access_key_id = AK # mine\naws_secret_access_key = s\n", REGIONS),
    "a comment in a line of its own": Case(f"# x\n[default]\n; y\n{keys('A')}", f"{REGIONS}# z\n"),
    "blanks around names": Case("[default]\n  \naws_access_key_id=AK\t\naws_secret_access_key   =   s  \n", REGIONS),
    "a value over two lines": Case(
        "[default]\naws_access_key_id = AK\n  more\naws_secret_access_key = s\n",
        REGIONS,
        differs="control characters in keys",
        says="access_key_id",
    ),
    "settings below a key": Case(
        "[default]\naws_access_key_id =\n  a = b\naws_secret_access_key = s\n", REGIONS, says="has no"
    ),
    "a nested line that is no setting": setting("s3 =", "  path", says="an indented setting has no '='"),
    "a nested line in another profile": setting(more="[profile b]\ns3 =\n  path\n", says="an indented setting has no '='"),
    "another path": Case(TWO, REGIONS, {"AWS_SHARED_CREDENTIALS_FILE": "{folder}/other"}, other=f"[default]\n{keys('OTHER')}"),
    "the home directory in a path": Case(
        environ={**WEST, "HOME": "{folder}", "AWS_SHARED_CREDENTIALS_FILE": "~/other"}, other=f"[default]\n{keys('HOME')}"
    ),
    "a variable in a path": Case(
        environ={**WEST, "WHERE": "{folder}", "AWS_SHARED_CREDENTIALS_FILE": "$WHERE/other"}, other=f"[default]\n{keys('VAR')}"
    ),
    "an empty path": Case(TWO, REGIONS, {**WEST, "AWS_CONFIG_FILE": ""}),
    "a folder as a path": Case(TWO, REGIONS, {**WEST, "AWS_CONFIG_FILE": "{folder}"}),
    # --- region ---
    "AWS_DEFAULT_REGION before the profile's": Case(TWO, REGIONS, {"AWS_DEFAULT_REGION": "ap-south-1"}),
    "AWS_REGION": Case(
        TWO, REGIONS, {"AWS_REGION": "eu-west-3"}, differs="`AWS_REGION`", url="https://buck.s3.eu-west-3.amazonaws.com/"
    ),
    "AWS_REGION before AWS_DEFAULT_REGION": Case(
        TWO, REGIONS, {"AWS_REGION": "eu-west-3", **WEST}, differs="`AWS_REGION`", url="https://buck.s3.eu-west-3."
    ),
    "an empty AWS_REGION": Case(TWO, REGIONS, {"AWS_REGION": ""}),
    "an empty AWS_DEFAULT_REGION": Case(
        TWO, REGIONS, {"AWS_DEFAULT_REGION": ""}, differs=EMPTY, url="https://buck.s3.us-west-2.amazonaws.com/"
    ),
    "the argument before all regions": Case(TWO, REGIONS, WEST, {"region": "eu-west-1"}),
    "a region of None": Case(TWO, REGIONS, arguments={"region": None}),
    "a region of the credentials file": Case(f"{TWO}region = us-west-1\n", REGIONS, {"AWS_PROFILE": "work"}),
    "no region": Case(TWO, differs="no region", says="region"),
    "a region with a blank": Case(TWO, None, {"AWS_DEFAULT_REGION": "us-west-2 "}, says="region"),
    "a region that is a section": Case(TWO, "[default]\nregion =\n  a = b\n", says="region of profile 'default'"),
    # --- endpoint ---
    "AWS_ENDPOINT_URL_S3": Case(environ={**ENV, **WEST, "AWS_ENDPOINT_URL_S3": STORE}),
    "AWS_ENDPOINT_URL": Case(environ={**ENV, **WEST, "AWS_ENDPOINT_URL": STORE}),
    "S3's endpoint before that of all": Case(
        environ={**ENV, **WEST, "AWS_ENDPOINT_URL": "http://all", "AWS_ENDPOINT_URL_S3": STORE}
    ),
    "an empty AWS_ENDPOINT_URL_S3": Case(environ={**ENV, **WEST, "AWS_ENDPOINT_URL_S3": "", "AWS_ENDPOINT_URL": STORE}),
    "endpoint_url": setting(f"endpoint_url = {STORE}"),
    "endpoint_url of the credentials file": Case(f"[default]\n{keys('A')}endpoint_url = {STORE}\n", REGIONS),
    "endpoint_url of another profile": setting(more=f"[profile b]\nendpoint_url = {STORE}\n"),
    "an empty endpoint_url": setting("endpoint_url ="),
    "services": setting("services = local", more=SERVICES),
    "services before endpoint_url": setting("services = local", "endpoint_url = http://all", more=SERVICES),
    "services of another service": setting(
        "services = local", "endpoint_url = http://all", more="[services local]\nsqs =\n  endpoint_url = http://queue\n"
    ),
    "services without an endpoint": setting("services = local", more="[services local]\ns3 =\n  other = x\n"),
    "services that are quoted": setting("services = a b", more=SERVICES.replace("local", '"a b"')),
    "services that are not there": setting("services = lokal", more=SERVICES, says="services of profile 'default'"),
    "services that are empty": setting("services = local", more="[services local]\n", says="services of profile 'default'"),
    "services of the wrong shape": setting("services = local", more="[services local]\ns3 = x\n", says="[services local]"),
    "services of the credentials file": Case(
        f"[default]\n{keys('A')}services = local\n[services local]\ns3 =\n  endpoint_url = {STORE}\n",
        REGIONS,
        says="services of",
    ),
    "services that are not there behind a variable": setting("services = lokal", environ={"AWS_ENDPOINT_URL": STORE}),
    "AWS_ENDPOINT_URL before services": setting("services = local", more=SERVICES, environ={"AWS_ENDPOINT_URL": "http://all"}),
    "the argument before all endpoints": setting(
        "services = lokal", environ={"AWS_ENDPOINT_URL": STORE}, arguments={"endpoint_url": "http://given"}
    ),
    "an endpoint of None": setting(
        f"endpoint_url = {STORE}",
        arguments={"endpoint_url": None},
        differs="`endpoint_url=None` given",
        url="https://buck.s3.us-west-2.amazonaws.com/",
    ),
    "an endpoint that is no URL": setting("endpoint_url = minio", says="endpoint_url"),
    "AWS_IGNORE_CONFIGURED_ENDPOINT_URLS": setting(
        f"endpoint_url = {STORE}", environ={"AWS_ENDPOINT_URL_S3": STORE, "AWS_IGNORE_CONFIGURED_ENDPOINT_URLS": "True"}
    ),
    "AWS_IGNORE_CONFIGURED_ENDPOINT_URLS is no truth": setting(
        f"endpoint_url = {STORE}", environ={"AWS_IGNORE_CONFIGURED_ENDPOINT_URLS": "1"}
    ),
    "ignore_configured_endpoint_urls": setting(
        f"endpoint_url = {STORE}", "ignore_configured_endpoint_urls = true", environ={"AWS_ENDPOINT_URL": STORE}
    ),
    "the variable that ignores before the setting": setting(
        f"endpoint_url = {STORE}",
        "ignore_configured_endpoint_urls = true",
        environ={"AWS_IGNORE_CONFIGURED_ENDPOINT_URLS": "false"},
    ),
    "an empty variable that ignores": setting(
        f"endpoint_url = {STORE}",
        "ignore_configured_endpoint_urls = true",
        environ={"AWS_IGNORE_CONFIGURED_ENDPOINT_URLS": ""},
        differs=EMPTY,
        url="https://buck.s3.us-west-2.amazonaws.com/",
    ),
    "an ignored endpoint that is given": setting(
        environ={"AWS_IGNORE_CONFIGURED_ENDPOINT_URLS": "true"}, arguments={"endpoint_url": STORE}
    ),
    "ignored services that are not there": setting("services = lokal", "ignore_configured_endpoint_urls = true"),
    # --- FIPS and dualstack ---
    "AWS_USE_FIPS_ENDPOINT": setting(environ={"AWS_USE_FIPS_ENDPOINT": "true"}),
    "use_fips_endpoint": setting("use_fips_endpoint = TRUE"),
    "use_fips_endpoint is no truth": setting("use_fips_endpoint = yes"),
    "AWS_USE_FIPS_ENDPOINT before use_fips_endpoint": setting(
        "use_fips_endpoint = true", environ={"AWS_USE_FIPS_ENDPOINT": "0"}
    ),
    "an empty AWS_USE_FIPS_ENDPOINT": setting(
        "use_fips_endpoint = true",
        environ={"AWS_USE_FIPS_ENDPOINT": ""},
        differs=EMPTY,
        url="https://buck.s3-fips.us-west-2.amazonaws.com/",
    ),
    "FIPS with an endpoint": setting("use_fips_endpoint = true", f"endpoint_url = {STORE}"),
    "AWS_USE_DUALSTACK_ENDPOINT": setting(environ={"AWS_USE_DUALSTACK_ENDPOINT": "true"}),
    "use_dualstack_endpoint": setting("use_dualstack_endpoint = true"),
    "AWS_USE_DUALSTACK_ENDPOINT before use_dualstack_endpoint": setting(
        "use_dualstack_endpoint = true", environ={"AWS_USE_DUALSTACK_ENDPOINT": "false"}
    ),
    "FIPS and dualstack": setting("use_fips_endpoint = true", environ={"AWS_USE_DUALSTACK_ENDPOINT": "true"}),
    "dualstack with an endpoint": setting("use_dualstack_endpoint = true", environ={"AWS_ENDPOINT_URL": STORE}),
    "s3 dualstack": nested("use_dualstack_endpoint = true"),
    "s3 dualstack against the variable": nested(
        "use_dualstack_endpoint = true", environ={"AWS_USE_DUALSTACK_ENDPOINT": "false"}
    ),
    "s3 without dualstack against the variable": nested(
        "use_dualstack_endpoint = false", environ={"AWS_USE_DUALSTACK_ENDPOINT": "true"}
    ),
    "s3 dualstack in capitals": nested("use_dualstack_endpoint = TRUE"),
    # --- s3 ---
    "path": nested("addressing_style = path"),
    "virtual": nested("addressing_style = virtual"),
    "auto": nested("addressing_style = auto"),
    "virtual with an endpoint": nested("addressing_style = virtual", environ={"AWS_ENDPOINT_URL": STORE}),
    "auto with an endpoint": nested("addressing_style = auto", environ={"AWS_ENDPOINT_URL": STORE}),
    "path for a dotted bucket": nested("addressing_style = virtual", bucket="buck.et"),
    "an unknown style": nested("addressing_style = Path", says="addressing_style of profile 'default'"),
    "an empty style": nested("addressing_style =", says="addressing_style of profile 'default'"),
    "path of the credentials file": Case(f"[default]\n{keys('A')}s3 =\n  addressing_style = path\n", REGIONS),
    "s3 settings in both files": Case(
        f"[default]\n{keys('A')}s3 =\n  addressing_style = path\n",
        "[default]\nregion = us-west-2\ns3 =\n  use_dualstack_endpoint = true\n",
    ),
    "accelerate": nested("use_accelerate_endpoint = true"),
    "accelerate and dualstack": nested("use_accelerate_endpoint = true", "use_dualstack_endpoint = true"),
    "accelerate with an endpoint": nested(
        "use_accelerate_endpoint = true", environ={"AWS_ENDPOINT_URL": STORE}, says="use_accelerate"
    ),
    "accelerate with path": nested(
        "use_accelerate_endpoint = true",
        "addressing_style = path",
        differs="accelerated hosts in path style",
        says="addressing_style",
    ),
    "accelerate is no truth": nested("use_accelerate_endpoint = on"),
    "regional": nested("us_east_1_regional_endpoint = regional", environ=EAST),
    "legacy": nested(
        "us_east_1_regional_endpoint = legacy",
        environ=EAST,
        differs="global host",
        url="https://buck.s3.us-east-1.amazonaws.com/",
    ),
    "legacy by the variable": setting(
        environ={**EAST, "AWS_S3_US_EAST_1_REGIONAL_ENDPOINT": "legacy"},
        differs="global host",
        url="https://buck.s3.us-east-1.amazonaws.com/",
    ),
    "legacy of old, path": setting(
        "s3_us_east_1_regional_endpoint = legacy",
        "s3 =",
        "  addressing_style = path",
        environ=EAST,
        differs="global host",
        url="https://s3.us-east-1.amazonaws.com/buck/",
    ),
    "neither regional nor legacy": nested(
        "us_east_1_regional_endpoint = global", environ=EAST, says="us_east_1_regional_endpoint of profile 'default'"
    ),
    "payload_signing_enabled": nested("payload_signing_enabled = true"),
    "settings that do not sign": nested("max_concurrent_requests = 20", "multipart_threshold = 64MB"),
    "signature_version": nested(
        "signature_version = s3",
        differs="`signature_version`",
        url="https://buck.s3.us-west-2.amazonaws.com/",
        style="s3",
    ),
    "AWS_S3_USE_ARN_REGION": setting(environ={"AWS_S3_USE_ARN_REGION": "false"}, bucket=ARN, says="use_arn_region"),
    "use_arn_region": nested("use_arn_region = false", bucket=ARN, says="use_arn_region"),
    "s3_use_arn_region": setting("s3_use_arn_region = false", bucket=ARN, says="use_arn_region"),
    "the variable for ARNs before the setting": nested(
        "use_arn_region = false", environ={"AWS_S3_USE_ARN_REGION": "true"}, bucket=ARN
    ),
    "s3_use_arn_region before use_arn_region": setting(
        "s3_use_arn_region = true", "s3 =", "  use_arn_region = false", bucket=ARN
    ),
    "s3 in one line": setting("s3 = addressing_style=path", says="s3 of profile 'default'"),
    "s3 without settings": setting("s3 =", differs="no settings below `s3 =`", url="https://buck.s3.us-west-2.amazonaws.com/"),
    "a file that cannot be opened": Case(
        TWO,
        REGIONS,
        {**ENV, **WEST, "AWS_CONFIG_FILE": "/proc/sys/vm/drop_caches"},
        differs="unreadable file",
        says="cannot be read",
    ),
}
