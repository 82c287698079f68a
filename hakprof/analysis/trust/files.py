"""The checks of files that came without a run: what files alone can answer, and plainly what they cannot."""

from collections.abc import Sequence
from dataclasses import dataclass

from hakprof.analysis import wording
from hakprof.analysis.statistics import Share
from hakprof.analysis.syscalls import SyscallTable
from hakprof.analysis.trust.model import (
    CATCH_ALL_WARN_SHARE,
    LOST_FAIL_SHARE,
    LOST_WARN_SHARE,
    REGION_FAIL_NS,
    REGION_WARN_NS,
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
from hakprof.analysis.trust.sampling import TITLE as SAMPLING_TITLE
from hakprof.analysis.trust.sampling import widest_half_width

_LAYERS, _SYSCALLS = (Concern.LAYERS,), (Concern.SYSCALLS,)
_BOTH = (Concern.LAYERS, Concern.SYSCALLS)


@dataclass(frozen=True, slots=True)
class RecordingFacts:
    """What the checks look at of one perf.data file; shares are of the samples of the event that is shown."""

    name: str
    event: str
    samples: int
    span_ns: int  # from the first of these samples to the last
    is_region: bool  # perf was told when to begin, so that start-up can be outside
    lost_samples: int
    all_samples: int  # of all events
    throttled: int
    truncated: bool
    unattributed: Share
    by_object: Share  # in layers that only tell the object
    without_build_id: tuple[str, ...]  # objects with samples of which no build id was recorded
    names_missing: tuple[str, ...]  # warnings about names that could not be found


def check_files(
    recordings: Sequence[RecordingFacts], syscalls: SyscallTable | None, *, has_span: bool
) -> tuple[TrustCheck, ...]:
    """Every check that means something for the files given. ``has_span``: the trace tells how long its program ran."""
    checks = [_binary(recordings), _served(recordings)]
    if recordings:
        checks += [_duration(recordings), _repeated(), _sampling(recordings)]
    if syscalls is not None:
        checks.append(_syscall_time(syscalls, has_span=has_span))
    return (*checks, _disturbance(recordings, syscalls))


def files_sentence(checks: Sequence[TrustCheck]) -> str:
    """What the checks say together."""
    ids = {verdict: [check.id for check in checks if check.verdict == verdict] for verdict in Verdict}
    parts = []
    if ids[Verdict.FAIL]:
        failed = wording.listing(ids[Verdict.FAIL])
        parts.append(f"{failed} failed: read the figures that they concern with that in mind, or measure again")
    parts.append(f"{wording.listing(ids[Verdict.UNKNOWN])} cannot be answered by files without a run")
    if ids[Verdict.WARN]:
        parts.append(f"{wording.listing(ids[Verdict.WARN])} with a reservation")
    return "; ".join(parts) + "."


def _binary(recordings: Sequence[RecordingFacts]) -> TrustCheck:
    unknown = sorted({path for one in recordings for path in one.without_build_id})
    evidence = [
        Evidence(one.name, text, Verdict.WARN)
        for one in recordings
        for text in (*(f"{path}: no build id recorded" for path in one.without_build_id), *one.names_missing)
    ]
    summary = "Nothing ties the files to a commit, sources or flags: no run built and measured these programs."
    if recordings:
        summary += " What was recorded is named below by build id; names are taken from files with that id alone."
    if unknown:
        more = f" and {len(unknown) - 1} more" if len(unknown) > 1 else ""
        summary += f" {unknown[0]}{more} recorded without one: the names may be those of another build."
    elif evidence:
        summary += f" {evidence[0].what}: {evidence[0].detail}."
    verdict = Verdict.WARN if evidence else Verdict.UNKNOWN
    title = "the measured binary is the one that was built"
    return TrustCheck("T1", title, verdict, summary, tuple(evidence), _BOTH)


def _served(recordings: Sequence[RecordingFacts]) -> TrustCheck:
    hint = "objects and layers with samples are the only hint" if recordings else "calls of the kernel do not tell"
    summary = f"No program said whose malloc served it; {hint}."
    return TrustCheck("T2", "the allocator under test served the calls", Verdict.UNKNOWN, summary, (), _BOTH)


def _duration(recordings: Sequence[RecordingFacts]) -> TrustCheck:
    evidence = worst_first(
        [Evidence(one.name, f"its samples span {wording.ns(one.span_ns)}", _length(one.span_ns)) for one in recordings]
    )
    whole = [one.name for one in recordings if not one.is_region]
    verdict = worst([*(row.verdict for row in evidence), *([Verdict.UNKNOWN] if whole else [])])
    shortest = min(recordings, key=lambda one: (one.span_ns, one.name))
    summary = f"The shortest, {shortest.name}, spans {wording.ns(shortest.span_ns)}."
    if whole:
        summary += f" Start-up and exit are among the samples of {wording.listing(whole)}, as far as it was recorded."
    else:
        summary += " perf was told when to begin (-D, --control), so start-up can be outside."
    title = "runs are long enough, start-up is kept apart"
    return TrustCheck("T3", title, verdict, summary, evidence, _LAYERS, "record longer runs")


def _length(span_ns: int) -> Verdict:
    return grade_low(span_ns, REGION_WARN_NS, REGION_FAIL_NS)


def _repeated() -> TrustCheck:
    summary = "A recording is one run: its intervals hold the chance of sampling, not how runs differ from one another."
    return TrustCheck("T4", "repeated runs agree", Verdict.UNKNOWN, summary, (), _LAYERS)


def _sampling(recordings: Sequence[RecordingFacts]) -> TrustCheck:
    evidence = worst_first([row for one in recordings for row in _sampling_rows(one)])
    fewest = min(recordings, key=lambda one: (one.samples, one.name))
    summary = (
        f"The fewest samples, {wording.count(fewest.samples)} ({fewest.name}), give a share within"
        f" ±{wording.points(widest_half_width(fewest.samples))} points at the widest."
    )
    bad = [row for row in evidence if row.verdict in (Verdict.FAIL, Verdict.WARN)]
    if bad:
        summary += f" {bad[0].what}: {bad[0].detail}."
    verdict = worst([row.verdict for row in evidence])
    remedy = "record longer (-F only if samples are not lost); keep symbols; add [[layers]] rules with --rules"
    return TrustCheck("T5", SAMPLING_TITLE, verdict, summary, evidence, _LAYERS, remedy if bad else None)


def _sampling_rows(one: RecordingFacts) -> list[Evidence]:
    width = wording.points(widest_half_width(one.samples))
    unattributed, by_object = one.unattributed, one.by_object
    rows = [
        (
            f"{wording.count(one.samples)} samples of {one.event}, shares within ±{width} points",
            grade_low(one.samples, SAMPLES_WARN, SAMPLES_FAIL),
        ),
        (
            f"unattributed {wording.share(unattributed)}",
            grade_high(unattributed.value, UNATTRIBUTED_WARN_SHARE, UNATTRIBUTED_FAIL_SHARE),
        ),
        (
            f"named by their object alone {wording.share(by_object)}",
            Verdict.WARN if by_object.value > CATCH_ALL_WARN_SHARE else Verdict.PASS,
        ),
    ]
    if one.lost_samples:
        lost = one.lost_samples / (one.lost_samples + one.all_samples)
        detail = f"perf lost {wording.count(one.lost_samples)} samples ({wording.pct(lost)})"
        rows.append((detail, grade_high(lost, LOST_WARN_SHARE, LOST_FAIL_SHARE)))
    if one.throttled:
        rows.append((f"the kernel throttled sampling {wording.count(one.throttled)} times", Verdict.WARN))
    if one.truncated:
        rows.append(("the recording is cut off; what is there was read", Verdict.WARN))
    return [Evidence(one.name, detail, verdict) for detail, verdict in rows]


def _syscall_time(table: SyscallTable, *, has_span: bool) -> TrustCheck:
    title = "syscall time is set against the run's time"
    if not has_span:
        summary = (
            "The file does not tell how long the program ran. A share of the time of all calls is no share of the run:"
            " what a call costs the program is not known."
        )
        remedy = "trace with `strace -f -T -ttt -o FILE PROGRAM`, which has the time of each call and of the run"
        return TrustCheck("T7", title, Verdict.UNKNOWN, summary, (), _SYSCALLS, remedy)
    share = wording.pct(table.wall_share_of_run) if table.wall_share_of_run is not None else "an unknown share"
    summary = (
        f"Working calls take {share} of the traced program's wall time, which strace makes longer; times of several"
        " threads add up."
    )
    return TrustCheck("T7", title, Verdict.PASS, summary, (), _SYSCALLS)


def _disturbance(recordings: Sequence[RecordingFacts], syscalls: SyscallTable | None) -> TrustCheck:
    tools = [name for name, given in (("perf", bool(recordings)), ("strace", syscalls is not None)) if given]
    summary = f"There is no plain run to compare with: how much {' and '.join(tools)} slowed the program is not known."
    if syscalls is not None:
        summary += " strace stops a program twice in each call, so its times are upper bounds; its counts are right."
    return TrustCheck("T8", "the tools disturb the program little", Verdict.UNKNOWN, summary, (), _BOTH)
