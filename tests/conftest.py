"""What holds for every test: a clean environment, a watched event loop, and no skip without a committed reason.

Coroutine tests run on asyncio through anyio's plugin, without a mark. Tests of real servers or processes are marked
`integration`, and one of them `smoke` too: the only one that every Python runs. `loop` is marked here, by what a module has.
"""

from __future__ import annotations

import ast
import faulthandler
import fnmatch
import functools
import gc
import inspect
import os
import re
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from blockbuster import BlockBuster
from hypothesis import HealthCheck, settings

import asyncpresign
from asyncpresign import InvalidRequest, Problem

# The files that may block the event loop. For a body up to 64 KiB the write is cheaper than handing it to a thread; so is
# looking where a download goes.
MAY_BLOCK = tuple(f"asyncpresign/transfer/{name}.py" for name in ("files", "folders", "sinks", "sources", "tree"))

pytest_plugins = ["asyncpresign.testing.pytest_plugin", "pytester"]

settings.register_profile("ci", derandomize=True, max_examples=100, deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.register_profile("long", parent=settings.get_profile("ci"), derandomize=False, max_examples=20_000)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "ci"))

ALLOWED_SKIPS = Path(__file__).with_name("allowed_skips.txt")


@pytest.fixture(scope="session")
def anyio_backend() -> str:
    return "asyncio"


class EveryFunction(frozenset[str]):
    """BlockBuster allows functions of a file by name; this is all of them."""

    def __contains__(self, name: object) -> bool:
        return True


@pytest.fixture(scope="session", autouse=True)
def watched_event_loop() -> Iterator[None]:
    """A call of asyncpresign's that blocks a running loop raises `BlockingError`; threads and other packages may block."""
    blockbuster = BlockBuster("asyncpresign")
    for function in blockbuster.functions.values():
        for path in MAY_BLOCK:
            function.can_block_in(path, EveryFunction())
    blockbuster.activate()
    try:
        yield
    finally:
        blockbuster.deactivate()


def parameter_names() -> set[str]:
    """Of all functions of the package, and the fields of its classes."""
    names: set[str] = set()
    for path in Path(asyncpresign.__file__).parent.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_bytes())):
            if isinstance(node, ast.arg):
                names.add(node.arg)
            elif isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name):
                names.add(node.target.id)
    return names


class ProblemNames:
    """Notes the problems of `InvalidRequest` that begin with anything but the name of a parameter."""

    # Which of two arguments is wrong cannot always be said; profiles have settings, and services documents of their own.
    OTHERS = re.compile(r"url or headers|.+ of .+|data\[.*\]|the environment's proxy", re.DOTALL)

    def __init__(self) -> None:
        self._names = parameter_names()
        self.wrong: list[str] = []

    def note(self, problems: tuple[object, ...]) -> None:
        for problem in problems:
            argument = getattr(problem, "argument", "")
            if re.split(r"[\[.]", argument)[0] not in self._names and not self.OTHERS.fullmatch(argument):
                self.wrong.append(argument)


@pytest.fixture(scope="session")
def problem_names() -> Iterator[ProblemNames]:
    names, original = ProblemNames(), InvalidRequest.__init__

    @functools.wraps(original)
    def noting(self: InvalidRequest, *problems: Problem) -> None:
        original(self, *problems)
        names.note(problems)

    InvalidRequest.__init__ = noting  # type: ignore[method-assign]
    try:
        yield names
    finally:
        InvalidRequest.__init__ = original  # type: ignore[method-assign]


@pytest.fixture(autouse=True)
def problems_name_arguments(problem_names: ProblemNames) -> Iterator[None]:
    """Whatever a test does wrong: the error names an argument first, and what was expected after it."""
    yield
    wrong, problem_names.wrong = problem_names.wrong, []
    assert wrong == [], "these are no arguments"


