"""What the transfer tells a signer: that its clock is off, or that its credentials are dead. Once a cause, for all items."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Mapping
from contextlib import suppress
from datetime import timedelta
from typing import TypeVar

import anyio

from ..errors import PresignError, TransferError
from ..signers.base import Adjustable, Signer
from .crew import is_being_cancelled
from .decide import Action

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


class Adjustments:
    """Those made so far: `made` counts them by action, and is a new mapping after each."""

    def __init__(self, signer: Signer | None) -> None:
        self._signer = signer if isinstance(signer, Adjustable) else None
        self._lock = anyio.Lock()
        self.possible: bool = self._signer is not None
        self.made: Mapping[Action, int] = {}
        self.clock_offset: timedelta = timedelta()

    async def make(self, action: Action, known: Mapping[Action, int], offset: timedelta | None) -> None:
        """Take `action`, unless that was done since `known` was all there was, when what has failed was signed."""
        assert self._signer is not None, "only what is possible is allowed"
        async with self._lock:
            if self.made.get(action) != known.get(action):
                return
            # Should it fail, signing says why, and to every item.
            with suppress(PresignError):
                if action is Action.CORRECT_CLOCK and offset is not None:
                    await by_signer(self._signer.adjust(clock_offset=offset))
                    self.clock_offset = offset
                else:
                    await by_signer(self._signer.adjust(refresh_credentials=True))
            self.made = {**self.made, action: self.made.get(action, 0) + 1}
