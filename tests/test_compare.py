"""Comparing two runs: a run equals itself, (b, a) mirrors (a, b), and what moved is found and nothing else."""

import json
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from runs import HOST, PROJECT, RunBuilder, healthy

from hakprof import pipeline
from hakprof.analysis.compare import Change, Comparison, compare_runs
from hakprof.analysis.inputs import RunData
from hakprof.report.build import assemble_diff
from hakprof.report.json_out import to_json
from hakprof.report.render import render_diff_markdown

MIRROR = {Change.BETTER: Change.WORSE, Change.WORSE: Change.BETTER, Change.NONE: Change.NONE}
mops = st.lists(st.floats(min_value=1, max_value=1000), min_size=1, max_size=8)
layers = st.dictionaries(
    st.sampled_from(["benchmark", "refill", "k:page_fault", "unattributed"]), st.integers(1, 2000), min_size=1
)


def document(before: RunData, after: RunData) -> str:
    return render_diff_markdown(assemble_diff(before, after, compare_runs(before, after)))


def assert_no_difference(comparison: Comparison) -> None:
    assert comparison.differences == ()
    assert comparison.unmatched == ()
    assert {row.change for row in comparison.throughput} <= {Change.NONE}
    assert not any(row.moved for row in comparison.layers)
    assert {row.change for row in (*comparison.syscalls, *comparison.memory)} <= {Change.NONE}


def test_a_run_equals_itself() -> None:
    run = healthy().build()
    assert_no_difference(compare_runs(run, run))
    text = document(run, run)
    assert "Host, tools, builds, environment and arguments are the same." in text
    assert "Both sides are the same run: nothing can differ." in text


@given(mops, layers)
@settings(max_examples=25, deadline=None)
def test_any_run_equals_itself(values: list[float], counts: dict[str, int]) -> None:
    run = RunBuilder().throughput(values).recording(counts).build()
    assert_no_difference(compare_runs(run, run))


@given(mops, mops, layers, layers)
@settings(max_examples=25, deadline=None)
def test_back_mirrors_forth(a: list[float], b: list[float], one: dict[str, int], two: dict[str, int]) -> None:
    before = RunBuilder().throughput(a).recording(one).traced({"mmap": (500, 0.1, 0.1)}).build()
    after = RunBuilder().throughput(b).recording(two).traced({"mmap": (90, 0.1, 0.1), "brk": (3, 0.1, 0.1)}).build()
    forth, back = compare_runs(before, after), compare_runs(after, before)
    for there, again in zip(forth.throughput, back.throughput, strict=True):
        assert again.change == MIRROR[there.change]
        assert again.ratio.value == pytest.approx(1 / there.ratio.value)
        assert again.p_value == pytest.approx(there.p_value)
        assert (again.before, again.after) == (there.after, there.before)
    deltas = {(row.layer, row.kernel): row for row in back.layers}
    assert len(deltas) == len(forth.layers)
    for row in forth.layers:
        mirrored = deltas[row.layer, row.kernel]
        assert (mirrored.delta, mirrored.moved) == (pytest.approx(-row.delta), row.moved)
        assert (mirrored.delta_low, mirrored.delta_high) == pytest.approx((-row.delta_high, -row.delta_low))
    assert [MIRROR[row.change] for row in forth.syscalls] == [row.change for row in back.syscalls]


def test_faster_is_better_and_slower_worse() -> None:
    comparison = compare_runs(healthy().build(), healthy(scale=1.2).build())
    assert comparison.counts == {Change.BETTER: 4, Change.WORSE: 0, Change.NONE: 0, Change.OTHER_WORK: 0}
    assert comparison.subject_ratio == pytest.approx(1.2)
    assert comparison.peer_ratio == pytest.approx(1.0)
    assert compare_runs(healthy(scale=1.2).build(), healthy().build()).counts[Change.WORSE] == 4


def test_below_the_noise_floor_nothing_is_shown() -> None:
    """0.5 % on runs that hardly scatter is beyond chance, but not beyond what re-linking alone may do."""
    quiet = [100.0, 100.01, 99.99, 100.02, 99.98, 100.0, 100.01]
    before = RunBuilder().throughput(quiet).build()
    after = RunBuilder().throughput([value * 1.005 for value in quiet]).build()
    row = compare_runs(before, after).throughput[0]
    assert row.p_value < 0.05
    assert row.change == Change.NONE


def test_three_runs_show_nothing() -> None:
    before, after = (RunBuilder().throughput([v, v + 1, v + 2]).build() for v in (100, 200))
    assert compare_runs(before, after).throughput[0].change == Change.NONE


def test_layers_that_move_are_found_with_direction_and_time() -> None:
    before = RunBuilder().throughput([100.0] * 7).recording({"benchmark": 900, "refill": 100}).build()
    after = RunBuilder().throughput([100.0] * 7).recording({"benchmark": 700, "refill": 300}).build()
    moved = {row.layer: row for row in compare_runs(before, after).layers if row.moved}
    assert set(moved) == {"benchmark", "refill"}
    refill = moved["refill"]
    assert refill.delta == pytest.approx(0.2)
    assert (refill.ns_before, refill.ns_after) == pytest.approx((1.0, 3.0))


