"""T5: enough samples for the shares, few lost, few without a layer."""

from collections.abc import Sequence

from hakprof.analysis import wording
from hakprof.analysis.inputs import ProfileFacts, RunData
from hakprof.analysis.labels import allocator_title, workload_title
from hakprof.analysis.layers import ALL, UNATTRIBUTED, LayerTable, catch_all_layers
from hakprof.analysis.statistics import Z95
from hakprof.analysis.trust.model import (
    CATCH_ALL_WARN_SHARE,
    LOST_FAIL_SHARE,
    LOST_WARN_SHARE,
    SAMPLES_FAIL,
    SAMPLES_WARN,
    UNATTRIBUTED_FAIL_SHARE,
    UNATTRIBUTED_WARN_SHARE,
    Concern,
    Evidence,
    TrustCheck,
    Verdict,
    grade_high,
    grade_low,
    worst,
    worst_first,
)
from hakprof.model.run import Collector

TITLE = "there are enough samples, and each has a layer"
_REMEDY = (
    "record longer (more operations) rather than faster; keep symbols (-g, no strip), and add a [[layers]] rule for"
    " what is unattributed"
)


def check_sampling(run: RunData, tables: tuple[LayerTable, ...]) -> TrustCheck:
    """Samples per recording, width of the widest interval, lost and throttled samples, unattributed share."""
    single = [table for table in tables if table.workload != ALL]
    concerns = (Concern.LAYERS,)
    empty = _empty_rows(run)
    if not single:
        verdict = worst([row.verdict for row in empty])
        summary = "No recording of the subject has samples of time."
        return TrustCheck("T5", TITLE, verdict, summary, tuple(empty), concerns, _REMEDY if empty else None)
    by_object = sorted(catch_all_layers(run))
    evidence = worst_first(
        [
            *empty,
            *map(_table_row, single),
            *map(_unattributed_row, single),
            *(_catch_all_row(table, by_object) for table in single),
            *_facts_rows(run.profiles),
        ]
    )
    verdict = worst([row.verdict for row in evidence])
    fewest = min(single, key=lambda table: (table.samples, table.workload))
    largest = max(single, key=lambda table: (table.share_of(UNATTRIBUTED).value, table.workload))
    summary = (
        f"{wording.count(sum(t.samples for t in single))} samples in {len(single)} recordings; the fewest,"
        f" {wording.count(fewest.samples)} ({fewest.title}), give a share"
        f" within ±{wording.points(widest_half_width(fewest.samples))} points at the widest; unattributed at most"
        f" {wording.pct(largest.share_of(UNATTRIBUTED).value)}."
    )
    if empty:
        summary += f" {len(empty)} more planned and without samples: {wording.listing([row.what for row in empty])}."
    bad = [row for row in evidence if row.verdict in (Verdict.FAIL, Verdict.WARN)]
    if bad:
        summary += f" {bad[0].what}: {bad[0].detail}."
    return TrustCheck("T5", TITLE, verdict, summary, evidence, concerns, _REMEDY if bad else None)


def widest_half_width(samples: int) -> float:
    """Half the 95 % interval of a share of one half: no share of as many samples is less certain."""
    return Z95 * 0.5 / samples**0.5 if samples else 1.0


def _table_row(table: LayerTable) -> Evidence:
    width = wording.points(widest_half_width(table.samples))
    detail = f"{wording.count(table.samples)} samples, shares within ±{width} points"
    return Evidence(table.title, detail, grade_low(table.samples, SAMPLES_WARN, SAMPLES_FAIL))


def _unattributed_row(table: LayerTable) -> Evidence:
    share = table.share_of(UNATTRIBUTED)
    verdict = grade_high(share.value, UNATTRIBUTED_WARN_SHARE, UNATTRIBUTED_FAIL_SHARE)
    return Evidence(table.title, f"unattributed {wording.share(share)}", verdict)


def _catch_all_row(table: LayerTable, by_object: Sequence[str]) -> Evidence:
    """Such a sample has a layer, but one that says no more than the object that it is in."""
    share = table.share_of(*by_object)
    verdict = Verdict.WARN if share.value > CATCH_ALL_WARN_SHARE else Verdict.PASS
    found = [row.layer for row in table.rows if row.layer in by_object and row.share.count]
    names = f" ({wording.listing(found)})" if found else ""
    return Evidence(table.title, f"named by their object alone {wording.share(share)}{names}", verdict)


def _empty_rows(run: RunData) -> list[Evidence]:
    """Recordings that were planned and of which no sample of time can be read, for whatever reason."""
    sampled = {facts.cell for facts in run.profiles if facts.time_event and facts.samples}
    return [
        Evidence(
            f"{workload_title(run, cell.workload)}, {allocator_title(run, cell.allocator)}, {cell.variant}",
            "its recording is missing or has no samples of time",
            Verdict.WARN,
        )
        for cell in run.manifest.cells
        if cell.collector == Collector.PERF_RECORD and cell.id not in sampled
    ]


def _facts_rows(profiles: tuple[ProfileFacts, ...]) -> list[Evidence]:
    rows = []
    for facts in profiles:
        if facts.lost_samples:
            lost = facts.lost_samples / (facts.lost_samples + facts.samples)
            detail = f"perf lost {wording.count(facts.lost_samples)} samples ({wording.pct(lost)})"
            rows.append(Evidence(facts.cell, detail, grade_high(lost, LOST_WARN_SHARE, LOST_FAIL_SHARE)))
        if facts.throttled:
            rows.append(Evidence(facts.cell, f"the kernel throttled sampling {facts.throttled} times", Verdict.WARN))
        if facts.truncated:
            rows.append(Evidence(facts.cell, "the recording is cut off; what is there was read", Verdict.WARN))
    return rows
