"""Findings: a rule fires beyond its threshold, on the lower end of the interval, and only with its parent."""

import polars as pl
import pytest
from runs import HEALTHY_COUNTERS, LIBRARY, MIMALLOC, PROJECT, RunBuilder, healthy, with_frames

from hakprof.analysis.bundle import analyse
from hakprof.analysis.findings import Finding, Severity, Status
from hakprof.analysis.findings.common import with_folders
from hakprof.analysis.inputs import RunData
from hakprof.model.frames import CELL_KEY, INSTRUCTIONS
from hakprof.model.run import CellStatus, Collector


def findings(run: RunData) -> dict[str, Finding]:
    return {finding.id: finding for finding in analyse(run).findings}


def test_a_healthy_run_has_none() -> None:
    assert findings(healthy().build()) == {}


@pytest.mark.parametrize(
    ("layers", "expected"),
    [
        ({"benchmark": 300, "tiny_alloc_fast": 50, "k:page_fault": 650}, {"page-fault-churn", "kernel-dominated"}),
        ({"benchmark": 850, "tiny_alloc_fast": 50, "k:page_fault": 100}, {"page-fault-churn"}),
        ({"benchmark": 850, "tiny_alloc_fast": 50, "k:munmap": 60, "k:madvise": 40}, {"mapping-churn"}),
        ({"benchmark": 850, "tiny_alloc_fast": 50, "k:futex": 100}, {"lock-contention"}),
        ({"benchmark": 600, "classify_ptr": 300, "tiny_alloc_fast": 100}, {"slow-classification"}),
        ({"benchmark": 600, "refill": 200, "shared_pool": 100, "libc": 100}, {"front-cache-misses"}),
        ({"benchmark": 500, "tiny_free_fast": 500}, {"hot-layers"}),
        ({"benchmark": 500, "libc": 500}, set()),
    ],
    ids=lambda value: ",".join(value) if isinstance(value, dict) else "",
)
def test_rules_by_layers(layers: dict[str, int], expected: set[str]) -> None:
    assert set(findings(RunBuilder().recording(layers).build())) == expected


def test_few_samples_make_no_bottleneck() -> None:
    """8 % page faults of 50 samples: the interval reaches down to 3 %."""
    run = RunBuilder().recording({"benchmark": 40, "tiny_alloc_fast": 4, "k:page_fault": 4, "k:futex": 2}).build()
    assert "page-fault-churn" not in findings(run)


@pytest.mark.parametrize(("samples", "found"), [(29, False), (30, True)], ids=str)
def test_no_finding_rests_on_fewer_than_thirty_samples(samples: int, found: bool) -> None:
    run = RunBuilder().recording({"benchmark": 30, "tiny_alloc_fast": 30, "k:page_fault": samples}).build()
    assert ("page-fault-churn" in findings(run)) == found


@pytest.mark.parametrize(
    ("layers", "severity"),
    [
        ({"benchmark": 60, "tiny_alloc_fast": 20, "k:page_fault": 45}, Severity.HIGH),  # the same share
        ({"benchmark": 600, "tiny_alloc_fast": 200, "k:page_fault": 450}, Severity.CRITICAL),
    ],
    ids=["wide", "narrow"],
)
def test_severity_is_that_of_the_intervals_low_end(layers: dict[str, int], severity: Severity) -> None:
    finding = findings(RunBuilder().recording(layers).build())["page-fault-churn"]
    assert finding.severity == severity
    assert finding.gain is not None
    assert (finding.gain.low >= 0.5) == (severity == Severity.CRITICAL)


def test_a_few_handed_on_calls_are_not_critical_for_want_of_a_recording() -> None:
    counters = HEALTHY_COUNTERS | {"fallback.libc_alloc": 200_000}
    assert findings(RunBuilder().counted(counters).build())["libc-fallback"].severity == Severity.MEDIUM


def test_mappings_that_are_grown_are_proof_of_mapping_churn() -> None:
    run = RunBuilder().recording({"benchmark": 900, "k:mmap": 100}).traced({"mremap": (4_000, 0.1, 0.2)})
    proofs = findings(run.counted(HEALTHY_COUNTERS | {"os.mremap": 4_000}).build())["mapping-churn"].evidence
    assert {(proof.row, proof.figure.split()[0]) for proof in proofs} >= {("mremap", "4,000"), ("os.mremap", "4,000")}


