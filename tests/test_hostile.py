"""Files that nobody vouches for: inputs that once broke a reader, replayed, and new ones by the fuzzer's own changes.

The checks are those of the fuzz targets: whatever a file holds, the outcome is a result that agrees with itself or a
HakprofError.
"""

import gzip
import struct
import sys
import time
import tracemalloc
from collections.abc import Callable
from contextlib import suppress
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from hakprof.errors import HakprofError, ParseError
from hakprof.parse.bench import parse_bench
from hakprof.parse.counters import parse_counters
from hakprof.parse.perf_data import PerfProfile, read_perf_data
from hakprof.parse.perf_stat import parse_perf_stat
from hakprof.symbols import Symbolizer
from hakprof.symbols.demangle import Demangler, demangle
from hakprof.symbols.kallsyms import read_kallsyms

_ROOT = Path(__file__).parent
_ONCE_BROKE = sorted(path for path in (_ROOT / "hostile").glob("*/*") if path.is_file())


def _target_module(name: str) -> Any:
    """A module of the fuzzer."""
    folder = str(_ROOT.parent / "fuzz")
    if folder not in sys.path:
        sys.path.append(folder)
    return import_module(name)


def _target(name: str) -> Callable[[bytes], None]:
    """The check of a fuzz target."""
    return _target_module(name).check


@pytest.mark.parametrize("path", _ONCE_BROKE, ids=lambda path: f"{path.parent.name}-{path.name}")
def test_what_once_broke_a_reader_is_refused_or_read(path: Path) -> None:
    began = time.process_time()
    with suppress(HakprofError):
        _target(path.parent.name)(path.read_bytes())
    assert time.process_time() - began < 5


def test_text_that_no_frame_can_hold_is_replaced() -> None:
    line = parse_bench('{"benchmark": "\\ud800", "ops": 1, "measured_ns": 1}', source="out")
    assert line is not None
    assert line.benchmark == "?"


def test_counters_under_a_long_key_do_not_repeat_it() -> None:
    deep = '{"' + "k" * 400 + '": ' + '{"' + "l" * 400 + '": [' + ", ".join("1" for _ in range(1000)) + "]}}"
    with pytest.raises(ParseError, match="no whole number"):
        parse_counters(deep, source="counters")
    many = "[" + ", ".join("1" for _ in range(100_001)) + "]"
    with pytest.raises(ParseError, match="100,000 numbers"):
        parse_counters(f'{{"x": {many}}}', source="counters")


def test_a_line_of_many_fields_takes_time_by_its_length() -> None:
    def steps(fields: int) -> float:
        began = time.process_time()
        with suppress(ParseError):
            parse_perf_stat("1," * fields, source="stat")
        return time.process_time() - began

    steps(1000)
    assert steps(100_000) < 4  # a second for what took minutes when each field copied all that follow


@pytest.mark.parametrize("content", [b"\x1f\x8b\x08\0\0\0\0\0\0\xff" + b"\xff" * 40, gzip.compress(bytes(1 << 22))])
def test_packed_kernel_symbols_that_are_damaged_or_a_bomb_are_refused(tmp_path: Path, content: bytes) -> None:
    packed = tmp_path / "kallsyms.gz"
    packed.write_bytes(content)
    with pytest.raises(ParseError, match="cannot be read"):
        read_kallsyms(packed)


def doubled(times: int) -> str:
    """A C++ name of 20 + 10 × times characters that stands for more than 2 ** times types."""
    digits = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ"
    return "_Z1f1PI1AS0_E" + "".join(f"S_IS{digits[number]}_S{digits[number]}_E" for number in range(1, times + 1))


def test_a_name_that_stands_for_gigabytes_stays_as_it_is() -> None:
    assert demangle(doubled(3)) == "f"
    assert demangle(doubled(35)) == doubled(35)


def test_many_names_that_stand_for_much_end_the_reading_of_such_names() -> None:
    demangler = Demangler(max_unusual=10_000)
    taken = sum(demangler.signature(doubled(8)) is not None for _ in range(100))
    assert 0 < taken < 100
    assert demangler.signature("_ZN2ns3Box4growEi") == "ns::Box::grow(int)"


