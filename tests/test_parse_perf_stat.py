"""perf stat -j and -x: values decide, sums over intervals, CPUs and core types, and lines that are no counter."""

import subprocess
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hakprof.errors import ParseError
from hakprof.parse.perf_stat import PERF_STAT, parse_perf_stat, read_perf_stat


def counter(event, value, *, unit="", percent="100.00", more=""):
    return (
        f'{{"counter-value" : "{value}", "unit" : "{unit}", "event" : "{event}", "event-runtime" : 1000, '
        f'"pcnt-running" : {percent}, {more}"metric-value" : 0.000000, "metric-unit" : ""}}'
    )


def parse(*lines):
    return parse_perf_stat("\n".join(lines), source="stat.json")


def rows(parsed):
    return {row["event"]: (row["value"], row["running_share"]) for row in parsed.frame.iter_rows(named=True)}


def test_the_value_decides_and_never_the_percentage():
    parsed = parse(
        counter("cycles", "<not supported>", percent="100.00"),
        counter("branches", "<not counted>", percent="0.00"),
        counter("page-faults", "51.000000"),
    )
    assert rows(parsed) == {"cycles": (None, None), "branches": (None, None), "page-faults": (51.0, 1.0)}
    assert parsed.frame.schema == PERF_STAT
    assert parsed.warnings == ()


# The form of `perf stat -j` with a PMU, where events share counters and perf scales. Composed by hand, not recorded.
MULTIPLEXED = """\
# started on Tue Mar  4 10:12:33 2025

{"counter-value" : "1018.342511", "unit" : "msec", "event" : "task-clock", "event-runtime" : 1018342511, "pcnt-running" : 100.00, "metric-value" : 0.998112, "metric-unit" : "CPUs utilized"}
{"counter-value" : "12.000000", "unit" : "", "event" : "context-switches", "event-runtime" : 1018342511, "pcnt-running" : 100.00, "metric-value" : 11.783854, "metric-unit" : "/sec"}
{"counter-value" : "3217841123.000000", "unit" : "", "event" : "cycles", "event-runtime" : 508231123, "pcnt-running" : 49.91, "metric-value" : 3.159881, "metric-unit" : "GHz"}
{"counter-value" : "6109022845.000000", "unit" : "", "event" : "instructions", "event-runtime" : 635772811, "pcnt-running" : 62.43, "metric-value" : 1.898485, "metric-unit" : "insn per cycle"}
{"metric-value" : 0.121345, "metric-unit" : "stalled cycles per insn"}
{"counter-value" : "1204113908.000000", "unit" : "", "event" : "branches", "event-runtime" : 637110233, "pcnt-running" : 62.56, "metric-value" : 1.182425, "metric-unit" : "G/sec"}
{"counter-value" : "9121331.000000", "unit" : "", "event" : "branch-misses", "event-runtime" : 637004111, "pcnt-running" : 62.55, "metric-value" : 0.757514, "metric-unit" : "of all branches"}
{"counter-value" : "0.000000", "unit" : "", "event" : "LLC-load-misses", "event-runtime" : 382110022, "pcnt-running" : 37.52, "metric-value" : nan, "metric-unit" : "of all LL-cache accesses"}
"""  # noqa: E501


def test_multiplexed_hardware_events():
    parsed = parse_perf_stat(MULTIPLEXED, source="stat.json")
    values = rows(parsed)
    assert values["cycles"] == (3217841123.0, pytest.approx(0.4991))
    assert values["instructions"][0] / values["cycles"][0] == pytest.approx(1.898485, rel=1e-6)
    assert values["LLC-load-misses"] == (0.0, pytest.approx(0.3752))
    assert list(parsed.frame["unit"])[:2] == ["msec", ""]
    assert parsed.frame.height == 7
    assert parsed.warnings == ()


def test_core_types_of_a_hybrid_processor_are_added_up():
    parsed = parse(
        counter("cpu_core/cycles/", "3000.000000", percent="60.00"),
        counter("cpu_atom/cycles/", "1000.000000", percent="39.90"),
        counter("cpu_core/branches/u", "500.000000", percent="60.00"),
        counter("cpu_atom/branches/u", "<not counted>", percent="0.00"),
        counter("cpu_core/topdown-retiring/", "7.000000"),
        counter("cpu_atom/topdown-retiring/", "<not supported>"),
    )
    values = rows(parsed)
    assert values["cpu_core/cycles/"] == (3000.0, 0.6)
    assert values["cycles"] == (4000.0, pytest.approx(0.399))
    assert values["branches:u"] == (500.0, 0.6), "never ran on that core type: a zero"
    assert "topdown-retiring" not in values, "one core type cannot count it: no sum"


