"""What was measured, in a file: JSON to go on from later, CSV of every single run to look at with other tools."""

import csv
import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from measure import Failure, Rounds, Run
from workloads import WORKLOADS, Workload

SCHEMA = 1


@dataclass(slots=True)
class Measured:
    """Rounds by workload, instructions of a pair by contender, where and of what, and how busy the machine was."""

    rounds: dict[str, Rounds] = field(default_factory=dict)
    instructions: dict[str, float | None] = field(default_factory=dict)
    facts: dict[str, str] = field(default_factory=dict)
    load: float = 0.0

    def workloads(self) -> list[Workload]:
        return [workload for workload in WORKLOADS if workload.name in self.rounds]


def _entry(told: dict[str, Any]) -> Run | Failure:
    return Failure(told["reason"]) if "reason" in told else Run(told["ops_per_second"], told["peak_bytes"])


def read(path: Path) -> Measured:
    """ValueError where the file is not one of ours."""
    try:
        told = json.loads(path.read_text())
        if told["schema"] != SCHEMA:
            raise ValueError(f"schema {told['schema']}")
        rounds = {
            workload: {name: [_entry(each) for each in runs] for name, runs in by_name.items()}
            for workload, by_name in told["rounds"].items()
        }
        return Measured(rounds=rounds, instructions=told["instructions"], facts=told["facts"], load=told["load"])
    except (KeyError, TypeError, AttributeError, ValueError) as error:
        raise ValueError(f"{path} does not hold what this program keeps ({error!r})") from error


def write(path: Path, measured: Measured) -> None:
    path.write_text(json.dumps({"schema": SCHEMA, **asdict(measured)}, indent=1, ensure_ascii=False) + "\n")


def write_csv(path: Path, measured: Measured) -> None:
    with path.open("w", newline="") as file:
        table = csv.writer(file)
        table.writerow(["workload", "allocator", "round", "ops_per_second", "peak_bytes", "failure"])
        for workload in measured.workloads():
            for name, runs in measured.rounds[workload.name].items():
                table.writerows([workload.name, name, turn, *_cells(run)] for turn, run in enumerate(runs, start=1))


def _cells(run: Run | Failure) -> Sequence[float | str]:
    return ["", "", run.reason] if isinstance(run, Failure) else [run.ops_per_second, run.peak_bytes, ""]
