"""A Ceph RGW of one's own on loopback: `with local_rgw() as s3`, where Debian's packages radosgw, ceph-mon and ceph-osd are.

One monitor and one OSD, whose objects are in memory, are what the smallest RGW needs. All of it lives in a temporary folder,
and every process is ended when the block is left.
https://docs.ceph.com/en/latest/radosgw/
"""

from __future__ import annotations

import contextlib
import secrets
import shutil
import socket
import subprocess
import time
import uuid
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.client import HTTPConnection
from pathlib import Path
from tempfile import TemporaryDirectory

from asyncpresign import Credentials

BINARIES = ("radosgw", "radosgw-admin", "ceph", "ceph-mon", "ceph-osd", "ceph-authtool", "monmaptool")
REGION = "default"
SECONDS = 60
CONFIGURATION = """\
[global]
fsid = {fsid}
mon host = v2:127.0.0.1:{mon_port}/0
public addr = 127.0.0.1
cluster addr = 127.0.0.1
ms bind msgr1 = false
auth allow insecure global id reclaim = true
osd pool default size = 1
osd pool default min size = 1
mon allow pool size one = true
osd pool default pg num = 1
osd pool default pgp num = 1
osd pool default pg autoscale mode = off
osd crush chooseleaf type = 0
osd objectstore = memstore
memstore device bytes = 1073741824
mon data avail crit = 1
mon data = {folder}/mon
osd data = {folder}/osd
rgw data = {folder}
run dir = {folder}/run
admin socket = {folder}/run/$name.asok
pid file = {folder}/run/$name.pid
log file = {folder}/$name.log
crash dir = {folder}
keyring = {folder}/keyring
rgw frontends = beast endpoint=127.0.0.1:{port}
"""


@dataclass(frozen=True)
class LocalRGW:
    """A running server, which has one user."""

    port: int
    credentials: Credentials = field(repr=False)
    server: str = "ceph"
    region: str = REGION

    @property
    def endpoint_url(self) -> str:
        return f"http://127.0.0.1:{self.port}"


def is_installed() -> bool:
    return all(map(shutil.which, BINARIES))


@contextlib.contextmanager
def local_rgw(*more_ids: str) -> Iterator[LocalRGW]:
    """Start a server; its user has a random key, and one of the same secret for each of `more_ids`."""
    with TemporaryDirectory(prefix="rgw-") as name, contextlib.ExitStack() as stack:
        folder = Path(name)
        for part in ("mon", "osd", "run"):
            (folder / part).mkdir()
        mon_port, port = _free_port(), _free_port()
        fsid, osd, configuration = str(uuid.uuid4()), str(uuid.uuid4()), str(folder / "ceph.conf")
        text = CONFIGURATION.format(fsid=fsid, folder=folder, mon_port=mon_port, port=port)
        (folder / "ceph.conf").write_text(text, encoding="utf-8")

        def run(*command: str) -> str:
            done = subprocess.run(command, check=True, capture_output=True, text=True, timeout=SECONDS)
            return done.stdout

        def keep(*command: str) -> None:
            process = subprocess.Popen(
                [*command, "-c", configuration, "-f"], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
            )
            stack.callback(_end, process)

        keyring, monmap = str(folder / "keyring"), str(folder / "monmap")
        run("ceph-authtool", "--create-keyring", keyring, "--gen-key", "-n", "mon.", "--cap", "mon", "allow *")
        caps = [word for kind in ("mon", "osd", "mgr") for word in ("--cap", kind, "allow *")]
        run("ceph-authtool", keyring, "--gen-key", "-n", "client.admin", *caps)
        run("monmaptool", "--create", "--fsid", fsid, "--addv", "a", f"[v2:127.0.0.1:{mon_port}]", monmap)
        run("ceph-mon", "-c", configuration, "-i", "a", "--mkfs", "--monmap", monmap, "--keyring", keyring)
        keep("ceph-mon", "-i", "a")
        run("ceph", "-c", configuration, "osd", "new", osd)
        granted = run(
            "ceph", "-c", configuration, "auth", "get-or-create", "osd.0", "mon", "allow profile osd", "osd", "allow *"
        )
        with (folder / "keyring").open("a", encoding="utf-8") as file:
            file.write(granted)
        run("ceph-osd", "-c", configuration, "-i", "0", "--mkfs", "--osd-uuid", osd)
        keep("ceph-osd", "-i", "0")
        credentials = Credentials(secrets.token_hex(10), secrets.token_hex(20))
        admin = ("radosgw-admin", "-c", configuration)
        secret = f"--secret-key={credentials.secret_access_key}"
        run(*admin, "user", "create", "--uid=u", "--display-name=u", f"--access-key={credentials.access_key_id}", secret)
        for one in more_ids:
            run(*admin, "key", "create", "--uid=u", "--key-type=s3", f"--access-key={one}", secret)
        keep("radosgw", "-n", "client.admin")
        _wait(port)
        yield LocalRGW(port, credentials)


def _free_port() -> int:
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        port: int = one.getsockname()[1]
        return port


def _wait(port: int) -> None:
    deadline = time.monotonic() + SECONDS
    while True:
        connection = HTTPConnection("127.0.0.1", port, timeout=5)
        try:
            connection.request("GET", "/")
            if connection.getresponse().status == 200:
                return
        except OSError:
            pass
        finally:
            connection.close()
        if time.monotonic() > deadline:
            raise TimeoutError("radosgw was not ready in time")
        time.sleep(0.2)


def _end(process: subprocess.Popen[bytes]) -> None:
    process.terminate()
    try:
        process.wait(10)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
