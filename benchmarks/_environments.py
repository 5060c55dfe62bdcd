"""A virtual environment for each contender, kept in a folder, and the proof that it holds the newest release.

Peers cannot share one: their dependencies exclude each other, and pip would quietly install an old release of one.
"""

from __future__ import annotations

import json
import subprocess
import sys
import venv
from pathlib import Path
from typing import Any, NamedTuple

ROOT = Path(__file__).parents[1]
_VERSION = "import sys; from importlib.metadata import version; print(*map(version, sys.argv[1:]))"


class Environment(NamedTuple):
    """`version` is None where the contender is not installed."""

    python: Path
    version: str | None


def here(name: str) -> Environment:
    """The environment that is running, whatever it has: nothing is installed."""
    return Environment(Path(sys.executable), _version(Path(sys.executable), name))


def own(name: str, cache: Path, *, upgrade: bool) -> Environment:
    """The environment of `name` under `cache`, made at need; the project itself is always installed anew.

    Raises `SystemExit` for a peer of which a newer release could be installed: a race against an old one proves nothing.
    """
    folder = cache / name
    python = folder / ("Scripts/python.exe" if sys.platform == "win32" else "bin/python")
    if not python.exists():
        venv.create(folder, with_pip=True)
    if name == "asyncpresign":
        _pip(python, "install", "--force-reinstall", "--no-deps", str(ROOT))
    elif upgrade or _version(python, name) is None:
        _pip(python, "install", "--upgrade", name)
    elif newest := _newer(python, name):
        raise SystemExit(f"{name} {_version(python, name)} is in {folder}, and {newest} installs: run with --upgrade")
    return Environment(python, _version(python, name))


def _newer(python: Path, name: str) -> str | None:
    """The release that pip would put in place of the installed one."""
    report: dict[str, Any] = json.loads(_pip(python, "install", "--upgrade", "--dry-run", "--report", "-", name))
    found = {one["metadata"]["name"].lower().replace("_", "-"): one["metadata"]["version"] for one in report["install"]}
    return found.get(name)


def _pip(python: Path, *arguments: str) -> str:
    command = [str(python), "-m", "pip", "--quiet", "--disable-pip-version-check", *arguments]
    ended = subprocess.run(command, capture_output=True, text=True, check=False)
    if ended.returncode:
        raise SystemExit(f"{' '.join(command)}:\n{ended.stderr}")
    return ended.stdout


def _version(python: Path, name: str) -> str | None:
    ended = subprocess.run([str(python), "-c", _VERSION, name], capture_output=True, text=True, check=False)
    return ended.stdout.strip() or None
