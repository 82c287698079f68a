"""Trust checks: each passes on a healthy run and fails on the very mistake that it is there for."""

from collections.abc import Callable
from dataclasses import replace

import pytest
from runs import COMMIT, DIRECT, INSTRUMENTED, PROJECT, RELEASE, RunBuilder, healthy

from hakprof.analysis.bundle import analyse
from hakprof.analysis.inputs import RunData
from hakprof.analysis.trust import TrustCheck, Verdict
from hakprof.model.run import Capability, CellStatus, Collector, Skipped


def check(run: RunData, name: str) -> TrustCheck:
    return next(one for one in analyse(run).trust if one.id == name)


def test_a_healthy_run_passes_every_check() -> None:
    assert {one.id: one.verdict for one in analyse(healthy().build()).trust} == dict.fromkeys(
        ("T1", "T2", "T3", "T4", "T4b", "T5", "T7", "T8", "C11", "C12"), Verdict.PASS
    )


def test_an_empty_run_fails_nothing_and_claims_nothing() -> None:
    verdicts = {one.id: one.verdict for one in analyse(RunBuilder().build()).trust}
    assert Verdict.FAIL not in verdicts.values()
    assert all(verdicts[name] == Verdict.UNKNOWN for name in ("T1", "T2", "T3", "T4", "T4b", "T5", "T7", "T8"))


# ---- T1: the measured binary --------------------------------------------------------------------------------------


def stale_library() -> RunBuilder:
    """A library of another commit, found by its build string."""
    builder = healthy()
    old = RELEASE.model_copy(update={"build_string": RELEASE.build_string | {"commit": "f" * 40}})
    builder.cell(Collector.THROUGHPUT, repetition=7, preload=old)
    return builder


def swapped_library() -> RunBuilder:
    """A file with another build id than the build produced."""
    builder = healthy()
    builder.cell(Collector.THROUGHPUT, repetition=7, preload=RELEASE.model_copy(update={"build_id": "99" * 20}))
    return builder


def wrong_flavour() -> RunBuilder:
    """The instrumented library where the release one should be."""
    builder = healthy()
    builder.cell(Collector.THROUGHPUT, repetition=7, preload=INSTRUMENTED)
    return builder


def other_sources() -> RunBuilder:
    """Sources that were edited after the build."""
    builder = healthy()
    old = RELEASE.model_copy(update={"build_string": RELEASE.build_string | {"sources": "6" * 64}})
    builder.cell(Collector.THROUGHPUT, repetition=7, preload=old)
    return builder


def perf_saw_another() -> RunBuilder:
    builder = healthy()
    builder.recording({"benchmark": 900}, "small", build_ids={RELEASE.path: "77" * 20})
    return builder


@pytest.mark.parametrize("make", [stale_library, swapped_library, wrong_flavour, other_sources, perf_saw_another])
def test_t1_fails_on_a_binary_that_was_not_built(make: Callable[[], RunBuilder]) -> None:
    found = check(make().build(), "T1")
    assert found.verdict == Verdict.FAIL
    assert found.evidence[0].verdict == Verdict.FAIL
    assert found.remedy


def test_t1_warns_of_uncommitted_changes() -> None:
    builder = healthy()
    builder.dirty = True
    found = check(builder.build(), "T1")
    assert found.verdict == Verdict.WARN
    assert "uncommitted" in found.summary


def test_t1_says_unknown_without_a_build_string() -> None:
    builder = RunBuilder()
    builder.cell(Collector.THROUGHPUT, preload=RELEASE.model_copy(update={"build_string": {}}))
    assert check(builder.build(), "T1").verdict == Verdict.UNKNOWN


def test_t1_names_the_commit() -> None:
    assert COMMIT[:8] in check(healthy().build(), "T1").summary


# ---- T2: who served the calls -------------------------------------------------------------------------------------


def test_t2_fails_when_the_benchmark_ran_on_glibc() -> None:
    builder = healthy()
    builder.cell(Collector.THROUGHPUT, repetition=7, malloc_object="/lib/x86_64-linux-gnu/libc.so.6")
    found = check(builder.build(), "T2")
    assert found.verdict == Verdict.FAIL
    assert "libc.so.6, expected libdemo.so" in found.summary


def test_t2_fails_when_a_peer_was_not_loaded() -> None:
    builder = healthy()
    builder.cell(Collector.THROUGHPUT, "small", "mimalloc", repetition=7, malloc_object="/lib/libc.so.6")
    assert check(builder.build(), "T2").verdict == Verdict.FAIL


def test_t2_fails_when_the_system_row_ran_on_a_preloaded_library() -> None:
    builder = healthy()
    builder.cell(Collector.THROUGHPUT, "small", "system", repetition=7, malloc_object="/usr/lib/libmimalloc.so.2")
    assert check(builder.build(), "T2").verdict == Verdict.FAIL


