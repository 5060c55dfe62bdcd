"""pytest fixtures for a real S3 server, started once a session, for tests with and without an event loop.

Enable them in the top `conftest.py`: `pytest_plugins = ["asyncpresign.testing.pytest_plugin"]`. The server lives on a
loop in a thread of its own, so that no plugin for asyncio is needed and any may be used.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from anyio.from_thread import start_blocking_portal

from ..errors import UnsupportedRequest
from .server import LocalS3, ServerName, local_s3


@contextmanager
def running(server: ServerName) -> Iterator[LocalS3]:
    """`local_s3` for synchronous code."""
    with start_blocking_portal() as portal, portal.wrap_async_context_manager(local_s3(server)) as s3:
        yield s3


@pytest.fixture(scope="session", name="local_s3")
def local_s3_fixture() -> Iterator[LocalS3]:
    """A `LocalS3` by juicefs, shared by all tests of the session: make a bucket of your own. Needs the extra `demo`."""
    with running("juicefs") as s3:
        yield s3


@pytest.fixture(scope="session", name="local_s3_seaweedfs")
def local_s3_seaweedfs_fixture() -> Iterator[LocalS3]:
    """The same by seaweedfs, which checks what juicefs ignores (checksums, If-None-Match); skips where it is not installed."""
    try:
        with running("seaweedfs") as s3:
            yield s3
    except UnsupportedRequest as missing:
        pytest.skip(str(missing))
