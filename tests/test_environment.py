"""Every case of variables and files with botocore as oracle: who signs, for which region, at which endpoint."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from tests.environment_cases import CASES, DIFFERENCES, GLOBAL_HOST, Outcome, environment, ours, theirs


def regional(outcome: Outcome) -> Outcome:
    """The outcome with the region's host in the place of the global one, which is a difference of its own."""
    return Outcome(**{**vars(outcome), "url": GLOBAL_HOST.sub(rf"\1.{outcome.region}", outcome.url)})


@pytest.mark.parametrize("name", CASES)
def test_a_signer_is_set_up_as_botocore_sets_up_its_clients(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    case = CASES[name]
    environ = environment(case, tmp_path)
    if case.differs == "unreadable file" and not (os.path.isfile("/proc/sys/vm/drop_caches") and os.name == "posix"):
        pytest.skip("looks at processes through /proc")
    for variable in ("HOME", "WHERE"):  # which the paths of files are expanded with
        if variable in environ:
            monkeypatch.setenv(variable, environ[variable])
    got, expected = ours(case, environ), theirs(case, environ)
    if expected.source:
        expected = Outcome(refused=True, source=expected.source)
        assert case.differs == "source that is not here"
    if not case.differs:
        assert got == regional(expected), expected.message
    elif case.differs == "global host":
        assert got == regional(expected) != expected
    else:
        assert got != regional(expected)
    assert got.url.startswith(case.url)
    assert case.says in got.message
    assert got.refused == bool(case.says)


def test_every_difference_has_a_case() -> None:
    assert {case.differs for case in CASES.values()} - {""} == set(DIFFERENCES)
