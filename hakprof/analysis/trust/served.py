"""T2: the allocator that a row names really served its calls."""

from collections.abc import Iterator
from pathlib import PurePosixPath

import polars as pl

from hakprof.analysis.allocator_counters import CounterSet
from hakprof.analysis.inputs import RunData
from hakprof.analysis.labels import allocator_title, variant_title
from hakprof.analysis.statistics import LEAST_SAMPLES
from hakprof.analysis.trust.model import (
    CALLS_TOLERANCE,
    CALLS_TOLERANCE_SHARE,
    Concern,
    Evidence,
    TrustCheck,
    Verdict,
    worst,
    worst_first,
)
from hakprof.model.run import CellResult

TITLE = "the allocator under test served the calls"
_REMEDY = "check LD_PRELOAD and how the program is linked; these rows measure another allocator than they name"
_NO_LIBRARY = "and the project names no library to expect"
_C_LIBRARY = ""
_LIBC_NAMES = ("libc.so", "libc-", "ld-musl", "libpthread")


def check_served(run: RunData, sets: tuple[CounterSet, ...]) -> TrustCheck:
    """The object that defines malloc in each process, the allocator's own count of calls, and samples inside it."""
    objects = list(_object_rows(run))
    evidence = worst_first([*_summed_up(run, objects), *_counter_rows(run, sets), *_sample_rows(run)])
    verdict = worst([row.verdict for row in evidence])
    bad = [row for row in evidence if row.verdict == Verdict.FAIL]
    named = [row for _, row in objects if row.verdict != Verdict.UNKNOWN]
    if bad:
        summary = f"Calls were served by another allocator than the row names: {bad[0].what}: {bad[0].detail}."
    elif named:
        summary = f"In {len(named)} of {len(objects)} cells the program itself named the expected object as its malloc."
    elif any(_NO_LIBRARY in row.detail for _, row in objects):
        summary = "The project names no library of the allocator, so what served the calls is taken on trust."
    else:
        summary = "No program named the object that served its malloc, so what was measured is taken on trust."
    concerns = (Concern.RESULTS, Concern.LAYERS, Concern.SYSCALLS, Concern.COUNTERS, Concern.MEMORY)
    summary = " ".join((summary, *_by_intention(run)))
    return TrustCheck("T2", TITLE, verdict, summary, evidence, concerns, _REMEDY if bad else None)


def _by_intention(run: RunData) -> Iterator[str]:
    """A row that is not the allocator's own work must not pass for it."""
    for name in run.study.variants:
        variant = run.project.variants.get(name)
        if variant is not None and variant.served_by is not None:
            yield f"By intention, {variant.served_by} serves the variant {variant_title(run, run.subject, name)}."


def _object_rows(run: RunData) -> Iterator[tuple[str, Evidence]]:
    """One row per cell whose program ended well, keyed by the allocator."""
    reported = dict(run.bench.select("cell", "malloc_object").iter_rows())
    for result in run.results:
        cell = result.cell
        if result.status != "ok":
            continue
        what = f"{cell.workload}, {allocator_title(run, cell.allocator)}, {cell.variant}, {cell.collector}"
        found = reported.get(cell.id)
        if not found:
            yield cell.allocator, Evidence(what, "the program does not say whose malloc it called", Verdict.UNKNOWN)
            continue
        expected = _expected_object(run, result)
        if expected is None:
            yield (
                cell.allocator,
                Evidence(what, f"malloc of {PurePosixPath(found).name}, {_NO_LIBRARY}", Verdict.UNKNOWN),
            )
            continue
        verdict = Verdict.PASS if _same_object(found, expected) else Verdict.FAIL
        wanted = "" if verdict == Verdict.PASS else f", expected {PurePosixPath(expected).name or 'the C library'}"
        yield cell.allocator, Evidence(what, f"malloc of {PurePosixPath(found).name}{wanted}", verdict)


