"""Compare with botocore, call by call: `python -m scripts.compare_with_botocore`.

Random calls of all operations and random forms (tests/random_calls.py) are signed by asyncpresign and by botocore. Every
difference is classified by its row of tests/botocore_differences.py; one that no row explains is a failure, and is shrunk to
the smallest call that shows it. Every endpoint case that AWS published is resolved; pip fetches the cases, in botocore's
sdist, unless `--endpoint-cases` names their file. The seed is the date, so that every day has other calls; it is printed, and
`--seed` repeats them. Prints the figures of each part, and exits with 1 when a part has a failure.
"""

from __future__ import annotations

import argparse
import sys
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, fields, replace
from datetime import UTC, date, datetime
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from scripts.endpoint_cases import endpoint_cases, published
from tests.botocore_differences import DIFFERENCES, EQUAL, REFUSED, Call, FormCall, Outcome, Place, classify, ours, theirs
from tests.random_calls import calls, forms

AnyCall = Call | FormCall
Sign = Callable[[AnyCall], Outcome]


@dataclass
class Comparison:
    """What came of a stream of calls: how many have each class, and the calls whose difference no row explains."""

    counts: Counter[str] = field(default_factory=Counter)
    failures: list[AnyCall] = field(default_factory=list)

    def lines(self, noun: str) -> Iterator[str]:
        rows = {name: count for name, count in self.counts.most_common() if name not in (EQUAL, REFUSED, "")}
        shown = f"{self.counts[EQUAL]} equal, {sum(rows.values())} differ by {len(rows)} rows, {self.counts[REFUSED]} {REFUSED}"
        yield f"{self.counts.total()} {noun}: {shown}, {len(self.failures)} not explained"
        yield from (f"  {count:5} {name}" for name, count in rows.items())


def outcomes(call: AnyCall, sign: Sign) -> tuple[str, Outcome, Outcome]:
    """The class of a call, and both outcomes. An exception that is not asyncpresign's own is never explained."""
    expected = theirs(call)
    try:
        got = sign(call)
    except Exception as error:  # noqa: BLE001 (reported with the call that it came of)
        return "", Outcome(refusal=type(error), message=str(error)), expected
    return classify(call, got, expected), got, expected


def compare(stream: Iterator[AnyCall], sign: Sign = ours) -> Comparison:
    made = Comparison()
    for call in stream:
        kind, _, _ = outcomes(call, sign)
        made.counts[kind] += 1
        made.failures += [] if kind else [call]
    return made


# --- the smallest call ------------------------------------------------------------------------------------------------


def smaller(value: Any) -> Iterator[Any]:
    """Values with less in them: a mapping or a list without one item or with a smaller one, a string without a part."""
    if isinstance(value, Mapping):
        yield from ({name: item for name, item in value.items() if name != left_out} for left_out in value)
        yield from ({**value, name: less} for name, item in value.items() for less in smaller(item))
    elif isinstance(value, list | tuple):
        yield from (type(value)((*value[:at], *value[at + 1 :])) for at in range(len(value)))
        yield from (
            type(value)((*value[:at], less, *value[at + 1 :])) for at, item in enumerate(value) for less in smaller(item)
        )
    elif isinstance(value, str) and value:
        half = len(value) // 2
        yield from dict.fromkeys(part for part in (value[:half], value[half:], value[1:], value[:-1]) if part != value)


def smaller_calls(call: AnyCall) -> Iterator[AnyCall]:
    plain = Place()
    for one in fields(Place):
        if getattr(call.place, one.name) != getattr(plain, one.name):
            yield replace(call, place=replace(call.place, **{one.name: getattr(plain, one.name)}))
    names = ("params", "http_method") if isinstance(call, Call) else ("bucket", "key", "fields", "conditions")
    for name in names:
        value = getattr(call, name)
        yield from (replace(call, **{name: less}) for less in smaller(value))
    if isinstance(call, Call) and call.http_method is not None:
        yield replace(call, http_method=None)


def smallest(call: AnyCall, sign: Sign = ours, attempts: int = 1000) -> AnyCall:
    """A call with less in it whose difference is not explained either, none of whose smaller ones is like that."""
    found = True
    while found and attempts > 0:
        found = False
        for candidate in smaller_calls(call):
            attempts -= 1
            if outcomes(candidate, sign)[0] == "":
                call, found = candidate, True
                break
            if attempts == 0:
                break
    return call


def report(call: AnyCall, sign: Sign = ours) -> str:
    """The smallest call like this one, with both outcomes."""
    call = smallest(call, sign)
    _, got, expected = outcomes(call, sign)
    return f"no row explains {call}\n  botocore: {expected}\n  we:       {got}"


# --- the parts --------------------------------------------------------------------------------------------------------


def differences(given: argparse.Namespace) -> tuple[bool, str]:
    """Calls and forms. A row that no call met is named: it may be dead, or the calls are too few or too tame."""
    lines, met, failures = [f"seed {given.seed}"], set[str](), 0
    for noun, stream in (("calls", calls), ("forms", forms)):
        made = compare(stream(given.seed, given.cases))
        lines += [*made.lines(noun), *map(report, made.failures[:5])]
        met |= made.counts.keys()
        failures += len(made.failures)
    unmet = [row.name for row in DIFFERENCES if row.name not in met]
    lines.append(
        f"{len(DIFFERENCES) - len(unmet)}/{len(DIFFERENCES)} rows met" + "".join(f"\n  not met: {name}" for name in unmet)
    )
    return not failures, "\n".join(lines)


def endpoints(given: argparse.Namespace) -> tuple[bool, str]:
    with TemporaryDirectory() as folder:
        total, failures = endpoint_cases(given.endpoint_cases or published(Path(folder)))
    line = f"{total - len(failures)}/{total} endpoint cases"
    return total > 0 and not failures, "\n".join([*failures, line])


PARTS: Mapping[str, Callable[[argparse.Namespace], tuple[bool, str]]] = {
    "differences": differences,
    "endpoints": endpoints,
}


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m scripts.compare_with_botocore", description=__doc__.partition("\n")[0])
    parser.add_argument("--cases", type=int, default=5000, help="how many calls to compare, and how many forms (5000)")
    parser.add_argument("--date", type=date.fromisoformat, default=datetime.now(UTC).date(), help="the day that seeds (today)")
    parser.add_argument("--seed", type=int, help="repeat the calls of this seed, whatever the date")
    parser.add_argument("--endpoint-cases", type=Path, metavar="FILE", help="endpoint-tests-1.json; else pip fetches it")
    parser.add_argument("parts", nargs="*", metavar="part", help=f"of {', '.join(PARTS)}; all when none is named")
    given = parser.parse_args(arguments)
    if unknown := sorted(set(given.parts) - set(PARTS)):
        parser.error(f"no such part: {', '.join(unknown)}")
    if given.seed is None:
        given.seed = int(f"{given.date:%Y%m%d}")
    results = [PARTS[name](given) for name in given.parts or PARTS]
    for _, text in results:
        print(text, flush=True)
    return int(not all(whole for whole, _ in results))


if __name__ == "__main__":
    sys.exit(main())
