"""`python -m benchmarks NAME [options]`: a benchmark is a module of this folder with `main(arguments) -> dict`."""

from __future__ import annotations

import importlib
import json
import platform
import sys
from importlib.metadata import version
from pathlib import Path

NAMES = sorted(path.stem for path in Path(__file__).parent.glob("[a-z]*.py"))


def environment() -> dict[str, str]:
    """What the figures depend on."""
    packages = {name: version(name) for name in ("aiohttp", "anyio")}
    return {"python": platform.python_version(), "machine": platform.machine(), "system": platform.system(), **packages}


def run(arguments: list[str]) -> int:
    if not arguments or arguments[0] not in NAMES:
        print(f"usage: python -m benchmarks {{{','.join(NAMES)}}} [options]", file=sys.stderr)
        return 2
    figures = importlib.import_module(f"benchmarks.{arguments[0]}").main(arguments[1:])
    print(json.dumps({"benchmark": arguments[0], **figures, "environment": environment()}, indent=2))
    return 0


if __name__ == "__main__":
    sys.exit(run(sys.argv[1:]))
