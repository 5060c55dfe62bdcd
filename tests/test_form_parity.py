"""`verify_post` and two real servers give one verdict on every form of `form_cases`, but for the rows that say why not."""

from __future__ import annotations

import fnmatch
import secrets
from datetime import UTC, datetime

import anyio
import pytest

from asyncpresign import InvalidRequest, PresignedPost, Presigner, ResponseError, RetryPolicy, Transfer, verify_post
from asyncpresign._s3.forms import FIELDS, form_field
from asyncpresign.testing import LocalS3

from .form_cases import CONTENT, DIFFERS, FORMS, HOUR, VALUES, Bucket, Fields, Form, signed

pytestmark = [pytest.mark.integration, pytest.mark.timeout(120)]

FIXTURES = {"juicefs": "local_s3", "seaweedfs": "local_s3_seaweedfs"}


async def make_bucket(s3: LocalS3) -> Bucket:
    bucket = Bucket(s3, f"parity-{secrets.token_hex(6)}")
    async with Transfer() as moving:
        signer = Presigner(s3.credentials, region=s3.region, endpoint_url=s3.endpoint_url)
        await moving.send(signer.presign("create_bucket", {"Bucket": bucket.name}))
    return bucket


@pytest.fixture(scope="module", params=FIXTURES.values(), ids=FIXTURES.keys())
def bucket(request: pytest.FixtureRequest) -> Bucket:
    return anyio.run(make_bucket, request.getfixturevalue(request.param))


def verdict(fields: Fields, bucket: Bucket, form: Form) -> bool:
    try:
        verification = verify_post(
            fields,
            bucket.s3.credentials,
            bucket=bucket.name,
            size=len(CONTENT),
            filename=form.filename,
            region=bucket.s3.region,
        )
        return verification.ok
    except InvalidRequest:
        return False


async def accepted(moving: Transfer, bucket: Bucket, fields: Fields, filename: str) -> bool:
    """Whether the server takes the form; what it refuses must be its client's fault."""
    post = PresignedPost(f"{bucket.s3.endpoint_url}/{bucket.name}", fields, datetime.now(UTC) + HOUR)
    try:
        await moving.upload_form(CONTENT, post, filename=filename, content_type="application/octet-stream")
        return True
    except ResponseError as error:
        status = error.status
    assert 400 <= status < 500
    return False


async def test_one_verdict(bucket: Bucket) -> None:
    """On more than two hundred forms; where it is not one, the row is in the table above, and nowhere else."""
    found: dict[str, str] = {}
    async with Transfer(retry=RetryPolicy(attempts=5)) as moving:

        async def ask(name: str, form: Form) -> None:
            fields = signed(form, bucket)
            ours, theirs = verdict(fields, bucket, form), await accepted(moving, bucket, fields, form.filename)
            if ours != theirs:
                found[name] = f"verify_post: {ours}, {bucket.s3.server}: {theirs}"

        async with anyio.create_task_group() as tasks:
            for name, form in FORMS.items():
                tasks.start_soon(ask, name, form)
    expected = set[str]().union(*(named for (server, _), named in DIFFERS.items() if server == bucket.s3.server))
    assert {name: found[name] for name in sorted(found.keys() - expected)} == {}
    assert sorted(expected - found.keys()) == []
    assert len(FORMS) > 200


def test_every_kind_of_field_has_its_forms() -> None:
    covered = {
        form_field(name).name for name in (*VALUES, "key", "bucket", "x-amz-algorithm", "x-amz-credential", "x-amz-date")
    }
    covered |= {"x-amz-security-token", "x-amz-signature", "policy", "file"}  # what proves has rows of its own
    of_one_kind = {"redirect", "x-amz-object-lock-*", "x-amz-checksum-*", "x-amz-server-side-encryption*", "x-amz-*"}
    left = {field.name for field in FIELDS if field.name not in covered}
    assert {name for name in left if not any(fnmatch.fnmatchcase(name, kind) for kind in of_one_kind)} == set()


def test_verify_post_is_of_both_minds_somewhere() -> None:
    """Neither verdict is the only one, and every row that is to differ is there."""
    assert set[str]().union(*DIFFERS.values()) <= FORMS.keys()
    kept = [name for name in FORMS if name.endswith(" kept")]
    assert len(kept) > 40
