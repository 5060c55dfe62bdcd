"""`AiobotocoreSigner` beside the contract: what it takes for a client, and that the client stays as it is for its owner."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import anyio
import pytest
from aiobotocore.config import AioConfig
from botocore import UNSIGNED

from asyncpresign import AiobotocoreSigner, CredentialsError, InvalidRequest, S3Object, Transfer
from asyncpresign.testing import LocalS3

from .aiobotocore_sessions import new_session
from .test_credentials import Wrapping

KEYS = {"aws_access_key_id": "AKIDEXAMPLE", "aws_secret_access_key": "secret-that-is-not-shown"}
OBJECT = {"Bucket": "bucket", "Key": "key"}


def client(**options: Any) -> Any:
    return new_session().create_client("s3", **{"region_name": "eu-central-1", **KEYS, **options})


async def own_urls(owner: Any) -> list[Any]:
    """What a client presigns for its owner, without what changes from second to second."""
    return [
        (await owner.generate_presigned_url("get_object", Params=OBJECT)).partition("?")[0],
        (await owner.generate_presigned_url("put_object", Params=OBJECT)).partition("&")[0].partition("=")[0],
        sorted((await owner.generate_presigned_post("bucket", "key", Conditions=[{"acl": "private"}]))["fields"]),
        owner.meta.config.signature_version,
    ]


@pytest.mark.parametrize("region", ["us-east-1", "eu-west-1", "eu-central-1"])
async def test_the_client_stays_as_it_is_for_its_owner(region: str) -> None:
    async with client(region_name=region) as owner:
        before = await own_urls(owner)
        handlers = owner.meta.events._emitter._handlers.__dict__.copy()
        during: list[list[Any]] = []
        async with AiobotocoreSigner(owner) as signer, anyio.create_task_group() as tasks:

            async def sign() -> None:
                for _ in range(20):
                    request = await signer.presign("get_object", OBJECT)
                    assert f"//bucket.s3.{region}.amazonaws.com/key?X-Amz-Algorithm=AWS4-HMAC-SHA256" in request.url

            async def own() -> None:
                during.extend([await own_urls(owner) for _ in range(5)])

            for task in (sign, own, sign, own):
                tasks.start_soon(task)
        assert during == [before] * 10
        assert await own_urls(owner) == before
        assert owner.meta.events._emitter._handlers.__dict__ == handlers


@pytest.mark.parametrize(
    ("endpoint_url", "region", "origin"),
    [
        (None, "us-east-1", "https://bucket.s3.us-east-1.amazonaws.com/"),
        (None, "us-gov-west-1", "https://bucket.s3.us-gov-west-1.amazonaws.com/"),
        (None, "cn-north-1", "https://bucket.s3.cn-north-1.amazonaws.com.cn/"),
        ("https://s3.eu-west-2.amazonaws.com", "eu-west-2", "https://bucket.s3.eu-west-2.amazonaws.com/"),
        ("http://localhost:9000/base", "eu-west-2", "http://localhost:9000/base/bucket/"),
        (
            "https://vpce-1.s3.eu-west-2.vpce.amazonaws.com",
            "eu-west-2",
            "https://vpce-1.s3.eu-west-2.vpce.amazonaws.com/bucket/",
        ),
    ],
)
async def test_the_host_is_the_regional_one_or_the_clients_own(endpoint_url: str | None, region: str, origin: str) -> None:
    async with client(region_name=region, endpoint_url=endpoint_url) as owner:
        request = await AiobotocoreSigner(owner).presign("get_object", OBJECT)
    assert request.url.startswith(f"{origin}key?")
    assert f"%2F{region}%2Fs3%2F" in request.url


@pytest.mark.parametrize("style", ["virtual", "path", "auto"])
@pytest.mark.parametrize("endpoint_url", [None, "http://localhost:9000"])
async def test_the_clients_addressing_style_is_kept(style: str, endpoint_url: str | None) -> None:
    async with client(endpoint_url=endpoint_url, config=AioConfig(s3={"addressing_style": style})) as owner:
        request = await AiobotocoreSigner(owner).presign("get_object", OBJECT)
    virtual = style == "virtual" or (style == "auto" and endpoint_url is None)
    assert ("//bucket." in request.url) == virtual


@pytest.mark.parametrize(
    ("config", "host"),
    [
        ({"s3": {"use_accelerate_endpoint": True}}, "s3-accelerate.amazonaws.com"),
        ({"s3": {"use_accelerate_endpoint": True, "use_dualstack_endpoint": True}}, "s3-accelerate.dualstack.amazonaws.com"),
        ({"s3": {"use_dualstack_endpoint": True}}, "s3.dualstack.us-east-1.amazonaws.com"),
        ({"use_dualstack_endpoint": True}, "s3.dualstack.us-east-1.amazonaws.com"),
        ({"use_fips_endpoint": True}, "s3-fips.us-east-1.amazonaws.com"),
        ({"use_fips_endpoint": True, "use_dualstack_endpoint": True}, "s3-fips.dualstack.us-east-1.amazonaws.com"),
    ],
    ids=str,
)
async def test_the_clients_choice_of_hosts_is_kept(config: dict[str, Any], host: str) -> None:
    async with client(region_name="us-east-1", config=AioConfig(**config)) as owner:
        request = await AiobotocoreSigner(owner).presign("get_object", OBJECT)
    assert request.url.startswith(f"https://bucket.{host}/key?")


async def test_the_environments_choice_of_hosts_is_kept_as_the_client_keeps_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_USE_DUALSTACK_ENDPOINT", "true")
    monkeypatch.setenv("AWS_S3_USE_ARN_REGION", "false")
    async with client() as owner:
        signer = AiobotocoreSigner(owner)
        assert "//bucket.s3.dualstack.eu-central-1.amazonaws.com/" in (await signer.presign("get_object", OBJECT)).url
        with pytest.raises(InvalidRequest, match=r"^use_arn_region: "):
            await signer.presign("get_object", {**OBJECT, "Bucket": "arn:aws:s3:us-west-2:123456789012:accesspoint/point"})
    async with client(endpoint_url="http://localhost:9000") as owner:
        assert (await AiobotocoreSigner(owner).presign("get_object", OBJECT)).url.startswith("http://localhost:9000/bucket/")


@pytest.mark.parametrize(
    ("endpoint_url", "origin"),
    [
        ("https://s3-fips.us-west-2.amazonaws.com", "https://bucket.s3-fips.us-west-2.amazonaws.com/"),
        ("https://s3.dualstack.us-west-2.amazonaws.com", "https://bucket.s3.dualstack.us-west-2.amazonaws.com/"),
        ("https://s3-accelerate.amazonaws.com", "https://bucket.s3-accelerate.amazonaws.com/"),
        ("https://s3-accelerate.dualstack.amazonaws.com", "https://bucket.s3-accelerate.dualstack.amazonaws.com/"),
    ],
)
async def test_a_host_of_aws_as_the_clients_endpoint_means_its_option(endpoint_url: str, origin: str) -> None:
    async with client(region_name="us-west-2", endpoint_url=endpoint_url) as owner:
        assert (await AiobotocoreSigner(owner).presign("get_object", OBJECT)).url.startswith(f"{origin}key?")


async def test_a_client_that_could_not_send_either_is_refused() -> None:
    config = AioConfig(s3={"use_accelerate_endpoint": True})
    async with client(endpoint_url="http://localhost:9000", config=config) as owner:
        with pytest.raises(InvalidRequest, match=r"^use_accelerate: "):
            AiobotocoreSigner(owner)


async def test_what_is_no_s3_client_is_invalid() -> None:
    async with new_session().create_client("sqs", region_name="eu-central-1", **KEYS) as other:
        for wrong in (other, None, "client", object()):
            with pytest.raises(InvalidRequest, match=r"^client: "):
                AiobotocoreSigner(wrong)  # type: ignore[arg-type]


async def test_a_client_without_credentials_signs_nothing() -> None:
    anonymous = {"aws_access_key_id": None, "aws_secret_access_key": None, "config": AioConfig(signature_version=UNSIGNED)}
    async with client(**anonymous) as owner:
        with pytest.raises(CredentialsError, match="no credentials"):
            await AiobotocoreSigner(owner).presign("get_object", OBJECT)


async def test_the_region_of_a_session(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    session = new_session()
    session.set_credentials("AKIDEXAMPLE", "secret")
    with pytest.raises(InvalidRequest, match=r"^region: "):
        async with AiobotocoreSigner.create(session):
            pass
    config = tmp_path / "config"
    config.write_text("[profile mine]\nregion = eu-west-2\n", encoding="utf-8")
    monkeypatch.setenv("AWS_CONFIG_FILE", str(config))
    chosen = new_session()
    chosen.set_config_variable("profile", "mine")
    chosen.set_credentials("AKIDEXAMPLE", "secret")
    async with AiobotocoreSigner.create(chosen) as signer:
        assert "//bucket.s3.eu-west-2.amazonaws.com/" in (await signer.presign("get_object", OBJECT)).url
    monkeypatch.setenv("AWS_REGION", "eu-west-3")
    async with AiobotocoreSigner.create(session) as signer:
        assert "//bucket.s3.eu-west-3.amazonaws.com/" in (await signer.presign("get_object", OBJECT)).url
        assert repr(signer).startswith("AiobotocoreSigner(Presigner(Credentials(AKID...")
    async with AiobotocoreSigner.create(session, region="eu-west-1") as signer:
        assert "//bucket.s3.eu-west-1.amazonaws.com/" in (await signer.presign("get_object", OBJECT)).url


async def test_a_configured_endpoint_is_that_of_the_sessions_own_clients(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL_S3", "http://somewhere.else")
    session = new_session()
    session.set_credentials("AKIDEXAMPLE", "secret")
    async with AiobotocoreSigner.create(session, region="eu-west-1") as signer:
        assert "http://somewhere.else/bucket/" in (await signer.presign("get_object", OBJECT)).url
    async with AiobotocoreSigner.create(session, region="eu-west-1", endpoint_url=None) as signer:
        assert "//bucket.s3.eu-west-1.amazonaws.com/" in (await signer.presign("get_object", OBJECT)).url


SESSION_FILE = """
[default]
region = us-west-2
[profile mine]
region = eu-west-2
services = local
use_dualstack_endpoint = true
s3 =
  addressing_style = path
