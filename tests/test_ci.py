"""The checks check: what CI runs is what the README says, and the run fails on what conftest.py promises it will."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path
from textwrap import dedent

import pytest

import asyncpresign

ROOT = Path(__file__).parent.parent
PACKAGE = Path(asyncpresign.__file__).parent


def ci_command() -> str:
    (command,) = re.findall(r"^command='(.*)'$", (ROOT / ".ci/run").read_text(encoding="utf-8"), re.MULTILINE)
    return command


def test_ci_runs_the_readmes_command() -> None:
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    blocks = re.findall(r"^```(?:console|bash|sh)\n(.*?)^```$", readme, re.DOTALL | re.MULTILINE)
    lines = [line.strip().removeprefix("$ ") for block in blocks for line in block.splitlines()]
    assert ci_command() in [line.partition(" # ")[0].rstrip() for line in lines]


def test_the_all_extra_has_every_other() -> None:
    extras = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]["optional-dependencies"]
    (everything,) = extras.pop("all")
    assert everything == f"asyncpresign[{','.join(sorted(extras))}]"


def run(pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch, body: str, *arguments: str) -> pytest.RunResult:
    """A pytest run of `body` under our own pyproject.toml and conftest.py, with one reason to skip allowed."""
    tests = pytester.mkpydir("tests")
    for path in ("pyproject.toml", "tests/conftest.py"):
        (pytester.path / path).write_bytes((ROOT / path).read_bytes())
    (tests / "allowed_skips.txt").write_text("# a comment\nno bus at *\n", encoding="utf-8")
    (tests / "test_planted.py").write_text(body, encoding="utf-8")
    monkeypatch.setenv("PYTHONPATH", str(PACKAGE.parent))
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "the developer's own")
    return pytester.runpytest_subprocess("-p", "no:cacheprovider", *arguments, timeout=50)


@pytest.mark.integration
def test_good_tests_and_allowed_skips_pass(pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch) -> None:
    body = """
        import asyncio, os, pytest

        def test_skips(): pytest.skip("no bus at night")

        @pytest.mark.xfail
        def test_is_known_to_fail(): assert False

        async def test_runs_in_a_loop(): assert asyncio.get_running_loop()

        def test_sees_no_credentials(): assert "AWS_ACCESS_KEY_ID" not in os.environ
    """
    result = run(pytester, monkeypatch, dedent(body))
    result.assert_outcomes(passed=2, skipped=1, xfailed=1)
    assert result.ret == pytest.ExitCode.OK


@pytest.mark.integration
@pytest.mark.parametrize(
    "body",
    [
        "import pytest\n\ndef test_skips(): pytest.skip('no train')\n",
        "import pytest\n\n@pytest.mark.skipif(True, reason='no train')\ndef test_skips(): pass\n",
        "import pytest\n\npytest.skip('no train', allow_module_level=True)\n",
    ],
    ids=["call", "mark", "module"],
)
def test_a_skip_for_any_other_reason_fails_the_run(
    pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch, body: str
) -> None:
    result = run(pytester, monkeypatch, body)
    result.assert_outcomes(skipped=1)
    result.stdout.fnmatch_lines(["*skipped for a reason that is not in*", "tests/test_planted.py*: no train"])
    assert result.ret == pytest.ExitCode.TESTS_FAILED


@pytest.mark.integration
def test_blocking_calls_warnings_and_cured_failures_fail(pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch) -> None:
    body = """
        import time, warnings, pytest

        def blocking(path):
            planted = {}
            exec(compile("import time\\ndef block(): time.sleep(0)", path, "exec"), planted)
            return planted["block"]

        async def test_blocks(): blocking(PACKAGE + "/planted.py")()

        def test_warns(): warnings.warn("look")

        @pytest.mark.xfail
        def test_works_again(): pass

        async def test_may_block(): blocking(PACKAGE + "/transfer/files.py")()

        async def test_is_not_the_package(): time.sleep(0)

        def test_runs_no_loop(): blocking(PACKAGE + "/planted.py")()
    """
    result = run(pytester, monkeypatch, f"PACKAGE = {str(PACKAGE)!r}\n{dedent(body)}")
    result.assert_outcomes(failed=3, passed=3)
    result.stdout.fnmatch_lines(["FAILED *test_blocks*Blocking*", "FAILED *test_warns*", "FAILED *test_works_again*"])


@pytest.mark.integration
@pytest.mark.parametrize("body", ["async def test_loops(): pass", "import anyio", "from asyncio import run"])
def test_all_of_a_module_that_may_run_a_loop_is_marked(
    pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch, body: str
) -> None:
    result = run(pytester, monkeypatch, f"{body}\n\ndef test_does_not_loop(): pass", "-m", "not loop")
    assert result.ret == pytest.ExitCode.NO_TESTS_COLLECTED


@pytest.mark.integration
def test_a_module_without_a_loop_is_not_marked(pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch) -> None:
    result = run(pytester, monkeypatch, "import json\n\ndef test_does_not_loop(): pass", "-m", "not loop")
    result.assert_outcomes(passed=1)


SWALLOWED = """
    import asyncio, signal, time

    def hang():
        while True:
            try:
                time.sleep(60)
            except BaseException:
                pass
"""

# Each of them outlives pytest-timeout: its exception is swallowed, is not raised again, or comes after the last test.
HANGS = {
    "callback": """
        async def test_hangs():
            asyncio.get_running_loop().call_soon(hang)
            await asyncio.sleep(0.1)
    """,
    "C": """
        def test_hangs():
            signal.pthread_sigmask(signal.SIG_BLOCK, signal.valid_signals())
            hang()
    """,
    "teardown": """
        import pytest

        @pytest.fixture
        def hanging():
            yield
            hang()

        def test_hangs(hanging): assert False
    """,
    "exit": """
        import atexit

        def test_hangs(): atexit.register(hang)
    """,
}


def run_hanging(pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch, place: str, *arguments: str) -> pytest.RunResult:
    body = "\n".join(map(dedent, (SWALLOWED, HANGS[place], "def test_passes(): pass")))
    result = run(pytester, monkeypatch, body, "-o", "timeout=2", *arguments)
    result.stderr.fnmatch_lines(["Timeout (0:00:03)!", "*test_planted.py*in hang"])
    return result


@pytest.mark.integration
@pytest.mark.parametrize("place", HANGS)
def test_a_hang_ends_the_run_and_shows_where(pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch, place: str) -> None:
    result = run_hanging(pytester, monkeypatch, place)
    assert result.ret == pytest.ExitCode.TESTS_FAILED


@pytest.mark.integration
def test_a_hang_in_a_worker_fails_the_run_which_goes_on(pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch) -> None:
    result = run_hanging(pytester, monkeypatch, "callback", "-n", "2")
    result.stdout.fnmatch_lines(["worker 'gw?' crashed while running 'tests/test_planted.py::test_hangs'"])
    result.assert_outcomes(failed=1, passed=1)
    assert result.ret == pytest.ExitCode.TESTS_FAILED