def pytest_configure(config: pytest.Config) -> None:
    if os.environ.get("ASYNCPRESIGN_TEST_INSTALLED") and "site-packages" not in Path(asyncpresign.__file__).parts:
        raise pytest.UsageError(f"the installed asyncpresign is to be tested, not {asyncpresign.__file__}")
    for name in [name for name in os.environ if name.startswith("AWS_")]:
        del os.environ[name]
    if hasattr(config, "workerinput"):
        os.environ.pop("COVERAGE_PROCESS_CONFIG", None)  # a worker is measured, and not what its tests start
    os.environ["AWS_CONFIG_FILE"] = os.environ["AWS_SHARED_CREDENTIALS_FILE"] = os.devnull
    os.environ["AWS_EC2_METADATA_DISABLED"] = "true"
    os.environ["BOTO_DISABLE_CRT"] = "true"  # the C runtime orders a query differently, and botocore is the oracle
    config.pluginmanager.register(Watchdog(), "asyncpresign-watchdog")
    config.pluginmanager.register(SkipReasons(ALLOWED_SKIPS.read_text(encoding="utf-8")), "asyncpresign-skip-reasons")


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Function]) -> None:
    """Mark the tests of each module that has a coroutine test or imports anything of an event loop's library."""
    loops = {item.module for item in items if inspect.iscoroutinefunction(item.function)}
    for item in items:
        if item.module in loops or imports_a_loop(item.module):
            item.add_marker("loop")


@functools.cache
def imports_a_loop(module: ModuleType) -> bool:
    values = vars(module).values()
    origins = (value.__name__ if inspect.ismodule(value) else getattr(value, "__module__", "") for value in values)
    return any(str(origin).partition(".")[0] in ("aiohttp", "anyio", "asyncio") for origin in origins)


def pytest_collection_finish() -> None:
    """Thousands of collected tests and botocore's models are not looked through anew at each garbage collection."""
    gc.collect()
    gc.freeze()


class SkipReasons:
    """Fails the run if a test or a module skips for a reason that is not in tests/allowed_skips.txt."""

    def __init__(self, allowed: str) -> None:
        self.allowed = [line for line in map(str.strip, allowed.splitlines()) if line and not line.startswith("#")]
        self.refused: list[str] = []

    def note(self, report: pytest.TestReport | pytest.CollectReport) -> None:
        if report.skipped and not hasattr(report, "wasxfail"):
            reason = report.longrepr[2] if isinstance(report.longrepr, tuple) else str(report.longrepr)
            reason = reason.removeprefix("Skipped: ")
            if not any(fnmatch.fnmatchcase(reason, pattern) for pattern in self.allowed):
                self.refused.append(f"{report.nodeid}: {reason}")

    pytest_runtest_logreport = note
    pytest_collectreport = note

    @pytest.hookimpl(tryfirst=True)
    def pytest_sessionfinish(self, session: pytest.Session) -> None:
        if self.refused and session.exitstatus in (pytest.ExitCode.OK, pytest.ExitCode.NO_TESTS_COLLECTED):
            session.exitstatus = pytest.ExitCode.TESTS_FAILED

    def pytest_terminal_summary(self, terminalreporter: pytest.TerminalReporter) -> None:
        if self.refused:
            terminalreporter.section("skipped for a reason that is not in tests/allowed_skips.txt", red=True)
            for line in self.refused:
                terminalreporter.line(line)


class Watchdog:
    """Ends the process, and prints the stacks of all threads, if a test hangs in spite of its timeout.

    pytest-timeout raises an exception in the main thread. An event loop's callback or an `except` may swallow it, it fires
    once for a test, and not at all after a failure. `faulthandler` has a C thread that needs neither the loop nor the GIL;
    it is armed for half as long again as the test's timeout, anew for the teardown, and once more for the exit.
    """

    def __init__(self) -> None:
        self.limit = 0.0
        self.stderr = os.dup(2)  # pytest redirects descriptor 2 while a test runs

    def arm(self) -> None:
        if self.limit:
            faulthandler.dump_traceback_later(self.limit, exit=True, file=self.stderr)

    @pytest.hookimpl(tryfirst=True)
    def pytest_timeout_set_timer(self, settings: Any) -> None:
        self.limit = 1.5 * settings.timeout
        self.arm()

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtest_teardown(self) -> None:
        self.arm()

    def pytest_runtest_logfinish(self) -> None:
        faulthandler.cancel_dump_traceback_later()  # a worker of pytest-xdist may wait long for its next test

    def pytest_unconfigure(self) -> None:
        self.arm()
