"""Seeded simulation of the transfer engine: `--seeds 20000` runs that many, `--replay 17` prints what happens in one.

Every seed is a job of some thirty items on a network, a server and a disk in memory, where things go wrong; see
docs/simulation.md. The process ends with status 1 if anything was found.
"""

from __future__ import annotations

import argparse
import json
import sys
from typing import Any

from tests.simulation import runner
from tests.simulation.old_bugs import OLD_BUGS, find
from tests.simulation.workloads import WORKLOADS


def main(arguments: list[str]) -> dict[str, Any]:
    parser = argparse.ArgumentParser(prog="python -m benchmarks simulate", description=__doc__)
    parser.add_argument("--seeds", type=int, default=500)
    parser.add_argument("--start", type=int, default=0)
    parser.add_argument("--only", choices=sorted(WORKLOADS), help="one workload")
    parser.add_argument("--replay", type=int, metavar="SEED", help="print one seed's schedule")
    parser.add_argument("--shrink", action="store_true", help="of --replay: without what the seed fails without")
    parser.add_argument("--stop", action="store_true", help="end at the first seed that fails, and shrink it")
    parser.add_argument("--old-bugs", nargs="*", metavar="NAME", help="put mended bugs back, and see how soon each is found")
    options = parser.parse_args(arguments)
    if options.old_bugs is not None:
        rows = []
        for name in options.old_bugs or OLD_BUGS:
            rows.append(find(name, only=options.only))
            print(rows[-1], file=sys.stderr)
        return {"old_bugs": rows}
    if options.replay is not None:
        if options.shrink:
            _, outcome = runner.shrink(options.replay, options.only)
        else:
            outcome = runner.run_seed(options.replay, options.only, trace=True)
        print("\n".join(outcome.trace))
        found = {"seed": options.replay, "workload": outcome.workload, "violations": outcome.violations}
        failed = bool(outcome.violations)
    else:
        found = runner.run_many(range(options.start, options.start + options.seeds), options.only, stop=options.stop)
        print(runner.coverage_table(found.pop("seen")), file=sys.stderr)
        failed = bool(found["failed"])
    if failed:
        print(json.dumps(found, indent=2))
        sys.exit(1)
    return found
