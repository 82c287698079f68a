"""Interleaved runs: every run is a process, and the order rotates from round to round so that drift hits all alike."""

import json
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from allocators import Contender, environment
from workloads import Workload


@dataclass(frozen=True, slots=True)
class Run:
    """What one process told of itself."""

    ops_per_second: float
    peak_bytes: int


@dataclass(frozen=True, slots=True)
class Failure:
    """A run that gave no figure, and why."""

    reason: str


Rounds = dict[str, list[Run | Failure]]  # contender → one entry for each round


def run_once(contender: Contender, build: Path, workload: Workload) -> Run | Failure:
    command = contender.command(build, workload.command)
    try:
        done = subprocess.run(
            command, env=environment(contender.preload), capture_output=True, text=True, timeout=300, check=False
        )
    except subprocess.TimeoutExpired:
        return Failure("took longer than 300 s")
    if done.returncode != 0:
        return Failure(f"status {done.returncode}: {done.stderr.strip()[:200]}")
    told = json.loads(done.stdout)
    served = Path(told["malloc_object"]).resolve()
    if contender.preload is not None and served != contender.preload.resolve():
        return Failure(f"was served by {served}")
    return Run(ops_per_second=told["ops_per_second"], peak_bytes=told["vm_hwm_bytes"])


def measure(contenders: Sequence[Contender], build: Path, workload: Workload, rounds: int) -> Rounds:
    results: Rounds = {contender.name: [] for contender in contenders}
    for turn in range(rounds):
        first = turn % len(contenders)
        for contender in [*contenders[first:], *contenders[:first]]:
            results[contender.name].append(run_once(contender, build, workload))
    return results
