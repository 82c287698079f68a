"""Records that no recording made here has: put together by hand, with the reason for each."""

import ctypes
import struct
from collections.abc import Iterable
from pathlib import Path
from typing import BinaryIO

import numpy as np
import pytest
from perf_composed import attr, composed, mapped, noted, packed, sample

from hakprof.errors import ParseError
from hakprof.layers import attribute, load_rules
from hakprof.parse.perf_data import PerfProfile, read_perf_data, short_name
from hakprof.parse.perf_data.compiled import CHOICE, compiled_library
from hakprof.parse.perf_data.format import Record, SampleType
from hakprof.parse.perf_data.scan import CUT_OFF, Scan
from hakprof.symbols import Symbolizer
from hakprof.symbols.objects import ObjectFinder

KERNEL = 0xFFFFFFFF81000000


def dsos(profile: PerfProfile) -> dict[str, str]:
    samples = attribute(profile, Symbolizer(kallsyms=Path("/dev/null")), load_rules(["kernel"])).samples
    return dict(samples.select("dso", "symbol").iter_rows())


# Software events are never throttled here.
def test_throttling_is_counted(tmp_path: Path) -> None:
    content = struct.pack("<QQQ", 10, 1, 1)
    records = noted(Record.THROTTLE, content, time=10) + noted(Record.UNTHROTTLE, content, time=20)
    profile = read_perf_data(composed(tmp_path / "perf.data", records + sample(0x1000, time=30)))
    assert (profile.throttled, profile.unthrottled) == (1, 1)


# Whether a recording here loses anything is up to the machine's load.
def test_losses_are_counted_and_said(tmp_path: Path) -> None:
    lost = noted(Record.LOST, struct.pack("<QQ", 1, 5), time=10) + noted(Record.LOST, struct.pack("<QQ", 1, 2), time=11)
    records = lost + noted(Record.LOST_SAMPLES, struct.pack("<Q", 9), time=12) + sample(0x1000, time=30)
    profile = read_perf_data(composed(tmp_path / "perf.data", records))
    assert (profile.lost_records, profile.lost_samples) == (7, 9)
    assert "perf lost 9 samples or records" in profile.warnings[0]


# This kernel has no modules and runs no BPF program.
def test_modules_and_bpf_programs_are_objects_of_their_own(tmp_path: Path) -> None:
    program = struct.pack("<QIHH", KERNEL + 0x100000, 64, 1, 0) + b"bpf_prog_1234_count\0"
    gone = struct.pack("<QIHH", KERNEL + 0x200000, 64, 1, 1) + b"bpf_prog_5678_gone\0"
    records = (
        mapped("/lib/modules/6.1.0/kernel/fs/a-module.ko.xz", KERNEL + 0x4000, 0x1000, time=1, kernel=True)
        + noted(Record.KSYMBOL, program, time=2)
        + noted(Record.KSYMBOL, gone, time=2)
        + sample(KERNEL + 0x4010, time=10, misc=1)
        + sample(KERNEL + 0x100020, time=11, misc=1)
        + sample(KERNEL + 0x200020, time=12, misc=1)
    )
    found = dsos(read_perf_data(composed(tmp_path / "perf.data", records)))
    assert found == {
        "[a_module]": "[unknown]",
        "bpf_prog_1234_count": "bpf_prog_1234_count",
        "[unknown]": "[unknown]",
    }


def test_only_modules_and_code_without_a_file_are_shown_by_other_names(tmp_path: Path) -> None:
    records = b"".join(
        mapped(path, 0x10000 * number, 0x1000, time=1) + sample(0x10000 * number, time=2)
        for number, path in enumerate(("/opt/tool.ko.xz", "/opt/perf-77.map", "//anon"), start=1)
    )
    found = dsos(read_perf_data(composed(tmp_path / "perf.data", records)))
    assert set(found) == {"tool.ko.xz", "perf-77.map", "[JIT] tid 7"}


# perf 6.1 writes COMPRESSED; newer ones write COMPRESSED2, which tells its length apart from its padding.
@pytest.mark.parametrize("kind", [Record.COMPRESSED, Record.COMPRESSED2])
def test_both_kinds_of_compressed_records_are_read(tmp_path: Path, kind: Record) -> None:
    stream = zstd_compressed(b"".join(sample(0x1000 + 8 * i, time=i) for i in range(100)))
    halves = stream[:40], stream[40:]
    records = b"".join(
        packed(kind, half, padded=False)
        if kind == Record.COMPRESSED
        else packed(kind, struct.pack("<Q", len(half)) + half)
        for half in halves
    )
    profile = read_perf_data(composed(tmp_path / "perf.data", records))
    assert profile.sample_count == 100
    assert profile.warnings == ()