def test_commands_say_where_the_build_is() -> None:
    builder = RunBuilder().throughput([100.0] * 7).recording({"benchmark": 500, "refill": 500})
    verify = findings(builder.build())["front-cache-misses"].verify
    assert verify[0] == "OUT=store/build/release"
    assert verify[1] == ("HAKMEM_TINY_FAST_CAP=16 LD_PRELOAD=$OUT/lib/libdemo.so $OUT/bin/small --ops 1000000")


def test_a_path_with_a_space_still_knows_its_folder() -> None:
    run = RunBuilder().throughput([100.0] * 7).build()
    (line, command) = with_folders(run, ["LD_PRELOAD='/store/build/release/my lib.so' /store/build/release/bin/small"])
    assert line == "OUT=store/build/release"
    assert command == 'LD_PRELOAD="$OUT/my lib.so" $OUT/bin/small'


def test_unnamed_code_is_no_hot_layer() -> None:
    assert findings(RunBuilder().recording({"benchmark": 500, "other_hakmem": 500}).build()) == {}


def test_hot_layers_are_one_finding_that_says_what_each_is() -> None:
    layers = {"benchmark": 200, "tiny_free_fast": 500, "tiny_alloc_fast": 300}
    finding = findings(RunBuilder().throughput([100.0] * 7).recording(layers).build())["hot-layers"]
    assert finding.title.endswith("(tiny_free_fast and tiny_alloc_fast)")
    assert "tiny_free_fast (50.0 %, 5.00 ns/op) and tiny_alloc_fast (30.0 %, 3.00 ns/op)" in finding.symptom
    assert finding.impact is not None
    assert finding.impact.count == 800
    assert len(set(finding.options)) == len(finding.options) == 2
    assert "tiny_free_fast_function, tiny_free_fast.c:7" in finding.options[0]
    assert finding.hypotheses[1].status == Status.VALIDATED, "all of the layer's samples are at one line"


@pytest.mark.parametrize(
    ("instructions", "status"),
    [(50, Status.VALIDATED), (20, Status.REJECTED)],
    ids=str,
)
def test_hot_layers_are_held_against_the_peers_instructions(instructions: int, status: Status) -> None:
    builder = RunBuilder().recording({"benchmark": 200, "tiny_free_fast": 800})
    rows = []
    for allocator, library, per_pair in (("demo", LIBRARY, instructions), ("mimalloc", MIMALLOC.path, 30)):
        cell = builder.cell(Collector.CALLGRIND, allocator=allocator, total_malloc_calls=1000)
        key = {name: getattr(cell, name) for name in CELL_KEY if name != "cell"} | {"cell": cell.id}
        rows.append(key | {"object": library, "function": "malloc", "instructions": per_pair * 1000})
    run = with_frames(builder.build(), instructions=pl.DataFrame(rows, schema=INSTRUCTIONS))
    hypothesis = findings(run)["hot-layers"].hypotheses[0]
    assert hypothesis.status == status
    assert f"{instructions}.0 instructions per pair in the whole process, 30.0 in mimalloc" in hypothesis.reason


def test_a_child_needs_its_parent() -> None:
    """3 % futex of all samples crosses the child's line, but the kernel as a whole stays below its own."""
    quiet = {"benchmark": 9500, "tiny_alloc_fast": 160, "k:futex": 340}
    loud = {"benchmark": 9100, "tiny_alloc_fast": 160, "k:futex": 340, "k:scheduler": 400}
    assert "lock-contention" not in findings(RunBuilder().recording(quiet).build())
    assert "lock-contention" in findings(RunBuilder().recording(loud).build())


def test_gain_is_amdahls_bound_with_the_interval_carried_through() -> None:
    run = RunBuilder().recording({"benchmark": 400, "tiny_alloc_fast": 100, "k:page_fault": 500}).build()
    finding = findings(run)["page-fault-churn"]
    assert finding.gain is not None
    assert finding.gain.value == pytest.approx(1.0)
    assert finding.gain.low < 1.0 < finding.gain.high
    assert finding.severity == Severity.CRITICAL
    assert "point estimate +100.0 %" in finding.expected
    assert finding.expected.startswith(f"between +{finding.gain.low * 100:.1f} % and +{finding.gain.high * 100:.1f} %")


