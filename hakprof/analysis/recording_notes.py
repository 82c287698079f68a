"""What a reader must know of one recording before trusting its numbers, as sentences, the gravest first."""

from collections.abc import Iterator

import polars as pl

from hakprof.analysis import wording
from hakprof.analysis.layers import ASYNCHRONOUS, UNATTRIBUTED
from hakprof.analysis.trust.model import (
    LOST_WARN_SHARE,
    SAMPLES_WARN,
    UNATTRIBUTED_WARN_SHARE,
)
from hakprof.analysis.trust.sampling import widest_half_width
from hakprof.layers import Attribution
from hakprof.parse.perf_data import PerfProfile
from hakprof.parse.perf_data.scan import CUT_OFF
from hakprof.periods import unequal_periods

PARTIAL_WARN_SHARE = 0.05
# The outermost functions of whole call chains: where programs, threads and kernel threads begin.
_BEGINNINGS = (
    "_start",
    "main",
    "start_thread",
    "clone",
    "clone3",
    "__clone",
    "__clone3",
    "__libc_start_call_main",
    "__libc_start_main",
    "_dl_start",
    "_dl_start_user",
    "ret_from_fork",
    "ret_from_fork_asm",
    "secondary_startup_64",
    "secondary_startup_64_no_verify",
)


def recording_notes(profile: PerfProfile, attribution: Attribution, event: str) -> tuple[str, ...]:
    """Notes on the samples of ``event``: cut off, lost, unequal, few, without chains; then what the reader warns of."""
    samples = attribution.samples.filter(pl.col("event") == event)
    return tuple(
        dict.fromkeys(
            (
                *_losses(profile),
                *_periods(profile, event),
                *_sufficiency(samples),
                *_chains(profile, attribution, samples, event),
                *profile.warnings,
                *attribution.warnings,
            )
        )
    )


def _losses(profile: PerfProfile) -> Iterator[str]:
    if profile.truncated:
        yield CUT_OFF
    if profile.lost_samples:
        lost = profile.lost_samples / (profile.lost_samples + profile.sample_count)
        severe = "" if lost <= LOST_WARN_SHARE else "; record at a lower rate (-F) or with larger buffers (-m)"
        yield f"perf lost {wording.count(profile.lost_samples)} samples ({wording.pct(lost)}){severe}"
    if profile.throttled:
        yield f"the kernel throttled sampling {wording.count(profile.throttled)} times: busy moments are undercounted"


def _periods(profile: PerfProfile, event: str) -> Iterator[str]:
    """perf adapts the period to keep the samples' distance in time: then each stands for another number of events."""
    own = [one for one in profile.events if one.name == event and not one.is_time]
    extremes = [period for one in own for period in one.periods or ()]
    rows = profile.samples.filter(pl.col("event").is_in([one.index for one in own]))
    samples, events = int(rows["count"].sum()), int(rows["period"].sum())
    said = unequal_periods(event, samples, events, (min(extremes), max(extremes)) if extremes else None)
    if said is not None:
        yield said


def _sufficiency(samples: pl.DataFrame) -> Iterator[str]:
    total = int(samples["count"].sum())
    if total < SAMPLES_WARN:
        width = wording.points(widest_half_width(total))
        yield f"only {wording.count(total)} samples: shares are known within ±{width} points; record longer"
    nameless = int(samples.filter(pl.col("self_layer") == UNATTRIBUTED)["count"].sum())
    if total and nameless / total > UNATTRIBUTED_WARN_SHARE:
        yield (
            f"{wording.pct(nameless / total)} of the samples have no layer: add rules (--rules FILE) for the largest"
            " unattributed symbols, which hakprof layers names"
        )


def _chains(profile: PerfProfile, attribution: Attribution, samples: pl.DataFrame, event: str) -> Iterator[str]:
    """What the call chains cannot tell."""
    if not profile.has_chains:
        yield "recorded without call chains (perf record -g): what caused the kernel's work is not known"
        return
    chains = attribution.beginnings.filter(pl.col("event") == event)
    total = int(chains["count"].sum())
    partial = int(chains.filter(~pl.col("function").is_in(_BEGINNINGS))["count"].sum()) / total if total else 0.0
    # Of stacks that were unwound the reader says itself which are cut off, and why.
    if partial > PARTIAL_WARN_SHARE and not profile.has_stacks:
        yield (
            f"{wording.pct(partial)} of the call chains end before the function that their thread began with (code"
            " without frame pointers): callers and causes are incomplete there, a sample's own layer hardly"
        )
    called = samples.filter(pl.col("kernel") & ~pl.col("self_layer").is_in(ASYNCHRONOUS))
    orphaned = int(called.filter(pl.col("caused_layer").is_null())["count"].sum())
    kernel = int(called["count"].sum())
    if kernel and orphaned / kernel > PARTIAL_WARN_SHARE:
        yield f"{wording.pct(orphaned / kernel)} of the kernel samples have no user frame: nothing tells their cause"