[profile fips]
region = eu-west-2
use_fips_endpoint = true
s3 =
  addressing_style = virtual
  use_dualstack_endpoint = true
[services local]
s3 =
  endpoint_url = http://local:9000
"""
VIRTUAL = {"addressing_style": "virtual"}
# A session's own variables, its default client configuration, and variables of the process.
SET_UP: dict[str, tuple[dict[str, Any], dict[str, Any], dict[str, str]]] = {
    "nothing": ({}, {"s3": VIRTUAL}, {}),
    "region": ({"region": "eu-west-3"}, {"s3": VIRTUAL}, {"AWS_DEFAULT_REGION": "eu-west-1"}),
    "profile": ({"profile": "mine"}, {}, {}),
    "profile of the process": ({}, {}, {"AWS_DEFAULT_PROFILE": "mine", "AWS_PROFILE": "default"}),
    "profile before that of the process": ({"profile": "mine"}, {}, {"AWS_DEFAULT_PROFILE": "fips"}),
    "profile with FIPS": ({"profile": "fips"}, {}, {}),
    "endpoint of the process": ({"profile": "mine"}, {}, {"AWS_ENDPOINT_URL": "http://all"}),
    "ignore": ({"profile": "mine", "ignore_configured_endpoint_urls": True}, {}, {"AWS_ENDPOINT_URL": "http://all"}),
    "ignore by the configuration": ({"profile": "mine"}, {"ignore_configured_endpoint_urls": True}, {}),
    "FIPS": ({"use_fips_endpoint": True}, {"s3": VIRTUAL}, {"AWS_USE_FIPS_ENDPOINT": "false"}),
    "FIPS by the configuration": ({"use_fips_endpoint": False}, {"use_fips_endpoint": True, "s3": VIRTUAL}, {}),
    "no dualstack by the configuration": (
        {},
        {"use_dualstack_endpoint": False, "s3": VIRTUAL},
        {"AWS_USE_DUALSTACK_ENDPOINT": "true"},
    ),
    "no dualstack of S3": (
        {"profile": "fips"},
        {"s3": {"use_dualstack_endpoint": False}},
        {"AWS_USE_DUALSTACK_ENDPOINT": "true"},
    ),
    "region by the configuration": ({"region": "eu-west-3"}, {"region_name": "ap-south-1", "s3": VIRTUAL}, {}),
    "path by the configuration": ({"profile": "fips"}, {"s3": {"addressing_style": "path"}}, {}),
    "accelerate by the configuration": ({}, {"s3": {"use_accelerate_endpoint": True}}, {}),
    "another file": ({"config_file": "other"}, {"s3": VIRTUAL}, {}),
}


@pytest.mark.parametrize(
    ("name", "wrapped"), [*((name, False) for name in SET_UP), ("profile", True), ("region by the configuration", True)]
)
async def test_a_signer_of_a_session_signs_as_its_clients_do(
    name: str, wrapped: bool, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    variables, config, environ = SET_UP[name]
    (tmp_path / "config").write_text(SESSION_FILE, encoding="utf-8")
    (tmp_path / "other").write_text("[default]\nregion = sa-east-1\n", encoding="utf-8")
    for variable, value in {"AWS_CONFIG_FILE": str(tmp_path / "config"), **environ}.items():
        monkeypatch.setenv(variable, value)
    session = new_session()
    for variable, value in variables.items():
        session.set_config_variable(variable, str(tmp_path / value) if variable == "config_file" else value)
    session.set_credentials("AKIDEXAMPLE", "secret")
    session.set_default_client_config(AioConfig(**config))
    async with session.create_client("s3", config=AioConfig(signature_version="s3v4")) as owner:
        expected = await owner.generate_presigned_url("get_object", Params=OBJECT)
    async with AiobotocoreSigner.create(Wrapping(session) if wrapped else session) as signer:
        url = (await signer.presign("get_object", OBJECT)).url
    assert [part.partition("&X-Amz-Date")[0] for part in (url, expected)] == [expected.partition("&X-Amz-Date")[0]] * 2


async def test_a_session_that_names_a_profile_that_is_not_there() -> None:
    session = new_session()
    session.set_config_variable("profile", "missing")
    with pytest.raises(CredentialsError, match="no profile 'missing'"):
        async with AiobotocoreSigner.create(session):
            pass


async def test_a_session_that_only_has_credentials(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_DEFAULT_REGION", "eu-west-1")

    class Session:
        def get_credentials(self) -> Any:
            session = new_session()
            session.set_credentials("AKIDEXAMPLE", "secret")
            return session.get_credentials()

    async with AiobotocoreSigner.create(Session()) as signer:
        assert "//bucket.s3.eu-west-1.amazonaws.com/" in (await signer.presign("get_object", OBJECT)).url
    with pytest.raises(InvalidRequest, match="session: expected"):
        async with AiobotocoreSigner.create(object()):
            pass


def test_without_the_extra_the_name_says_what_to_install() -> None:
    script = "import sys; sys.modules['aiobotocore'] = None; from asyncpresign import AiobotocoreSigner"
    ended = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=50, check=False)
    assert ended.returncode == 1
    assert "AiobotocoreSigner needs an optional dependency: python -m pip install 'asyncpresign[aiobotocore]'" in ended.stderr


@pytest.fixture(params=["local_s3", "local_s3_seaweedfs"])
def s3(request: pytest.FixtureRequest) -> LocalS3:
    server: LocalS3 = request.getfixturevalue(request.param)
    return server


@pytest.mark.integration
async def test_real_servers_accept_what_it_signs(s3: LocalS3) -> None:
    keys = {"aws_access_key_id": s3.credentials.access_key_id, "aws_secret_access_key": s3.credentials.secret_access_key}
    async with client(region_name=s3.region, endpoint_url=s3.endpoint_url, **keys) as owner:
        signer = AiobotocoreSigner(owner)
        await owner.create_bucket(Bucket="of-a-client")
        async with Transfer(signer) as moving:
            await moving.upload(b"by URL", S3Object("of-a-client", "url"))
            await moving.upload_form(b"by form", S3Object("of-a-client", "form"))
            assert (await moving.download(S3Object("of-a-client", "url"))).data == b"by URL"
        answer = await owner.get_object(Bucket="of-a-client", Key="form")
        async with answer["Body"] as body:
            assert await body.read() == b"by form"