def recording(records: list[bytes], *, events: int = 1, ids: int = 1) -> Any:
    """A small file whose samples have an id, an address, a thread, a time, a period and a call chain."""
    made = _target_module("recordings")
    attr = struct.pack("<IIQQQQQ", 1, 112, 0, 1, 1 << 16 | 1 | 2 | 4 | 1 << 5 | 1 << 8, 0, 1 << 18).ljust(112, b"\0")
    return made.Recording([(attr, list(range(event * ids, (event + 1) * ids))) for event in range(events)], records)


def sample(ip: int, *, time: int = 1, tid: int = 7, identity: int = 0) -> bytes:
    words = struct.pack("<7Q", identity, ip, tid << 32 | tid, time, 1000, 1, ip)
    return _target_module("recordings").record(9, 2, words)


def mapping(start: int, *, time: int, pid: int = 7) -> bytes:
    content = struct.pack("<iiQQQ", pid, pid, start, 4096, 0) + b"/a\0\0\0\0\0\0" + struct.pack("<QQQ", 7, time, 0)
    return _target_module("recordings").record(1, 2, content)


def read(content: bytes, folder: Path) -> PerfProfile:
    file = folder / "perf.data"
    file.write_bytes(content)
    return read_perf_data(file)


def peak_of(action: Callable[[], object]) -> int:
    """Bytes that Python and numpy held at most while it ran."""
    tracemalloc.start()
    try:
        action()
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


def test_a_made_up_recording_is_read(tmp_path: Path) -> None:
    whole = recording([mapping(0x1000, time=0), sample(0x1008), sample(0x1010)])
    profile = read(_target_module("recordings").assemble(whole), tmp_path)
    assert profile.sample_count == 2
    assert profile.samples["mapping"].to_list() == [0, 0]
    assert not profile.warnings


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(seed=st.integers(0, 2**32), again=st.integers(0, 2**32), events=st.integers(1, 3))
def test_changed_recordings_are_refused_or_agree_with_themselves(seed: int, again: int, events: int) -> None:
    records = [mapping(0x1000 * n, time=n) for n in range(1, 5)]
    records += [sample(0x1008 * n, time=n, identity=n % events) for n in range(1, 9)]
    content = _target_module("recordings").assemble(recording(records, events=events))
    mutated = _target_module("mutate").mutated
    changed = mutated(content, seed) or content
    with suppress(HakprofError):
        _target("twins")(mutated(changed, again) or changed)


def test_events_that_share_their_ids_are_not_each_given_all_of_them(tmp_path: Path) -> None:
    content = bytearray(_target_module("recordings").assemble(recording([sample(1)] * 100, events=2000, ids=4)))
    attrs_at = struct.unpack_from("<Q", content, 24)[0]
    for event in range(2000):
        struct.pack_into("<QQ", content, attrs_at + 128 * event + 112, 0, len(content))
    peak = peak_of(lambda: read(bytes(content), tmp_path))
    assert peak < 40 * len(content)


def test_a_compressed_record_that_inflates_without_end_is_damage(tmp_path: Path) -> None:
    made = _target_module("recordings")
    bomb = made.zstd(sample(1) * 1_500_000, level=19)
    assert len(bomb) < 60_000
    profile = read(made.assemble(recording([sample(1), made.record(81, 0, bomb), sample(2)])), tmp_path)
    assert profile.truncated
    assert any("inflate" in warning for warning in profile.warnings)


