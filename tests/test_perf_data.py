"""The perf.data reader against perf itself on real recordings, and against damaged ones."""

import os
import struct
from collections.abc import Callable
from pathlib import Path

import numpy as np
import perf_programs
import polars as pl
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from perf_recordings import perf_stats, perf_table, record, record_to_pipe, why_not_live
from perf_variants import VARIANTS, difference, for_perf, own_table, record_variant

from hakprof.errors import HakprofError, ParseError
from hakprof.layers import attribute, load_rules
from hakprof.parse.perf_data import read_flat, read_perf_data
from hakprof.parse.perf_data.samples import _powers_of
from hakprof.parse.perf_data.walk import SampleRuns, walk_block
from hakprof.symbols import Symbolizer

pytestmark = [pytest.mark.live, pytest.mark.skipif(why_not_live() is not None, reason=str(why_not_live()))]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("variants")


@pytest.fixture(scope="module")
def program(folder: Path) -> Path:
    return Path(perf_programs.program("churn", folder)[0])


@pytest.fixture(scope="module")
def symbolizer() -> Symbolizer:
    """One for all recordings: it reads each object once."""
    return Symbolizer()


@pytest.fixture(scope="module")
def recorded(folder: Path) -> Callable[[str], Path]:
    made: dict[str, Path] = {}

    def get(variant: str) -> Path:
        if variant not in made:
            made[variant] = record_variant(variant, folder)
        return made[variant]

    return get


@pytest.mark.parametrize("name", VARIANTS)
def test_every_variant_equals_perf(recorded: Callable[[str], Path], symbolizer: Symbolizer, name: str) -> None:
    variant = VARIANTS[name]
    missing = perf_programs.why_not_built(variant.program)
    if missing or (variant.needs is not None and not variant.needs.exists()):
        pytest.skip(missing or f"{variant.needs} is not there")
    recording = for_perf(name, recorded(name))
    profile = read_perf_data(recorded(name), frames=symbolizer.call_frames)
    counts = perf_stats(recording)  # perf prints none for a compressed pipe
    assert profile.record_counts == counts or (not counts and variant.way == "pipe")
    assert profile.truncated == (variant.way == "unfinished")
    mine, theirs = own_table(profile, symbolizer), perf_table(recording)
    assert profile.sample_count == mine.total() == theirs.total() > 0
    if variant.has_order:
        share, rows = difference(mine, theirs)
        assert share <= 0.0001, rows
    assert set(variant.shows) <= {part for key in mine for part in key[2:]}


def test_a_bpf_program_is_an_object_and_a_function_of_its_name(recorded: Callable[[str], Path]) -> None:
    missing = perf_programs.why_not_built("filter")
    if missing:
        pytest.skip(missing)
    rows = own_table(read_perf_data(recorded("BPF program")), Symbolizer())
    named = {(dso, symbol) for _, comm, dso, symbol in rows if comm == "filter" and dso.startswith("bpf_prog_")}
    assert named
    assert all(symbol == dso for dso, symbol in named)


def test_names_and_programs_are_those_of_the_samples_time(recorded: Callable[[str], Path], program: Path) -> None:
    profile = read_perf_data(recorded("chains"))
    assert {"odd name", "even"} <= set(profile.samples["comm"])
    programs = profile.mappings.filter("is_executable")
    assert set(programs["path"]) == {str(program)}
    # The child that executed itself again has mappings from before and after.
    assert programs.group_by("pid").len()["len"].max() == 2


def test_header_notes_are_read(recorded: Callable[[str], Path], program: Path) -> None:
    profile = read_perf_data(recorded("fixed period"))
    (event,) = profile.events
    assert (event.name, event.period, event.frequency_hz, event.is_time) == ("task-clock", 500000, None, True)
    assert profile.command_line[-1] == str(program)
    assert profile.os_release == Path("/proc/sys/kernel/osrelease").read_text().strip()
    assert profile.cpu_count
    assert str(program) in profile.build_ids


def test_page_faults_are_no_measure_of_time(recorded: Callable[[str], Path]) -> None:
    clock, faults = read_perf_data(recorded("two events")).events
    assert (clock.is_time, faults.is_time) == (True, False)


