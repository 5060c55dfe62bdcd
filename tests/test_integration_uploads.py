"""Uploads in parts on real servers: what they store, what they say of it, and that no upload stays open whoever ends it."""

from __future__ import annotations

import hashlib
import os
import signal
import subprocess
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import anyio
import pytest

from asyncpresign import IntegrityError, OfflineSigner, PreconditionFailed, ResponseError, S3Object, Transfer, Upload
from asyncpresign._s3.documents import parse_list_multipart_uploads
from asyncpresign.transfer.integrity import CHECKSUMS

from .faults import FAULTS
from .test_integration import FIXTURES, Place, make_bucket

pytestmark = [pytest.mark.integration, pytest.mark.timeout(120)]

PART = 5 << 20
DATA = os.urandom(1 << 20) * 11 + b"the last part"
# What a server does not look at; seaweedfs does it all.
IGNORES = {"juicefs": {"checksums", "conditions"}, "seaweedfs": set[str]()}


@pytest.fixture(scope="module", params=FIXTURES.values(), ids=FIXTURES.keys())
def place(request: pytest.FixtureRequest) -> Place:
    return anyio.run(make_bucket, request.getfixturevalue(request.param))


@pytest.fixture
async def moving(place: Place) -> AsyncIterator[Transfer]:
    async with Transfer(place.signer(), part_size=PART, multipart_threshold=PART) as made:
        yield made
        assert await open_uploads(place, made) == 0


async def open_uploads(place: Place, moving: Transfer) -> int:
    listing = await moving.send(place.sign("list_multipart_uploads"))
    return len(parse_list_multipart_uploads(listing.body).uploads)


async def stored(place: Place, key: str) -> bytes | None:
    async with Transfer(place.signer()) as reading:
        return (await reading.download(S3Object(place.bucket, key))).data


async def pieces(data: bytes) -> AsyncIterator[bytes]:
    for at in range(0, len(data), 700_001):
        yield data[at : at + 700_001]