def test_t2_knows_a_library_by_any_of_its_version_names() -> None:
    builder = healthy()
    builder.cell(Collector.THROUGHPUT, "small", "mimalloc", repetition=7, malloc_object="/usr/lib/libmimalloc.so.2.0")
    assert check(builder.build(), "T2").verdict == Verdict.PASS


@pytest.mark.parametrize("counted", [12, 19_999_999, 25_000_000])
def test_t2_fails_when_the_allocator_counted_other_calls(counted: int) -> None:
    builder = RunBuilder()
    builder.counted({"calls.malloc": counted}, total_malloc_calls=20_000_000)
    found = check(builder.build(), "T2")
    assert found.verdict == Verdict.FAIL
    assert f"counted {counted:,} malloc calls, the program made 20,000,000" in found.summary


@pytest.mark.parametrize(("counted", "verdict"), [(0, Verdict.PASS), (5, Verdict.FAIL)])
def test_t2_knows_a_variant_that_is_served_by_another_on_purpose(counted: int, verdict: Verdict) -> None:
    builder = healthy()
    builder.project_text += '[variants.libc]\ntitle = "forced"\nserved_by = "the C library"\n'
    builder.project_text = builder.project_text.replace('["default", "direct"]', '["default", "direct", "libc"]')
    builder.counted({"calls.malloc": counted}, variant="libc")
    found = check(builder.build(), "T2")
    assert found.verdict == verdict
    assert found.summary.endswith("By intention, the C library serves the variant forced.")
    told = f"forced, counters counted {counted} malloc calls, and should count none: served by the C library"
    assert any(f"{row.what} {row.detail}".endswith(told) for row in found.evidence)


def test_t2_allows_the_runtimes_own_calls() -> None:
    builder = RunBuilder()
    builder.counted({"calls.malloc": 20_000_120}, total_malloc_calls=20_000_000)
    assert check(builder.build(), "T2").verdict == Verdict.PASS


def test_t2_fails_when_no_sample_is_in_the_library() -> None:
    builder = RunBuilder().recording({"benchmark": 900})
    assert check(builder.build(), "T2").verdict == Verdict.FAIL


def test_t2_expects_no_object_where_the_project_names_none() -> None:
    """Samples in the program's own file are no evidence: the program is always there."""
    builder = RunBuilder(project_text=PROJECT.replace('library = "lib/libdemo.so"\n', ""))
    builder.recording({"benchmark": 900})
    builder.results = [result.model_copy(update={"preload": None}) for result in builder.results]
    found = check(builder.build(), "T2")
    assert found.verdict == Verdict.UNKNOWN
    assert all("the project names no library to expect" in row.detail for row in found.evidence)
    assert "names no library" in found.summary


def test_t2_misses_a_library_that_was_not_preloaded() -> None:
    builder = RunBuilder()
    builder.cell(Collector.THROUGHPUT, malloc_object="/lib/libc.so.6")
    builder.results = [result.model_copy(update={"preload": None}) for result in builder.results]
    found = check(builder.build(), "T2")
    assert found.verdict == Verdict.FAIL
    assert "malloc of libc.so.6, expected libdemo.so" in found.summary


@pytest.mark.parametrize(("samples", "verdict"), [(29, Verdict.UNKNOWN), (30, Verdict.FAIL)], ids=str)
def test_t2_concludes_nothing_from_a_handful_of_samples(samples: int, verdict: Verdict) -> None:
    rows = check(RunBuilder().recording({"benchmark": samples}).build(), "T2").evidence
    assert {row.verdict for row in rows if "perf record" in row.what and "samples" in row.detail} == {verdict}


def test_t2_takes_the_program_itself_where_the_allocator_is_linked_in() -> None:
    builder = RunBuilder().recording({"tiny_alloc_fast": 900})
    cell = builder.results[0].cell.model_copy(update={"variant": "direct"})
    builder.results = [builder.results[0].model_copy(update={"cell": cell, "preload": None, "binary": DIRECT})]
    builder.profiles = [replace(builder.profiles[0], cell=cell.id)]
    builder.samples = [row | {"cell": cell.id, "variant": "direct", "dso": DIRECT.path} for row in builder.samples]
    rows = check(builder.build(), "T2").evidence
    assert any(row.verdict == Verdict.PASS and "900 of 900 samples are in small_demo" in row.detail for row in rows)


# ---- T3: length ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("measured_ms", "verdict"), [(11, Verdict.FAIL), (100, Verdict.WARN), (300, Verdict.PASS)], ids=str
)
def test_t3_by_the_length_of_the_region(measured_ms: int, verdict: Verdict) -> None:
    builder = RunBuilder().throughput([100.0] * 7, measured_ns=measured_ms * 1_000_000)
    found = check(builder.build(), "T3")
    assert found.verdict == verdict
    assert f"{measured_ms}" in found.summary