def test_chains_are_leaf_first_and_without_markers(recorded: Callable[[str], Path]) -> None:
    profile = read_perf_data(recorded("chains"))
    row = profile.samples.filter(pl.col("stack_id") > 0).row(0, named=True)
    chain = profile.stacks.addresses(row["stack_id"])
    assert chain[0] == row["ip"]
    assert all(address < 2**64 - 4095 for address in chain)
    assert profile.stacks.addresses(0) == ()
    assert read_perf_data(recorded("no chains")).has_chains is False


# perf 6.1 fails on what it wrote there itself: the trace data between its records are not as long as it reads.
def test_tracepoints_of_a_pipe_are_read(program: Path, tmp_path: Path) -> None:
    if not Path("/sys/kernel/tracing/events/syscalls").exists():
        pytest.skip("no tracepoints here")
    options = ("-e", "syscalls:sys_enter_munmap", "-g")
    profile = read_perf_data(record_to_pipe(tmp_path, *options, command=(str(program),)))
    assert profile.record_counts["TRACING_DATA"] == 1
    assert profile.record_counts["SAMPLE"] == profile.sample_count > 20
    assert profile.events[0].name == "syscalls:sys_enter_munmap"
    assert profile.warnings == ()


def test_it_is_said_that_without_times_names_are_uncertain(program: Path, recorded: Callable[[str], Path]) -> None:
    options = {
        "mixed": ("-e", "cpu-clock/freq=1999/,page-faults/period=1,time=0/"),
        "none of names": ("-e", "cpu-clock/freq=1999,time=0/,page-faults/period=1/"),
    }
    folder = program.parent
    files = {name: record(folder, *each, command=(str(program),), name=name) for name, each in options.items()}
    said = {name: " ".join(read_perf_data(file).warnings) for name, file in files.items()}
    assert "samples of page-faults/period=1,time=0/ are recorded without times" in said["mixed"]
    assert "names and programs are recorded without times" in said["none of names"]
    assert "names and programs are recorded without times" in " ".join(read_flat(recorded("no times")).warnings)
    # Each thread changes its name with the faults that it causes: the order of the file tells that.
    faults = read_perf_data(files["none of names"]).samples.filter(event=1)
    names = faults.group_by("tid").agg(pl.col("comm").n_unique(), pl.col("count").sum()).filter(pl.col("count") > 500)
    assert not names.is_empty()
    assert names["comm"].min() > 1
    for whole in ("chains", "two events", "no inheritance", "per thread"):
        assert "without times" not in " ".join(read_perf_data(recorded(whole)).warnings)


def test_what_a_killed_recorder_had_written_is_read(recorded: Callable[[str], Path]) -> None:
    profile = read_perf_data(recorded("recorder killed"))
    assert profile.truncated
    assert "did not finish" in profile.warnings[0]
    assert profile.sample_count > 100
    assert "churn" in {Path(path).name for path in profile.mappings["path"]}


def test_a_file_that_lacks_its_last_bytes_says_so(recorded: Callable[[str], Path], tmp_path: Path) -> None:
    content = recorded("chains").read_bytes()
    cut = tmp_path / "perf.data"
    cut.write_bytes(content[:-3])
    assert "3 bytes shorter than its header says" in " ".join(read_perf_data(cut).warnings)


def test_what_is_no_regular_file_is_not_opened(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "fifo")
    for path in (tmp_path / "fifo", tmp_path):
        with pytest.raises(ParseError, match="not a regular file"):
            read_perf_data(path)
    with pytest.raises(ParseError, match="no file has such a name"):
        read_perf_data(tmp_path / "a\0b")


def test_a_truncated_file_gives_a_partial_result_that_says_so(recorded: Callable[[str], Path], tmp_path: Path) -> None:
    whole = recorded("chains").read_bytes()
    cut = tmp_path / "perf.data"
    cut.write_bytes(whole[: len(whole) // 2])
    profile = read_perf_data(cut)
    assert profile.truncated
    assert any("cut off" in warning for warning in profile.warnings)
    assert 0 < profile.sample_count < read_perf_data(recorded("chains")).sample_count


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "is empty"),
        (b"hello, world" * 20, "not a perf.data file"),
        (b"2ELIFREP" + bytes(200), "big-endian"),
        (b"PERFILE2" + struct.pack("<Q", 104) + bytes(10), "cut off"),
        (b"PERFILE2" + struct.pack("<Q", 104) + bytes(200), "event table is broken"),
    ],
)
def test_another_kind_of_file_is_refused_with_a_remedy(tmp_path: Path, content: bytes, message: str) -> None:
    path = tmp_path / "perf.data"
    path.write_bytes(content)
    with pytest.raises(ParseError, match=message) as caught:
        read_perf_data(path)
    assert caught.value.remedy


