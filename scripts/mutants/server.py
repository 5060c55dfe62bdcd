"""Runs tests in forks of a process that has imported what they need of others: lines of JSON in, lines of JSON out.

In: `{"tests": [...], "limit": seconds for one test, "all": seconds for all}`, run in this order and up to the first failure.
Out: `{"ended": "passed" | "failed" | "timeout", "by": the first that failed}`. A fork starts in 50 ms, a new process in 1.5 s.
The package itself is imported in the fork only, from the working folder.
"""

from __future__ import annotations

import gc
import importlib
import json
import os
import signal
import sys
import time
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

IMPORTED = ("aiohttp", "aiohttp.web", "anyio", "blockbuster", "botocore.session", "hypothesis", "trustme", "xdist", "yarl")


class Selection:
    """Keeps the tests that were asked for, in that order, and notes what failed."""

    def __init__(self, tests: list[str], note: Path) -> None:
        self.order = {test: number for number, test in enumerate(tests)}
        self.note = note

    def pytest_collection_modifyitems(self, items: list[pytest.Item]) -> None:
        items[:] = sorted((item for item in items if item.nodeid in self.order), key=lambda item: self.order[item.nodeid])

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        if report.failed:
            self.note.write_text(report.nodeid, encoding="utf-8")

    def pytest_collectreport(self, report: pytest.CollectReport) -> None:
        if report.failed:
            self.note.write_text(f"import of {report.nodeid}", encoding="utf-8")


def run(asked: dict[str, Any], folder: Path) -> dict[str, Any]:
    note = folder / "failed"
    note.unlink(missing_ok=True)
    pid = os.fork()
    if not pid:
        os._exit(_run_here(asked, folder, note))
    until = time.monotonic() + asked["all"]
    while True:
        ended, status = os.waitpid(pid, os.WNOHANG)
        if ended:
            break
        if time.monotonic() > until:
            with suppress(ProcessLookupError):
                os.killpg(pid, signal.SIGKILL)
            os.waitpid(pid, 0)
            return {"ended": "timeout", "by": "all"}
        time.sleep(0.01)
    with suppress(ProcessLookupError, PermissionError):
        os.killpg(pid, signal.SIGKILL)  # what the tests left behind
    by = note.read_text(encoding="utf-8") if note.exists() else ""
    passed = os.WIFEXITED(status) and os.WEXITSTATUS(status) == pytest.ExitCode.OK
    return {"ended": "passed" if passed else "failed", "by": by or f"status {status}"}


def _run_here(asked: dict[str, Any], folder: Path, note: Path) -> int:
    os.setsid()
    quiet = os.open(os.devnull, os.O_RDWR)
    for number in (0, 1, 2):
        os.dup2(quiet, number)
    arguments = ["-x", "-q", "-p", "no:cacheprovider", "-p", "no:xdist", "-W", "ignore::pytest.PytestAssertRewriteWarning"]
    arguments += [f"--basetemp={folder / 'tmp'}", f"--timeout={asked['limit']}", "--no-header", "--tb=no"]
    files = sorted({test.partition("::")[0] for test in asked["tests"]})
    try:
        return int(pytest.main([*arguments, *files], plugins=[Selection(asked["tests"], note)]))
    except BaseException:  # noqa: BLE001 - a mutant may raise anything, and the parent has to hear of it
        return 70


def main() -> None:
    folder = Path(sys.argv[1])
    for name in IMPORTED:
        with suppress(ImportError):
            importlib.import_module(name)
    gc.freeze()
    print(json.dumps({"ready": True}), flush=True)
    for line in sys.stdin:
        print(json.dumps(run(json.loads(line), folder)), flush=True)


if __name__ == "__main__":
    main()
