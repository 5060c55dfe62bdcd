"""The command that compares with botocore: what it prints, and that it finds a difference and makes it small."""

from __future__ import annotations

import copy
import json
import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from asyncpresign._s3._operations_table import NAMES
from asyncpresign._s3._partitions_table import PARTITIONS
from scripts.compare_with_botocore import compare, main, report, smallest

from . import botocore_differences
from .botocore_differences import DIFFERENCES, Call, FormCall, Outcome, Place, ours
from .random_calls import calls, forms

pytestmark = pytest.mark.oracle


CALL = Call(
    "get_object", {"Bucket": "bucket", "Key": "a long key", "VersionId": "v"}, Place("us-west-2", session_token="token")
)
FORM = FormCall("bucket", "key", {"acl": "private"}, [{"acl": "private"}, ["content-length-range", 0, 1]])


def test_every_class_of_an_outcome_is_counted(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["differences", "--cases", "60", "--seed", "7"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == "seed 7"
    for noun in ("calls", "forms"):
        [line] = [line for line in lines if line.startswith(f"60 {noun}: ")]
        assert line.endswith("refused by both, 0 not explained")
    assert any(re.fullmatch(r"[0-9]+/[0-9]+ rows met", line) for line in lines)
    assert any(line.startswith("  not met: ") for line in lines), "sixty calls do not meet every row"


def test_the_date_is_the_seed_and_a_seed_repeats_its_calls(capsys: pytest.CaptureFixture[str]) -> None:
    def output(*arguments: str) -> str:
        assert main(["differences", "--cases", "20", *arguments]) == 0
        return capsys.readouterr().out

    assert output("--date", "2026-11-27").startswith("seed 20261127\n")
    assert output("--date", "2026-11-27") == output("--seed", "20261127") != output("--date", "2026-11-28")


def test_streams_are_seeded_and_have_odd_calls_of_every_kind() -> None:
    """Hosts with an underscore, users in endpoints, ids with a slash, small partitions, ARNs, wrong types, all operators."""
    some, more = list(calls(3, 6000)), list(forms(3, 1000))
    assert repr(some[:100]) == repr(list(calls(3, 100))) != repr(list(calls(4, 100)))
    assert {call.operation for call in some} == set(NAMES)
    assert {call.place.region for call in (*some, *more)} >= {
        region for _, _, of in PARTITIONS.values() for region in of.split()
    }
    seen = repr([*some, *more])
    for odd in ("//my_minio", "user:password@", "minio/admin", "arn:aws-cn:s3", "[::1]", ":9000", "StArTs-WiTh", "ends-with",
                "content-length-range', '", "timedelta", "use_accelerate=True", "use_fips=True",
                "s3.example.com.", "bücher", "\\ud800", "604801", "${filename}"):  # fmt: skip
        assert odd in seen, odd


def altered(call: Call | FormCall) -> Outcome:
    """What we would answer if a token broke URLs, and a range broke forms."""
    outcome = ours(call)
    broken = call.place.session_token if isinstance(call, Call) else len(call.conditions) > 1
    return replace(outcome, url="wrong") if broken and not outcome.refusal else outcome


@pytest.mark.parametrize("call", [CALL, FORM], ids=["call", "form"])
def test_a_difference_that_no_row_explains_is_shrunk_and_shown(call: Call | FormCall) -> None:
    made = compare(iter([replace(call, place=Place(session_token="")), call]), altered)
    assert made.failures[-1] == call
    assert "not explained" in next(made.lines("calls"))
    least = smallest(call, altered)
    if isinstance(least, Call):
        assert (least.params.keys(), least.place.region) == ({"Bucket", "Key"}, Place().region)
        assert least.place.session_token is not None
    else:
        assert (least.fields, len(least.conditions), len(least.key)) == ({}, 2, 1)
    assert "url='wrong'" in report(call, altered)


def test_an_exception_of_another_kind_is_never_explained() -> None:
    """Not even where botocore refuses the call, too."""

    def fail(call: Call | FormCall) -> Outcome:
        raise TypeError("unhashable")

    made = compare(iter([CALL, Call("get_object", {"Bucket": "bucket"}, validated=True)]), fail)
    assert len(made.failures) == 2
    assert "TypeError" in report(CALL, fail)


def test_a_row_that_goes_leaves_its_calls_unexplained(monkeypatch: pytest.MonkeyPatch) -> None:
    row = next(row for row in DIFFERENCES if row.name == "endpoint's name with an underscore")
    assert compare(iter([row.example])).failures == []
    monkeypatch.setattr(botocore_differences, "DIFFERENCES", tuple(other for other in DIFFERENCES if other is not row))
    assert compare(iter([row.example])).failures == [row.example]


CASES: list[dict[str, Any]] = [
    {
        "documentation": "right",
        "params": {"Region": "eu-central-1", "Bucket": "bucket", "Key": "key", "UseFIPS": False},
        "expect": {
            "endpoint": {
                "url": "https://bucket.s3.eu-central-1.amazonaws.com",
                "properties": {
                    "authSchemes": [
                        {"name": "sigv4", "signingName": "s3", "signingRegion": "eu-central-1", "disableDoubleEncoding": True}
                    ]
                },
            }
        },
    },
    {"documentation": "rightly refused", "params": {"Region": ""}, "expect": {"error": "A region must be set"}},
]


def endpoint_lines(cases: list[dict[str, Any]], folder: Path, capsys: pytest.CaptureFixture[str]) -> tuple[int, list[str]]:
    (folder / "cases.json").write_text(json.dumps({"version": "1.0", "testCases": cases}), encoding="utf-8")
    code = main(["endpoints", "--endpoint-cases", str(folder / "cases.json")])
    return code, capsys.readouterr().out.splitlines()


def test_it_counts_the_endpoint_cases(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert endpoint_lines(CASES, tmp_path, capsys) == (0, ["2/2 endpoint cases"])


@pytest.mark.parametrize(
    ("path", "value"),
    [
        (["expect", "endpoint", "url"], "https://s3.eu-central-1.amazonaws.com/bucket"),
        (["expect", "endpoint", "properties", "authSchemes", 0, "signingRegion"], "us-east-1"),
        (["expect", "endpoint", "properties", "authSchemes", 0, "signingName"], "s3express"),
        (["expect", "endpoint", "properties", "authSchemes", 0, "name"], "sigv4a"),
        (["expect"], {"error": "nobody does this"}),
        (["params", "Region"], ""),
    ],
)
def test_a_case_that_fails_is_shown_and_counted(
    path: list[Any], value: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    case = copy.deepcopy(CASES[0])
    place: Any = case
    for step in path[:-1]:
        place = place[step]
    place[path[-1]] = value
    code, lines = endpoint_lines([case, CASES[1]], tmp_path, capsys)
    assert code == 1
    assert lines[0].startswith("right: expected ")
    assert lines[1] == "1/2 endpoint cases"


@pytest.mark.parametrize(
    "change", [{"headers": {"x-amz-a": ["b"]}}, {"properties": {"authSchemes": [], "new": 1}}, {"more": True}], ids=str
)
def test_an_expectation_that_would_not_be_compared_stops_it(change: dict[str, Any], tmp_path: Path) -> None:
    case = copy.deepcopy(CASES[0])
    case["expect"]["endpoint"].update(change)
    (tmp_path / "cases.json").write_text(json.dumps({"testCases": [case]}), encoding="utf-8")
    with pytest.raises(ValueError, match="what is this"):
        main(["endpoints", "--endpoint-cases", str(tmp_path / "cases.json")])


def test_an_input_that_is_not_known_stops_it(tmp_path: Path) -> None:
    case = {**CASES[0], "params": {**CASES[0]["params"], "UseSomethingNew": True}}
    (tmp_path / "cases.json").write_text(json.dumps({"testCases": [case]}), encoding="utf-8")
    with pytest.raises(KeyError, match="UseSomethingNew"):
        main(["endpoints", "--endpoint-cases", str(tmp_path / "cases.json")])


def test_no_cases_are_not_all_of_them(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert endpoint_lines([], tmp_path, capsys) == (1, ["0/0 endpoint cases"])


def test_an_unknown_part_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["parts"])
    assert "no such part: parts" in capsys.readouterr().err
