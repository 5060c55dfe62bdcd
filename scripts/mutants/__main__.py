"""What the tests would not notice: `python -m scripts.mutants --seed 7 --count 200`, or `nox -s mutants -- --seed 7`.

Draws a random sample of small changes ("mutants", see operators.py) to the parts that decide and move bytes, runs the tests
that reach each changed line, and prints the changes that no test notices. The same seed, tree and Python draw the same sample.

First the whole suite of unit tests runs once, to record which test runs which line (`--map FOLDER` keeps the record, for a
tree that did not change). Then each worker, on a copy of the tree, changes one line at a time and runs the tests that reach it,
those of the module's own test file first, up to the first failure. A mutant that makes a test hang counts as noticed.

`equivalent.toml` lists changes that no caller can see, each with its reason. They are drawn, but not counted.

Neither mutmut (3.8) nor cosmic-ray (8.7) is used. mutmut changes function bodies only: no tables, constants or fields of
dataclasses, of which this package is full, and nothing that has a decorator. cosmic-ray runs one command for all mutants,
whichever tests reach them: minutes a mutant. Neither draws a sample by a seed.
"""

from __future__ import annotations

import argparse
import ast
import functools
import hashlib
import json
import os
import queue
import random
import re
import shutil
import subprocess
import sys
import tempfile
import threading
import time
import tomllib
from collections import defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from importlib.util import cache_from_source, find_spec
from pathlib import Path

from coverage import CoverageData

from scripts.mutants.operators import Mutant, mutants

AREAS = {
    "signing": ("_sigv4/", "_s3/", "_values.py"),
    "values": ("errors.py", "models.py", "credentials.py", "profiles.py"),
    "inspection": ("inspection/",),
    "signers": ("signers/",),
    "http": ("http/",),
    "transfer": ("transfer/",),
}
GENERATED = re.compile(r"_table\.py$")
UNIT = "not integration and not oracle and not browser"
EQUIVALENT = Path(__file__).with_name("equivalent.toml")
COPIED = ("benchmarks", "docs", "scripts", "tests", ".ci", "CHANGELOG.md", "README.md", "noxfile.py", "pyproject.toml")
FEW = 10
FIRST_SECONDS = 2.0  # of tests that are tried before all others are even imported


@dataclass(slots=True)
class Map:
    """Which tests run which line of which file, and how long each takes."""

    lines: dict[str, dict[int, list[str]]]
    seconds: dict[str, float]

    @classmethod
    def read(cls, folder: Path, package: Path) -> Map:
        lines: dict[str, dict[int, list[str]]] = {}
        seconds: dict[str, float] = {}
        failed: set[str] = set()
        for path in folder.glob("seconds.*"):
            left = json.loads(path.read_text(encoding="utf-8"))
            seconds |= left["seconds"]
            failed |= set(left["failed"])
        for path in folder.glob("lines.*"):
            data = CoverageData(str(path))
            data.read()
            for name in data.measured_files():
                found = lines.setdefault(f"asyncpresign/{Path(name).relative_to(package).as_posix()}", defaultdict(list))
                for line, tests in data.contexts_by_lineno(name).items():
                    found[line] += [test for test in tests if test in seconds and test not in failed]
        if failed:
            print(f"{len(failed)} tests fail without any change, and are left out: {', '.join(sorted(failed)[:5])} ...")
        return cls(lines, seconds)

    def reaching(self, mutant: Mutant, sources: dict[str, bytes], root: Path) -> set[str]:
        here = self.lines.get(mutant.path, {})
        found = {test for line in range(mutant.lines[0], mutant.lines[1] + 1) for test in here.get(line, ())}
        names = set(mutant.names) if mutant.names or found else {mutant.function.rpartition(".")[2]}
        if not names:
            return self._or_all_of_the_file(found, here)
        read: set[str] = set()
        while names - read:  # a table, constant or field: what reads it, and what reads the tables made of it
            lines = list(_mentions(names - read, sources))
            read |= names
            found |= {test for path, line in lines for test in self.lines.get(path, {}).get(line, ())}
            names = {name for path, line in lines for name in _defined(path, line, sources)}
        # A test that looks at the table itself runs no line, and one that looks at all modules does not even name it.
        word = re.compile(rf"\b(?:walk_packages|{'|'.join(map(re.escape, read))})\b")
        files = {path.relative_to(root).as_posix() for path in root.glob("tests/*.py") if word.search(path.read_text("utf-8"))}
        found |= {test for test in self.seconds if test.partition("::")[0] in files}
        return self._or_all_of_the_file(found, here)

    @staticmethod
    def _or_all_of_the_file(found: set[str], here: dict[int, list[str]]) -> set[str]:
        """What runs once and is cached has the first test only: others may notice it, too."""
        return found if len(found) >= FEW else found | {test for tests in here.values() for test in tests}

    def tests(self, mutant: Mutant, sources: dict[str, bytes], root: Path, patience: float) -> list[list[str]]:
        """In two rounds: the few likeliest, then the others, the quickest first."""
        found = self.reaching(mutant, sources, root)
        stem = Path(mutant.path).stem.strip("_")
        parent = Path(mutant.path).parent.name.strip("_")

        def rank(test: str) -> tuple[int, float]:
            file = test.partition("::")[0]
            own = 0 if file == f"tests/test_{stem}.py" else 1 if stem in file or parent in file else 2
            return own, self.seconds[test]

        first: list[str] = []
        spent = 0.0
        files = set()
        for test in sorted(found, key=rank):
            files.add(test.partition("::")[0])
            spent += self.seconds[test] + 0.002
            if spent > FIRST_SECONDS or len(files) > 6:
                break
            first.append(test)
        others = []
        for test in sorted(found.difference(first), key=lambda test: self.seconds[test]):
            spent += self.seconds[test]
            if spent > patience:
                break
            others.append(test)
        return [tests for tests in (first, others) if tests]