@pytest.mark.parametrize("kind", ["path", "stream"])
async def test_up_in_parts(place: Place, moving: Transfer, kind: str, tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(DATA)
    source = tmp_path / "file" if kind == "path" else pieces(DATA)
    params = {"ContentType": "text/plain", "Metadata": {"a": "b"}}
    result = await moving.upload(source, S3Object(place.bucket, kind), size=len(DATA), params=params)
    assert (result.verified_by, result.attempts) == ("md5 of parts", 1)
    assert await stored(place, kind) == DATA
    head = await moving.send(place.sign("head_object", kind))
    assert (head.headers["content-type"], head.headers["x-amz-meta-a"]) == ("text/plain", "b")
    assert head.headers["etag"].strip('"').endswith("-3")


@pytest.mark.parametrize("name", CHECKSUMS)
async def test_a_checksum_of_the_callers_is_compared_by_the_server(place: Place, moving: Transfer, name: str) -> None:
    kind = CHECKSUMS[name]
    ignored = "checksums" in IGNORES[place.s3.server] or not kind.header.startswith("x-amz-")
    for data, by_parts in ((DATA, True), (DATA[:1000], False)):
        checksum = f"{name}:{kind.digest(data).hex()}"
        result = await moving.upload(data, S3Object(place.bucket, name), checksum=checksum)
        ours = name if kind.whole or not by_parts else f"{name} of parts"
        assert result.verified_by == (("md5 of parts" if by_parts else "md5") if ignored else ours)
        assert await stored(place, name) == data
    form = await moving.upload_form(DATA[:1000], S3Object(place.bucket, name), checksum=checksum)
    assert form.verified_by == ("md5" if ignored else name)


async def test_a_source_of_another_checksum_is_not_stored(place: Place, moving: Transfer) -> None:
    for data in (DATA, DATA[:1000]):
        with pytest.raises(IntegrityError):
            await moving.upload(data, S3Object(place.bucket, "wrong"), checksum="sha256:" + "00" * 32)
    listing = await moving.send(place.sign("list_objects_v2", Prefix="wrong"))
    assert b"<Key>" not in listing.body


async def test_nothing_is_overwritten(place: Place, moving: Transfer) -> None:
    for data in (DATA, DATA[:1000]):
        target = S3Object(place.bucket, f"there/{len(data)}")
        for _ in range(2):
            assert (await moving.upload(data, target, if_none_match="*")).status == "done"
        other = b"x" + data[1:]
        if "conditions" in IGNORES[place.s3.server]:
            await moving.upload(other, target, if_none_match="*")
        else:
            with pytest.raises(PreconditionFailed):
                await moving.upload(other, target, if_none_match="*")
        assert await stored(place, target.key) == (other if "conditions" in IGNORES[place.s3.server] else data)


async def test_a_refused_part_aborts_the_upload(place: Place, moving: Transfer) -> None:
    class Tampering(OfflineSigner):
        async def presign(self, operation: Any, *arguments: Any, **options: Any) -> Any:
            signed = await super().presign(operation, *arguments, **options)
            if operation != "upload_part":
                return signed
            return type(signed)(signed.method, signed.url[:-4] + "0000", signed.headers, signed.expires_at)

    tampering = Tampering(place.s3.credentials, region=place.s3.region, endpoint_url=place.s3.endpoint_url)
    async with Transfer(tampering, part_size=PART, multipart_threshold=PART) as refused:
        with pytest.raises(ResponseError) as caught:
            await refused.upload(DATA, S3Object(place.bucket, "tampered"))
        assert not hasattr(caught.value, "__notes__")


async def test_leaving_early_aborts_the_upload(place: Place, moving: Transfer) -> None:
    begun = anyio.Event()

    async def endless() -> AsyncIterator[bytes]:
        yield DATA[:PART]
        yield DATA[:PART]
        begun.set()
        await anyio.sleep_forever()

    async with moving.stream([Upload(endless(), S3Object(place.bucket, "left"), size=3 * PART)]):
        await begun.wait()
        assert await open_uploads(place, moving) == 1
    assert await open_uploads(place, moving) == 0


# --- what another process leaves --------------------------------------------------------------------------------------

UPLOADING = """
import os, sys
import anyio
from asyncpresign import Credentials, OfflineSigner, S3Object, Transfer, Upload

PART = 5 << 20

class Slow(OfflineSigner):
    "Signs two parts, says so when the second is asked for, and then no more."
    parts = 0

    async def presign(self, operation, *arguments, **options):
        if operation == "upload_part":
            self.parts += 1
            if self.parts == 3:
                print("two parts are stored", flush=True)
                await anyio.sleep_forever()
        return await super().presign(operation, *arguments, **options)

async def main(endpoint, region, bucket, path, journal):
    signer = Slow(Credentials.from_env(), region=region, endpoint_url=endpoint)
    async with Transfer(signer, concurrency=1, part_size=PART, multipart_threshold=PART) as moving:
        await moving.run([Upload(path, S3Object(bucket, "key"))], journal=journal or None)

anyio.run(main, *sys.argv[1:])
"""


def uploading(place: Place, path: Path, journal: str) -> subprocess.Popen[str]:
    secrets = {"AWS_ACCESS_KEY_ID": place.s3.credentials.access_key_id}
    secrets |= {"AWS_SECRET_ACCESS_KEY": place.s3.credentials.secret_access_key}
    environment = {**os.environ, **secrets, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    command = [sys.executable, "-c", UPLOADING, place.s3.endpoint_url, place.s3.region, place.bucket, str(path), journal]
    return subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


async def until_two_parts(process: subprocess.Popen[str]) -> None:
    assert process.stdout is not None
    assert process.stderr is not None
    line = await anyio.to_thread.run_sync(process.stdout.readline)
    assert line == "two parts are stored\n", process.stderr.read()


@pytest.mark.skipif(os.name != "posix", reason="needs POSIX signals")
async def test_ctrl_c_aborts_the_upload(place: Place, moving: Transfer, tmp_path: Path) -> None:
    assert FAULTS["Ctrl-C in parts"].attempts == 0
    (tmp_path / "file").write_bytes(DATA)
    with uploading(place, tmp_path / "file", "") as process:
        await until_two_parts(process)
        assert await open_uploads(place, moving) == 1
        process.send_signal(signal.SIGINT)
        _, told = await anyio.to_thread.run_sync(process.communicate)
    assert "KeyboardInterrupt" in told
    assert await open_uploads(place, moving) == 0


@pytest.mark.skipif(os.name != "posix", reason="needs POSIX signals")
async def test_a_killed_upload_is_taken_up_again(place: Place, moving: Transfer, tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(DATA)
    journal = tmp_path / "journal"
    with uploading(place, tmp_path / "file", str(journal)) as process:
        await until_two_parts(process)
        process.kill()
    assert await open_uploads(place, moving) == 1
    signed: list[str] = []

    class Counting(OfflineSigner):
        async def presign(self, operation: Any, *arguments: Any, **options: Any) -> Any:
            signed.append(operation)
            return await super().presign(operation, *arguments, **options)

    counting = Counting(place.s3.credentials, region=place.s3.region, endpoint_url=place.s3.endpoint_url)
    async with Transfer(counting, part_size=PART, multipart_threshold=PART) as again:
        report = await again.run([Upload(str(tmp_path / "file"), S3Object(place.bucket, "key"))], journal=journal)
    assert (report.done, report.failed) == (1, 0)
    assert signed == ["list_parts", "upload_part", "complete_multipart_upload"]
    digest = hashlib.sha256(await stored(place, "key") or b"").hexdigest()
    assert digest == hashlib.sha256(DATA).hexdigest()
