"""The process between a test and its S3 server: it decides when the server ends, and leaves nothing behind.

It is run as a script by `asyncpresign.testing.server`, in a session of its own, so that a terminal's Ctrl-C reaches the
parent only. On stdin it gets one line, the job (JSON); on stdout it answers one line, `{"server_pid": ...}` when the
server is ready, or `{"failure": ..., "log": ...}`. From then on there is one ending for all causes: anything more on
stdin, or stdin's end (the parent left the context, died or was killed), or a signal, or the death of the server. The
server is stopped, then its folder is removed.

If this process itself is killed, Linux kills the server (`PR_SET_PDEATHSIG`) and the next start sweeps the folder: a
lock on a file in it, shared with the server, says whether anybody is still there.

Standard library only, nothing of the package: it runs with `python -I -S`.
https://man7.org/linux/man-pages/man2/PR_SET_PDEATHSIG.2const.html
"""

from __future__ import annotations

import contextlib
import ctypes
import glob
import json
import os
import queue
import select
import shutil
import signal
import socket
import stat
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from typing import IO, Any, TypeAlias

PREFIX = "asyncpresign-s3-"
LOCK, LEFTOVERS, LOG = "supervisor.lock", "supervisor.leftovers", "server.log"
STOP_SECONDS = 5.0
PROBE_PAUSE_SECONDS = 0.02

Job: TypeAlias = dict[str, Any]  # what `server._job` makes
Answer: TypeAlias = dict[str, Any]
Events: TypeAlias = "queue.SimpleQueue[str]"  # a put is safe in a signal handler, as `queue` promises for this class


def main() -> int:
    os.umask(0o077)
    events: Events = queue.SimpleQueue()
    for number in ending_signals():
        signal.signal(number, lambda got, _frame: events.put(f"it got {signal.Signals(got).name}"))
    parent = os.getppid()
    job: Job = json.loads(read_line(0))
    sweep(os.path.dirname(job["folder"]))
    try:
        with private_folder(job["folder"], job["leftovers"]) as lock:
            failure = supervise(job, events, lock, parent)
    except (OSError, subprocess.SubprocessError) as error:
        failure = {"failure": f"{type(error).__name__}: {error}", "log": ""}
    if failure:
        say(failure)
    return 1 if failure else 0


def ending_signals() -> Iterable[signal.Signals]:
    return (number for number in signal.Signals if number.name in {"SIGTERM", "SIGINT", "SIGHUP"})


# The two ends of the conversation with the parent.


def read_line(descriptor: int) -> bytes:
    line = b""
    while not line.endswith(b"\n") and (more := os.read(descriptor, 65536)):
        line += more
    return line


def say(answer: Answer) -> None:
    with contextlib.suppress(OSError):  # nobody listens any more
        os.write(1, json.dumps(answer).encode() + b"\n")


def wait_for_parent(pid: int) -> None:
    """Return when stdin has something to say or has ended, or when the parent is dead.

    The pipe alone would do if the parent never forked: a forked worker that outlives it holds a copy of the pipe.
    """
    if sys.platform == "win32":
        os.read(0, 1)
    else:
        select.select([0, *parent_descriptor(pid)], [], [])


def parent_descriptor(pid: int) -> list[int]:
    if sys.platform == "linux":
        with contextlib.suppress(OSError):  # it is dead already, or a sandbox does not know the call
            return [os.pidfd_open(pid)]
    return []


# The server.


def supervise(job: Job, events: Events, lock: int, parent: int) -> Answer | None:
    """Prepare and start the server, say so, and stop it at the first event after that; a failure to start is returned."""
    write_files(job)
    deadline = time.monotonic() + job["seconds"]
    log = os.path.join(job["folder"], LOG)
    with open(log, "wb") as log_file:
        options = run_options(job, lock, log_file)
        for argv in job["prepare"]:
            if status := subprocess.run(argv, timeout=job["seconds"], check=False, **options).returncode:
                return {"failure": f"its preparation ended with status {status}", "log": tail(log)}
        server = subprocess.Popen(job["serve"], **options)
    server_watch = watch(server.wait, events, "it ended by itself")
    try:
        watch(lambda: wait_for_parent(parent), events, "its parent left")
        if why := wait_until_ready(job["probe"], events, deadline):
            return {"failure": why, "log": tail(log)}
        say({"server_pid": server.pid})
        events.get()
        return None
    finally:
        stop(server, server_watch)


def write_files(job: Job) -> None:
    for name in job["directories"]:
        os.mkdir(os.path.join(job["folder"], name))
    for name, text in job["files"].items():
        with open(os.path.join(job["folder"], name), "x", encoding="utf-8") as file:
            file.write(text)


def run_options(job: Job, lock: int, log_file: IO[bytes]) -> dict[str, Any]:
    options: dict[str, Any] = {
        "cwd": job["folder"],
        "env": job["environment"],
        "stdin": subprocess.DEVNULL,
        "stdout": log_file,
        "stderr": subprocess.STDOUT,
    }
    if sys.platform != "win32":
        options["pass_fds"] = (lock,)
    if sys.platform == "linux":
        options["preexec_fn"] = dies_with(os.getpid())
    return options