def _mentions(names: Iterable[str], sources: dict[str, bytes]) -> Iterator[tuple[str, int]]:
    word = re.compile(rb"\b(?:" + b"|".join(re.escape(name.encode()) for name in names) + rb")\b")
    for path, source in sources.items():
        for number, line in enumerate(source.splitlines(), 1):
            if word.search(line):
                yield path, number


@functools.cache
def _definitions(source: bytes) -> list[tuple[int, int, set[str]]]:
    """First line, last line and names of what a module says outside of functions."""
    found = []
    for node in ast.parse(source).body:
        if isinstance(node, (ast.Assign, ast.AnnAssign)):
            names = {one.id for one in ast.walk(node) if isinstance(one, ast.Name) and isinstance(one.ctx, ast.Store)}
            found.append((node.lineno, node.end_lineno or node.lineno, names))
    return found


def _defined(path: str, line: int, sources: dict[str, bytes]) -> set[str]:
    return {name for first, last, names in _definitions(sources[path]) if first <= line <= last for name in names}


def record(root: Path, folder: Path) -> None:
    """Run all unit tests once, on both cores, with coverage of each test by itself."""
    environment = os.environ | {"PYTHONPATH": str(root), "MUTANTS_MAP": str(folder)}
    command = [sys.executable, "-m", "pytest", "-p", "scripts.mutants.tracing", "-p", "no:cacheprovider", "-q", "-n", "2"]
    command += ["-m", UNIT, "--timeout=300"]
    ended = subprocess.run(command, cwd=root, env=environment, check=False, stdout=subprocess.PIPE, text=True)
    if ended.returncode not in (0, 1) or not any(folder.glob("lines.*")):
        raise SystemExit(f"the tests did not run, so that nothing is recorded:\n{ended.stdout[-2000:]}")