def test_ranked_by_gain_with_crashes_first() -> None:
    builder = RunBuilder().recording({"benchmark": 300, "tiny_free_fast": 200, "k:page_fault": 500})
    builder.cell(Collector.THROUGHPUT, repetition=1, status=CellStatus.CRASHED)
    ranked = analyse(builder.build()).findings
    assert ranked[0].id == "crash"
    assert [finding.id for finding in ranked[1:]] == ["page-fault-churn", "hot-layers"]


@pytest.mark.parametrize(("scale", "severity"), [(1.0, Severity.LOW), (0.5, Severity.MEDIUM)], ids=["ahead", "behind"])
def test_the_way_every_call_must_go_is_never_severe(scale: float, severity: Severity) -> None:
    run = healthy(scale).recording({"benchmark": 100, "tiny_free_fast": 2000}, "small").build()
    assert findings(run)["hot-layers"].severity == severity


def test_ranked_by_gain() -> None:
    layers = {"benchmark": 300, "refill": 150, "k:page_fault": 300, "k:futex": 200, "k:munmap": 50}
    gains = [f.gain.value for f in analyse(RunBuilder().recording(layers).build()).findings if f.gain]
    assert len(gains) >= 4
    assert gains == sorted(gains, reverse=True)


def test_every_finding_carries_numbers_and_a_command() -> None:
    builder = healthy(scale=0.5)
    layers = {"benchmark": 300, "tiny_free_fast": 100, "classify_ptr": 100, "refill": 100, "libc": 50}
    builder.recording(layers | {"k:page_fault": 200, "k:futex": 100, "k:munmap": 100}, "small")
    for finding in analyse(builder.build()).findings:
        assert any(character.isdigit() for character in finding.symptom), finding.id
        assert finding.evidence, finding.id
        assert all(any(c.isdigit() for c in proof.figure) for proof in finding.evidence), finding.id
        assert finding.hypotheses, finding.id
        assert finding.options, finding.id
        assert finding.verify, finding.id


def test_kernel_findings_name_the_user_function() -> None:
    run = RunBuilder().recording({"benchmark": 500, "k:page_fault": 500}).build()
    assert [spot.function for spot in findings(run)["page-fault-churn"].locations] == ["malloc"]


def test_user_findings_name_function_file_and_line() -> None:
    run = RunBuilder().recording({"benchmark": 500, "tiny_free_fast": 500}).build()
    spot = findings(run)["hot-layers"].locations[0]
    assert (spot.function, spot.file, spot.line) == ("tiny_free_fast_function", "tiny_free_fast.c", 7)


# ---- hypotheses ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("cause", "status"),
    [("refill", Status.VALIDATED), ("benchmark", Status.REJECTED), (None, Status.UNTESTED)],
    ids=str,
)
def test_page_faults_by_who_causes_them(cause: str | None, status: Status) -> None:
    builder = RunBuilder().recording({"benchmark": 500, "k:page_fault": 500}, causes={"page_fault": cause})
    assert findings(builder.build())["page-fault-churn"].hypotheses[0].status == status


@pytest.mark.parametrize(
    ("counters", "status"),
    [
        ({"acquired": 1000, "contended": 500, "wait_ns": 50_000_000}, Status.VALIDATED),
        ({"acquired": 1000, "contended": 500, "wait_ns": 10}, Status.LIKELY),
        ({"acquired": 1000, "contended": 0, "wait_ns": 0}, Status.REJECTED),
        ({}, Status.UNTESTED),
    ],
    ids=str,
)
def test_locks_by_the_allocators_own_count(counters: dict[str, int], status: Status) -> None:
    builder = RunBuilder().recording({"benchmark": 500, "tiny_alloc_fast": 100, "k:futex": 400})
    builder.counted({f"locks.shared_pool.{name}": value for name, value in counters.items()})
    assert findings(builder.build())["lock-contention"].hypotheses[0].status == status


