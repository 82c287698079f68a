"""Names of kernel code: of this boot, of another boot, of another kernel, and of modules."""

import gzip
import shutil
import struct
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from perf_composed import composed, mapped, noted, sample
from perf_recordings import compile_program, perf_table, record, why_not_live
from perf_variants import difference

from hakprof.cache import Cache
from hakprof.errors import ParseError
from hakprof.pack import pack_run
from hakprof.parse.perf_data import read_perf_data
from hakprof.parse.perf_data.format import Record
from hakprof.parse.perf_data.kernel import KERNEL, RecordedKernel
from hakprof.profiles import flat_profile
from hakprof.symbols import Symbolizer
from hakprof.symbols.kallsyms import read_kallsyms, reference_address

TRACE = Path(__file__).resolve().parent.parent / "traces" / "hakmem"
START = 0xFFFFFFFF81000000
MOVED = 0x2A00000
MODULE = 0xFFFFFFFFC0000000
THIS, OTHER = "aa" * 20, "bb" * 20
NAMES = f"""\
0000000000000000 A fixed_percpu_data
{START:x} T startup_64
{START:x} T _stext
{START:x} T _text
{START + 0x100:x} t do_work
{START + 0x200:x} T do_more
{MODULE + 0x10:x} t probe\t[tool_box]
{MODULE + 0x90:x} t remove\t[tool_box]
"""


def addresses(*values: int) -> np.ndarray:
    return np.array(values, dtype=np.uint64)


@pytest.fixture
def machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """GIVEN a running kernel with those names, and a home without anything in it."""
    (tmp_path / "kallsyms").write_text(NAMES)
    (tmp_path / "modules").write_text(f"tool_box 16384 0 - Live 0x{MODULE:x} (OE)\n")
    monkeypatch.setattr("hakprof.symbols.kernel.PROC_KALLSYMS", tmp_path / "kallsyms")
    monkeypatch.setattr("hakprof.symbols.kernel._MODULES", tmp_path / "modules")
    monkeypatch.setattr("hakprof.symbols.kernel.running_kernel_build_id", lambda: THIS)
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    return tmp_path


def moved_kernel(recording: Path) -> Path:
    """The recording as an earlier boot would have made it: the kernel, and all addresses in it, elsewhere."""
    content = bytearray(recording.read_bytes())
    at, size = struct.unpack_from("<2Q", content, 40)
    end = at + size
    while at < end:
        kind, misc, length = struct.unpack_from("<IHH", content, at)
        is_map = kind in (Record.MMAP, Record.MMAP2) and misc & 7 == 1
        # Of a mapping the start and the first symbol, of a sample its address and the call chain.
        words = (at + 16, at + 32) if is_map else range(at + 8, at + length, 8) if kind == Record.SAMPLE else ()
        for place in words:
            (word,) = struct.unpack_from("<Q", content, place)
            if START <= word < MODULE:
                struct.pack_into("<Q", content, place, word + MOVED)
        at += length
    moved = recording.with_name("moved.data")
    moved.write_bytes(content)
    return moved


@pytest.mark.live
@pytest.mark.skipif(why_not_live() is not None, reason=str(why_not_live()))
def test_a_recording_of_another_boot_has_the_names_that_perf_gives(tmp_path: Path) -> None:
    if reference_address(Path("/proc/kallsyms")) is None:
        pytest.skip("kallsyms hides addresses here")
    program = compile_program(tmp_path, rounds=400_000)
    recording = moved_kernel(record(tmp_path, "-F", "1999", "-g", command=(str(program),)))
    found = Counter({(r.event, r.comm, r.dso, r.symbol): r.samples for r in flat_profile(recording).rows})
    theirs = perf_table(recording)
    assert len({symbol for _, _, dso, symbol in theirs if dso == KERNEL}) > 5
    assert difference(found, theirs) == (0, {})


@pytest.mark.live
@pytest.mark.skipif(why_not_live() is not None, reason=str(why_not_live()))
def test_a_packed_run_keeps_the_names_of_a_recording_of_another_boot(tmp_path: Path) -> None:
    """GIVEN a run that was resumed after the machine had been started anew: its kallsyms is of the boot before."""
    if reference_address(Path("/proc/kallsyms")) is None:
        pytest.skip("kallsyms hides addresses here")
    run, cell = tmp_path / "run", "raw/perf_record.larson_2t.hakmem.default.release.00"
    for kept in ("manifest.json", f"{cell}/cell.json"):
        (run / kept).parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(TRACE / kept, run / kept)
    for folder in ("host", "objects"):
        (run / folder).mkdir()
    (run / "host" / "kallsyms.gz").write_bytes(gzip.compress(Path("/proc/kallsyms").read_bytes(), 1))
    program = compile_program(tmp_path, rounds=200_000)
    moved_kernel(record(run / cell, "-F", "1999", "-g", command=(str(program),))).replace(run / cell / "perf.data")
    packed = pack_run(run, tmp_path / "packed")
    before, after = (
        flat_profile(folder / cell / "perf.data", kallsyms=folder / "host" / "kallsyms.gz").rows
        for folder in (run, packed)
    )
    assert len({row.symbol for row in before if row.dso == KERNEL}) > 5
    assert after == before


