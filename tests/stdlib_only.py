"""Signing with nothing but the standard library: `python -m unittest tests.stdlib_only`.

Every case of every file in tests/vectors/ is checked. A file is `{"source": "...", "cases": [...]}`, and its name says
in `CHECKS` what a case means. No third-party module may be imported on the way, pytest included.
"""

from __future__ import annotations

import sys

BEFORE = frozenset(sys.modules)

import base64  # noqa: E402 (what follows is what is watched)
import json  # noqa: E402
import os  # noqa: E402
import unittest  # noqa: E402
from collections.abc import Callable  # noqa: E402
from datetime import UTC, datetime  # noqa: E402
from importlib.metadata import distributions  # noqa: E402
from pathlib import Path  # noqa: E402
from typing import Any  # noqa: E402

import asyncpresign  # noqa: E402
from asyncpresign import Credentials, OfflineSigner, Presigner  # noqa: E402, F401 (their import is watched too)
from asyncpresign._s3.endpoints import EndpointOptions, option_problems, resolve  # noqa: E402
from asyncpresign._s3.operations import key_problems  # noqa: E402
from asyncpresign._sigv4.canonical import (  # noqa: E402
    canonical_headers,
    canonical_query,
    canonical_request,
    encode_query,
    uri_encode,
)
from asyncpresign._sigv4.post_policy import sign_form  # noqa: E402
from asyncpresign._sigv4.presign import prove, url_template  # noqa: E402
from asyncpresign._sigv4.signing import CredentialScope, signature, signing_key, string_to_sign  # noqa: E402

VECTORS = Path(__file__).with_name("vectors")

Case = dict[str, Any]
Check = Callable[[unittest.TestCase, Case], None]


def cases(name: str) -> list[Case]:
    """The cases of tests/vectors/`name`.json."""
    loaded: list[Case] = json.loads((VECTORS / f"{name}.json").read_text(encoding="utf-8"))["cases"]
    return loaded


def scope(case: Case) -> CredentialScope:
    return CredentialScope(case.get("date") or case["timestamp"][:8], case["region"], case.get("service", "s3"))


def moment(case: Case) -> datetime:
    return datetime.strptime(case["timestamp"], "%Y%m%dT%H%M%SZ").replace(tzinfo=UTC)


def check_uri_encoding(test: unittest.TestCase, case: Case) -> None:
    test.assertEqual(uri_encode(case["text"]), case["encoded"])
    test.assertEqual(uri_encode(case["text"], keep_slash=True), case["in_path"])


def check_stages(test: unittest.TestCase, case: Case) -> None:
    """Each stage's output is the next one's input, and AWS published them all."""
    block, signed_headers = canonical_headers(case["headers"])
    path = "/" + uri_encode(case["key"], keep_slash=True)
    query = canonical_query(encode_query(map(tuple, case["query"])))
    request = canonical_request(case["method"], path, query, block, signed_headers, case["payload_hash"])
    test.assertEqual(request, case["canonical_request"])
    text = string_to_sign(case["timestamp"], scope(case), request)
    test.assertEqual(text, case["string_to_sign"])
    test.assertEqual(signature(signing_key(case["secret_access_key"], scope(case)), text), case["signature"])


def check_signing_key(test: unittest.TestCase, case: Case) -> None:
    test.assertEqual(signing_key(case["secret_access_key"], scope(case)).hex(), case["signing_key"])


def presign_url(*, method: str, origin: str, host: str, path: str, query: Any, headers: Any, **given: Any) -> str:
    """One URL of a template and a proof that are made for it."""
    request = {"method": method, "origin": origin, "host": host, "path": path, "query": query, "headers": headers}
    return url_template(**request, with_token=given["session_token"] is not None).at(prove(**given)).url("", [], [])


def check_presigned_url(test: unittest.TestCase, case: Case) -> None:
    given = {
        name: case[name] for name in ("method", "origin", "host", "path", "access_key_id", "secret_access_key", "timestamp")
    }
    url = presign_url(**given, query=(), headers={}, session_token=None, scope=scope(case), expires_in=case["expires_in"])
    test.assertEqual(url, case["url"])