def test_t3_counts_start_up_only_where_perf_saw_it() -> None:
    builder = RunBuilder().throughput([100.0] * 7, measured_ns=300_000_000)
    builder.cell(Collector.PERF_RECORD, region_marked=False, startup_ns=60_000_000, measured_ns=300_000_000)
    found = check(builder.build(), "T3")
    assert found.verdict == Verdict.FAIL
    assert "16.9 %" in found.summary


# ---- T4: noise ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("mops", "verdict"),
    [
        ([100.0] * 7, Verdict.PASS),
        ([100, 115, 90, 101, 99, 104, 96], Verdict.WARN),
        ([100, 160, 60, 101, 99, 140, 70], Verdict.FAIL),
        ([100.0, 101.0, 99.0], Verdict.WARN),
        ([100.0], Verdict.FAIL),
    ],
    ids=["quiet", "noisy", "wild", "three runs", "one run"],
)
def test_t4_by_noise_and_number_of_runs(mops: list[float], verdict: Verdict) -> None:
    assert check(RunBuilder().throughput(mops).build(), "T4").verdict == verdict


def test_t4_says_that_few_runs_carry_no_interval() -> None:
    assert "no 95 % interval" in check(RunBuilder().throughput([100, 101, 99]).build(), "T4").summary


def test_t4_says_how_many_rows_are_of_which_level() -> None:
    builder = RunBuilder().throughput([100.0] * 7).throughput([100, 160, 60, 101, 99, 140, 70], "large")
    builder.throughput([100, 115, 90, 101, 99, 104, 96], allocator="mimalloc")
    assert "above 10.0 % in 1 of 3 rows, from 5.0 % to 10.0 % in 1" in check(builder.build(), "T4").summary


# ---- T4b: CPU time ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("threads", "msec_per_op", "verdict"),
    [
        (1, 0.95e-5, Verdict.PASS),
        (1, 0.85e-5, Verdict.WARN),
        (1, 0.60e-5, Verdict.FAIL),
        (2, 1.90e-5, Verdict.PASS),
        (2, 1.20e-5, Verdict.FAIL),
    ],
    ids=str,
)
def test_t4b_by_the_time_that_the_program_had_the_cpu(threads: int, msec_per_op: float, verdict: Verdict) -> None:
    found = check(RunBuilder().perf_stat({"task-clock": msec_per_op}, threads=threads).build(), "T4b")
    assert found.verdict == verdict
    assert f"{msec_per_op / threads / 1e-5 * 100:.1f} %" in found.summary
    assert ("the host's" in found.summary) == (verdict != Verdict.PASS)


def test_t4b_does_not_judge_a_region_that_is_not_marked() -> None:
    text = PROJECT.replace("region = true\n", "")
    run = RunBuilder(project_text=text).perf_stat({"task-clock": 0.2e-5}).build()
    assert check(run, "T4b").verdict == Verdict.UNKNOWN


# ---- T5: samples --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("samples", "verdict"), [(50, Verdict.FAIL), (200, Verdict.WARN), (900, Verdict.PASS)], ids=str
)
def test_t5_by_the_number_of_samples(samples: int, verdict: Verdict) -> None:
    assert check(RunBuilder().recording({"tiny_alloc_fast": samples}).build(), "T5").verdict == verdict


def test_t5_by_unattributed_samples() -> None:
    found = check(RunBuilder().recording({"tiny_alloc_fast": 700, "unattributed": 300}).build(), "T5")
    assert found.verdict == Verdict.FAIL
    assert "30.0 %" in found.summary


@pytest.mark.parametrize(
    ("facts", "verdict"),
    [
        ({"lost_samples": 5}, Verdict.WARN),
        ({"lost_samples": 200}, Verdict.FAIL),
        ({"throttled": 2}, Verdict.WARN),
        ({"truncated": True}, Verdict.WARN),
    ],
    ids=str,
)
def test_t5_by_what_perf_lost(facts: dict[str, int], verdict: Verdict) -> None:
    assert check(RunBuilder().recording({"tiny_alloc_fast": 900}, **facts).build(), "T5").verdict == verdict


def test_t5_counts_what_is_named_by_its_object_alone() -> None:
    found = check(RunBuilder().recording({"tiny_alloc_fast": 900, "other_hakmem": 100}).build(), "T5")
    assert found.verdict == Verdict.WARN
    assert "named by their object alone 10.0 %" in found.summary
    assert "(other_hakmem)" in found.summary


def test_t5_takes_the_program_and_libc_as_wholes() -> None:
    assert check(RunBuilder().recording({"benchmark": 500, "libc": 400}).build(), "T5").verdict == Verdict.PASS


