"""All checks: `python -m pip install nox && nox`.

The sessions use the built wheel, outside the checkout: `build` makes an sdist and the wheel from it, and unpacks the
sdist without its `asyncpresign/` as the folder to test in, so that nothing but the installed package can be imported
and a file missing from either archive is found. What a session installs is written in pyproject.toml's dependency groups.

The Python that runs nox runs the full suite, with coverage of all but the integration tests; every other one that is found
runs all but the integration tests and the comparison with botocore, and of the former the smoke test.
"""

from __future__ import annotations

import functools
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import nox

nox.needs_version = ">=2025.5.1"
nox.options.default_venv_backend = "virtualenv"
nox.options.error_on_missing_interpreters = False

PROJECT = nox.project.load_toml("pyproject.toml")
HERE = f"{sys.version_info.major}.{sys.version_info.minor}"
PYTHONS = sorted({HERE, *nox.project.python_versions(PROJECT)}, key=lambda version: int(version.split(".")[1]))
SANS_IO = (
    "asyncpresign/_sigv4/*",
    "asyncpresign/_s3/*",
    "asyncpresign/_values.py",
    "asyncpresign/_redaction.py",
    "asyncpresign/_vendors.py",
    "asyncpresign/errors.py",
    "asyncpresign/models.py",
)
BOTH_CORES = ("-n", "2", "--dist", "worksteal")  # for what neither starts servers nor is measured
INSTALLED = {"ASYNCPRESIGN_TEST_INSTALLED": "1"}  # tests/conftest.py and tests/stdlib_only.py then insist on the wheel

seconds: dict[str, float] = {}
tested: set[str] = set()
_last = time.monotonic()


def show_pyenv() -> None:
    """pyenv hides every interpreter but the chosen one; `PYENV_VERSION` is how it is asked for all of them."""
    if shutil.which("pyenv"):
        listed = subprocess.run(["pyenv", "versions", "--bare"], capture_output=True, text=True, check=False).stdout.split()
        wanted = [version for version in listed if re.fullmatch(r"3\.\d+\.\d+", version) and is_supported(version)]
        if wanted:
            os.environ["PYENV_VERSION"] = ":".join(wanted)


def is_supported(version: str) -> bool:
    return ".".join(version.split(".")[:2]) in PYTHONS


def is_installed(version: str) -> bool:
    """Asked of the system itself, so that an interpreter which nox overlooks is noticed."""
    command = shutil.which(f"python{version}")
    return bool(command) and subprocess.run([command, "-c", ""], capture_output=True, check=False).returncode == 0


def timed(function: Callable[..., None]) -> Callable[..., None]:
    """Note the seconds since the last session's end, so that making the virtual environment is in them."""

    @functools.wraps(function)
    def wrapper(session: nox.Session, **parameters: str) -> None:
        global _last
        try:
            function(session, **parameters)
        finally:
            seconds[session.name], _last = time.monotonic() - _last, time.monotonic()

    return wrapper


def group(name: str) -> list[str]:
    return list(nox.project.dependency_groups(PROJECT, name))


def archives(session: nox.Session) -> Path:
    return session.cache_dir / "archives"


def wheel(session: nox.Session, extras: str = "") -> str:
    (path,) = archives(session).glob("*.whl")
    return f"{path}{extras}"


@contextmanager
def outside(session: nox.Session) -> Iterator[Path]:
    """A folder far from the checkout with all of the sdist but the package, to work in."""
    (sdist,) = archives(session).glob("*.tar.gz")
    with tempfile.TemporaryDirectory(prefix="asyncpresign-nox-") as folder:
        shutil.unpack_archive(sdist, folder)
        (root,) = Path(folder).iterdir()
        shutil.rmtree(root / "asyncpresign")
        with session.chdir(root):
            yield root


show_pyenv()


@nox.session
@timed
def lint(session: nox.Session) -> None:
    session.install(*group("lint"))
    session.run("ruff", "check", ".")
    session.run("ruff", "format", "--check", ".")


@nox.session
@timed
def build(session: nox.Session) -> None:
    """The sdist, and the wheel from the sdist."""
    session.install(*group("build"))
    shutil.rmtree(archives(session), ignore_errors=True)
    session.run("python", "-m", "build", "--outdir", str(archives(session)), silent=True)


@nox.session(requires=["build"])
@timed
def types(session: nox.Session) -> None:
    """The package by itself; then, as its user sees it, that right names are typed and wrong ones are errors."""
    session.install(wheel(session, "[demo,speed]"), *group("types"))
    session.run("mypy")
    session.run("pyright")
    with outside(session):
        session.run("mypy", "tests/typing_names.py")
        session.run("pyright", "tests/typing_names.py")
        session.run("pyright", "--verifytypes", "asyncpresign", "--ignoreexternal")


@nox.session(python=PYTHONS, requires=["build"])
@timed
def tests(session: nox.Session) -> None:
    """Arguments go to pytest: `nox -s tests-3.12 -- -k journal`."""
    tested.add(str(session.python))
    session.install(wheel(session, "[demo]"), *group("tests"))
    with outside(session) as root:
        if session.posargs:
            session.run("pytest", *session.posargs, env=INSTALLED)
        elif session.python == HERE:
            session.run("coverage", "run", "-m", "pytest", *BOTH_CORES, "-m", "not integration", env=INSTALLED)
            session.run("coverage", "combine", "--quiet")
            show_coverage(session, root)
            session.run("pytest", "-m", "integration", env=INSTALLED)
        else:
            session.run("pytest", *BOTH_CORES, "-m", "not integration and not oracle", env=INSTALLED)
            session.run("pytest", "-m", "smoke", env=INSTALLED)  # none found is a failure


