"""Compares what we sign with what botocore signs: `python -m scripts.compare_with_botocore [--cases N] [--seed N]`.

Every operation is asked for with N/116 random valid calls, in random places; URL and headers have to be equal byte for byte,
but for the rows of tests/botocore_differences.py. A difference is shrunk to the smallest call that shows it. Every endpoint
case that AWS published is asked of our own decisions; pip fetches the cases, in botocore's sdist, unless `--endpoint-cases`
names their file. Prints a line for each half, and exits with 1 when a half is not whole.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from tempfile import TemporaryDirectory

import hypothesis
from hypothesis import HealthCheck, Phase, settings

from asyncpresign._s3._operations_table import NAMES
from scripts.endpoint_cases import endpoint_cases, published
from tests.botocore_cases import calls_of
from tests.botocore_differences import Call, Outcome, known_difference, ours, theirs


def differs(operation: str, seed: int, examples: int, sign: Callable[[Call], Outcome] = ours) -> tuple[int, str]:
    """How many calls of `operation` were compared with what `sign` makes of them, and the smallest that differs, if any."""
    count = 0

    @hypothesis.seed(seed)
    @settings(
        max_examples=examples, database=None, deadline=None, derandomize=False, print_blob=False,
        phases=[Phase.generate, Phase.shrink], suppress_health_check=list(HealthCheck),
    )  # fmt: skip
    @hypothesis.given(calls_of(operation).filter(lambda call: known_difference(call) is None))
    def compare(call: Call) -> None:
        nonlocal count
        count += 1
        expected, got = theirs(call), sign(call)
        assert not expected.refusal, f"{call}\n  botocore: {expected}"
        assert got == expected, f"{call}\n  botocore: {expected}\n  we:       {got}"

    try:
        compare()
    except AssertionError as error:
        return count, f"{operation}: {error}"
    return count, ""


def operations(given: argparse.Namespace) -> tuple[bool, str]:
    each = -(-given.cases // len(NAMES))
    found = [differs(operation, given.seed + number, each) for number, operation in enumerate(NAMES)]
    differences = [text for _, text in found if text]
    line = f"{len(NAMES) - len(differences)}/{len(NAMES)} operations equal to botocore over {sum(n for n, _ in found)} cases"
    return not differences, "\n".join([*differences, line])


def endpoints(given: argparse.Namespace) -> tuple[bool, str]:
    with TemporaryDirectory() as folder:
        total, failures = endpoint_cases(given.endpoint_cases or published(Path(folder)))
    line = f"{total - len(failures)}/{total} endpoint cases"
    return total > 0 and not failures, "\n".join([*failures, line])


HALVES: Mapping[str, Callable[[argparse.Namespace], tuple[bool, str]]] = {
    "operations": operations,
    "endpoints": endpoints,
}


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m scripts.compare_with_botocore", description=__doc__.partition("\n")[0])
    parser.add_argument("--cases", type=int, default=5800, help="how many calls to compare (5800)")
    parser.add_argument("--seed", type=int, default=0, help="another one gives other calls (0)")
    parser.add_argument("--endpoint-cases", type=Path, metavar="FILE", help="endpoint-tests-1.json; else pip fetches it")
    parser.add_argument("halves", nargs="*", metavar="half", help=f"of {', '.join(HALVES)}; all when none is named")
    given = parser.parse_args(arguments)
    if unknown := sorted(set(given.halves) - set(HALVES)):
        parser.error(f"no such half: {', '.join(unknown)}")
    results = [HALVES[name](given) for name in given.halves or HALVES]
    for _, text in results:
        print(text, flush=True)
    return int(not all(whole for whole, _ in results))


if __name__ == "__main__":
    sys.exit(main())
