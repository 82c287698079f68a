"""Stacks of `perf record --call-graph dwarf`: against perf's own unwinding, and against what the program must have."""

import subprocess
from collections import Counter
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from perf_chains import own_chains, perf_chains
from perf_recordings import compile_program, perf_table, record, why_not_live

from hakprof.elf import read_elf
from hakprof.layers import attribute, load_rules
from hakprof.parse.perf_data import PerfProfile, read_perf_data
from hakprof.parse.perf_data.frames import FrameRow, Kind, Rule, caller_of, evaluate
from hakprof.symbols import Symbolizer
from hakprof.symbols.callframes import ObjectFrames
from hakprof.symbols.objects import FoundObject

pytestmark = [pytest.mark.live, pytest.mark.skipif(why_not_live() is not None, reason=str(why_not_live()))]

# No frame pointer anywhere; a frame of a size that only the run knows, one on a realigned stack, and a signal between.
PROGRAM = r"""
#include <alloca.h>
#include <signal.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>
#define FUNCTION __attribute__((noinline, noclone))
static volatile unsigned sink;
FUNCTION int leaf(int n) { for (int i = 0; i < 20000000; i++) sink = sink * 3 + n; return n; }
FUNCTION int middle(int n) { return leaf(n) + sink; }
FUNCTION int aligned(int n) {
    __attribute__((aligned(64))) volatile char room[256];
    memset((char *)room, n, sizeof room);
    return middle(n) + room[n & 255];
}
FUNCTION int grows(int n) {
    volatile char *p = alloca(16 * n + 16);
    p[n] = 1;
    return aligned(n) + p[n];
}
static void on_signal(int number) { sink += grows(number); }
FUNCTION int interrupted(void) { raise(SIGUSR1); return sink + 1; }
int main(int argc, char **argv) {
    signal(SIGUSR1, on_signal);
    if (argc < 2 && fork() == 0) execl(argv[0], "again", "child", (char *)0);
    int result = interrupted() & 1;
    wait(0);
    return result;
}
"""