def _expected_object(run: RunData, result: CellResult) -> str | None:
    """Path of the object that should define malloc, :data:`_C_LIBRARY` for its own; None where nothing tells."""
    if result.preload is not None:
        return result.preload.path
    if result.cell.allocator != run.subject:
        return _C_LIBRARY
    variant = run.project.variants.get(result.cell.variant)
    if variant is not None and variant.link == "direct":
        return result.binary.path if result.binary is not None else None
    return run.project.project.library


def _same_object(found: str, expected: str) -> bool:
    name = PurePosixPath(found).name
    if expected == _C_LIBRARY:
        return name.startswith(_LIBC_NAMES)
    return found == expected or _stem(name) == _stem(PurePosixPath(expected).name)


def _stem(name: str) -> str:
    """Library name without its version: a soname and the file it links to are one object."""
    return name.split(".so")[0]


def _summed_up(run: RunData, rows: list[tuple[str, Evidence]]) -> Iterator[Evidence]:
    """Bad rows one by one; good ones as one row per allocator."""
    for allocator in dict.fromkeys(name for name, _ in rows):
        own = [row for name, row in rows if name == allocator]
        yield from (row for row in own if row.verdict == Verdict.FAIL)
        for verdict in (Verdict.PASS, Verdict.UNKNOWN):
            kind = [row for row in own if row.verdict == verdict]
            if kind:
                details = ", ".join(sorted({row.detail for row in kind}))
                yield Evidence(f"{allocator_title(run, allocator)}, {len(kind)} cells", details, verdict)


def _counter_rows(run: RunData, sets: tuple[CounterSet, ...]) -> Iterator[Evidence]:
    for one in sets:
        line = run.bench.filter(
            (pl.col("collector") == "counters")
            & (pl.col("workload") == one.workload)
            & (pl.col("variant") == one.variant)
        ).head(1)
        counted = one.values.get("calls.malloc")
        if counted is None or not line.height:
            continue
        whole, region = line["total_malloc_calls"][0], line["malloc_calls"][0]
        variant = run.project.variants.get(one.variant)
        if variant is not None and variant.served_by is not None:
            detail = f"counted {counted:,} malloc calls, and should count none: served by {variant.served_by}"
            agrees = counted == 0
        elif whole is not None:
            detail = f"counted {counted:,} malloc calls, the program made {whole:,}"
            # The runtime's own calls (start-up, output) come on top of the program's, and they are few.
            agrees = whole <= counted <= whole * (1 + CALLS_TOLERANCE_SHARE) + CALLS_TOLERANCE
        elif region is not None:
            detail = f"counted {counted:,} malloc calls, the program made {region:,} in its measured region alone"
            agrees = counted >= region
        else:
            continue
        what = f"{one.title}, {variant_title(run, run.subject, one.variant)}" if one.variant != "default" else one.title
        yield Evidence(f"{what}, counters", detail, Verdict.PASS if agrees else Verdict.FAIL)


def _sample_rows(run: RunData) -> Iterator[Evidence]:
    samples = run.time_samples()
    facts = {profile.cell: profile for profile in run.profiles}
    for result in run.results:
        if result.cell.id not in facts or result.cell.allocator != run.subject:
            continue
        yield _sample_row(run, result, samples.filter(pl.col("cell") == result.cell.id))


def _sample_row(run: RunData, result: CellResult, own: pl.DataFrame) -> Evidence:
    """Samples in the library show that it worked. The program's own file shows that only with the allocator in it."""
    what = f"{result.cell.workload}, perf record"
    expected = _expected_object(run, result)
    total = int(own["count"].sum())
    if expected is None:
        return Evidence(what, f"{total:,} samples, {_NO_LIBRARY}", Verdict.UNKNOWN)
    name = PurePosixPath(expected).name
    inside = int(own.filter(pl.col("dso").str.split("/").list.last() == name)["count"].sum())
    detail = f"{inside:,} of {total:,} samples are in {name}"
    if total < LEAST_SAMPLES:
        return Evidence(what, f"{detail}: fewer than {LEAST_SAMPLES} show nothing", Verdict.UNKNOWN)
    return Evidence(what, detail, Verdict.PASS if inside else Verdict.FAIL)