def test_t5_names_an_empty_recording_even_beside_something_worse() -> None:
    builder = RunBuilder().recording({"tiny_alloc_fast": 50})
    builder.cell(Collector.PERF_RECORD, "large")
    found = check(builder.build(), "T5")
    assert found.verdict == Verdict.FAIL
    assert "without samples: large blocks, Demo, default" in found.summary


def test_t5_names_recordings_without_samples() -> None:
    builder = healthy()
    builder.cell(Collector.PERF_RECORD, "small", "mimalloc")
    found = check(builder.build(), "T5")
    assert found.verdict == Verdict.WARN
    assert "1 more planned and without samples: small blocks, mimalloc, default." in found.summary
    only = RunBuilder()
    only.cell(Collector.PERF_RECORD)
    assert check(only.build(), "T5").verdict == Verdict.WARN


# ---- T7 and T8 ----------------------------------------------------------------------------------------------------


def test_t7_sets_the_share_of_the_run_beside_the_share_of_syscall_time() -> None:
    # 36 futex calls of 1,970 µs kernel time beside thousands of cheap calls.
    builder = RunBuilder().traced({"futex": (36, 0.068, 0.0011), "mmap": (1692, 0.032, 0.040)})
    found = check(builder.build(), "T7")
    assert found.verdict == Verdict.PASS
    assert "futex is 68.0 % of syscall time and 0.1 % of the traced run's time" in found.summary


def test_t7_warns_without_the_wall_clock() -> None:
    run = RunBuilder().traced({"mmap": (100, 0.001, 0.002)}).build()
    run = replace(run, syscalls=run.syscalls.filter(run.syscalls["clock"] == "system"))
    assert check(run, "T7").verdict == Verdict.WARN


@pytest.mark.parametrize(
    ("mops", "verdict"), [(99.0, Verdict.PASS), (90.0, Verdict.WARN), (50.0, Verdict.FAIL)], ids=str
)
def test_t8_by_the_throughput_under_perf(mops: float, verdict: Verdict) -> None:
    builder = RunBuilder().throughput([100.0] * 7)
    builder.cell(Collector.PERF_RECORD, ops_per_second=mops * 1e6)
    found = check(builder.build(), "T8")
    assert found.verdict == verdict
    assert f"perf record ×{mops / 100:.2f}" in found.summary


def test_t8_does_not_judge_a_program_that_prints_no_line() -> None:
    builder = RunBuilder().throughput([100.0] * 7, region_marked=False)
    builder.cell(Collector.PERF_RECORD, ops_per_second=50e6, region_marked=False)
    found = check(builder.build(), "T8")
    assert found.verdict == Verdict.UNKNOWN
    assert "prints no benchmark line" in found.evidence[0].detail


# ---- C11 and C12 --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("status", "allocator", "verdict"),
    [
        (CellStatus.CRASHED, "demo", Verdict.FAIL),
        (CellStatus.TIMEOUT, "demo", Verdict.FAIL),
        (CellStatus.CRASHED, "mimalloc", Verdict.WARN),
        (CellStatus.TOOL_FAILED, "demo", Verdict.WARN),
    ],
    ids=str,
)
def test_c11_by_how_cells_ended(status: CellStatus, allocator: str, verdict: Verdict) -> None:
    builder = healthy()
    builder.cell(Collector.THROUGHPUT, "small", allocator, repetition=7, status=status)
    assert check(builder.build(), "C11").verdict == verdict


def test_c11_counts_what_was_not_run() -> None:
    builder = healthy()
    builder.planned.append(builder.planned[0].model_copy(update={"repetition": 9}))
    found = check(builder.build(), "C11")
    assert found.verdict == Verdict.WARN
    assert "1 have no result" in found.summary


def test_c11_names_what_a_finished_run_lacks() -> None:
    builder = healthy()
    builder.planned.append(builder.planned[0].model_copy(update={"repetition": 9}))
    (row,) = check(builder.build(), "C11").evidence
    assert row.what == "small blocks, system malloc, default, throughput, run 10"


def test_c11_counts_a_program_that_kept_its_benchmark_line_to_itself() -> None:
    builder = healthy()
    builder.cell(Collector.THROUGHPUT, repetition=7)
    builder.bench.pop()
    found = check(builder.build(), "C11")
    assert found.verdict == Verdict.FAIL
    assert "1 of" in found.summary
    assert "its benchmark line is missing" in found.summary


def test_c12_names_what_is_missing() -> None:
    builder = healthy()
    builder.skipped = (Skipped(what="strace", reason="not installed", remedy="apt-get install strace"),)
    builder.capabilities = (Capability(name="pmu", available=False, detail="no hardware counters"),)
    found = check(builder.build(), "C12")
    assert found.verdict == Verdict.WARN
    assert "strace and pmu" in found.summary
