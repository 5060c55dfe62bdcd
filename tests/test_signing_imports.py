"""What signing a URL loads, which is what a short program pays for: a list, so that nothing joins it unnoticed."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

PROGRAM = """
import sys
before = set(sys.modules)
from asyncpresign import Credentials, Presigner
signer = Presigner(Credentials("AKID", "secret"), region="eu-central-1")
url = signer.presign("get_object", {"Bucket": "bucket", "Key": "key"}).url
urls = signer.presign_urls("get_object", "bucket", ["key"])
print("\\n".join(sorted(set(sys.modules) - before)))
"""

OURS = {
    "asyncpresign",
    "asyncpresign._s3",
    "asyncpresign._s3._operations_table",
    "asyncpresign._s3._partitions_table",
    "asyncpresign._s3.arns",
    "asyncpresign._s3.endpoints",
    "asyncpresign._s3.hoisting",
    "asyncpresign._s3.hosts",
    "asyncpresign._s3.operations",
    "asyncpresign._s3.rules",
    "asyncpresign._sigv4",
    "asyncpresign._sigv4.canonical",
    "asyncpresign._sigv4.presign",
    "asyncpresign._sigv4.signing",
    "asyncpresign._values",
    "asyncpresign.errors",
    "asyncpresign.models",
    "asyncpresign.signers",
    "asyncpresign.signers.base",
    "asyncpresign.signers.life",
    "asyncpresign.signers.presigner",
}
# What the standard library's own modules load beneath these differs from release to release.
NEVER = {
    *("asyncio", "configparser", "dataclasses", "difflib", "inspect", "ipaddress", "json", "logging"),
    *("shlex", "socket", "ssl", "tempfile", "urllib", "uuid", "xml"),
}

WITHOUT_OPENSSL = """
import sys
sys.modules["_hashlib"] = None
from datetime import UTC, datetime
import hashlib, json
from asyncpresign import Credentials, Presigner
signer = Presigner(Credentials("AKID", "secret", "to/ken"), region="eu-central-1")
at = {"signing_time": datetime(2026, 3, 1, tzinfo=UTC)}
url = signer.presign("get_object", {"Bucket": "bucket", "Key": "a b/\u00fc"}, **at).url
form = signer.presign_post("bucket", "key", fields={"acl": "private"}, **at)
print(json.dumps([hashlib.sha256.__module__, url, dict(form.fields)]))
"""


def run(program: str) -> str:
    ended = subprocess.run(
        [sys.executable, "-W", "error", "-c", program], capture_output=True, text=True, timeout=50, check=True
    )
    return ended.stdout


@pytest.mark.integration
def test_what_signing_a_url_loads() -> None:
    loaded = set(run(PROGRAM).split())
    assert {name for name in loaded if name.split(".")[0] == "asyncpresign"} == OURS
    roots = {name.split(".")[0] for name in loaded} - {"asyncpresign"}
    assert roots <= sys.stdlib_module_names | {"_distutils_hack"}
    assert roots & NEVER == set()


@pytest.mark.integration
def test_without_openssls_hashes_it_signs_the_same() -> None:
    module, url, fields = json.loads(run(WITHOUT_OPENSSL))
    assert module != "_hashlib"
    _, expected_url, expected_fields = json.loads(run(WITHOUT_OPENSSL.replace('sys.modules["_hashlib"] = None', "")))
    assert (url, fields) == (expected_url, expected_fields)
