"""The arithmetic of the table: medians, ratios with their range, and whether a target is met."""

import math
import statistics
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from allocators import HAKMEM, INSTRUMENTED, LINKED, NULL, PEER_NAMES
from measure import Failure, Rounds, Run
from workloads import INSTRUMENTED_TARGET, LEAN_PEERS, LINKED_TARGET, MEMORY_LIMIT, SYSTEM_TARGET, Workload


@dataclass(frozen=True, slots=True)
class Ratio:
    """Ratio of two medians; `least` and `most` are those of the rounds, each taken by itself."""

    value: float
    least: float
    most: float


def speed(run: Run) -> float:
    return run.ops_per_second


def memory(run: Run) -> float:
    return float(run.peak_bytes)


def median(rounds: Sequence[Run | Failure], figure: Callable[[Run], float]) -> float | None:
    """Median over the rounds; None where one of them failed or there are none."""
    if not rounds or any(isinstance(each, Failure) for each in rounds):
        return None
    return statistics.median(figure(each) for each in rounds if isinstance(each, Run))


def ratio(rounds: Rounds, ours: str, theirs: str, figure: Callable[[Run], float]) -> Ratio | None:
    """None where one of the two has no figure."""
    above, below = (median(rounds.get(name, []), figure) for name in (ours, theirs))
    if above is None or not below:
        return None
    pairs = zip(rounds[ours], rounds[theirs], strict=True)
    each = [figure(one) / figure(other) for one, other in pairs if isinstance(one, Run) and isinstance(other, Run)]
    return Ratio(above / below, min(each), max(each))


def _by_median(rounds: Rounds, names: Iterable[str], figure: Callable[[Run], float]) -> list[tuple[float, str]]:
    found = ((median(rounds.get(name, []), figure), name) for name in names)
    return sorted((value, name) for value, name in found if value is not None)


def fastest_peer(rounds: Rounds) -> str | None:
    ranked = _by_median(rounds, PEER_NAMES, speed)
    return ranked[-1][1] if ranked else None


def leanest_peer(rounds: Rounds) -> str | None:
    ranked = _by_median(rounds, LEAN_PEERS, memory)
    return ranked[0][1] if ranked else None


@dataclass(frozen=True, slots=True)
class Row:
    """One workload, judged. A ratio is None where one side of it was not measured."""

    workload: Workload
    rounds: Rounds
    fastest: str | None
    leanest: str | None
    to_fastest: Ratio | None
    to_system: Ratio | None
    to_null: Ratio | None
    linked: Ratio | None
    instrumented: Ratio | None
    memory: Ratio | None

    def missed(self) -> list[str]:
        """What was asked and is not reached, as clauses; empty when everything is."""
        to_system = max(SYSTEM_TARGET, self.workload.target) if self.fastest == "system" else SYSTEM_TARGET
        asked = (
            (self.to_fastest if self.fastest != "system" else None, self.workload.target, f"to {self.fastest}"),
            (self.to_system, to_system, "to system"),
            (self.linked, LINKED_TARGET, "linked in to preloaded"),
            (self.instrumented, INSTRUMENTED_TARGET, "instrumented to release"),
        )
        found = [f"{at_least(got.value)} {name} (≥ {least})" for got, least, name in asked if got and got.value < least]
        if self.memory and self.memory.value > MEMORY_LIMIT:
            found.append(f"memory {at_most(self.memory.value)} to {self.leanest} (≤ {MEMORY_LIMIT})")
        if median(self.rounds.get(HAKMEM, []), speed) is None:
            found.append("hakmem failed")
        return found


def at_least(value: float) -> str:
    """Two places, rounded down: what looks as if it reached its target did."""
    return f"{math.floor(value * 100 + 1e-9) / 100:.2f}"


def at_most(value: float) -> str:
    """Two places, rounded up: what looks as if it kept its limit did."""
    return f"{math.ceil(value * 100 - 1e-9) / 100:.2f}"


def judge(workload: Workload, rounds: Rounds) -> Row:
    fastest, leanest = fastest_peer(rounds), leanest_peer(rounds)
    return Row(
        workload=workload,
        rounds=rounds,
        fastest=fastest,
        leanest=leanest,
        to_fastest=ratio(rounds, HAKMEM, fastest, speed) if fastest else None,
        to_system=ratio(rounds, HAKMEM, "system", speed),
        to_null=ratio(rounds, HAKMEM, NULL, speed),
        linked=ratio(rounds, LINKED, HAKMEM, speed),
        instrumented=ratio(rounds, INSTRUMENTED, HAKMEM, speed),
        memory=ratio(rounds, HAKMEM, leanest, memory) if leanest else None,
    )
