"""The command that compares with botocore: what it prints, and that it finds a difference and makes it small."""

from __future__ import annotations

from dataclasses import replace

import pytest

from scripts.compare_with_botocore import differs, main

from .botocore_cases import COMPARED
from .botocore_differences import Call, Outcome, ours

pytestmark = pytest.mark.oracle


def test_it_counts_what_it_compared(capsys: pytest.CaptureFixture[str]) -> None:
    main(["operations", "--cases", "116", "--seed", "7"])
    assert capsys.readouterr().out == f"{len(COMPARED)}/116 operations equal to botocore over {len(COMPARED)} cases\n"


def test_a_difference_is_found_and_shrunk() -> None:
    def sign(call: Call) -> Outcome:
        outcome = ours(call)
        return replace(outcome, url="wrong") if call.place.session_token else outcome

    count, found = differs("get_object", 1, 100, sign)
    assert count > 1
    assert "session_token='" in found
    assert "params={'Bucket': 'bucket', 'Key': '!'}" in found
    assert "url='wrong'" in found


def test_a_half_that_is_none_is_told(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["halves"])
    assert "no such half: halves" in capsys.readouterr().err
