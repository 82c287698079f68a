"""Runs fuzz targets one after another, keeps their corpora, and adds up what they executed.

usage: python fuzz/run.py [TARGET …] --seconds 60 --work FOLDER
FOLDER/seeds is made at first; FOLDER/<target> grows from run to run; FOLDER/findings/<target> holds the inputs that
broke a promise; FOLDER/total.json and total.txt hold the executions of all runs. Status 1: there was a finding.
"""

import argparse
import json
import os
import re
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

_HERE = Path(__file__).parent
TARGETS = ("perf_data", "twins", "layers", "elf", "texts", "walker")
_MAX_LENGTH = {"perf_data": 16384, "twins": 16384, "layers": 8192, "elf": 24576, "texts": 4096, "walker": 1024}
_SEEDS = {
    "twins": "perf_data",
    "layers": "perf_data",
}  # others start from those of their own name, the walker from nothing
_SANITIZED = ("-g", "-O1", "-fsanitize=fuzzer,address,undefined", "-fno-sanitize-recover=undefined")
_EXECUTED = re.compile(r"stat::number_of_executed_units: (\d+)")
_PROGRESS = re.compile(r"^#(\d+)\s.*?cov: (\d+) ft: (\d+)", re.MULTILINE)
_CLANG = ("clang", "clang-19", "clang-16", "clang-14")
_GRACE_SECONDS = 60


@dataclass(frozen=True, slots=True)
class Outcome:
    """What one run of a target did. ``coverage``: edges of the instrumented code that the corpus reaches."""

    executions: int
    coverage: int
    found: tuple[str, ...]


def main() -> int:
    """Command line; see the module's text."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("targets", nargs="*", metavar="TARGET", help=f"of {', '.join(TARGETS)} (default: all)")
    parser.add_argument("--seconds", type=int, default=60, help="of each target (default 60)")
    parser.add_argument("--work", type=Path, default=Path("build/fuzz"), help="folder of corpora and findings")
    options = parser.parse_args()
    unknown = set(options.targets) - set(TARGETS)
    if unknown:
        parser.error(f"no such target: {', '.join(sorted(unknown))}")
    work: Path = options.work.resolve()
    if not (work / "seeds").is_dir():
        subprocess.run([sys.executable, str(_HERE / "seeds.py"), str(work / "seeds")], check=True)
    found = False
    for target in options.targets or TARGETS:
        outcome = run_target(target, work, seconds=options.seconds)
        total = add_up(work, target, outcome)
        print(f"{target}: {outcome.executions:,} executions ({total:,} in all), {outcome.coverage} edges")
        for each in outcome.found:
            print(f"{target}: FINDING {work / 'findings' / target / each}")
        found = found or bool(outcome.found)
    return int(found)


def run_target(target: str, work: Path, *, seconds: int) -> Outcome:
    """Runs one target for so long; a hang or a native crash ends it early and is a finding too."""
    findings, corpus = work / "findings" / target, work / target
    findings.mkdir(parents=True, exist_ok=True)
    corpus.mkdir(parents=True, exist_ok=True)
    before = set(findings.iterdir())
    program = [build_walker(work)] if target == "walker" else [sys.executable, str(_HERE / "harness.py"), target]
    seeds = work / "seeds" / _SEEDS.get(target, target)
    command = [
        *(*program, f"-max_total_time={seconds}", f"-max_len={_MAX_LENGTH[target]}", "-timeout=10"),
        *("-rss_limit_mb=2048", "-print_final_stats=1", f"-artifact_prefix={findings}/", str(corpus)),
        *([str(seeds)] if seeds.is_dir() else []),
    ]
    environment = os.environ | {"HAKPROF_FUZZ_FINDINGS": str(findings), "ASAN_OPTIONS": "quarantine_size_mb=64"}
    log = work / f"{target}.log"
    with log.open("w") as stream:
        subprocess.run(
            command, stdout=stream, stderr=stream, env=environment, timeout=seconds + _GRACE_SECONDS, check=False
        )
    new = {each.name for each in set(findings.iterdir()) - before if each.suffix != ".txt"}
    return _outcome(log.read_text(errors="replace"), tuple(sorted(new)))


def build_walker(work: Path) -> str:
    """Compiles the walker with its target; tables begin small, so that they grow within one input."""
    clang = next((found for name in _CLANG if (found := shutil.which(name))), None)
    if clang is None:
        sys.exit("the walker's target needs clang with its libFuzzer: apt-get install clang libclang-rt-14-dev")
    program = work / "walker-target"
    sources = (_HERE / "walker.c", _HERE.parent / "hakprof" / "parse" / "perf_data" / "walker.c")
    small = ("-DFIRST_ROWS=2", "-DFIRST_SLOTS=4")
    subprocess.run([clang, *_SANITIZED, *small, *(str(each) for each in sources), "-o", str(program)], check=True)
    return str(program)


def _outcome(printed: str, found: tuple[str, ...]) -> Outcome:
    """libFuzzer's own count, or where it died before that, the last that it told of."""
    progress = _PROGRESS.findall(printed)
    executed = _EXECUTED.search(printed)
    executions = int(executed.group(1)) if executed else max((int(n) for n, _, _ in progress), default=0)
    return Outcome(executions, max((int(edges) for _, edges, _ in progress), default=0), found)


def add_up(work: Path, target: str, outcome: Outcome) -> int:
    """Adds a run to the totals on disk; all executions of the target so far."""
    path = work / "total.json"
    totals = json.loads(path.read_text()) if path.exists() else {}
    entry = totals.setdefault(target, {"executions": 0, "coverage": 0, "runs": 0})
    entry["executions"] += outcome.executions
    entry["coverage"] = max(entry["coverage"], outcome.coverage)
    entry["runs"] += 1
    path.write_text(json.dumps(totals, indent=2) + "\n")
    lines = [f"{name}\t{each['executions']}" for name, each in sorted(totals.items())]
    everything = sum(each["executions"] for each in totals.values())
    (work / "total.txt").write_text("\n".join([*lines, f"all\t{everything}"]) + "\n")
    return int(entry["executions"])


if __name__ == "__main__":
    sys.exit(main())