def test_a_new_layer_is_no_division_by_zero() -> None:
    before = RunBuilder().recording({"benchmark": 1000}).build()
    after = RunBuilder().recording({"benchmark": 800, "k:futex": 200}).build()
    row = next(row for row in compare_runs(before, after).layers if row.layer == "futex")
    assert row.moved
    assert row.before.value == 0


def test_fewer_calls_are_better() -> None:
    before = RunBuilder().traced({"mmap": (3241, 0.1, 0.2), "futex": (36, 0.1, 0.2)}).build()
    after = RunBuilder().traced({"mmap": (1692, 0.1, 0.2), "futex": (33, 0.1, 0.2)}).build()
    changes = {row.syscall: row.change for row in compare_runs(before, after).syscalls}
    assert changes == {"mmap": Change.BETTER, "futex": Change.NONE}


def test_less_memory_is_better() -> None:
    before = RunBuilder().throughput([100.0] * 7, vm_hwm_bytes=8 << 20).build()
    after = RunBuilder().throughput([100.0] * 7, vm_hwm_bytes=5 << 20).build()
    (row,) = compare_runs(before, after).memory
    assert row.change == Change.BETTER
    assert row.ratio.value == pytest.approx(0.625)


def test_what_differs_around_the_code_is_named_first() -> None:
    other = healthy()
    other.host = HOST.model_copy(update={"kernel": "6.8.0", "cpus": 8})
    other.project_text = PROJECT.replace("1000000", "5000000", 1)
    run, changed = healthy().build(), other.build()
    named = {one.what: (one.before, one.after) for one in compare_runs(run, changed).differences}
    assert named["kernel"] == ("6.1.0", "6.8.0")
    assert named["CPU"] == ("2 × Example CPU", "8 × Example CPU")
    assert named["arguments of small"] == ("--ops 1000000", "--ops 5000000")
    text = document(run, changed)
    assert text.index("6.8.0") < text.index("## Throughput")


def test_unmatched_rows_are_listed_and_not_averaged() -> None:
    before = RunBuilder().throughput([100.0] * 7).throughput([900.0] * 7, "large").build()
    after = RunBuilder().throughput([100.0] * 7).build()
    comparison = compare_runs(before, after)
    assert comparison.subject_ratio == pytest.approx(1.0)
    assert comparison.unmatched == ("throughput of large, demo, default: only before",)
    assert "## Without a partner" in document(before, after)


def test_a_check_that_fails_on_one_side_is_a_difference() -> None:
    good = RunBuilder().throughput([100.0] * 7, measured_ns=300_000_000).build()
    short = RunBuilder().throughput([100.0] * 7, measured_ns=11_000_000).build()
    assert any(one.kind == "trust" and "T3" in one.what for one in compare_runs(good, short).differences)


def test_runs_without_anything_in_common_say_so() -> None:
    text = document(RunBuilder().throughput([100.0] * 7).build(), RunBuilder().recording({"libc": 9}).build())
    assert "no throughput row of the allocator in common" in text
    assert "The runs have no recording in common." in text


def test_drift_of_the_host_is_said() -> None:
    run = healthy().build()
    drifted = replace(run, bench=run.bench.with_columns(run.bench["ops_per_second"] * 0.9))
    assert "the host itself has moved. Relative to them the allocator moved by 0.0 %" in document(run, drifted)


def test_the_same_sources_are_said_to_be_the_same() -> None:
    run = healthy().build()
    again = replace(run, manifest=run.manifest.model_copy(update={"created_utc": "2025-01-02T00:00:00.000Z"}))
    assert "Both sides measured the same sources" in document(run, again)
    builds = tuple(build.model_copy(update={"sources_sha256": "7" * 64}) for build in run.manifest.builds)
    other = replace(run, manifest=run.manifest.model_copy(update={"builds": builds}))
    assert "same sources" not in document(run, other)


def test_json() -> None:
    run = healthy().build()
    data = json.loads(to_json(assemble_diff(run, run, compare_runs(run, run))))
    assert data["comparison"]["subject_ratio"] == pytest.approx(1.0)


def test_rows_that_did_other_work_are_not_judged() -> None:
    run = healthy().build()
    other = healthy(scale=2.0)
    other.project_text = other.project_text.replace('args = ["--ops", "', 'args = ["--ops", "9')
    assert other.project_text != RunBuilder().project_text

    comparison = compare_runs(run, other.build())

    assert not comparison.is_judged
    assert {row.change for row in comparison.throughput if row.is_subject} == {Change.OTHER_WORK}
    assert "no row can be judged" in document(run, other.build())


def test_exit_status_of_a_comparison() -> None:
    run, slower = healthy().build(), healthy(scale=0.5).build()
    assert pipeline.diff_status(compare_runs(run, slower), gate=False) == 0
    assert pipeline.diff_status(compare_runs(run, slower), gate=True) == 1
    assert pipeline.diff_status(compare_runs(slower, run), gate=True) == 0
    assert pipeline.diff_status(compare_runs(run, RunBuilder().build()), gate=True) == 3
