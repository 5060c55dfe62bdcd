"""How fast signing is, as ratios to its peers: who signs the same, in a process and a virtual environment of its own.

In every round ours and theirs take turns, so that a busy machine slows both; a row's figure is the median of the rounds'
ratios, by the wall clock and by CPU time. A row misses what it should reach without failing the bench; an outdated peer
fails it. `--quick` runs everything once, small, with what the running environment has, so that nothing here can rot.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median
from typing import Any, Self

from asyncpresign._s3._operations_table import NAMES
from asyncpresign._s3.operations import Body, Parameter, lookup

from . import _chart, _contenders, _environments
from .__main__ import environment
from ._contenders import BUCKET, Task

OURS = "asyncpresign"
OBJECT = {"Bucket": BUCKET, "Key": "key"}
SINGLE = {"operation": "get_object", "params": OBJECT}
SAVED_AS = {**SINGLE, "saved_as": "ResponseContentDisposition"}
DISPOSITION = {"ResponseContentDisposition": 'attachment; filename="photo.jpg"'}


@dataclass(frozen=True)
class Row:
    """One thing that is measured: our task, the peer's, how many of each in a round, and the ratio to reach."""

    what: str
    peer: str
    at_least: float
    kind: str
    task: Task = field(default_factory=dict)
    peer_kind: str = ""
    count: int = 100_000
    peer_count: int = 2_000

    def tasks(self, scale: float) -> tuple[Task, Task]:
        ours = {**self.task, "kind": self.kind, "count": max(1, int(self.count * scale))}
        return ours, {**ours, "kind": self.peer_kind or self.kind, "count": max(1, int(self.peer_count * scale))}


ROWS = (
    Row("presign_urls, 100,000 keys", "aiobotocore", 110, "batch"),
    Row("presign_urls, 100,000 keys", "obstore", 4.5, "batch", peer_count=20_000),
    Row("presign_urls, 100,000 keys", "fast-s3-url", 1.7, "batch", peer_count=100_000),
    Row("presign_urls, 1 KB session token", "aiobotocore", 65, "batch", {"token": True}),
    Row("presign_urls, a third of the keys encoded", "aiobotocore", 55, "batch", {"third": True}),
    Row("presign_urls, ResponseContentDisposition", "aiobotocore", 90, "batch", {"params": DISPOSITION}),
    Row("presign, single", "botocore", 45, "single", SINGLE, count=20_000, peer_count=1_000),
    Row("presign, each with a file name of its own", "botocore", 20, "single", SAVED_AS, count=20_000, peer_count=1_000),
    Row("OfflineSigner.presign, single", "aiobotocore", 40, "awaited", SINGLE, count=20_000, peer_count=1_000),
    Row("presign_post, 4 fields and a length range", "botocore", 25, "form", count=20_000, peer_count=1_000),
)
OPERATIONS_REACH = 20
FRESH = (("first URL of a fresh process, wall time", "botocore", "wall", 5), ("peak memory of it", "aiobotocore", "peak", 3))
GROWTH = {"keys": [10**3, 10**4, 10**5, 10**6], "credentials": [1, 10, 100, 1000]}
# The loop's thread, CPU milliseconds between two callbacks while a million keys are signed.
LOOP_KEYS, LOOP_RUNS, LOOP_REACH = 1_000_000, 5, 5.0


class Refused(Exception):
    """A contender cannot do a task; the text is its own."""


class Contender:
    """The process of one contender; it ends with its input."""

    def __init__(self, name: str, python: Path) -> None:
        command = [str(python), str(Path(_contenders.__file__)), name]
        self._process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._process.communicate()

    def ask(self, task: Task) -> dict[str, Any]:
        """Seconds, `wall` and `cpu`, and the last `answer`. Raises `Refused`."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(json.dumps(task) + "\n")
        self._process.stdin.flush()
        line = self._process.stdout.readline()
        if not line:
            raise SystemExit(f"{self._process.args} ended at {task}")
        answer: dict[str, Any] = json.loads(line)
        if "refused" in answer:
            raise Refused(answer["refused"])
        return answer


@dataclass
class Race:
    """Who takes part, for how many rounds, at which share of the full counts."""

    contenders: Mapping[str, Contender]
    rounds: int
    scale: float

    def run(self, row: Row) -> dict[str, Any]:
        """The row's figures; without a ratio when its peer is absent."""
        told = {"what": row.what, "against": row.peer, "at_least": row.at_least}
        if row.peer not in self.contenders:
            return told
        ours, theirs = row.tasks(self.scale)
        rounds = [(self._once(OURS, ours), self._once(row.peer, theirs)) for _ in range(self.rounds)]
        return {**told, **compare(rounds)}

    def _once(self, name: str, task: Task) -> dict[str, float]:
        """Microseconds a signature."""
        answer = self.contenders[name].ask(task)
        return {clock: answer[clock] / task["count"] * 1e6 for clock in ("wall", "cpu")}

    def cost(self, task: Task) -> float:
        return self._once(OURS, task)["cpu"]


