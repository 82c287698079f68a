"""Layer tables: what a nanosecond per operation is made of, and which samples are time."""

import pytest
from runs import RunBuilder, with_frames

from hakprof.analysis.bundle import analyse
from hakprof.analysis.layers import LayerTable, hottest_line

LAYERS = {"benchmark": 500, "tiny_free_fast": 500}


def table(builder: RunBuilder) -> LayerTable:
    return analyse(builder.build()).layers[0]


def test_ns_per_op_is_cpu_time_where_perf_counted_it() -> None:
    """Two threads on a host that gave them 6 ns of CPU for each operation, in 2 × 10 ns of wall time."""
    builder = RunBuilder().throughput([100.0] * 7, threads=2).perf_stat({"task-clock": 6e-6}, threads=2)
    found = table(builder.recording(LAYERS))
    assert found.ns_source == "task-clock"
    assert sum(row.ns_per_op or 0 for row in found.rows) == pytest.approx(6)


def test_ns_per_op_is_wall_time_of_all_threads_otherwise_and_says_so() -> None:
    found = table(RunBuilder().throughput([100.0] * 7, threads=2).recording(LAYERS))
    assert found.ns_source == "wall"
    assert sum(row.ns_per_op or 0 for row in found.rows) == pytest.approx(20)


def test_ns_per_op_is_not_known_without_either() -> None:
    found = table(RunBuilder().recording(LAYERS))
    assert found.ns_source is None
    assert {row.ns_per_op for row in found.rows} == {None}


def test_the_hottest_line_is_one_of_time() -> None:
    builder = RunBuilder().recording(LAYERS)
    fault = builder.lines[1] | {"event": "page-faults", "line": 99, "count": 9999}
    builder.lines.append(fault)
    found = hottest_line(with_frames(builder.build()), "small", "tiny_free_fast")
    assert found is not None
    spot, share = found
    assert (spot.line, share.count, share.total) == (7, 500, 500)


def test_what_is_not_averaged_says_whose_throughput_is_lacking() -> None:
    builder = RunBuilder().throughput([100.0] * 7).throughput([100.0] * 7, "large")
    gaps = analyse(builder.throughput([80.0] * 7, allocator="mimalloc").build()).throughput.gaps
    assert gaps.left_out == ("large blocks: no throughput of mimalloc",)
