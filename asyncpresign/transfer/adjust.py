"""What the transfer asks a signer for: signatures, and, once for all items, fresh credentials when its own are dead."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable
from contextlib import suppress
from typing import TypeVar

import anyio

from ..errors import PresignError, TransferError
from ..signers.base import Adjustable, Signer
from .crew import is_being_cancelled

_Result = TypeVar("_Result")


async def by_signer(signing: Awaitable[_Result]) -> _Result:
    """What the signer made. A signer may be anybody's: what it raises fails this item and no other."""
    try:
        return await signing
    except PresignError:
        raise
    except asyncio.CancelledError as error:
        if is_being_cancelled():
            raise
        raise TransferError("the signer raised CancelledError, although nothing was cancelled") from error
    except Exception as error:
        raise TransferError(f"the signer raised {type(error).__name__}") from error


class Refreshes:
    """The refreshes of the signer's credentials; `made` counts them."""

    def __init__(self, signer: Signer | None) -> None:
        self._signer = signer if isinstance(signer, Adjustable) else None
        self._lock = anyio.Lock()
        self.possible: bool = self._signer is not None
        self.made: int = 0

    async def make(self, known: int) -> None:
        """Ask for fresh credentials, unless that was done since `known` refreshes, when what has failed was signed."""
        assert self._signer is not None, "only what is possible is allowed"
        async with self._lock:
            if self.made != known:
                return
            # Should it fail, signing says why, and to every item.
            with suppress(PresignError):
                await by_signer(self._signer.adjust(refresh_credentials=True))
            self.made += 1