def show_coverage(session: nox.Session, root: Path) -> None:
    data = ("--rcfile", str(root / "pyproject.toml"), "--data-file", str(root / ".coverage"))
    packages = session.run("python", "-c", "import sysconfig; print(sysconfig.get_path('purelib'))", silent=True)
    with session.chdir(str(packages).strip()):  # coverage shows paths from where it stands
        session.run("coverage", "report", *data)
        session.run("coverage", "report", *data, f"--include={','.join(SANS_IO)}", "--fail-under=100")


@nox.session(requires=["build"])
@timed
def lowest(session: nox.Session) -> None:
    """The lowest versions of our own dependencies that pyproject.toml admits, in all tests that an event loop may be in."""
    lowest = [re.sub(r">=([^,]+).*", r"==\1", requirement) for requirement in PROJECT["project"]["dependencies"]]
    session.install(wheel(session, "[demo]"), *group("tests"), *lowest)
    with outside(session):
        session.run("pytest", *BOTH_CORES, "-m", "(loop and not integration and not oracle) or smoke", env=INSTALLED)


@nox.session(requires=["build"])
@nox.parametrize("end", ["lowest", "newest"])
@timed
def aiobotocore(session: nox.Session, end: str) -> None:
    """Both ends of the range that the extra admits; each release of aiobotocore pins a botocore of its own."""
    (admitted,) = PROJECT["project"]["optional-dependencies"]["aiobotocore"]
    version = admitted.replace(">=", "==") if end == "lowest" else admitted
    others = [requirement for requirement in group("tests") if not requirement.startswith(("aiobotocore", "botocore"))]
    session.install(wheel(session, "[demo]"), version, *others)
    with outside(session):
        session.run("pytest", *BOTH_CORES, "tests/test_aiobotocore.py", "tests/test_signer_contract.py", env=INSTALLED)


@nox.session(requires=["build"])
@timed
def browser(session: nox.Session) -> None:
    """The form's page in Chromium; where none is installed this is skipped, but never in CI, which installs one."""
    if not any(map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))):
        reason = "no browser is installed: apt-get install chromium"
        session.error(reason) if os.environ.get("CI") else session.skip(reason)
    session.install(wheel(session, "[demo]"), *group("tests"), *group("browser"))
    with outside(session):
        session.run("pytest", "tests/test_browser.py", env=INSTALLED)


@nox.session(requires=["build"])
@timed
def oracle(session: nox.Session) -> None:
    """All operations against botocore, and all endpoint cases that AWS published, which pip fetches in botocore's sdist."""
    session.install(wheel(session), *group("tests"))
    with outside(session):
        session.run("python", "-m", "scripts.compare_with_botocore", *session.posargs, env=INSTALLED)


@nox.session(requires=["build"])
@timed
def fuzz(session: nox.Session) -> None:
    """A bounded number of inputs, guided by coverage, for what reads what strangers send."""
    if sys.platform != "linux":
        session.skip("atheris has wheels for Linux only")
    session.install(wheel(session), *group("fuzz"))
    with outside(session):
        session.run("python", "-m", "scripts.fuzz_inspection", "-runs=100000", "-max_total_time=30", "-verbosity=0")


@nox.session(venv_backend="venv", requires=["build"])
@timed
def stdlib(session: nox.Session) -> None:
    """Signing, with nothing installed but the wheel: not even pip, which goes when its work is done."""
    session.install("--no-deps", wheel(session))
    session.run("python", "-m", "pip", "uninstall", "--yes", "--quiet", "setuptools", "pip")
    with outside(session):
        session.run("python", "-W", "error", "-m", "unittest", "--verbose", "tests.stdlib_only", env=INSTALLED)


@nox.session(default=False, requires=["build"])
def bench(session: nox.Session) -> None:
    """Signing against its peers, each in an environment of its own: minutes, and a network to install them from."""
    session.install(wheel(session))
    session.run("python", "-m", "benchmarks", "sign", "--cache", str(session.cache_dir / "bench"), *session.posargs)


@nox.session(default=False, requires=["build"])
def mutants(session: nox.Session) -> None:
    """Random small changes that the tests should notice: `nox -s mutants -- --seed 7 --count 200`, about 15 minutes."""
    session.install(wheel(session, "[demo]"), *group("mutants"))
    with outside(session):
        session.run("python", "-m", "scripts.mutants", *session.posargs)


@nox.session(python=False)
def summary(session: nox.Session) -> None:
    """Seconds for each session; a failure if an interpreter is installed and was not tested with."""
    for name, taken in seconds.items():
        print(f"{name:<12} {taken:7.1f} s")
    print(f"{'all':<12} {sum(seconds.values()):7.1f} s; tested on Python {', '.join(sorted(tested)) or 'none'}")
    if missed := [version for version in PYTHONS if is_installed(version) and version not in tested]:
        session.error(f"installed, but not tested with: Python {', '.join(missed)}")
