"""The command line as a user meets it: a process, its two streams, its exit code, and what it leaves behind."""

from __future__ import annotations

import json
import os
import re
import signal
import socket
import subprocess
import sys
from pathlib import Path

import click
import pytest

from asyncpresign.cli.console import parse_size, show_size

from .faults import FAULTS

SCRIPT = [sys.executable, "-W", "error", "-c", "import sys; from asyncpresign.cli.main import main; sys.exit(main())"]


def run(*arguments: str, script: list[str] = SCRIPT) -> subprocess.CompletedProcess[str]:
    return subprocess.run([*script, *arguments], capture_output=True, text=True, timeout=50, check=False)


@pytest.mark.parametrize(("text", "size"), [("512", 512), ("4KiB", 4096), ("1.5MB", 1_500_000), ("2 gib", 2**31), ("0", 0)])
def test_sizes_are_read_as_people_write_them(text: str, size: int) -> None:
    assert parse_size(text) == size


@pytest.mark.parametrize("text", ["", "x", "4 KiX", "-1", "1e3", "4KiB4"])
def test_other_texts_are_no_size(text: str) -> None:
    with pytest.raises(click.BadParameter, match="is not a size"):
        parse_size(text)


@pytest.mark.parametrize(
    ("size", "text"), [(0, "0 B"), (999, "999 B"), (4096, "4 KiB"), (2**20, "1 MiB"), (2**41, "2.05e+03 GiB")]
)
def test_sizes_are_shown_short(size: int, text: str) -> None:
    assert show_size(size) == text


@pytest.mark.integration
def test_demo_proves_every_byte_and_prints_figures() -> None:
    ended = run("demo", "--objects", "30", "--size", "5KiB", "--concurrency", "4", "--json")
    assert ended.returncode == 0, ended.stderr
    figures = json.loads(ended.stdout)
    assert figures["equal"] == figures["uploaded"]["objects"] == figures["downloaded"]["objects"] == figures["objects"] == 30
    assert figures["uploaded"]["size"] == figures["downloaded"]["size"] == 30 * 5120
    assert figures["refused"].keys() == {"tampered", "expired"}
    assert all("HTTP 403" in answer for answer in figures["refused"].values())
    assert figures["peak_memory"] < 150 * 2**20


@pytest.mark.integration
def test_demo_without_a_terminal_prints_plain_lines() -> None:
    ended = run("demo", "--objects", "3", "--size", "0")
    assert ended.returncode == 0, ended.stderr
    assert "\x1b" not in ended.stdout
    assert "Proven: 3 of 3 files came back byte for byte." in ended.stdout
    assert "Refused: a URL that was tampered: SignatureMismatch" in ended.stdout
    assert "Refused: a URL that was expired: URLExpired" in ended.stdout
    assert "curl --fail-with-body" in ended.stdout
    assert '<form action="http://127.0.0.1' in ended.stdout


@pytest.mark.integration
@pytest.mark.skipif(sys.platform == "win32", reason="needs a pseudo-terminal")
def test_demo_on_a_terminal_shows_a_bar() -> None:
    ours, theirs = os.openpty()
    with os.fdopen(ours, "rb", buffering=0) as terminal:
        process = subprocess.Popen(
            [*SCRIPT, "demo", "--objects", "300"], stdout=theirs, stderr=theirs, env={**os.environ, "TERM": "xterm"}
        )
        os.close(theirs)
        shown = b""
        while chunk := _read(terminal):
            shown += chunk
        assert process.wait(timeout=30) == 0
    text = shown.decode()
    assert "\x1b[" in text
    assert re.search(r"Upload .*\d+/300 objects", text)
    assert "Proven: 300 of 300" in text


def _read(terminal: object) -> bytes:
    try:
        return terminal.read(65536)  # type: ignore[attr-defined]
    except OSError:  # how Linux says that the other end has closed
        return b""


@pytest.mark.integration
@pytest.mark.skipif(sys.platform == "win32", reason="needs POSIX signals")
@pytest.mark.parametrize("moment", ["Starting", "Uploading", "Downloading", "HTML form"])
def test_ctrl_c_at_any_moment_leaves_nothing(moment: str, tmp_path: Path) -> None:
    assert FAULTS["Ctrl-C"].attempts == 0
    command = [*SCRIPT, "demo", "--objects", "600", "--size", "1KiB", "--keep"]
    if moment == "HTML form":
        command[command.index("600")] = "3"
    environment = {**os.environ, "TMPDIR": str(tmp_path)}
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment)
    assert process.stdout is not None
    seen = ""
    for line in process.stdout:
        seen += line
        if moment in line:
            break
    process.send_signal(signal.SIGINT)
    rest, errors = process.communicate(timeout=30)
    assert process.returncode == 130, errors
    assert errors.strip() == "Stopped; everything is cleaned up."
    if endpoint := re.search(r"http://127\.0\.0\.1:(\d+)", seen + rest):
        assert not _listens(int(endpoint[1]))
    assert list(tmp_path.iterdir()) == []


def _listens(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["demo", "--size", "huge"], "is not a size"),
        (["demo", "--objects", "0"], "is not in the range"),
        (["demo", "--bogus"], "No such option"),
        (["nothing"], "No such command"),
    ],
)
def test_a_wrong_call_says_so_and_exits_with_2(arguments: list[str], said: str) -> None:
    ended = run(*arguments)
    assert ended.returncode == 2
    assert said in ended.stderr
    assert "Traceback" not in ended.stderr


def test_version_is_the_packages() -> None:
    import asyncpresign

    assert asyncpresign.__version__ in run("--version").stdout


@pytest.mark.parametrize("missing", ["click", "rich"])
def test_without_the_extra_one_line_says_what_to_install(missing: str) -> None:
    script = [
        *SCRIPT[:-1],
        f"import sys; sys.modules[{missing!r}] = None; from asyncpresign.cli.main import main; sys.exit(main())",
    ]
    ended = run("demo", script=script)
    assert ended.returncode == 1
    assert "python -m pip install 'asyncpresign[demo]'" in ended.stderr
    assert "Traceback" not in ended.stderr
