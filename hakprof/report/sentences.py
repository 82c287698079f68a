"""Sentences that are computed: the verdict, the key findings, the lines of the summary. Each carries its numbers."""

from collections.abc import Sequence

from hakprof.analysis import wording
from hakprof.analysis.bundle import Analysis
from hakprof.analysis.compare import Change, Comparison
from hakprof.analysis.findings import Finding
from hakprof.analysis.inputs import RunData
from hakprof.analysis.labels import allocator_title
from hakprof.analysis.layers import ALL
from hakprof.analysis.statistics import geometric_mean, mann_whitney_p, median_ratio
from hakprof.analysis.throughput import ResultRow, Throughput, differs
from hakprof.analysis.trust import TrustCheck, Verdict
from hakprof.report.model import Bottleneck

LEAST_TO_DIFFER = 4  # runs of each side for Mann–Whitney to reach 5 % at all
HOST_DRIFT = 0.03  # of the peers' geometric mean: beyond it the machine is not the one that it was


def trust_sentence(checks: Sequence[TrustCheck]) -> str:
    """What the checks say together."""
    by_verdict = {verdict: [check.id for check in checks if check.verdict == verdict] for verdict in Verdict}
    if by_verdict[Verdict.FAIL]:
        failed = wording.listing(by_verdict[Verdict.FAIL])
        return f"{failed} failed: read the figures that they concern with that in mind, or measure again."
    passed = f"{len(by_verdict[Verdict.PASS])} of {len(checks)} checks passed"
    doubts = by_verdict[Verdict.WARN] + by_verdict[Verdict.UNKNOWN]
    return f"{passed}; {wording.listing(doubts)} with a reservation." if doubts else f"{passed}."


def standing(throughput: Throughput) -> dict[str, list[ResultRow]]:
    """The default variant's rows as "ahead", "behind" and "level" against the fastest peer of each workload."""
    found: dict[str, list[ResultRow]] = {"ahead": [], "behind": [], "level": []}
    for row in throughput.rows:
        if not row.is_subject or row.variant != "default" or row.vs_fastest_peer is None or row.fastest_peer is None:
            continue
        peer = throughput.row(row.workload, row.fastest_peer)
        shown = peer is not None and differs(row.vs_fastest_peer, mann_whitney_p(row.runs.values, peer.runs.values))
        found["level" if not shown else "ahead" if row.vs_fastest_peer.value > 1 else "behind"].append(row)
    return found


def verdict_sentence(run: RunData, analysis: Analysis) -> str:
    """The answer to "how do we stand?" in one or two sentences."""
    places = standing(analysis.throughput)
    total = sum(len(rows) for rows in places.values())
    name = allocator_title(run, run.subject)
    if not total:
        return f"{name} was not compared with a peer: no workload has throughput of both."
    text = (
        f"{name} (default) is faster than the fastest peer on {len(places['ahead'])} of {total} workloads, slower on"
        f" {len(places['behind'])}, and no difference is shown on {len(places['level'])}."
    )
    ranked = sorted((row for rows in places.values() for row in rows), key=lambda row: (_vs(row), row.workload))
    text += f" It ranges from {_against(run, ranked[0])} to {_against(run, ranked[-1])}."
    if max(row.runs.n for row in ranked) < LEAST_TO_DIFFER:
        text += " With fewer than four runs of each, no difference can be shown at the 5 % level."
    return text


def _vs(row: ResultRow) -> float:
    return row.vs_fastest_peer.value if row.vs_fastest_peer else 0.0


def _against(run: RunData, row: ResultRow) -> str:
    ratio = wording.ratio(row.vs_fastest_peer) if row.vs_fastest_peer else ""
    return f"{ratio} of {allocator_title(run, row.fastest_peer or '')} ({row.workload_title})"


def key_findings(run: RunData, throughput: Throughput) -> tuple[str, ...]:
    """What the results table says, computed from it."""
    found = [*_means(run, throughput), *_variants(run, throughput), *_best(throughput)]
    return tuple(sentence[:1].upper() + sentence[1:] for sentence in found)


def _means(run: RunData, throughput: Throughput) -> list[str]:
    """Geometric means over matched workloads, one sentence for all peers."""
    parts = []
    for peer in (name for name in run.allocators if name != run.subject):
        ratios = [
            row.ratios[peer].value
            for row in throughput.rows
            if row.is_subject and row.variant == "default" and peer in row.ratios
        ]
        if ratios:
            parts.append(f"{geometric_mean(ratios):.2f}× {allocator_title(run, peer)} ({len(ratios)} workloads)")
    if not parts:
        return []
    return [
        f"Geometric mean of {allocator_title(run, run.subject)}'s default over each peer: {wording.listing(parts)}."
    ]


