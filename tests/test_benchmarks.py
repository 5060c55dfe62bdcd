"""The benchmarks run: a small round of each, so that none can rot. Nothing here looks at a time."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from xml.etree import ElementTree

import pytest

from asyncpresign._s3._operations_table import NAMES
from benchmarks._environments import own
from benchmarks.scaling import READERS

pytestmark = pytest.mark.integration

ROOT = Path(__file__).parent.parent


def bench(*arguments: str, seconds: float = 50) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-W", "error", "-m", "benchmarks", *arguments]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=seconds, check=False)


def test_stream_keeps_a_few_times_concurrency_alive_and_no_more() -> None:
    ended = bench("stream", "--items", "5000", "--concurrency", "16")
    assert ended.returncode == 0, ended.stderr
    figures = json.loads(ended.stdout)
    assert figures["done"] == figures["items"] == 5000
    assert 16 <= figures["most_items_alive"] <= 4 * 16
    assert figures["alive_at_the_end"] <= 1


def test_scaling_tries_every_reader() -> None:
    ended = bench("scaling", "--least", "256", "--doublings", "1")
    assert ended.returncode == 0, ended.stderr
    figures = json.loads(ended.stdout)
    assert figures["characters"] == [256, 512]
    assert {name.partition(",")[0] for name in figures["readers"]} == set(READERS)


@pytest.mark.timeout(180)
def test_sign_measures_every_row_that_has_its_peer_here_and_names_the_absent(tmp_path: Path) -> None:
    ended = bench("sign", "--quick", "--svg", str(tmp_path / "plot.svg"), "--page", str(tmp_path / "page.md"), seconds=150)
    assert ended.returncode == 0, ended.stderr
    figures = json.loads(ended.stdout)
    assert set(figures["versions"]) == {"asyncpresign", "aiobotocore", "botocore", "fast-s3-url", "obstore"}
    assert figures["absent"] == [name for name, version in figures["versions"].items() if version is None]
    measured = [row for row in figures["rows"] if row["against"] not in figures["absent"]]
    assert len(measured) >= 8
    assert all(row["ratio"] > 0 and row["ours"] > 0 for row in measured)
    operations = figures["operations"]
    assert {*operations["ratios"], *operations["refused"]} == set(NAMES)
    assert len(operations["refused"]) <= 5, operations["refused"]
    assert all(cost > 0 for costs in figures["growth_cpu_microseconds"].values() for cost in costs.values())
    assert figures["event_loop"]["worst_ms"] > 0
    assert "| aiobotocore |" in ended.stderr
    assert "| aiobotocore |" in (tmp_path / "page.md").read_text(encoding="utf-8")
    plot = ElementTree.parse(tmp_path / "plot.svg").getroot()
    assert "asyncpresign" in [text.text for text in plot.iter("{http://www.w3.org/2000/svg}text")]


def test_a_peer_that_could_be_newer_fails_the_bench(tmp_path: Path) -> None:
    """pip is what says so; it is asked here for its answer to a release that is not the newest."""
    report = {"install": [{"metadata": {"name": "Fast_S3-url", "version": "9.9"}}]}
    folder = tmp_path / "fast-s3-url" / "bin"
    folder.mkdir(parents=True)
    (folder / "python").write_text(f"#!/bin/sh\ncase $1 in -c) echo 0.1;; *) echo '{json.dumps(report)}';; esac\n")
    (folder / "python").chmod(0o755)
    with pytest.raises(SystemExit, match=r"fast-s3-url 0\.1 is in .*, and 9\.9 installs"):
        own("fast-s3-url", tmp_path, upgrade=False)


def test_a_journal_costs_little_memory_and_skips_what_is_done() -> None:
    ended = bench("journal", "--items", "5000")
    assert ended.returncode == 0, ended.stderr
    figures = json.loads(ended.stdout)
    assert figures["done"] == figures["skipped_again"] == figures["items"] == 5000
    assert figures["peak_memory_bytes"] < 200_000_000
    assert 40 < figures["journal_bytes_per_item"] < 100


ZERO = ("lost", "torn", "left_over", "moved_twice", "failed")


@pytest.mark.timeout(300)
def test_a_job_that_is_killed_at_twenty_moments_loses_nothing_and_does_nothing_twice() -> None:
    """The server in the relay's own process: what is looked at is the journal."""
    command = ("soak", "--server", "none", "--only", "down", "--objects", "3000", "--kills", "20", "--concurrency", "16")
    ended = bench(*command, "--faults", "0", seconds=290)
    assert ended.returncode == 0, ended.stderr
    figures = json.loads(ended.stdout)
    assert (figures["objects"], figures["killed"]) == (3000, 20), ended.stderr
    assert {name: figures[name] for name in ZERO} == dict.fromkeys(ZERO, 0), (ended.stderr, ended.stdout)
    down = figures["down"]
    assert down["last_run"]["done"] + down["last_run"]["skipped"] == 3000
    assert down["last_run"]["skipped"] == down["kills"][-1]["done_by_then"] > 100


@pytest.mark.timeout(300)
def test_a_soak_on_a_real_server() -> None:
    ended = bench("soak", "--objects", "2500", seconds=290)
    assert ended.returncode == 0, ended.stderr
    figures = json.loads(ended.stdout)
    assert (figures["server"], figures["objects"], figures["killed"]) == ("juicefs", 2500, 3), ended.stderr
    assert {name: figures[name] for name in ZERO} == dict.fromkeys(ZERO, 0), (ended.stderr, ended.stdout)
    assert sum(figures["injected_faults"].values()) > 10
    for direction in ("up", "down"):
        memory = figures[direction]["memory_bytes"]
        assert memory["most"] < 150_000_000


def test_an_unknown_benchmark_is_named_among_those_there_are() -> None:
    ended = bench("nothing")
    assert ended.returncode == 2
    assert "stream" in ended.stderr


@pytest.mark.timeout(180)
def test_a_large_object_goes_up_and_comes_down_over_faults_within_little_memory() -> None:
    ended = bench("large", "--size", "72MiB", seconds=170)
    assert ended.returncode == 0, ended.stderr
    figures = json.loads(ended.stdout)
    assert figures["peak_memory_bytes"] < 150_000_000
    for row in figures["servers"]:
        assert (row["equal"], row["left_over"], row["uploads_left_open"]) == (True, [], 0)
        assert row["expired_urls"] == ["upload_part", "get_object"]
        assert row["proxy"]["faults"] == {f"{fault} {what}": 1 for what in ("part", "range") for fault in ("refuse", "cut")}
        # One retry each for what the proxy spoilt, and for the URL that had expired.
        assert [(row[way]["attempts"], row[way]["verified_by"]) for way in ("up", "down")] == [(4, "md5 of parts")] * 2