@dataclass(slots=True)
class Worker:
    """One copy of the tree, and the process that runs tests in it."""

    root: Path
    process: subprocess.Popen[str] = field(init=False)

    def start(self) -> None:
        scratch = self.root.with_name(self.root.name + ".scratch")
        scratch.mkdir()
        environment = os.environ | {"PYTHONPATH": str(self.root)}
        command = [sys.executable, "-m", "scripts.mutants.server", str(scratch)]
        self.process = subprocess.Popen(
            command, cwd=self.root, env=environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        self._line()

    def _line(self) -> dict[str, str]:
        assert self.process.stdout is not None
        answer: dict[str, str] = json.loads(self.process.stdout.readline())
        return answer

    def run(self, tests: list[str], seconds: dict[str, float]) -> dict[str, str]:
        limit = max(10.0, 8 * max(seconds[test] for test in tests))
        whole = 60 + 6 * sum(seconds[test] + 0.01 for test in tests)
        assert self.process.stdin is not None
        print(json.dumps({"tests": tests, "limit": limit, "all": whole}), file=self.process.stdin, flush=True)
        return self._line()

    def look(self, mutant: Mutant, source: bytes, rounds: list[list[str]], seconds: dict[str, float]) -> str:
        """What noticed it; "" if nothing did."""
        path = self.root / mutant.path
        try:
            self._write(path, mutant.apply(source))
            for tests in rounds:
                if (answer := self.run(tests, seconds))["ended"] != "passed":
                    return f"{answer['ended']}: {answer['by']}"
            return ""
        finally:
            self._write(path, source)

    @staticmethod
    def _write(path: Path, source: bytes) -> None:
        path.write_bytes(source)
        Path(cache_from_source(str(path))).unlink(missing_ok=True)

    def stop(self) -> None:
        assert self.process.stdin is not None
        self.process.stdin.close()
        self.process.wait()


def copy(root: Path) -> None:
    """The folder that nox or a developer stands in; the package from wherever it is imported."""
    shutil.copytree(_package(), root / "asyncpresign", ignore=shutil.ignore_patterns("__pycache__"))
    for name in COPIED:
        source = Path(name)
        if source.is_dir():
            shutil.copytree(source, root / name, ignore=shutil.ignore_patterns("__pycache__"))
        elif source.exists():
            shutil.copy(source, root / name)


def _package() -> Path:
    spec = find_spec("asyncpresign")
    assert spec is not None
    assert spec.origin is not None
    return Path(spec.origin).parent


def area(path: str) -> str:
    inner = path.removeprefix("asyncpresign/")
    return next((name for name, parts in AREAS.items() if inner.startswith(parts)), "")


def draw(sources: dict[str, bytes], seed: str, count: int, areas: list[str], only: str) -> list[Mutant]:
    chosen = [path for path in sorted(sources) if area(path) in areas and re.search(only, path)]
    every = [mutant for path in chosen for mutant in mutants(path, sources[path])]
    random.Random(seed).shuffle(every)
    drawn: list[Mutant] = []
    for mutant in every:
        if len(drawn) == count:
            break
        if mutant.is_change(sources[mutant.path]):
            drawn.append(mutant)
    return drawn


def equivalents(sources: dict[str, bytes]) -> set[tuple[str, str]]:
    """Those listed; one that cannot be drawn any more is named, so that somebody takes it out."""
    rows = tomllib.loads(EQUIVALENT.read_text(encoding="utf-8")).get("equivalent", [])
    listed = {(row["function"], change) for row in rows for change in row["changes"]}
    paths = {function.partition("::")[0] for function, _ in listed}
    known = {mutant.key for path in paths & sources.keys() for mutant in mutants(path, sources[path])}
    if stale := sorted(listed - known):
        print("equivalent.toml lists changes that no longer exist:", *map(" ".join, stale), sep="\n    ")
    return listed


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m scripts.mutants", description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--seed", default="0", help="of the sample; any string (default: 0)")
    parser.add_argument("--count", type=int, default=200, help="how many mutants to draw (default: 200)")
    parser.add_argument("--area", choices=AREAS, action="append", help="draw from this area only; may be repeated")
    parser.add_argument("--only", default="", metavar="PATTERN", help="draw from files only whose path matches")
    parser.add_argument("--least", type=float, default=0, help="percentage to be noticed, below which the exit code is 1")
    parser.add_argument("--workers", type=int, default=2, help="how many run at a time (default: 2)")
    parser.add_argument("--map", type=Path, help="folder to keep the record in of which test runs which line")
    parser.add_argument("--patience", type=float, default=120, help="most seconds of tests for one mutant (default: 120)")
    parser.add_argument("--show", action="store_true", help="print what noticed each mutant, too")
    chosen = parser.parse_args(arguments)

    package = _package()
    sources = {
        f"asyncpresign/{path.relative_to(package).as_posix()}": path.read_bytes()
        for path in package.rglob("*.py")
        if not GENERATED.search(path.name)
    }
    listed = equivalents(sources)
    drawn = draw(sources, chosen.seed, chosen.count, chosen.area or list(AREAS), chosen.only)
    with tempfile.TemporaryDirectory(prefix="asyncpresign-mutants-", ignore_cleanup_errors=True) as scratch:
        roots = [Path(scratch, str(number)) for number in range(chosen.workers)]
        for root in roots:
            root.mkdir()
            copy(root)
        began = time.monotonic()
        folder = chosen.map or Path(scratch, "map")
        folder.mkdir(parents=True, exist_ok=True)
        tree = hashlib.sha256(repr(sorted(sources.items())).encode()).hexdigest()
        if not any(folder.iterdir()):
            record(roots[0], folder)
            (folder / "package").write_text(f"{roots[0] / 'asyncpresign'}\n{tree}", encoding="utf-8")
        where, recorded = (folder / "package").read_text(encoding="utf-8").split("\n")
        if recorded != tree:
            raise SystemExit(f"{folder} is of another tree: its lines are no longer these")
        known = Map.read(folder, Path(where))
        print(f"{len(known.seconds)} tests, recorded in {time.monotonic() - began:.0f} s; {len(drawn)} mutants", flush=True)
        noticed = look_at_all(drawn, sources, known, roots, listed, chosen)
    return report(drawn, noticed, listed, time.monotonic() - began, chosen.least)