def compare(rounds: list[tuple[dict[str, float], dict[str, float]]]) -> dict[str, Any]:
    ratios = {clock: [theirs[clock] / ours[clock] for ours, theirs in rounds if ours[clock]] for clock in rounds[0][0]}
    first = next(iter(ratios))
    return {
        "ratio": round(median(ratios[first]), 2),
        "ratio_cpu": round(median(ratios["cpu"]), 2) if ratios.get("cpu") else None,
        "lowest": round(min(ratios[first]), 2),
        "highest": round(max(ratios[first]), 2),
        "ours": round(median(ours[first] for ours, _ in rounds), 2),
        "theirs": round(median(theirs[first] for _, theirs in rounds), 2),
        "rounds": len(rounds),
    }


# --- every operation --------------------------------------------------------------------------------------------------

VALUES = {
    "string": "value",
    "integer": 7,
    "boolean": True,
    "list": ["ETag"],
    "map": {"name": "value"},
    "copy-source": "my-bucket/key",
    "host-label": "route",
}


def typical(operation: str) -> Task:
    """The parameters that the operation requires, and a task's mark when botocore would insist on a body."""
    described = lookup(operation)
    required = [one for one in described.parameters.values() if one.required and one.place != "body"]
    params = {one.name: value_of(one) for one in required}
    return {"operation": operation, "params": params, "body": described.body is Body.REQUIRED}


def value_of(parameter: Parameter) -> Any:
    return OBJECT.get(parameter.name, VALUES[parameter.kind])


def operations(race: Race) -> dict[str, Any]:
    """The operation that comes off worst, the ratio of each, and those that somebody refuses to sign."""
    told: dict[str, Any] = {"at_least": OPERATIONS_REACH, "against": "botocore", "ratios": {}, "refused": {}}
    if "botocore" not in race.contenders:
        return told
    for operation in NAMES:
        row = Row(operation, "botocore", OPERATIONS_REACH, "single", typical(operation), count=3_000, peer_count=200)
        try:
            told["ratios"][operation] = race.run(row)["ratio"]
        except Refused as error:
            told["refused"][operation] = str(error)
    told["ratios"] = dict(sorted(told["ratios"].items(), key=lambda item: item[1]))
    worst, ratio = next(iter(told["ratios"].items()))
    return {**told, "worst": worst, "ratio": ratio}


# --- fresh processes --------------------------------------------------------------------------------------------------


def first(python: Path, name: str) -> dict[str, float]:
    """Milliseconds from the start of an interpreter to its end with one URL signed, and its peak memory in MiB."""
    started = time.perf_counter()
    # -P: what is installed, compiled as a user has it, and not the checkout that may be the current folder.
    ended = subprocess.run(
        [str(python), "-P", "-c", _contenders.FIRST[name] + _contenders.PEAK], capture_output=True, text=True, check=True
    )
    wall = time.perf_counter() - started
    return {"wall": wall * 1e3, "peak": int(ended.stdout.split()[0]) / 1024}


def fresh(pythons: Mapping[str, Path], rounds: int) -> list[dict[str, Any]]:
    told = []
    for what, peer, figure, at_least in FRESH:
        row: dict[str, Any] = {"what": what, "against": peer, "at_least": at_least}
        if peer in pythons:
            pairs = [(first(pythons[OURS], OURS), first(pythons[peer], peer)) for _ in range(rounds)]
            row |= compare([({figure: ours[figure]}, {figure: theirs[figure]}) for ours, theirs in pairs])
        told.append(row)
    return told


# --- ours alone -------------------------------------------------------------------------------------------------------


def growth(race: Race, python: Path) -> dict[str, dict[int, float]]:
    """CPU microseconds a URL, as the keys of a call or the credentials in turn become more.

    Each size has a process of its own, in which nothing is left of another.
    """
    tasks: dict[str, Callable[[int], Task]] = {
        "keys": lambda size: {"kind": "batch", "count": max(1, int(size * race.scale))},
        "credentials": lambda size: {
            "kind": "turns",
            "count": max(1, int(200_000 * race.scale)),
            "credentials": size,
            **SINGLE,
        },
    }
    found = {}
    for name, sizes in GROWTH.items():
        with ExitStack() as stack:
            alone = {size: stack.enter_context(Contender(OURS, python)) for size in sizes}
            races = {size: Race({OURS: contender}, 1, race.scale) for size, contender in alone.items()}
            rounds = [[races[size].cost(tasks[name](size)) for size in sizes] for _ in range(race.rounds)]
        found[name] = {size: round(median(column), 2) for size, column in zip(sizes, zip(*rounds, strict=True), strict=True)}
    return found