def test_without_times_code_is_looked_for_in_what_its_process_had_at_last_too(tmp_path: Path) -> None:
    """The file has the samples of one processor before the fork of another, and what was executed before that."""

    def untimed(kind: int, content: bytes, *, misc: int = 2) -> bytes:
        return packed(kind, content + bytes(-len(content) % 8) + struct.pack("<ii", 7, 7), misc=misc)

    def mapping(path: str, start: int, *, pid: int) -> bytes:
        return untimed(Record.MMAP, struct.pack("<iiQQQ", pid, pid, start, 0x1000, 0) + path.encode() + b"\0")

    records = (
        mapping("/parent", 0x5000, pid=6)
        + b"".join(packed(Record.SAMPLE, struct.pack("<Qii", ip, 7, 7), misc=2) for ip in (0x5010, 0x1010, 0x9010))
        + mapping("/executed", 0x1000, pid=7)
        + untimed(Record.FORK, struct.pack("<4iQ", 7, 6, 7, 6, 0))
    )
    profile = read_perf_data(composed(tmp_path / "perf.data", records, attrs=attr(SampleType.IP | SampleType.TID)))
    paths = [*profile.mappings["path"], "nowhere"]
    found = {ip: paths[mapping] for ip, mapping in profile.samples.select("ip", "mapping").iter_rows()}
    assert found == {0x5010: "/parent", 0x1010: "/executed", 0x9010: "nowhere"}


def test_of_a_directory_a_damaged_file_is_said_and_the_others_are_read(tmp_path: Path) -> None:
    folder = tmp_path / "perf.data"
    folder.mkdir()
    composed(folder / "data", mapped("/first.so", 0x1000, 0x4000, time=1))
    (folder / "data.2").write_bytes(sample(0x2000, time=5) + named("late", time=6))
    (folder / "data.10").write_bytes(sample(0x2008, time=3) + bytes(64) + sample(0x2010, time=7))
    (folder / "data.11").write_bytes(sample(0x2018, time=4) + sample(0x2020, time=8) + sample(0x2028, time=9)[:-1])
    (folder / "data.old").write_bytes(sample(0x2030, time=5))
    profile = read_perf_data(folder)
    assert profile.truncated
    assert any("claims 0 bytes: only what came before it was read" in said for said in profile.warnings)
    assert CUT_OFF in profile.warnings
    assert sorted(profile.samples["ip"]) == [0x2000, 0x2008, 0x2018, 0x2020]
    assert set(profile.samples["mapping"]) == {0}
    with pytest.raises(ParseError, match="it holds no samples") as refused:
        read_perf_data(folder / "data")
    assert refused.value.remedy == f"give the directory that it is a part of: {folder}"


# There is no processor trace without a PMU.
def test_trace_data_between_records_is_passed_over(tmp_path: Path) -> None:
    lookalike = sample(0xBAD, time=5)
    records = (
        sample(0x1000, time=1)
        + packed(Record.AUXTRACE, struct.pack("<QQQIIII", 4 * len(lookalike), 0, 0, 0, 7, 0, 0))
        + lookalike * 4
        + sample(0x2000, time=2)
    )
    profile = read_perf_data(composed(tmp_path / "perf.data", records))
    assert sorted(profile.samples["ip"]) == [0x1000, 0x2000]
    assert profile.record_counts["AUXTRACE"] == 1


def test_memory_that_was_replaced_belongs_to_each_in_its_time(tmp_path: Path) -> None:
    records = (
        mapped("/first.so", 0x1000, 0x4000, time=1)
        + sample(0x2000, time=2)
        + mapped("/second.so", 0x2000, 0x1000, time=3)
        + sample(0x2000, time=4)
        + sample(0x3800, time=5)
        + sample(0x1800, time=6)
        + mapped("//anon", 0x1000, 0x4000, time=7)
        + sample(0x2000, time=8)
    )
    profile = read_perf_data(composed(tmp_path / "perf.data", records))
    names = [short_name(path) for path in profile.mappings["path"]]
    placed = {(ip, names[m]) for ip, m in profile.samples.select("ip", "mapping").iter_rows()}
    assert placed == {
        (0x2000, "first.so"),
        (0x2000, "second.so"),
        (0x3800, "first.so"),
        (0x1800, "first.so"),
        (0x2000, "[JIT] tid 7"),
    }


def test_what_the_kernel_does_for_an_exec_was_called_from_the_program_before(tmp_path: Path) -> None:
    executes = struct.pack("<ii", 7, 7) + b"second\0\0"
    records = (
        mapped("/first", 0x1000, 0x1000, time=1)
        + noted(Record.COMM, executes, time=2, misc=1 << 13)
        + sample(0x1800, time=3)
        + mapped("/second", 0x1000, 0x800, time=4)
        + sample(0x1400, time=5)
    )
    profile = read_perf_data(composed(tmp_path / "perf.data", records))
    paths = profile.mappings["path"]
    rows = profile.samples.select("ip", "comm", "mapping").iter_rows()
    assert {(ip, comm, paths[m]) for ip, comm, m in rows} == {
        (0x1800, "second", "/first"),
        (0x1400, "second", "/second"),
    }
    assert set(profile.mappings.filter("is_executable")["path"]) == {"/first", "/second"}


def test_a_big_endian_recording_is_refused(tmp_path: Path) -> None:
    path = composed(tmp_path / "perf.data", sample(0x1000, time=1))
    path.write_bytes(b"2ELIFREP" + path.read_bytes()[8:])
    with pytest.raises(ParseError, match="big-endian"):
        read_perf_data(path)


