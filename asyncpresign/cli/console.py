"""How commands talk: a progress bar on a terminal, plain lines elsewhere, sizes as people write them."""

from __future__ import annotations

import re
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import click
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn, TransferSpeedColumn

_UNITS = {"": 1, "b": 1, "kb": 10**3, "mb": 10**6, "gb": 10**9, "kib": 2**10, "mib": 2**20, "gib": 2**30}


def parse_size(text: str) -> int:
    """A number of bytes: 512, 4KiB, 1.5MB. Raises click's `BadParameter`."""
    found = re.fullmatch(r"(\d+(?:\.\d+)?)\s*([a-z]*)", text.strip().lower())
    if found is None or found[2] not in _UNITS:
        raise click.BadParameter(f"{text!r} is not a size such as 512, 4KiB or 1.5MB")
    return int(float(found[1]) * _UNITS[found[2]])


def show_size(size: float) -> str:
    """`size` bytes with a binary unit and at most three digits."""
    for unit in ("B", "KiB", "MiB"):
        if size < 1000:
            return f"{size:.3g} {unit}"
        size /= 1024
    return f"{size:.3g} GiB"


@contextmanager
def progress(label: str, items: int, size: int, *, to_stderr: bool) -> Iterator[Callable[[int], None]]:
    """Call what this yields with the bytes of every item that is done; `size` is what they are in all."""
    console = Console(stderr=to_stderr)
    if not console.is_terminal:
        yield lambda _: None
        return
    counted = TextColumn("{task.fields[items]}/{task.fields[of]} objects")
    columns = (TextColumn("{task.description}"), BarColumn(), counted, TransferSpeedColumn(), TimeRemainingColumn())
    with Progress(*columns, console=console, transient=True) as bar:
        # Bytes are the unit, so that speed and time are theirs; empty items count as a byte.
        task = bar.add_task(label, total=size or items, items=0, of=items)
        finished = 0

        def advance(done: int) -> None:
            nonlocal finished
            finished += 1
            bar.update(task, advance=done if size else 1, items=finished)

        yield advance


def say(line: str = "", *, to_stderr: bool = False) -> None:
    print(line, file=sys.stderr if to_stderr else sys.stdout, flush=True)
