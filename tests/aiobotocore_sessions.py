"""Sessions of aiobotocore that read botocore's models from the disk once, not once a client (0.3 s)."""

from __future__ import annotations

from aiobotocore.session import AioSession, get_session
from botocore.loaders import create_loader

LOADER = create_loader()


def new_session() -> AioSession:
    session = get_session()
    session.register_component("data_loader", LOADER)
    return session