def _variants(run: RunData, throughput: Throughput) -> list[str]:
    """What each other variant changes, and on how many workloads that is shown."""
    sentences = []
    for variant in (name for name in run.study.variants if name != "default"):
        pairs = [
            (row, base)
            for row in throughput.rows
            if row.is_subject and row.variant == variant
            if (base := throughput.row(row.workload, run.subject)) is not None
        ]
        if not pairs:
            continue
        mean = geometric_mean([row.ops_per_second.value / base.ops_per_second.value for row, base in pairs])
        shown = sum(1 for row, base in pairs if _shown(row, base))
        sentences.append(
            f"{pairs[0][0].variant_title}: {wording.change(mean - 1)} over the default (geometric mean of {len(pairs)}"
            f" workloads), shown on {shown} of them."
        )
    return sentences


def _shown(row: ResultRow, base: ResultRow) -> bool:
    ratio = median_ratio(row.runs.values, base.runs.values)
    return differs(ratio, mann_whitney_p(row.runs.values, base.runs.values))


def _best(throughput: Throughput) -> list[str]:
    better = [best for best in throughput.best if best.differs]
    if not any(best.considered > 1 for best in throughput.best):
        return []
    if not better:
        return ["No variant is shown to be faster than the default on any workload."]
    top = max(better, key=lambda best: (best.vs_default.value, best.workload))
    ratio = wording.ratio(top.vs_default)
    return [f"Largest gain of a variant: {top.variant_title} on {top.workload_title}, {ratio} of the default."]


def bottlenecks(findings: Sequence[Finding]) -> tuple[Bottleneck, ...]:
    """One line per finding, in its rank."""
    return tuple(
        Bottleneck(number, finding.title, str(finding.severity), _line(finding), finding.doubted_by)
        for number, finding in enumerate(findings, start=1)
    )


def _line(finding: Finding) -> str:
    more = len(finding.workloads) - 1
    others = f" (and on {more} more workload{'s' if more > 1 else ''})" if more else ""
    gain = f"; at most {wording.change(finding.gain.high)}" if finding.gain else ""
    return f"{finding.symptom.removesuffix('.')}{others}{gain}."


def no_bottleneck(analysis: Analysis) -> str | None:
    """What to say where no rule fires: the largest layers, with their shares."""
    if analysis.findings:
        return None
    table = next((t for t in analysis.layers if t.workload == ALL), analysis.layers[0] if analysis.layers else None)
    if table is None:
        return "No threshold is crossed, and no recording tells where the time goes."
    largest = [f"{row.layer} {wording.share(row.share)}" for row in table.rows[:3]]
    return f"No threshold is crossed. The largest layers over {table.title}: {wording.listing(largest)}."


def diff_verdict(comparison: Comparison) -> str:
    """Better, worse, or nothing shown; and whether the peers, which did not change, moved as well."""
    counts = comparison.counts
    total = sum(counts.values())
    if not total:
        return "The runs have no throughput row of the allocator in common, so nothing is compared."
    if comparison.same_run:
        return "Both sides are the same run: nothing can differ."
    if counts[Change.OTHER_WORK] == total:
        return "The workloads were given different arguments on the two sides, so no row can be judged."
    text = (
        f"{counts[Change.BETTER]} of {total} rows are better, {counts[Change.WORSE]} worse, and on"
        f" {counts[Change.NONE]} no difference is shown; geometric mean of the medians"
        f" {wording.change(comparison.subject_ratio - 1)}."
    )
    if max(min(row.before.n, row.after.n) for row in comparison.throughput) < LEAST_TO_DIFFER:
        text += " With fewer than four runs on a side, no difference can be shown at the 5 % level."
    if counts[Change.OTHER_WORK]:
        text += f" {counts[Change.OTHER_WORK]} cannot be judged: their workloads were given different arguments."
    if comparison.same_sources:
        text += " Both sides measured the same sources: what moved is noise or surroundings."
    if comparison.peer_ratio == comparison.peer_ratio:
        text += f" The peers moved by {wording.change(comparison.peer_ratio - 1)}"
        if abs(comparison.peer_ratio - 1) > HOST_DRIFT:
            relative = comparison.subject_ratio / comparison.peer_ratio
            text += (
                f": the host itself has moved. Relative to them the allocator moved by {wording.change(relative - 1)}"
            )
        text += "."
    return text
