"""The command that compares with botocore: what it prints, and that it finds a difference and makes it small."""

from __future__ import annotations

import copy
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from scripts.compare_with_botocore import differs, main

from .botocore_differences import Call, Outcome, ours

pytestmark = pytest.mark.oracle


def test_it_counts_what_it_compared(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["operations", "--cases", "116", "--seed", "7"]) == 0
    assert capsys.readouterr().out == "116/116 operations equal to botocore over 116 cases\n"


def test_a_difference_is_found_and_shrunk() -> None:
    def sign(call: Call) -> Outcome:
        outcome = ours(call)
        return replace(outcome, url="wrong") if call.place.session_token else outcome

    count, found = differs("get_object", 1, 100, sign)
    assert count > 1
    assert "session_token='" in found
    assert "params={'Bucket': 'bucket', 'Key': '!'}" in found
    assert "url='wrong'" in found


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


def test_a_half_that_is_none_is_told(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["halves"])
    assert "no such half: halves" in capsys.readouterr().err