def test_intervals_and_cpus_are_added_up():
    parsed = parse(
        '{"interval" : 0.01, ' + counter("page-faults", "10.000000")[1:],
        '{"interval" : 0.02, ' + counter("page-faults", "<not counted>", percent="0.00")[1:],
        '{"cpu" : "1", ' + counter("page-faults", "5.000000")[1:],
    )
    assert rows(parsed) == {"page-faults": (15.0, 1.0)}


def test_bad_lines_are_warnings_with_their_place():
    parsed = parse(counter("page-faults", "1"), "Error: something", counter("x", "0,75"), '{"event": 3', '{"a": [1]}')
    assert rows(parsed) == {"page-faults": (1.0, 1.0)}
    assert [warning.split(" ")[0] for warning in parsed.warnings] == [f"stat.json:{number}:" for number in (2, 3, 4, 5)]


@pytest.mark.parametrize(
    ("text", "values"),
    [
        ("0.63,msec,task-clock,631429,100.00,0.541,CPUs utilized\n", {"task-clock": (0.63, 1.0)}),
        ("<not supported>,,cycles,0,100.00,,\n", {"cycles": (None, None)}),
        ("3000;;cycles:u;508231;49.91;;\n;;;;;1.90;insn per cycle\n", {"cycles:u": (3000.0, pytest.approx(0.4991))}),
        ("49,,page-faults,2.50%,631429,100.00,,\n", {"page-faults": (49.0, 1.0)}),
        ("7,,cpu/event=0x3c,umask=0x1/,631429,80.00,,\n", {"cpu/event=0x3c,umask=0x1/": (7.0, 0.8)}),
        ("     1.0008,10,,page-faults,5,100.00,,\n     2.0,5,,page-faults,5,100.00,,\n", {"page-faults": (15.0, 1.0)}),
        ("CPU0,10,,page-faults,5,100.00,,\nCPU1,6,,page-faults,5,100.00,,\n", {"page-faults": (16.0, 1.0)}),
        ("S0,2,10,,page-faults,5,100.00,,\n", {"page-faults": (10.0, 1.0)}),
    ],
)
def test_csv(text, values):
    parsed = parse_perf_stat(f"# started on Sat\n\n{text}", source="stat.csv")
    assert rows(parsed) == values
    assert parsed.warnings == ()


@pytest.mark.parametrize("text", ["", "\n\n", "# started on Sat\n", "perf: not found\n", '{"a": 1}', "a,b,c\n,,,\n"])
def test_a_file_without_a_counter_is_refused_with_a_remedy(text):
    with pytest.raises(ParseError, match=r"stat\.json: ") as caught:
        parse_perf_stat(text, source="stat.json")
    assert "perf stat -j" in (caught.value.remedy or "")


def test_a_missing_file_is_refused(tmp_path):
    with pytest.raises(ParseError, match="No such file"):
        read_perf_stat(tmp_path / "none.json")


@given(
    st.lists(
        st.sampled_from(["1", "<not counted>", "", "a", "%", "100.00", "{", "}", ",", '"event"', ":", "nan", "9e999"])
    )
)
def test_any_line_is_a_counter_or_a_warning(pieces):
    for separator in ("", ","):
        parsed = parse_perf_stat("1,,page-faults,5,100.00,,\n" + separator.join(pieces), source="stat")
        assert "page-faults" in parsed.frame["event"]


@pytest.mark.live
@pytest.mark.parametrize("form", [("-j",), ("-x", ","), ("-x", ";"), ("-j", "-r", "2")])
def test_what_this_perf_writes(tmp_path: Path, form):
    output = tmp_path / "stat"
    events = "task-clock,page-faults,cycles"
    subprocess.run(["perf", "stat", *form, "-e", events, "-o", str(output), "true"], check=True, capture_output=True)
    parsed = read_perf_stat(output)
    assert list(parsed.frame["event"]) == events.split(",")
    values = rows(parsed)
    assert values["page-faults"][0] > 0
    assert values["task-clock"][0] > 0
    assert parsed.warnings == ()
