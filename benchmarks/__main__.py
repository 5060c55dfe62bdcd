"""`python -m benchmarks NAME [options]`: a benchmark is a module of this folder with `main(arguments) -> dict`."""

from __future__ import annotations

import importlib
import json
import os
import platform
import sys
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any

NAMES = sorted(path.stem for path in Path(__file__).parent.glob("[a-z]*.py"))


def environment() -> dict[str, Any]:
    """What the figures depend on: when, where, and who else was busy there."""
    packages = {name: version(name) for name in ("asyncpresign", "aiohttp", "anyio")}
    load = [round(one, 1) for one in os.getloadavg()] if hasattr(os, "getloadavg") else None
    machine = {"processor": processor(), "cores": os.cpu_count(), "load": load, "machine": platform.machine()}
    today = f"{datetime.now(UTC):%Y-%m-%d}"
    return {"date": today, "python": platform.python_version(), "system": platform.system(), **machine, **packages}


def processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        return platform.processor()
    return next((line.partition(": ")[2] for line in lines if line.startswith("model name")), platform.processor())


def run(arguments: list[str]) -> int:
    if not arguments or arguments[0] not in NAMES:
        print(f"usage: python -m benchmarks {{{','.join(NAMES)}}} [options]", file=sys.stderr)
        return 2
    figures = importlib.import_module(f"benchmarks.{arguments[0]}").main(arguments[1:])
    print(json.dumps({"benchmark": arguments[0], **figures, "environment": environment()}, indent=2))
    return 0


if __name__ == "__main__":
    sys.exit(run(sys.argv[1:]))