def test_process_events_that_inflate_without_end_are_damage(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("hakprof.parse.perf_data.scan._MOST_INFLATED", 1000)
    made = _target_module("recordings")
    bomb = made.zstd(mapping(0x1000, time=5) * 20_000)
    profile = read(made.assemble(recording([sample(1), made.record(81, 0, bomb)])), tmp_path)
    assert profile.truncated
    assert profile.mappings.height < 20_000
    assert any("process events without end" in warning for warning in profile.warnings)


def test_made_up_kinds_of_records_are_counted_together(tmp_path: Path) -> None:
    record = _target_module("recordings").record
    file = _target_module("recordings").assemble(recording([sample(1)] + [record(1000 + n, 0, b"") for n in range(99)]))
    profile = read(file, tmp_path)
    assert profile.record_counts["TOTAL"] == 100
    assert len(profile.record_counts) == 3


def test_compressed_records_in_compressed_records_are_damage(tmp_path: Path) -> None:
    made = _target_module("recordings")
    inner = made.zstd(sample(2))
    for _ in range(3):
        inner = made.zstd(made.record(81, 0, inner))
    profile = read(made.assemble(recording([sample(1), made.record(81, 0, inner)])), tmp_path)
    assert profile.truncated
    assert any("hold compressed records" in warning for warning in profile.warnings)


def test_more_forks_than_mappings_can_be_copied_for_are_said(tmp_path: Path) -> None:
    forks = [
        _target_module("recordings").record(7, 0, struct.pack("<4iQ3Q", n, 7, n, 7, 5000 + n, 0, 5000 + n, 0))
        for n in range(1000, 3000)
    ]
    records = [mapping(0x1000 * n, time=n) for n in range(1, 2000)] + forks + [sample(0x1008)]
    file = _target_module("recordings").assemble(recording(records))
    profile = read(file, tmp_path)
    assert profile.mappings.height < 500_000
    assert any("inherit too many" in warning for warning in profile.warnings)


def seconds(records: list[bytes], folder: Path) -> float:
    file = _target_module("recordings").assemble(recording(records))
    began = time.process_time()
    read(file, folder)
    return time.process_time() - began


def test_time_grows_with_the_length_of_a_recording(tmp_path: Path) -> None:
    """Mappings replaced one by one, and one thread name in many processes: both once took time by the square."""

    def replaced(count: int) -> list[bytes]:
        return [mapping(0x1000 * n, time=n + count * again) for again in (0, 1) for n in range(count)] + [sample(8)]

    def renamed(count: int) -> list[bytes]:
        record = _target_module("recordings").record
        names = [record(3, 0, struct.pack("<ii8s3Q", 7, 7, b"n%d" % (n % 9), 7, n, 0)) for n in range(count)]
        threads = [record(9, 2, struct.pack("<8Q", 0, 8, 7 << 32 | n, n, 1, 1, 8, 0)) for n in range(count)]
        return names + threads

    assert seconds(replaced(12_000), tmp_path) < 4
    assert seconds(renamed(12_000), tmp_path) < 4


def elf(sections: dict[str, tuple[int, int, int, int, bytes]]) -> bytes:
    """An x86-64 ELF file of sections: name → type, flags, address, index of the linked section, content."""
    names = b"\0" + b"".join(name.encode() + b"\0" for name in (*sections, ".shstrtab"))
    rows, body = [bytes(64)], b""
    for name, (kind, flags, address, link, content) in (sections | {".shstrtab": (3, 0, 0, 0, names)}).items():
        place = names.index(b"\0" + name.encode() + b"\0") + 1
        row = (place, kind, flags, address, 64 + len(body), len(content), link, 0, 1, 24)
        rows.append(struct.pack("<IIQQQQIIQQ", *row))
        body += content
    counts = (64, 0, 0, 64, len(rows), len(rows) - 1)
    head = struct.pack("<16sHHIQQQIHHHHHH", b"\x7fELF\2\1\1", 3, 62, 1, 0, 0, 64 + len(body), 0, *counts)
    return head + body + b"".join(rows)


def test_symbols_that_share_nearly_all_of_a_long_string_are_refused(tmp_path: Path) -> None:
    symbols = b"".join(struct.pack("<IBBHQQ", 1 + n, 2, 0, 3, 0x1000 + n, 1) for n in range(2000))
    code = (1, 6, 0x1000, 0, bytes(64))
    file = tmp_path / "object"
    file.write_bytes(
        elf({".symtab": (2, 0, 0, 2, symbols), ".strtab": (3, 0, 0, 0, b"\0" + b"a" * 16000 + b"\0"), ".text": code})
    )
    symbolizer = Symbolizer()
    assert peak_of(lambda: symbolizer.symbol_names(str(file), None)) < 4 << 20
    assert any("more room" in warning for warning in symbolizer.warnings)


@pytest.mark.parametrize("count", [0, 1, 3, 2**32 - 1])
@pytest.mark.parametrize("address", [0x3000, 2**63, 2**64 - 1])
def test_a_search_table_of_call_frames_may_claim_anything(tmp_path: Path, count: int, address: int) -> None:
    table = struct.pack("<BBBBiI", 1, 0x1B, 3, 0x3B, 0, count) + struct.pack("<iih", -4096, 8, 7)
    frames = (1, 2, 0x2000, 0, bytes(64))
    file = tmp_path / "object"
    file.write_bytes(elf({".eh_frame": frames, ".eh_frame_hdr": (1, 2, address, 0, table)}))
    assert Symbolizer().call_frames.row(str(file), None, 8) is None
