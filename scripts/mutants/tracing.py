"""A pytest plugin that records which test runs which line: `MUTANTS_MAP=folder pytest -p scripts.mutants.tracing`.

Each process of pytest-xdist leaves one file of coverage's and one of seconds; lines that run at import have no test.
"""

from __future__ import annotations

import importlib.util
import json
import os
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path

import coverage
import pytest

FOLDER = Path(os.environ["MUTANTS_MAP"])
PACKAGE = Path(importlib.util.find_spec("asyncpresign").origin or "").parent  # type: ignore[union-attr]

_coverage = coverage.Coverage(data_file=FOLDER / f"lines.{os.getpid()}", config_file=False, include=[f"{PACKAGE}/*"])
_coverage.start()  # before conftest.py imports the package, so that it may watch threads too
_seconds: dict[str, float] = defaultdict(float)
_failed: set[str] = set()


@pytest.hookimpl(wrapper=True)
def pytest_runtest_protocol(item: pytest.Item) -> Iterator[None]:
    _coverage.switch_context(item.nodeid)
    try:
        return (yield)
    finally:
        _coverage.switch_context("")


def pytest_runtest_logreport(report: pytest.TestReport) -> None:
    if not os.environ.get("PYTEST_XDIST_WORKER") and hasattr(report, "node"):
        return  # the same report, as the process that only collects them sees it
    _seconds[report.nodeid] += report.duration
    if report.failed:
        _failed.add(report.nodeid)


def pytest_unconfigure() -> None:
    _coverage.stop()
    _coverage.save()
    left = {"seconds": _seconds, "failed": sorted(_failed)}
    (FOLDER / f"seconds.{os.getpid()}").write_text(json.dumps(left), encoding="utf-8")