def loop(race: Race) -> dict[str, Any]:
    task = {"kind": "loop", "count": max(1, int(LOOP_KEYS * race.scale))}
    worst = [race.contenders[OURS].ask(task)["answer"] for _ in range(LOOP_RUNS)]
    return {"keys": task["count"], "at_most_ms": LOOP_REACH, "worst_ms": round(max(worst), 2), "runs": LOOP_RUNS}


# --- report -----------------------------------------------------------------------------------------------------------


def measure(race: Race, pythons: Mapping[str, Path]) -> dict[str, Any]:
    return {
        "rows": [*map(race.run, ROWS), *fresh(pythons, race.rounds)],
        "operations": operations(race),
        "growth_cpu_microseconds": growth(race, pythons[OURS]),
        "event_loop": loop(race),
    }


def table(figures: Mapping[str, Any]) -> Iterator[str]:
    """The figures as Markdown."""
    every = {"what": f"every operation, the worst: {figures['operations'].get('worst', '')}", **figures["operations"]}
    yield "| what | against | ratio | by CPU time | to reach | lowest to highest | ours | theirs |"
    yield "|---|---|---|---|---|---|---|---|"
    for row in [*figures["rows"], every]:
        cells = [row.get(name) for name in ("ratio", "ratio_cpu", "at_least")]
        spread = f"{row['lowest']} to {row['highest']}" if "lowest" in row else ""
        told = [row["what"], row["against"], *cells, spread, row.get("ours"), row.get("theirs")]
        yield f"| {' | '.join('' if cell is None else str(cell) for cell in told)} |"


def page(figures: Mapping[str, Any]) -> Iterator[str]:
    """The figures with what they depend on, as a page of the documentation."""
    where, worst = environment(), figures["event_loop"]
    yield "# Speed of signing"
    yield ""
    yield "Written by `python -m benchmarks sign --page docs/speed.md --svg docs/speed.svg`; nothing here is edited by hand."
    yield f"{where['date']}, {where['processor']}, {where['cores']} cores, load {where['load']}, Python {where['python']};"
    yield f"{', '.join(f'{name} {version}' for name, version in figures['versions'].items())}."
    yield ""
    yield "Each contender runs in a process and a virtual environment of its own, rounds take turns, a ratio is the median of"
    yield "the rounds' ratios. `ours` and `theirs` are microseconds a signature, milliseconds and MiB for a fresh process."
    yield ""
    yield "![Microseconds to presign one URL](speed.svg)"
    yield ""
    yield from table(figures)
    yield ""
    for name, costs in figures["growth_cpu_microseconds"].items():
        told = ", ".join(f"{size:,}: {cost}" for size, cost in costs.items())
        yield f"CPU microseconds a signature, by how many {name} there are: {told}."
    yield ""
    yield f"Signing {worst['keys']:,} keys in an event loop kept a callback waiting for at most {worst['worst_ms']} ms of CPU"
    yield f"time (worst of {worst['runs']} runs)."


def options_of(arguments: list[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks sign", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="everything once, small, with what is installed here")
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--cache", type=Path, default=_environments.ROOT / ".bench", help="where environments are kept")
    parser.add_argument("--upgrade", action="store_true", help="install the newest release of every peer")
    parser.add_argument("--svg", type=Path, help="write a plot there")
    parser.add_argument("--page", type=Path, help="write a page in Markdown there")
    return parser.parse_args(arguments)


def main(arguments: list[str]) -> dict[str, Any]:
    options = options_of(arguments)
    prepare = (
        _environments.here if options.quick else lambda name: _environments.own(name, options.cache, upgrade=options.upgrade)
    )
    found = {name: prepare(name) for name in _contenders.CONTENDERS}
    pythons = {name: one.python for name, one in found.items() if one.version}
    with ExitStack() as stack:
        contenders = {name: stack.enter_context(Contender(name, python)) for name, python in pythons.items()}
        race = Race(contenders, 1 if options.quick else options.rounds, 0.002 if options.quick else 1.0)
        figures = measure(race, pythons)
    print(*table(figures), sep="\n", file=sys.stderr)
    versions = {name: one.version for name, one in found.items()}
    figures |= {"versions": versions, "absent": [name for name, version in versions.items() if version is None]}
    if options.svg:
        options.svg.write_text(_chart.bars(figures["rows"]), encoding="utf-8")
    if options.page:
        options.page.write_text("\n".join(page(figures)) + "\n", encoding="utf-8")
    return figures