def with_stack(registers: dict[int, int], *, ip: int, chain: tuple[int, ...], misc: int) -> tuple[bytes, bytes]:
    """The attributes of an event with stacks and registers by their bits, and a sample of it."""
    described = bytearray(attr(1 | 2 | 4 | 1 << 5 | 1 << 12 | 1 << 13))
    struct.pack_into("<QI", described, 80, sum(1 << bit for bit in registers), 64)
    body = struct.pack("<QiiQ", ip, 7, 7, 1) + struct.pack(f"<{1 + len(chain)}Q", len(chain), *chain)
    body += struct.pack(f"<{1 + len(registers)}Q", 2, *(registers[bit] for bit in sorted(registers)))
    return bytes(described), packed(Record.SAMPLE, body + struct.pack("<Q", 16) + bytes(16) + b"\x10", misc=misc)


# perf records these two at least; another program that writes perf.data, or another machine, need not.
def test_of_stacks_that_cannot_be_unwound_the_leaf_is_kept_and_the_rest_is_marked(tmp_path: Path) -> None:
    ways = (
        ({0: 1, 1: 2, 2: 3, 3: 4}, 2, 0x1000, (2**64 - 512, 0x1000), (0x1000,)),
        ({8: 0x1000}, 1, KERNEL, (2**64 - 128, KERNEL), (KERNEL, 0x1000)),
        ({0: 1}, 1, KERNEL, (2**64 - 128, KERNEL), (KERNEL,)),
    )
    for registers, misc, ip, chain, expected in ways:
        described, record = with_stack(registers, ip=ip, chain=chain, misc=misc)
        profile = read_perf_data(composed(tmp_path / "perf.data", record, attrs=described))
        assert profile.stacks.addresses(1) == expected
        assert profile.stacks.partial.all()
        assert profile.warnings == (
            "1 of 1 user call chains lack their last callers: the recording lacks registers that lead to callers;"
            " record without --user-regs",
        )


def test_the_running_vdso_is_found_by_its_name() -> None:
    found = ObjectFinder([]).find("[vdso]", None)
    if found is None:
        pytest.skip("the kernel maps no vdso")
    assert found.runtime.section(".dynsym") is not None
    text = found.runtime.section(".text")
    assert text is not None
    offsets = np.arange(text.offset, text.offset + text.size, 16, dtype=np.uint64)
    names = {frames[-1].function for frames in Symbolizer().user_frames("[vdso]", None, offsets) if frames}
    assert "__vdso_clock_gettime" in names


def zstd_compressed(content: bytes) -> bytes:
    library = ctypes.CDLL("libzstd.so.1")
    library.ZSTD_compress.argtypes = [ctypes.c_void_p, ctypes.c_size_t, ctypes.c_char_p, ctypes.c_size_t, ctypes.c_int]
    library.ZSTD_compress.restype = ctypes.c_size_t
    room = ctypes.create_string_buffer(len(content) + 1000)
    size = library.ZSTD_compress(room, len(room), content, len(content), 1)
    return room.raw[:size]


def named(name: str, *, time: int, tid: int = 7) -> bytes:
    """A thread of process 7 takes a name."""
    return noted(Record.COMM, struct.pack("<ii", 7, tid) + name.encode() + b"\0", time=time)


@pytest.mark.parametrize("walker", ["numpy", "compiled"])
def test_threads_that_rename_themselves_are_told_apart_in_one_reading(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, walker: str
) -> None:
    """Samples and names in the order of the file are also in that of time, but for a change of the processor."""
    if walker == "compiled" and compiled_library() is None:
        pytest.skip("the walker is not built here")
    monkeypatch.setenv(CHOICE, walker)
    readings: list[Path] = []
    run = Scan.run

    def counted(scan: Scan, streams: Iterable[BinaryIO]) -> None:
        readings.append(tmp_path)
        run(scan, streams)

    monkeypatch.setattr(Scan, "run", counted)
    begins = named("other", time=1, tid=8) + named("first", time=1)
    other = [sample(0x1000, time=time, tid=8) for time in (12, 21, 31)]
    renamed = named("again", time=20, tid=8)
    before = b"".join(sample(0x1000, time=time) for time in (10, 11))
    after = b"".join(sample(0x1000, time=time) for time in (30, 32))
    late = sample(0x1000, time=33)
    change = named("second", time=30)
    in_order = begins + before + other[0] + renamed + other[1] + change + after + late + other[2]
    out_of_order = begins + before + other[0] + renamed + other[1] + late + change + after + other[2]
    for records, times_read in ((in_order, 1), (out_of_order, 2)):
        readings.clear()
        profile = read_perf_data(composed(tmp_path / "perf.data", records))
        rows = profile.samples.select("tid", "comm", "count", "first_ns", "last_ns").rows()
        assert rows == [
            (7, "first", 2, 10, 11),
            (7, "second", 3, 30, 33),
            (8, "other", 1, 12, 12),
            (8, "again", 2, 21, 31),
        ]
        assert len(readings) == times_read