@pytest.fixture(scope="module")
def program(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("unwind")
    source, binary = folder / "signals.c", folder / "signals"
    source.write_text(PROGRAM)
    options = ["-O2", "-g", "-fomit-frame-pointer", "-fno-optimize-sibling-calls", "-Wl,--build-id"]
    subprocess.run(["gcc", *options, str(source), "-o", str(binary)], check=True)
    return binary


@pytest.fixture(scope="module")
def signals(program: Path) -> Path:
    return record(program.parent, "-F", "1999", "--call-graph", "dwarf,8192", command=(str(program),))


def stacks_by_name(profile: PerfProfile, symbolizer: Symbolizer) -> Counter[tuple[str, ...]]:
    stacks = attribute(profile, symbolizer, load_rules(["kernel"])).stacks
    return Counter({tuple(frames): count for frames, count in stacks.select("frames", "count").iter_rows()})


def test_every_frame_of_the_program_is_found_in_a_child_too(signals: Path) -> None:
    symbolizer = Symbolizer()
    profile = read_perf_data(signals, frames=symbolizer.call_frames)
    expected = ("main", "interrupted", "on_signal", "grows", "aligned", "middle", "leaf")
    whole = missed = 0
    for frames, count in stacks_by_name(profile, symbolizer).items():
        if "leaf" in frames:
            own = tuple(name for name in frames if name in expected)
            reaches = frames[0] in {"_start", "[signals]"} and own == expected
            whole, missed = whole + count * reaches, missed + count * (not reaches)
    assert whole > 20
    assert missed == 0
    assert profile.samples["pid"].n_unique() == 2


def leaves(chains: Counter[tuple[int, ...]]) -> Counter[int]:
    counts = Counter[int]()
    for chain, count in chains.items():
        counts[chain[0]] += count
    return counts


def objects(profile: PerfProfile) -> Counter[str]:
    """Samples of user code by the name of their object."""
    paths, user = profile.mappings["path"].to_list(), profile.samples.filter(cpumode=2)
    counts = Counter[str]()
    for mapping, count in user.select("mapping", "count").iter_rows():
        counts[Path(paths[mapping]).name if mapping >= 0 else "[unknown]"] += count
    return counts


def test_without_call_frame_information_the_leaf_is_right_and_the_rest_is_marked(signals: Path) -> None:
    profile = read_perf_data(signals)
    assert leaves(own_chains(profile, unwound=True)) == leaves(perf_chains(signals))
    theirs = Counter[str]()
    for (_, _, dso, _), count in perf_table(signals).items():
        theirs[dso] += count
    assert objects(profile) == Counter({dso: n for dso, n in theirs.items() if not dso.startswith("[kernel")})
    assert objects(profile)["signals"] > 0
    stacks = profile.stacks
    has_user = np.add.reduceat(~stacks.kernel, stacks.offsets[:-1]) > 0
    assert stacks.partial.tolist() == has_user.tolist()
    marked = profile.samples.filter(pl.col("stack_id").is_in(np.flatnonzero(stacks.partial) + 1))["count"].sum()
    assert f"{marked:,} of {marked:,} user call chains lack their last callers" in " ".join(profile.warnings)


def test_stacks_of_another_machine_keep_their_leaf_and_it_is_said(signals: Path, tmp_path: Path) -> None:
    elsewhere = tmp_path / "perf.data"
    elsewhere.write_bytes(signals.read_bytes().replace(b"x86_64\0\0", b"aarch64\0"))
    profile = read_perf_data(elsewhere, frames=Symbolizer().call_frames)
    assert profile.arch == "aarch64"
    # Registers of that machine: of a sample in the kernel nothing tells where its user code was.
    has_user = np.add.reduceat(~profile.stacks.kernel, profile.stacks.offsets[:-1])
    assert set(has_user.tolist()) <= {0, 1}
    user = profile.samples.filter(cpumode=2)
    assert [profile.stacks.addresses(s) for s in user["stack_id"]] == [(ip,) for ip in user["ip"]]
    assert profile.stacks.partial[user["stack_id"].to_numpy() - 1].all()
    assert "user call chains lack their last callers: stacks of aarch64 are not unwound" in " ".join(profile.warnings)


# libunwind in perf 6.1 goes wrong in a child that executed another program: the program is compared without its child.
def test_chains_equal_those_of_perf(tmp_path: Path) -> None:
    program = compile_program(tmp_path)
    recording = record(tmp_path, "-F", "2999", "--call-graph", "dwarf,16384", command=(str(program), "without a child"))
    profile = read_perf_data(recording, frames=Symbolizer().call_frames)
    mine, theirs = own_chains(profile, unwound=True), perf_chains(recording)
    assert mine.total() == theirs.total() > 100
    equal = (mine & theirs).total()
    assert equal >= 0.99 * theirs.total(), (mine - theirs, theirs - mine)


def test_expressions() -> None:
    registers = list(range(1000, 1017))
    memory = {1007: 77}
    # CFA of a stub that pushes: rsp + 8 + ((rip & 15) >= 11) << 3
    stub = bytes([0x77, 8, 0x80, 0, 0x3F, 0x1A, 0x3B, 0x2A, 0x33, 0x24, 0x22])
    assert evaluate(stub, registers, memory.get, []) == 1007 + 8
    assert evaluate(bytes([0x77, 0, 0x06]), registers, memory.get, []) == 77
    saved_where = Rule(Kind.SAVED_WHERE, expression=bytes([0x77, 0]))
    row = FrameRow(0, 1, 7, 8, None, {16: saved_where, 6: Rule(Kind.IS_OFFSET, -16)}, is_signal=True)
    after = caller_of(row, registers, memory.get)
    assert after is not None
    assert (after[7], after[16], after[6]) == (1015, 77, 999)
    for damaged in (
        b"",
        bytes([0x06]),
        bytes([0x2F, 0xFD, 0xFF]),
        bytes([0xE0]),
        bytes([0x31, 0x12, 0x2F, 0xFC, 0xFF]),
    ):
        lost = FrameRow(0, 1, 7, 0, damaged, {}, is_signal=False)
        assert caller_of(lost, registers, memory.get) is None


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_damaged_call_frame_information_gives_rows_or_none(program: Path, tmp_path: Path, data: st.DataObject) -> None:
    content = bytearray(program.read_bytes())
    elf = read_elf(program)
    sections = [elf.section(name) for name in (".eh_frame", ".eh_frame_hdr")]
    for section in data.draw(st.lists(st.sampled_from(sections), min_size=1, max_size=8)):
        assert section is not None
        at = data.draw(st.integers(section.offset, section.offset + section.size - 1))
        content[at] = data.draw(st.integers(0, 255))
    damaged = tmp_path / "damaged"
    damaged.write_bytes(content)
    copy = read_elf(damaged)
    frames = ObjectFrames(FoundObject(copy, copy))
    text = elf.section(".text")
    assert text is not None
    for offset in range(text.offset, text.offset + text.size, 7):
        row = frames.row(offset)
        assert row is None or row.start < row.end


# Without call frame information, called back by the C library, which has it and keeps other things in %rbp.
CALLED_BACK = r"""
#include <stdlib.h>
#define FUNCTION __attribute__((noinline, noipa))
static volatile unsigned sink;
FUNCTION void leaf(unsigned n) { for (int i = 0; i < 2000; i++) sink = sink * 3 + n; }
FUNCTION int less(const void *a, const void *b) { leaf(1); sink++; return *(int *)a - *(int *)b; }
FUNCTION void sorts(void) {
    int values[256];
    for (int i = 0; i < 256; i++) values[i] = i * 7919 % 256;
    qsort(values, 256, sizeof *values, less);
    sink++;
}
int main(void) { for (int i = 0; i < 60; i++) sorts(); }
"""


def test_frame_pointers_lead_on_to_code_with_call_frame_information(tmp_path: Path) -> None:
    (tmp_path / "called.c").write_text(CALLED_BACK)
    program = tmp_path / "called"
    options = ["-O2", "-fno-omit-frame-pointer", "-momit-leaf-frame-pointer", "-fno-asynchronous-unwind-tables"]
    subprocess.run(["gcc", *options, "-Wl,--build-id", str(tmp_path / "called.c"), "-o", str(program)], check=True)
    recording = record(tmp_path, "-F", "1999", "--call-graph", "dwarf,8192", command=(str(program),))
    symbolizer = Symbolizer()
    profile = read_perf_data(recording, frames=symbolizer.call_frames)
    ways = Counter[tuple[str, ...]]()
    for frames, count in stacks_by_name(profile, symbolizer).items():
        if "leaf" in frames:
            ways[frames[0], *(name for name in frames if name in {"main", "sorts", "leaf"})] += count
    # `less` is not known to be there: its callee has no frame of its own.
    assert list(ways) == [("_start", "main", "sorts", "leaf")]
    assert ways.total() > 20


# Each block is of its own mapping: malloc and free, which have no frame pointers, cause all kernel time of munmap.
MAPPER = r"""
#include <malloc.h>
#include <stdlib.h>
#include <time.h>
int main(void) {
    mallopt(M_MMAP_THRESHOLD, 1 << 16);
    for (clock_t end = clock() + CLOCKS_PER_SEC / 5; clock() < end;)
        for (int i = 0; i < 64; i++) { char *volatile block = malloc(1 << 20); free(block); }
}
"""


def test_what_a_cut_off_stack_caused_is_not_guessed(tmp_path: Path) -> None:
    (tmp_path / "mapper.c").write_text(MAPPER)
    program = tmp_path / "mapper"
    options = ["-O2", "-g", "-fomit-frame-pointer", "-Wl,--build-id"]
    subprocess.run(["gcc", *options, str(tmp_path / "mapper.c"), "-o", str(program)], check=True)
    recording = record(tmp_path, "-F", "2999", "--call-graph", "dwarf,16384", command=(str(program),))
    causes, rules = {}, load_rules(["glibc", "libc", "kernel"])
    for name, frames in (("unwound", Symbolizer().call_frames), ("not unwound", None)):
        found = attribute(read_perf_data(recording, frames=frames), Symbolizer(), rules)
        rows = found.samples.filter("kernel", self_layer="munmap").select("caused_layer", "count").iter_rows()
        causes[name] = Counter[str]()
        for layer, count in rows:
            causes[name][layer] += count
    known = {name: Counter({k: n for k, n in each.items() if k != "unattributed"}) for name, each in causes.items()}
    assert {"glibc_front", "glibc_system"} & known["unwound"].keys()
    assert known["not unwound"] < known["unwound"], causes
