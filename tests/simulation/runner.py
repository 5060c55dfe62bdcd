"""Runs seeds: one at a time, with what was found, or many with a table of what was reached."""

from __future__ import annotations

import gc
import os
import random
import sys
import time
import traceback
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from .server import FAULTS, FITTING, OPERATIONS
from .workloads import WORKLOADS
from .world import Seen, World, deterministic


@dataclass(slots=True)
class Outcome:
    """What became of one seed."""

    seed: int
    workload: str
    violations: list[str]
    items: int
    faults: int
    turns: int
    seen: Seen
    trace: list[str] = field(default_factory=list)
    faults_met: list[str] = field(default_factory=list)
    drawn: int = 0


def workload_of(seed: int, only: str | None = None) -> str:
    return only or random.Random(f"{seed} workload").choice(sorted(WORKLOADS))


def run_seed(
    seed: int,
    only: str | None = None,
    *,
    trace: bool = False,
    muted: frozenset[int] = frozenset(),
    dropped: frozenset[int] = frozenset(),
) -> Outcome:
    """One seed; the same arguments give the same outcome on every machine."""
    name = workload_of(seed, only)
    with deterministic(), quiet():
        before = _descriptors()
        world = World(f"{seed} {name}", trace=trace, muted=muted, dropped=dropped)
        try:
            WORKLOADS[name](world, random.Random(f"{seed} {name} plan"))
        except Exception:  # noqa: BLE001 (whatever escapes is found)
            world.violate(f"raised out of it: {traceback.format_exc(limit=-8)}")
        outcome = Outcome(
            seed,
            name,
            world.violations,
            world.items,
            len(world.faults_met),
            world.turns,
            world.seen,
            world.trace or [],
            world.faults_met,
            world.faults_drawn,
        )
        world.database.close()
        del world
        gc.collect()
        if _descriptors() != before:
            outcome.violations.append("descriptors are left open")
    return outcome


def _descriptors() -> int:
    return len(os.listdir("/proc/self/fd")) if os.path.isdir("/proc/self/fd") else 0


@contextmanager
def quiet() -> Iterator[None]:
    """What is said of coroutines that a crash ended is of no use."""
    before = sys.unraisablehook
    sys.unraisablehook = lambda _: None
    try:
        yield
    finally:
        sys.unraisablehook = before


# --- less -------------------------------------------------------------------------------------------------------------

MOST_TRIES = 100


def shrink(seed: int, only: str | None = None) -> tuple[Outcome, Outcome]:
    """The failing seed, and what is left of it when all items and faults are gone that it fails without."""
    first = run_seed(seed, only, trace=True)
    kinds = {_kind(first.violations[0])} if first.violations else set()
    tries = 0
    kept: dict[str, list[int]] = {"dropped": list(range(1, first.items + 1)), "muted": list(range(1, first.drawn + 1))}
    everything = {name: list(numbers) for name, numbers in kept.items()}

    def fails(candidate: dict[str, list[int]]) -> Outcome | None:
        nonlocal tries
        tries += 1
        left_out = {name: frozenset(everything[name]) - frozenset(candidate[name]) for name in everything}
        outcome = run_seed(seed, only, trace=True, **left_out)
        return outcome if kinds & {_kind(each) for each in outcome.violations} else None

    best = first
    for name in ("dropped", "muted", "dropped"):
        size = max(1, len(kept[name]) // 2)
        while size and tries < MOST_TRIES:
            at = 0
            while at < len(kept[name]) and tries < MOST_TRIES:
                candidate = {**kept, name: kept[name][:at] + kept[name][at + size :]}
                found = fails(candidate)
                if found is not None:
                    best, kept = found, candidate
                else:
                    at += size
            size //= 2
    return first, best


def _kind(violation: str) -> str:
    """What went wrong, whatever it went wrong with."""
    return " ".join(word for word in violation.split() if not any(letter.isdigit() for letter in word))[:60]


# --- many -----------------------------------------------------------------------------------------------------------------


def run_many(seeds: Iterable[int], only: str | None = None, *, stop: bool = False) -> dict[str, Any]:
    """Figures of all `seeds`, what failed, and, as `seen`, what they met."""
    seen = Seen()
    failed: list[dict[str, Any]] = []
    items, faults = [], []
    gc.collect()
    gc.freeze()
    started, cpu = time.perf_counter(), time.process_time()
    try:
        for seed in seeds:
            outcome = run_seed(seed, only)
            items.append(outcome.items)
            faults.append(outcome.faults)
            for name in ("faults", "requests", "outcomes", "moments"):
                getattr(seen, name).update(getattr(outcome.seen, name))
            if outcome.violations:
                failed.append({"seed": seed, "workload": outcome.workload, "violations": outcome.violations[:5]})
                if stop:
                    failed[-1]["shrunk"] = _shrunk(seed, only)
                    break
    finally:
        gc.unfreeze()
    cpu, wall = time.process_time() - cpu, time.perf_counter() - started
    return {
        "seeds": len(items),
        "seeds_per_second": round(len(items) / wall, 1),
        "cpu_seconds": round(cpu, 1),
        "items": _distribution(items),
        "faults": _distribution(faults),
        "outcomes": dict(seen.outcomes.most_common()),
        "failed": failed,
        "seen": seen,
    }


def _shrunk(seed: int, only: str | None) -> dict[str, Any]:
    before, after = shrink(seed, only)
    return {
        "lines": [len(before.trace), len(after.trace)],
        "items": [before.items, after.items],
        "faults": [before.faults, after.faults],
        "violations": after.violations[:3],
        "trace": [line[:200] for line in after.trace[-60:]],
    }


def _distribution(values: list[int]) -> dict[str, int]:
    ordered = sorted(values)
    places = {"least": 0.0, "10 %": 0.1, "median": 0.5, "90 %": 0.9, "most": 1.0}
    return {name: ordered[min(int(place * len(ordered)), len(ordered) - 1)] for name, place in places.items()}


def coverage_table(seen: Seen) -> str:
    """Which fault met which kind of request, and how often; what was never reached is named."""
    rows = sorted({name for name, _ in seen.faults} | set(FAULTS))
    columns = [*OPERATIONS, *sorted({where for _, where in seen.faults} - set(OPERATIONS))]
    width = max(map(len, rows))
    lines = [" " * width + "".join(f" {column[:8]:>8}" for column in columns)]
    never = []
    for row in rows:
        cells = []
        for column in columns:
            possible = row in FITTING.get(column, ()) or (row, column) in seen.faults
            count = seen.faults[row, column]
            cells.append(f" {count or '-' if possible else '':>8}")
            if possible and not count and seen.requests[column]:
                never.append(f"{row} / {column}")
        lines.append(f"{row:<{width}}" + "".join(cells))
    lines.append(f"{'requests':<{width}}" + "".join(f" {seen.requests[column] or '':>8}" for column in columns))
    lines += ["", *(f"{count:>8} {what}" for what, count in seen.moments.most_common())]
    lines += ["", "never reached: " + (", ".join(never) or "nothing")]
    lines += [f"no request of the kind {name}" for name in OPERATIONS if not seen.requests[name]]
    return "\n".join(lines)