def dies_with(parent: int) -> Callable[[], None]:
    """What a child runs before its program: Linux shall kill it as soon as `parent` is dead (and it may be already)."""
    prctl = ctypes.CDLL(None).prctl
    pr_set_pdeathsig, sigkill = 1, 9

    def before_exec() -> None:
        prctl(pr_set_pdeathsig, sigkill)
        if os.getppid() != parent:
            os._exit(1)

    return before_exec


def watch(wait: Callable[[], object], events: Events, event: str) -> threading.Thread:
    """A thread that turns the return of `wait` into an event. Threads, since Windows cannot select on pipes."""

    def run() -> None:
        wait()
        events.put(event)

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    return thread


def wait_until_ready(probe: Job, events: Events, deadline: float) -> str:
    """Empty as soon as the probe is answered as it should be; else why it will not be. An event cuts the pause short."""
    while not is_answered(**probe):
        try:
            return events.get(timeout=PROBE_PAUSE_SECONDS)
        except queue.Empty:
            if time.monotonic() > deadline:
                return "it was not ready in time"
    return ""


def is_answered(host: str, port: int, path: str, answer: str) -> bool:
    """One HTTP exchange by hand: `http.client` would take longer to import than a server takes to start."""
    try:
        with socket.create_connection((host, port), timeout=1.0) as connection:
            connection.sendall(f"GET {path} HTTP/1.0\r\nHost: {host}:{port}\r\n\r\n".encode())
            received = b"".join(iter(lambda: connection.recv(65536), b""))
    except OSError:
        return False
    return answer.encode() in received


def stop(server: subprocess.Popen[Any], server_watch: threading.Thread) -> None:
    server.terminate()
    server_watch.join(STOP_SECONDS)
    if server_watch.is_alive():
        server.kill()
        server_watch.join()


def tail(path: str, lines: int = 20) -> str:
    with open(path, encoding="utf-8", errors="replace") as file:
        return "".join(file.readlines()[-lines:])[-4000:]


# Folders, this one's and those that nobody looks after any more.


@contextlib.contextmanager
def private_folder(folder: str, leftovers: Iterable[str]) -> Iterator[int]:
    """Make `folder`, hold its lock, and clear all away at the end."""
    os.mkdir(folder, 0o700)
    lock = take_lock(folder)
    if lock is None:
        raise BlockingIOError(f"{folder} is being swept")
    try:
        with open(os.path.join(folder, LEFTOVERS), "x", encoding="utf-8") as file:
            file.write("\n".join(leftovers))
        yield lock
    finally:
        clear(folder, lock)


def take_lock(folder: str) -> int | None:
    """A descriptor of the lock file, or None if a living process has it; the lock ends with the last holder of the file."""
    path = os.path.join(folder, LOCK)
    if sys.platform == "win32":  # a file that is open cannot be removed there, and that is lock enough
        try:
            with contextlib.suppress(FileNotFoundError):
                os.remove(path)
        except OSError:
            return None
        return os.open(path, os.O_RDWR | os.O_CREAT)
    import fcntl

    lock = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        os.close(lock)
        return None
    return lock


def clear(folder: str, lock: int) -> None:
    """Remove what the server left, then `folder`; the lock is let go last, except on Windows, which keeps open files."""
    with contextlib.suppress(OSError), open(os.path.join(folder, LEFTOVERS), encoding="utf-8") as file:
        remove_dead_sockets(file.read().split("\n"))
    if sys.platform == "win32":
        os.close(lock)
        shutil.rmtree(folder, ignore_errors=True)
    else:
        shutil.rmtree(folder, ignore_errors=True)
        os.close(lock)


def sweep(temp_dir: str) -> None:
    """Clear the folders in `temp_dir` whose supervisor and server are both gone; best effort, as others may sweep too.

    A folder whose supervisor has not come as far as its lock is swept as well: that start fails, and is tried again.
    """
    for folder in glob.glob(os.path.join(glob.escape(temp_dir), PREFIX + "*")):
        with contextlib.suppress(OSError):
            if is_own_folder(folder) and (lock := take_lock(folder)) is not None:
                clear(folder, lock)


def is_own_folder(folder: str) -> bool:
    """Only what this user made may say what is to be removed."""
    status = os.lstat(folder)
    return stat.S_ISDIR(status.st_mode) and (sys.platform == "win32" or status.st_uid == os.getuid())


def remove_dead_sockets(patterns: Iterable[str]) -> None:
    for path in (path for pattern in patterns for path in glob.glob(pattern)):
        with contextlib.suppress(OSError):
            if is_dead_socket(path):
                os.unlink(path)


def is_dead_socket(path: str) -> bool:
    """Whether nobody listens: since a stale folder was left, another server may have taken its port and name."""
    if sys.platform == "win32" or not stat.S_ISSOCK(os.lstat(path).st_mode):
        return False
    with socket.socket(socket.AF_UNIX) as connection:
        try:
            connection.connect(path)
        except ConnectionRefusedError:
            return True
    return False


if __name__ == "__main__":
    sys.exit(main())