def test_what_a_recording_says_of_its_kernel(tmp_path: Path) -> None:
    """GIVEN code of a BPF program in the midst of the kernel, which cuts it in two."""
    program = struct.pack("<QIHH", START + 0x5000, 64, 1, 0) + b"bpf_prog_1234_count\0"
    records = (
        mapped("[kernel.kallsyms]_text", START, 1 << 24, time=1, kernel=True, offset=START)
        + mapped("/lib/modules/6.1.0/tool-box.ko.xz", MODULE, 0x1000, time=1, kernel=True)
        + noted(Record.KSYMBOL, program, time=2)
        + sample(START + 0x6000, time=3, misc=1)
    )
    profile = read_perf_data(composed(tmp_path / "perf.data", records))
    assert profile.mappings.filter(path=KERNEL).height > 1
    assert profile.recorded_kernel == RecordedKernel(None, START, {"[tool_box]": MODULE})


@pytest.mark.usefixtures("machine")
@pytest.mark.parametrize("by", [0, MOVED, -0x1000000])
def test_addresses_are_taken_back_by_what_the_kernel_has_moved(by: int) -> None:
    symbolizer = Symbolizer()
    recorded = RecordedKernel(THIS, START + by)
    found = symbolizer.kernel_functions(KERNEL, recorded, addresses(START + by + 0x150, START + by + 0x200))
    assert found == ["do_work", "do_more"]
    assert symbolizer.warnings == ()


@pytest.mark.usefixtures("machine")
def test_without_the_kernels_address_names_may_be_those_of_another_boot() -> None:
    symbolizer = Symbolizer()
    assert symbolizer.kernel_functions(KERNEL, RecordedKernel(THIS), addresses(START + 0x150)) == ["do_work"]
    (warning,) = symbolizer.warnings
    assert "the machine has not been started anew since" in warning


@pytest.mark.usefixtures("machine")
def test_modules_are_taken_back_one_by_one() -> None:
    symbolizer = Symbolizer()
    recorded = RecordedKernel(THIS, START + MOVED, {"[tool_box]": MODULE + 0x7000, "[gone]": MODULE})
    assert symbolizer.kernel_functions("[tool_box]", recorded, addresses(MODULE + 0x7098)) == ["remove"]
    assert symbolizer.kernel_functions("[gone]", recorded, addresses(MODULE + 0x20)) == [None]
    assert symbolizer.warnings == ("[gone]: this module is not loaded now, its functions stay without names",)


def test_names_of_another_kernel_are_those_that_perf_has_kept(machine: Path) -> None:
    nobody = Symbolizer()
    recorded = RecordedKernel(OTHER, START + MOVED, {"[tool_box]": MODULE})
    assert nobody.kernel_functions(KERNEL, recorded, addresses(START + MOVED + 0x150)) == [None]
    assert nobody.warnings == ("recorded under another kernel: kernel functions stay without names",)
    folder = machine / "home" / ".debug" / KERNEL / OTHER
    folder.mkdir(parents=True)
    (folder / "kallsyms").write_text(NAMES.replace("do_work", "did_work"))
    symbolizer = Symbolizer()
    assert symbolizer.kernel_functions(KERNEL, recorded, addresses(START + MOVED + 0x150)) == ["did_work"]
    assert symbolizer.warnings == ()
    assert symbolizer.kernel_functions("[tool_box]", recorded, addresses(MODULE + 0x98)) == [None]
    assert "recorded in another boot" in symbolizer.warnings[0]


@pytest.mark.parametrize(("text", "address"), [(NAMES, START), ("1000 T _stext\n2000 t other\n", 0x1000), ("", None)])
@pytest.mark.parametrize("is_packed", [False, True])
def test_where_a_kernel_lay(tmp_path: Path, text: str, address: int | None, is_packed: bool) -> None:
    copy = tmp_path / ("kallsyms.gz" if is_packed else "kallsyms")
    copy.write_bytes(gzip.compress(text.encode()) if is_packed else text.encode())
    assert reference_address(copy) == address


def test_the_kernels_table_is_kept_for_the_boot(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "kallsyms").write_text("ffffffff81000100 t do_work\n")
    monkeypatch.setattr("hakprof.symbols.kernel.PROC_KALLSYMS", tmp_path / "kallsyms")
    cache = Cache(tmp_path / "cache")
    for _ in range(2):
        ((frame,),) = Symbolizer(cache=cache).kernel_frames(KERNEL, RecordedKernel(), addresses(START + 0x150))
        assert frame.function == "do_work"
        monkeypatch.setattr("hakprof.symbols.kernel.read_kallsyms", None)


def test_kernel_names_from_a_copy(tmp_path: Path) -> None:
    text = b"ffffffff81000000 T _stext\nffffffff81000100 t do_work\nffffffff81000200 T next_one\t[module]\n"
    copy = tmp_path / "kallsyms.gz"
    copy.write_bytes(gzip.compress(text))
    places = addresses(START + 0x150, START - 0x1000000)
    named, unnamed = Symbolizer(kallsyms=copy).kernel_frames(KERNEL, RecordedKernel(), places)
    assert [f.function for f in named] == ["do_work"]
    assert unnamed == ()


def test_hidden_kernel_addresses_give_an_empty_table(tmp_path: Path) -> None:
    copy = tmp_path / "kallsyms"
    copy.write_text("0000000000000000 T _stext\n")
    assert read_kallsyms(copy).names == ()
    copy.write_text("what is this file\n")
    assert read_kallsyms(copy).names == ()
    copy.write_text("nothex T name\n")
    with pytest.raises(ParseError, match="not a kallsyms file"):
        read_kallsyms(copy)