def check_post_policy(test: unittest.TestCase, case: Case) -> None:
    """AWS's document has line breaks of its own: it is signed as it is, and ours has to say the same in our spelling."""
    test.assertEqual(signature(signing_key(case["secret_access_key"], scope(case)), case["policy"]), case["signature"])
    published = json.loads(base64.b64decode(case["policy"]))
    given = {name: case[name] for name in ("bucket", "key", "fields", "access_key_id", "secret_access_key", "timestamp")}
    ranges = [condition for condition in published["conditions"] if isinstance(condition, list) and condition[1] != "$key"]
    form = sign_form(**given, conditions=ranges, expiration=published["expiration"], session_token=None, scope=scope(case))
    ours = json.loads(base64.b64decode(form["policy"]))
    test.assertEqual(ours["expiration"], published["expiration"])
    test.assertCountEqual(ours["conditions"], published["conditions"])


def check_key_problems(test: unittest.TestCase, case: Case) -> None:
    problems = key_problems(case["key"] * case.get("repeat", 1), "key")
    test.assertEqual([problem.argument for problem in problems], ["key"] * case["problems"])
    test.assertEqual("".join(problem.got for problem in problems), case.get("got", ""))


def check_endpoint(test: unittest.TestCase, case: Case) -> None:
    options = EndpointOptions(case["region"], case["endpoint_url"], case["addressing_style"])
    test.assertEqual(option_problems(options), [])
    endpoint = resolve(options, case["bucket"])
    test.assertEqual((endpoint.origin, endpoint.path, endpoint.host), (case["origin"], case["path"], case["host"]))


def presigner(case: Case) -> Presigner:
    credentials = Credentials(case["access_key_id"], case["secret_access_key"], case["session_token"])
    options = {name: case[name] for name in ("region", "endpoint_url", "addressing_style")}
    return Presigner(credentials, **options, **case.get("options", {}))


def check_botocore_url(test: unittest.TestCase, case: Case) -> None:
    request = presigner(case).presign(
        case["operation"], case["params"], expires_in=case["expires_in"], signing_time=moment(case)
    )
    test.assertEqual(request.url, case["url"])
    test.assertEqual(dict(request.headers), case["headers"])


def check_botocore_form(test: unittest.TestCase, case: Case) -> None:
    given = {name: case[name] for name in ("bucket", "key", "fields", "conditions", "expires_in")}
    form = presigner(case).presign_post(**given, signing_time=moment(case))
    test.assertEqual(form.url, case["url"])
    test.assertEqual(list(form.fields.items()), list(map(tuple, case["form"])))


# The name of a vector file, without .json -> what checks one of its cases.
CHECKS: dict[str, Check] = {
    "aws_post_policy": check_post_policy,
    "aws_presigned_urls": check_presigned_url,
    "aws_signing_keys": check_signing_key,
    "aws_stages": check_stages,
    "botocore_forms": check_botocore_form,
    "botocore_urls": check_botocore_url,
    "endpoints": check_endpoint,
    "key_problems": check_key_problems,
    "uri_encoding": check_uri_encoding,
}


class VectorsTest(unittest.TestCase):
    maxDiff = None

    def test_every_case_of_every_file(self) -> None:
        checked = 0
        for path in sorted(VECTORS.glob("*.json")):
            check = CHECKS.get(path.stem)
            self.assertIsNotNone(check, f"{path.name} has no row in CHECKS")
            found = cases(path.stem)
            self.assertTrue(found, f"{path.name} has no cases")
            for number, case in enumerate(found):
                with self.subTest(file=path.name, case=number):
                    check(self, case)
                checked += 1
            print(f"{path.name}: {len(found)} cases", flush=True)
        print(f"{checked} vectors checked", flush=True)
        self.assertGreater(checked, 0, f"no vector files in {VECTORS}")

    def test_every_row_has_its_file(self) -> None:
        self.assertEqual(sorted(CHECKS), sorted(path.stem for path in VECTORS.glob("*.json")))


class SurroundingsTest(unittest.TestCase):
    def test_only_the_standard_library_was_imported(self) -> None:
        ours = {"asyncpresign", __name__.partition(".")[0]}
        imported = {name.partition(".")[0] for name in set(sys.modules) - BEFORE}
        self.assertEqual(imported - sys.stdlib_module_names - ours, set())

    @unittest.skipUnless(os.environ.get("ASYNCPRESIGN_TEST_INSTALLED"), "run from a checkout")
    def test_only_the_wheel_is_installed(self) -> None:
        self.assertIn("site-packages", Path(asyncpresign.__file__).parts)
        self.assertEqual({distribution.name for distribution in distributions()}, {"asyncpresign"})


if __name__ == "__main__":
    unittest.main()