@pytest.mark.parametrize(
    ("mops", "status"), [([120.0, 121, 119, 120, 122, 118, 120], Status.VALIDATED), ([100.0] * 7, Status.REJECTED)]
)
def test_capacity_is_tested_by_the_studys_own_variant(mops: list[float], status: Status) -> None:
    text = PROJECT.replace('variants = ["default", "direct"]', 'variants = ["default", "cap"]')
    text += '\n[variants.cap]\ntitle = "cap 64"\nenvironment = { HAKMEM_TINY_FAST_CAP = "64" }\n'
    builder = RunBuilder(project_text=text).recording({"benchmark": 500, "refill": 500})
    builder.throughput([100.0, 101, 99, 100, 102, 98, 100]).throughput(mops, variant="cap")
    assert findings(builder.build())["front-cache-misses"].hypotheses[1].status == status


def test_capacity_is_untested_without_a_variant() -> None:
    run = RunBuilder().recording({"benchmark": 500, "refill": 500}).build()
    assert findings(run)["front-cache-misses"].hypotheses[1].status == Status.UNTESTED


# ---- routes, fallback, peers --------------------------------------------------------------------------------------


def test_frees_that_go_astray_are_found_without_any_time() -> None:
    counters = HEALTHY_COUNTERS | {"free_routes.map_fast": 0, "free_routes.ss_hit": 20_000_000}
    finding = findings(RunBuilder().counted(counters).build())["slow-classification"]
    assert "should go by map_fast and go by ss_hit" in finding.symptom
    assert finding.hypotheses[0].status == Status.VALIDATED


def test_fallback_to_libc() -> None:
    counters = HEALTHY_COUNTERS | {"fallback.libc_alloc": 20_000_000}
    finding = findings(RunBuilder().counted(counters).build())["libc-fallback"]
    assert finding.severity == Severity.CRITICAL
    assert "served by libc" in finding.symptom


def test_a_few_calls_to_libc_are_none() -> None:
    counters = HEALTHY_COUNTERS | {"fallback.libc_alloc": 40}
    assert "libc-fallback" not in findings(RunBuilder().counted(counters).build())


def test_slower_than_a_peer() -> None:
    finding = findings(healthy(scale=0.5).build())["peer-gap"]
    assert finding.title == "Slower than the fastest peer"
    assert finding.gain is not None
    assert finding.gain.value == pytest.approx(0.6, abs=0.01)
    # 14 % of the samples are the allocator's own: they cannot give the 60 % that is needed.
    assert finding.hypotheses[0].status == Status.REJECTED


@pytest.mark.parametrize(
    ("allocator", "status"),
    [(300, Status.REJECTED), (375, Status.UNTESTED), (450, Status.LIKELY)],
    ids=str,
)
def test_a_gap_is_within_reach_only_if_the_whole_interval_says_so(allocator: int, status: Status) -> None:
    """The fastest peer is ahead by 60 %: 37.5 % of the time would have to vanish."""
    builder = healthy(scale=0.5)
    own = {"benchmark": 1000 - allocator, "tiny_alloc_fast": allocator}
    builder.samples, builder.profiles = [], []
    for workload in ("small", "large"):
        builder.recording(own, workload)
    assert findings(builder.build())["peer-gap"].hypotheses[0].status == status


def test_no_gap_is_claimed_within_the_noise() -> None:
    builder = RunBuilder()
    builder.throughput([100, 130, 80, 110, 95, 120, 90], allocator="system")
    builder.throughput([99, 128, 81, 108, 94, 118, 91])
    assert "peer-gap" not in findings(builder.build())


@pytest.mark.parametrize(("peers_well", "status"), [(True, Status.LIKELY), (False, Status.REJECTED)], ids=str)
def test_a_crash_and_its_peers(peers_well: bool, status: Status) -> None:
    builder = RunBuilder()
    builder.cell(Collector.THROUGHPUT, status=CellStatus.CRASHED)
    builder.cell(Collector.THROUGHPUT, "small", "system", status=CellStatus.OK if peers_well else CellStatus.CRASHED)
    finding = findings(builder.build())["crash"]
    assert "SIGSEGV" in finding.symptom
    assert finding.hypotheses[0].status == status


def test_a_failed_check_marks_the_findings_that_rest_on_it() -> None:
    builder = RunBuilder().recording({"benchmark": 30, "tiny_free_fast": 40})
    finding = findings(builder.build())["hot-layers"]
    assert "T5" in finding.doubted_by