def look_at_all(
    drawn: list[Mutant],
    sources: dict[str, bytes],
    known: Map,
    roots: list[Path],
    listed: set[tuple[str, str]],
    chosen: argparse.Namespace,
) -> dict[Mutant, str]:
    noticed: dict[Mutant, str] = {}
    waiting: queue.SimpleQueue[Mutant] = queue.SimpleQueue()
    for mutant in drawn:
        if mutant.key not in listed:
            waiting.put(mutant)

    def work(root: Path) -> None:
        worker = Worker(root)
        worker.start()
        while True:
            try:
                mutant = waiting.get_nowait()
            except queue.Empty:
                break
            began = time.monotonic()
            by = worker.look(mutant, sources[mutant.path], known.tests(mutant, sources, root, chosen.patience), known.seconds)
            noticed[mutant] = by
            if chosen.show or not by:
                took = f"{time.monotonic() - began:.1f} s"
                print(
                    f"{mutant.path}:{mutant.line} {mutant.function}\n{diff(mutant)}\n    {by or 'SURVIVED'} ({took})",
                    flush=True,
                )
        worker.stop()

    threads = [threading.Thread(target=work, args=(root,), daemon=True) for root in roots]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return noticed


def diff(mutant: Mutant) -> str:
    before, _, after = mutant.change.partition(" ==> ")
    return f"    - {before}\n    + {after}"


def report(drawn: list[Mutant], noticed: dict[Mutant, str], listed: set[tuple[str, str]], seconds: float, least: float) -> int:
    print(f"\n{'area':<12} {'drawn':>6} {'equivalent':>11} {'hung':>5} {'survived':>9} {'noticed':>9}")
    for name in (*AREAS, "all"):
        these = [mutant for mutant in drawn if name in (area(mutant.path), "all")]
        counted = [mutant for mutant in these if mutant.key not in listed]
        if these:
            hung = sum(noticed[mutant].startswith("timeout") for mutant in counted)
            alive = sum(not noticed[mutant] for mutant in counted)
            share = 100 * (len(counted) - alive) / (len(counted) or 1)
            print(f"{name:<12} {len(these):>6} {len(these) - len(counted):>11} {hung:>5} {alive:>9} {share:>8.1f}%")
    print(f"in {seconds:.0f} s")
    return 1 if share < least else 0


if __name__ == "__main__":
    sys.exit(main())
