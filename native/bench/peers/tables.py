"""Markdown of what was measured: speed, memory, instructions, the instrumented flavour, and in words how."""

from collections.abc import Iterable, Sequence

from allocators import EMPTY, HAKMEM, INSTRUMENTED, LINKED, NULL, NULL_LINKED, PEER_NAMES
from figures import Ratio, Row, at_least, at_most, median, memory, speed
from keeping import Measured
from measure import Failure, Rounds
from workloads import (
    INSTRUCTIONS_LIMIT,
    INSTRUMENTED_TARGET,
    LEAN_PEERS,
    LINKED_TARGET,
    MEMORY_LIMIT,
    SYSTEM_TARGET,
)

NOTHING = "–"


def _table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    lines = [head, ["---", *["---:"] * (len(head) - 1)], *rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def _emphasis(text: str, *, missed: bool) -> str:
    return f"**{text}**" if missed else text


def _with_range(got: Ratio | None, least: float) -> str:
    if got is None:
        return NOTHING
    value = _emphasis(at_least(got.value), missed=got.value < least)
    return f"{value} ({at_least(got.least)}–{at_least(got.most)})"


def _plain(got: Ratio | None, least: float) -> str:
    return NOTHING if got is None else _emphasis(at_least(got.value), missed=got.value < least)


def _millions(rounds: Rounds, name: str) -> str:
    value = median(rounds.get(name, []), speed)
    if value is None:
        return "failed" if any(isinstance(each, Failure) for each in rounds.get(name, [])) else NOTHING
    return f"{value / 1e6:.3g}" if value < 1e8 else f"{value / 1e6:.0f}"


def _megabytes(rounds: Rounds, name: str) -> str:
    value = median(rounds.get(name, []), memory)
    return NOTHING if value is None else f"{value / 2**20:.1f}"


def _present(rows: Sequence[Row], names: Iterable[str]) -> list[str]:
    return [name for name in names if any(name in row.rounds for row in rows)]


def speed_table(rows: Sequence[Row]) -> str:
    names = _present(rows, (HAKMEM, LINKED, *PEER_NAMES, NULL, NULL_LINKED, EMPTY))
    head = ["million a second", *names, "to the fastest peer", "asked", "to system", "of `null`", "linked in"]
    return _table(head, (_speed_cells(row, names) for row in rows))


def _speed_cells(row: Row, names: Sequence[str]) -> list[str]:
    verdict = "met" if row.to_fastest and row.to_fastest.value >= row.workload.target else "**missed**"
    return [
        row.workload.name,
        *(_millions(row.rounds, name) for name in names),
        f"{_with_range(row.to_fastest, row.workload.target)} {row.fastest or ''}".strip(),
        f"{row.workload.target:.2f} {verdict if row.to_fastest else 'not measured'}",
        _plain(row.to_system, SYSTEM_TARGET),
        _plain(row.to_null, 0.0),
        _plain(row.linked, LINKED_TARGET),
    ]


def memory_table(rows: Sequence[Row]) -> str:
    names = _present(rows, (HAKMEM, LINKED, *PEER_NAMES))
    return _table(
        ["peak RSS, MB", *names, f"to the leanest of {' and '.join(LEAN_PEERS)}"],
        ([row.workload.name, *(_megabytes(row.rounds, name) for name in names), _memory_ratio(row)] for row in rows),
    )


def _memory_ratio(row: Row) -> str:
    if row.memory is None:
        return NOTHING
    over = row.memory.value > MEMORY_LIMIT
    value = _emphasis(at_most(row.memory.value), missed=over)
    return f"{value}{f' > {MEMORY_LIMIT:.2f}' if over else ''} {row.leanest}"


def instructions_table(instructions: dict[str, float | None]) -> str:
    names = list(instructions)
    values = (instructions[name] for name in names)
    return _table(
        ["instructions of a pair", *names], [["128 B", *(NOTHING if v is None else f"{v:.1f}" for v in values)]]
    )


def instrumented_table(rows: Sequence[Row]) -> str:
    return _table(
        ["million a second", "release", "instrumented", f"ratio (asked: {INSTRUMENTED_TARGET:.2f})"],
        (
            [
                row.workload.name,
                _millions(row.rounds, HAKMEM),
                _millions(row.rounds, INSTRUMENTED),
                _with_range(row.instrumented, INSTRUMENTED_TARGET),
            ]
            for row in rows
        ),
    )


def missed(rows: Sequence[Row], instructions: dict[str, float | None]) -> str:
    """One line for each workload that misses something; one sentence when none does."""
    found = [f"- {row.workload.name}: {'; '.join(row.missed())}" for row in rows if row.missed()]
    ours = instructions.get(HAKMEM)
    if ours is not None and ours > INSTRUCTIONS_LIMIT:
        found.append(f"- instructions of a pair: {ours:.1f} (≤ {INSTRUCTIONS_LIMIT:.0f})")
    if not found:
        return f"Everything that was asked is reached on all {len(rows)} workloads."
    return f"Missed on {len(found)} of {len(rows)} workloads:\n\n" + "\n".join(found)


def failures(rows: Sequence[Row]) -> list[str]:
    return [
        f"{name} failed on {row.workload.name}: {next(e.reason for e in runs if isinstance(e, Failure))}"
        for row in rows
        for name, runs in row.rounds.items()
        if any(isinstance(each, Failure) for each in runs)
    ]


def words(rows: Sequence[Row], measured: Measured) -> str:
    counts = sorted({len(runs) for row in rows for runs in row.rounds.values()})
    facts = measured.facts
    sentences = [
        f"Median of {' or '.join(map(str, counts))} interleaved runs, each a process of its own, only the benchmark's "
        "measured region; peak RSS is the whole process's (VmHWM). Ratios are of medians, in brackets the least and "
        "the most of the rounds taken one by one; they are rounded against hakmem. Bold is what misses its target: "
        f"{SYSTEM_TARGET} to system, {LINKED_TARGET:.1f} linked in to preloaded, {MEMORY_LIMIT:.2f} in memory, and "
        "to the fastest peer what the row asks.",
        "hakmem, its peers and `null` were preloaded. `null` does nothing but is called as they are: the ceiling of "
        "any preloaded allocator. `null linked in` is called within the program, `empty` is the loop without calls. "
        "Where the memory's own cost counts (mid, churn) `null` is no ceiling, because its ring stays in the cache.",
        f"Machine: {facts['machine']}; its load just before was {measured.load:.1f}. "
        f"hakmem: {facts['build']}. Peers: {facts['peers']}.",
    ]
    if facts["absent"]:
        sentences.append(f"Not installed, so not compared: {facts['absent']}.")
    sentences += [f"{text}." for text in failures(rows)]
    return "\n\n".join(sentences)


def document(rows: Sequence[Row], measured: Measured) -> str:
    parts = [speed_table(rows), memory_table(rows)]
    if measured.instructions:
        parts.append(instructions_table(measured.instructions))
    if any(INSTRUMENTED in row.rounds for row in rows):
        parts.append(instrumented_table(rows))
    return "\n\n".join([*parts, missed(rows, measured.instructions), words(rows, measured)])