def test_a_recording_without_samples_is_refused(program: Path, tmp_path: Path) -> None:
    empty = record(tmp_path, "-e", "cpu-clock", "-D", "-1", command=("true",))
    with pytest.raises(ParseError, match="no samples"):
        read_perf_data(empty)


def test_a_recording_that_perf_never_wrote_samples_to_says_so(program: Path, tmp_path: Path) -> None:
    path = record(tmp_path, "-e", "cpu-clock", command=(str(program),))
    whole = path.read_bytes()
    data_at = struct.unpack_from("<Q", whole, 40)[0]
    path.write_bytes(whole[:48] + bytes(8) + whole[56:data_at])
    with pytest.raises(ParseError, match="no samples: perf record did not finish it"):
        read_perf_data(path)


@pytest.mark.parametrize("size", [17, 60])
def test_the_remedy_for_a_cut_header_is_not_another_machine(program: Path, tmp_path: Path, size: int) -> None:
    path = record(tmp_path, "-e", "cpu-clock", command=(str(program),))
    path.write_bytes(path.read_bytes()[:size])
    with pytest.raises(ParseError, match="header is cut off") as caught:
        read_perf_data(path)
    assert "endian" not in str(caught.value.remedy)


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(ParseError, match=r"cannot read .*nowhere\.data: No such file"):
        read_perf_data(tmp_path / "nowhere.data")


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_damage_ends_in_an_error_or_a_result(
    recorded: Callable[[str], Path], symbolizer: Symbolizer, tmp_path: Path, data: st.DataObject
) -> None:
    variant = data.draw(st.sampled_from(["two events", "compressed", "pipe", "dwarf stacks", "leader sampling"]))
    content = bytearray(recorded(variant).read_bytes())
    kind = data.draw(st.sampled_from(["cut", "flips", "header"]))
    if kind == "cut":
        content = content[: data.draw(st.integers(0, len(content)))]
    else:
        last = len(content) - 1 if kind == "flips" else 600
        for _ in range(data.draw(st.integers(1, 40))):
            content[data.draw(st.integers(0, last))] ^= 1 << data.draw(st.integers(0, 7))
    damaged = tmp_path / "perf.data"
    damaged.write_bytes(content)
    try:
        profile = read_perf_data(damaged, frames=symbolizer.call_frames)
    except HakprofError:
        return
    found = attribute(profile, symbolizer, load_rules(["glibc", "kernel"])).samples
    assert found["count"].sum() == profile.sample_count


@settings(deadline=None)
@given(st.data())
def test_the_walk_meets_every_record_whatever_they_hold(data: st.DataObject) -> None:
    """Record sizes of all kinds, aligned or not, with payloads that look like sample headers."""
    lookalike = struct.pack("<IHH", 9, 2, data.draw(st.integers(0, 64)))
    records, starts, position = bytearray(), [], 0
    for _ in range(data.draw(st.integers(1, 40))):
        is_sample = data.draw(st.booleans())
        words = data.draw(st.integers(0, 6))
        payload = lookalike * words if data.draw(st.booleans()) else bytes(8 * words)
        if not is_sample:
            payload += bytes(data.draw(st.integers(0, 9)))
        size = 8 + len(payload)
        records += struct.pack("<IHH", 9 if is_sample else 3, 0, size) + payload
        starts.append((position, is_sample))
        position += size
    samples: list[int] = []
    others: list[int] = []

    def take_record(_kind: int, _misc: int, _record: memoryview, offset: int) -> int:
        others.append(offset)
        return 0

    class Taker:
        def take(self, position: int) -> int:
            found, behind = SampleRuns(block, position & 7).run_from(position >> 3)
            samples.extend((found * 8 + (position & 7)).tolist())
            return behind * 8 + (position & 7)

    block = np.frombuffer(bytes(records), dtype=np.uint8)
    assert walk_block(block, 0, Taker(), take_record) == len(records)
    assert sorted(samples) == [at for at, is_sample in starts if is_sample]
    assert others == [at for at, is_sample in starts if not is_sample]


def test_powers_are_modulo_the_word() -> None:
    assert _powers_of(0x9E3779B97F4A7C15, 50).tolist() == [pow(0x9E3779B97F4A7C15, i, 2**64) for i in range(50)]
