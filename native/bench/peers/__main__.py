"""The table of hakmem against the allocators that are installed, as Markdown; what goes on is told on stderr.

    python3 native/bench/peers --build native/build/release [--runs 7] [--only NAME …] [--instrumented FOLDER]
                               [--keep FILE.json] [--csv FILE.csv]

With --keep what is measured joins what the file holds, so that the table can be made in pieces; --show measures
nothing."""

import argparse
import sys
from pathlib import Path

import instructions
import keeping
import machine
import tables
from allocators import Contender, contenders
from figures import judge
from measure import measure
from workloads import WORKLOADS, Workload


class UsageError(Exception):
    """What the caller can mend; the text says what."""


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--build", type=Path, help="folder with lib/ and bin/")
    parser.add_argument("--runs", type=int, default=7, help="rounds; the order of the allocators rotates (default: 7)")
    parser.add_argument(
        "--only", nargs="+", metavar="NAME", help="workloads of these names, or with these in their names"
    )
    parser.add_argument(
        "--allocators", nargs="+", metavar="NAME", help="these columns alone; hakmem is always one (default: all)"
    )
    parser.add_argument(
        "--instrumented", type=Path, metavar="FOLDER", help="a build of that flavour to compare as well"
    )
    parser.add_argument("--no-instructions", action="store_true", help="leave out what callgrind counts")
    parser.add_argument("--keep", type=Path, metavar="FILE", help="JSON to which what is measured is added")
    parser.add_argument("--show", action="store_true", help="measure nothing: the table of what --keep holds")
    parser.add_argument("--csv", type=Path, metavar="FILE", help="every single run as CSV")
    return parser.parse_args()


def chosen_workloads(parts: list[str] | None) -> list[Workload]:
    names = {each.name for each in WORKLOADS}
    if parts is None:
        return list(WORKLOADS)
    if unknown := [part for part in parts if not any(part in name for name in names)]:
        raise UsageError(f"no workload is named like {unknown}; there are: {', '.join(w.name for w in WORKLOADS)}")
    return [w for w in WORKLOADS if any(part == w.name or (part not in names and part in w.name) for part in parts)]


def chosen_contenders(options: argparse.Namespace) -> list[Contender]:
    for folder in (options.build, options.instrumented):
        if folder is not None and not (folder / "lib" / "libhakmem.so").exists():
            raise UsageError(f"{folder} holds no lib/libhakmem.so; make -C native builds it")
    everybody = contenders(options.build, options.instrumented)
    wanted = options.allocators
    if wanted is None:
        return everybody
    if unknown := sorted(set(wanted) - {each.name for each in everybody}):
        raise UsageError(f"no allocator here is named {unknown}; there are: {', '.join(c.name for c in everybody)}")
    return [each for each in everybody if each.name in wanted or each is everybody[0]]


def measure_all(options: argparse.Namespace, measured: keeping.Measured) -> None:
    workloads, allocators = chosen_workloads(options.only), chosen_contenders(options)
    facts = machine.facts(options.build)
    if measured.rounds and facts != measured.facts:
        raise UsageError(f"{options.keep} is of another machine or build, {measured.facts}; name a new file")
    measured.facts, measured.load = facts, max(measured.load, machine.load())
    for workload in workloads:
        print(f"{workload.name}: {options.runs} runs of {len(allocators)} allocators", file=sys.stderr, flush=True)
        measured.rounds[workload.name] = measure(allocators, options.build, workload, options.runs)
        if options.keep:
            keeping.write(options.keep, measured)
    if not options.no_instructions and instructions.can_count():
        print("instructions of a pair", file=sys.stderr, flush=True)
        measured.instructions = instructions.count(allocators, options.build)


def run(options: argparse.Namespace) -> None:
    if options.show and not options.keep:
        raise UsageError("--show needs --keep FILE")
    if not options.show and not options.build:
        raise UsageError("--build FOLDER is needed")
    if options.runs < 1:
        raise UsageError(f"--runs must be at least 1, got {options.runs}")
    try:
        measured = keeping.read(options.keep) if options.keep and options.keep.exists() else keeping.Measured()
    except ValueError as error:
        raise UsageError(f"--keep: {error}") from error
    if not options.show:
        measure_all(options, measured)
    rows = [judge(each, measured.rounds[each.name]) for each in measured.workloads()]
    if not rows:
        raise UsageError(f"{options.keep} holds no measurement")
    if options.keep and not options.show:
        keeping.write(options.keep, measured)
    if options.csv:
        keeping.write_csv(options.csv, measured)
    print(tables.document(rows, measured))


def main() -> int:
    try:
        run(parse())
    except UsageError as error:
        print(f"peers: {error}", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
