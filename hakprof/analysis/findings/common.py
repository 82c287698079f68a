"""Parts that several rules share: evidence rows, callers of kernel layers, commands that reproduce a cell."""

import re
import shlex
from collections import Counter
from collections.abc import Sequence
from pathlib import PurePosixPath

import polars as pl

from hakprof.analysis import wording
from hakprof.analysis.findings.model import (
    Context,
    Crossing,
    Finding,
    Gain,
    Hypothesis,
    Proof,
    gain_of,
    severity_of,
)
from hakprof.analysis.inputs import RunData
from hakprof.analysis.layers import FaultRow, LayerTable, Location
from hakprof.analysis.trust import Concern
from hakprof.layers.frames import INLINED_MARK
from hakprof.model.run import CellResult, Collector

# Frames by which x86-64 and arm64 kernels are entered; what stands before them in a chain is the user's frame.
_KERNEL_ENTRIES = ("asm_exc_", "asm_sysvec_", "entry_SYSCALL", "el0t_64_sync", "el0_sync")
_STORE_DEPTH = 3  # <store>/build/<folder of the build>


def layer_proof(crossings: Sequence[Crossing], row: str) -> list[Proof]:
    """The share of the layers on each workload."""
    return [
        Proof(
            f"Layers, {one.table.title}",
            row,
            f"{wording.share(one.share)} of {wording.count(one.table.samples)} samples",
        )
        for one in crossings
    ]


def fault_proof(table: LayerTable, row: FaultRow) -> Proof:
    """Page faults that code of one layer ran into."""
    figure = f"{wording.count(row.faults)} faults, {wording.share(row.share)}"
    return Proof(f"Page faults, {table.title}", f"touched by {row.layer}", figure)


def cause_proof(crossings: Sequence[Crossing], layers: Sequence[str], *, most: int = 3) -> list[Proof]:
    """Which user layers asked for the kernel's work, on the workload where it is largest."""
    table = crossings[0].table
    causes = [cause for cause in table.causes if cause.layer in layers][:most]
    return [
        Proof(
            f"Kernel time by cause, {table.title}",
            f"{cause.layer} ← {cause.caused_by}",
            wording.share(cause.share),
        )
        for cause in causes
    ]


def per_op_proof(context: Context, workload: str, events: Sequence[str]) -> list[Proof]:
    """perf stat's events per 1,000 operations."""
    own = context.run.counters.filter(
        (pl.col("workload") == workload)
        & (pl.col("allocator") == context.run.subject)
        & (pl.col("variant") == "default")
        & pl.col("event").is_in(list(events))
        & pl.col("per_op").is_not_null()
    ).sort("event")
    return [
        Proof("perf stat", row["event"], f"{wording.per_1000(row['per_op'] * 1000)} per 1,000 operations")
        for row in own.iter_rows(named=True)
    ]


def syscall_proof(context: Context, workload: str, syscalls: Sequence[str]) -> list[Proof]:
    """Calls per 1,000 operations and the share of the run, for those calls that were made at all."""
    table = context.syscalls_of(workload)
    if table is None:
        return []
    found = []
    for row in table.rows:
        if row.syscall not in syscalls or row.calls_per_1000_ops is None:
            continue
        share = row.wall_share_of_run if row.wall_share_of_run is not None else row.kernel_share_of_run
        of_run = f", {wording.pct(share)} of the traced run" if share is not None else ""
        figure = (
            f"{wording.count(row.calls)} calls, {wording.per_1000(row.calls_per_1000_ops)} per 1,000 operations{of_run}"
        )
        found.append(Proof(f"System calls, {table.title}", row.syscall, figure))
    return found


def counter_proof(context: Context, workload: str, counters: Sequence[str]) -> list[Proof]:
    one = context.counters_of(workload)
    if one is None:
        return []
    return [
        Proof(f"Counters, {one.title}", name, wording.count(one.values[name]))
        for name in counters
        if name in one.values
    ]


def kernel_callers(run: RunData, workload: str, layers: Sequence[str], *, most: int = 3) -> tuple[Location, ...]:
    """User functions from which the kernel was entered, for the samples of kernel ``layers``."""
    own = run.stacks.filter(
        (pl.col("workload") == workload)
        & (pl.col("allocator") == run.subject)
        & (pl.col("variant") == "default")
        & pl.col("layer").is_in(list(layers))
    )
    events = {profile.cell: profile.time_event for profile in run.profiles}
    callers: Counter[str] = Counter()
    for cell, event, frames, count in own.select("cell", "event", "frames", "count").iter_rows():
        entry = next((i for i, frame in enumerate(frames) if frame.startswith(_KERNEL_ENTRIES)), 0)
        if entry > 0 and events.get(cell) == event:
            callers[frames[entry - 1].removesuffix(INLINED_MARK)] += count
    ranked = sorted(callers.items(), key=lambda item: (-item[1], item[0]))
    return tuple(Location(function, None, None, None, samples) for function, samples in ranked[:most])


