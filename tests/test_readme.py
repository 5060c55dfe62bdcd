"""Every Python block of the README and of docs/bulk.md runs as it stands, as a new user's script, against a real server."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections.abc import Callable
from html.parser import HTMLParser
from pathlib import Path

import anyio
import pytest

from asyncpresign import OfflineSigner, PresignedPost, Presigner, S3Object, Transfer
from asyncpresign.testing import LocalS3

pytestmark = pytest.mark.integration

ROOT = Path(__file__).parent.parent
README = "".join((ROOT / page).read_text(encoding="utf-8") for page in ("README.md", "docs/bulk.md"))
BLOCKS = dict(re.findall(r"^<!-- test: (\w+) -->\n```python\n(.*?)^```$", README, re.DOTALL | re.MULTILINE))
BUCKET = "my-bucket"


@pytest.fixture(scope="module")
def presigner(local_s3: LocalS3) -> Presigner:
    return Presigner(local_s3.credentials, region=local_s3.region, endpoint_url=local_s3.endpoint_url)


@pytest.fixture(scope="module")
def prepared(local_s3: LocalS3) -> LocalS3:
    """The server with the bucket and the objects that the blocks speak of."""

    async def prepare() -> None:
        signer = OfflineSigner(local_s3.credentials, region=local_s3.region, endpoint_url=local_s3.endpoint_url)
        async with Transfer(signer) as transfer:
            await transfer.send(await signer.presign("create_bucket", {"Bucket": BUCKET}))
            for key in ("hello.txt", "a/b.txt"):
                await transfer.upload(b"hello", S3Object(BUCKET, key))

    anyio.run(prepare)
    return local_s3


def output(block: str, s3: LocalS3, folder: Path, *arguments: str) -> str:
    """What the block prints when it is run in `folder`, with the environment that the README asks for."""
    photos = folder / "photos"
    photos.mkdir()
    for number in range(100):
        (photos / f"{number}.jpg").write_bytes(b"jpeg %d" % number)
    environment = {
        **os.environ,
        "AWS_ACCESS_KEY_ID": s3.credentials.access_key_id,
        "AWS_SECRET_ACCESS_KEY": s3.credentials.secret_access_key,
        "S3_ENDPOINT_URL": s3.endpoint_url,
    }
    command = [sys.executable, "-W", "error", "-c", BLOCKS[block], *arguments]
    ended = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, timeout=50, check=False)
    assert ended.returncode == 0, ended.stderr
    assert s3.credentials.secret_access_key not in ended.stdout
    return ended.stdout


class Form(HTMLParser):
    """The form of a page: its action and its inputs."""

    def __init__(self) -> None:
        super().__init__()
        self.action = ""
        self.inputs: list[dict[str, str | None]] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag == "form":
            self.action = dict(attrs)["action"] or ""
        elif tag == "input":
            self.inputs.append(dict(attrs))


def first(text: str) -> bool:
    return "100 uploaded, 0 failed" in text and "PresignedURLs(2 GET URLs" in text and "X-Amz-Signature" not in text


def link(text: str) -> bool:
    return "GET http://" in text and "headers to send: {}" in text and "curl --fail-with-body" in text and "--head" in text


def form(text: str) -> bool:
    return "'Content-Type', 'key', 'x-amz-algorithm'" in text


def html(text: str) -> bool:
    page = Form()
    page.feed(text)
    return page.action.startswith("http://") and page.inputs[-1].get("accept") == "image/*"


def stream(text: str) -> bool:
    lines = sorted(text.splitlines())
    return len(lines) == 3 and "s3://my-bucket/gone.txt failed" in lines[1] and "NoSuchKey" in lines[1] and "done" in lines[2]


PROMISES: dict[str, Callable[[str], bool]] = {
    "first": first,
    "link": link,
    "form": form,
    "html": html,
    "source": lambda text: "+00:00 {}" in text,
    "stream": stream,
    "bulk": lambda text: (
        text.splitlines()
        == ["100 downloaded, 0 done before, 0 failed, 100 told of", "0 downloaded, 100 done before, 0 failed, 200 told of"]
    ),
    "local_s3": lambda text: text == "b'hello'\n",
}
WITH_ARGUMENTS = {"download", "upload"}


def test_every_python_block_is_tested() -> None:
    assert set(BLOCKS) == {*PROMISES, *WITH_ARGUMENTS}
    assert len(re.findall(r"^```python$", README, re.MULTILINE)) == len(BLOCKS)


def test_the_first_example_is_short() -> None:
    assert len([line for line in BLOCKS["first"].splitlines() if line.strip()]) <= 12


@pytest.mark.parametrize("block", sorted(PROMISES))
def test_block(block: str, prepared: LocalS3, tmp_path: Path) -> None:
    text = output(block, prepared, tmp_path)
    assert PROMISES[block](text), text


def test_download_block(prepared: LocalS3, presigner: Presigner, tmp_path: Path) -> None:
    request = presigner.presign("get_object", {"Bucket": BUCKET, "Key": "hello.txt"})
    text = output("download", prepared, tmp_path, request.url)
    assert text.splitlines() == ["5 bytes in 1 attempt", "refused"]
    assert (tmp_path / "hello.txt").read_bytes() == b"hello"


async def test_upload_block(prepared: LocalS3, presigner: Presigner, tmp_path: Path) -> None:
    post: PresignedPost = presigner.presign_post(BUCKET, "from-readme/${filename}")
    text = await anyio.to_thread.run_sync(output, "upload", prepared, tmp_path, json.dumps(post.to_dict()))
    assert text == "6 bytes, done\n"
    request = presigner.presign("get_object", {"Bucket": BUCKET, "Key": "from-readme/1.jpg"})
    async with Transfer() as transfer:
        assert (await transfer.download(request)).data == b"jpeg 1"
