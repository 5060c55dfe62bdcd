"""The benchmarks run: a small round of each, so that none can rot. Nothing here looks at a time."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.integration

ROOT = Path(__file__).parent.parent


def bench(*arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-W", "error", "-m", "benchmarks", *arguments]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=50, check=False)


def test_stream_keeps_a_few_times_concurrency_alive_and_no_more() -> None:
    ended = bench("stream", "--items", "5000", "--concurrency", "16")
    assert ended.returncode == 0, ended.stderr
    figures = json.loads(ended.stdout)
    assert figures["done"] == figures["items"] == 5000
    assert 16 <= figures["most_items_alive"] <= 4 * 16
    assert figures["alive_at_the_end"] <= 1


def test_an_unknown_benchmark_is_named_among_those_there_are() -> None:
    ended = bench("nothing")
    assert ended.returncode == 2
    assert "stream" in ended.stderr