def cost_finding(
    crossings: Sequence[Crossing],
    *,
    id: str,
    title: str,
    symptom: str,
    evidence: tuple[Proof, ...],
    locations: tuple[Location, ...],
    hypotheses: tuple[Hypothesis, ...],
    options: tuple[str, ...],
    verify: tuple[str, ...],
    concerns: tuple[Concern, ...],
) -> Finding:
    """A finding about a cost that could vanish: how severe it is and what it can give follow from its largest share."""
    lead = crossings[0]
    gain = gain_of(lead.share)
    return Finding(
        id=id,
        severity=severity_of(gain),
        title=title,
        workloads=titles(crossings),
        impact=lead.share,
        gain=gain,
        symptom=symptom,
        evidence=evidence,
        locations=locations,
        hypotheses=hypotheses,
        options=options,
        expected=at_most(gain, lead.table.title),
        verify=verify,
        concerns=concerns,
    )


def titles(crossings: Sequence[Crossing]) -> tuple[str, ...]:
    return tuple(one.table.title for one in crossings)


def at_most(gain: Gain, workload_title: str) -> str:
    """The sentence on what removing a cost could give: a bound, not a promise, and the bound is the interval's end."""
    return (
        f"between {wording.change(gain.low)} and {wording.change(gain.high)} throughput at most on {workload_title}, if"
        f" all of it vanished (point estimate {wording.change(gain.value)})"
    )


def plain_command(run: RunData, workload: str, variant: str = "default") -> str | None:
    """The command line of a plain run of the subject; its paths are absolute."""
    for result in run.results_of(Collector.THROUGHPUT):
        cell = result.cell
        if (cell.workload, cell.allocator, cell.variant) == (workload, run.subject, variant):
            return command_line(result)
    return None


def command_text(run: RunData, result: CellResult) -> str:
    """What to type to run the program of a cell as it was run, with $OUT for its build's folder."""
    return with_folders(run, [command_line(result)])[-1]


def with_folders(run: RunData, commands: Sequence[str]) -> tuple[str, ...]:
    """Commands with $OUT for the build's folder, after a line that says where that is, seen from beside the store.

    Commands that use several builds have one such line, and a variable, for each.
    """
    texts = list(commands)
    used = [build for build in run.manifest.builds if any(f"{build.out}/" in text for text in texts)]
    lines = []
    for build in used:
        name = "OUT" if len(used) == 1 else f"OUT_{re.sub(r'[^A-Z0-9]', '_', build.name.upper())}"
        below_store = "/".join(PurePosixPath(build.out).parts[-_STORE_DEPTH:])
        lines.append(f"{name}={shlex.quote(below_store)}")
        # What the shell shall not split stays quoted, but in quotes that let the variable through.
        texts = [re.sub(rf"'{re.escape(build.out)}(/[^']*)'", rf'"${name}\1"', text) for text in texts]
        texts = [text.replace(f"{build.out}/", f"${name}/") for text in texts]
    return (*lines, *texts)


def command_line(result: CellResult, *, prefix: Sequence[str] = ()) -> str:
    """The program of a cell as it was run, ``prefix`` (a tool) in front of it; paths are absolute."""
    settings = dict(sorted(result.environment.items()))
    if result.preload is not None:
        settings.setdefault("LD_PRELOAD", result.preload.path)
    assignments = [f"{key}={shlex.quote(value)}" for key, value in settings.items() if not key.startswith("HAKPROF_")]
    program = [shlex.quote(part) for part in result.program]
    lead = [*prefix, "env", *assignments] if prefix and assignments else [*prefix, *assignments]
    return " ".join([*lead, *program])


def tool_command(run: RunData, workload: str, tool: Sequence[str]) -> tuple[str, ...]:
    """The plain run of ``workload`` under another tool; nothing if there was no such run."""
    for result in run.results_of(Collector.THROUGHPUT):
        if (result.cell.workload, result.cell.allocator, result.cell.variant) == (workload, run.subject, "default"):
            return (command_line(result, prefix=tool),)
    return ()
