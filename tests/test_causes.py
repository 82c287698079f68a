"""What caused the kernel's work: a system call is made in the C library, for whoever called it."""

import subprocess
from pathlib import Path

import polars as pl
import pytest
from perf_recordings import record, why_not_live

from hakprof.analysis.recording_notes import recording_notes
from hakprof.layers import UNATTRIBUTED
from hakprof.profiles import load_recording

live = pytest.mark.skipif(why_not_live() is not None, reason=str(why_not_live()))

# Asks for memory itself, has malloc do so, and reads with a deep stack that a small copy of it does not hold.
CALLER = r"""
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>
static void own(void) {
    for (int i = 0; i < 40000; i++)
        munmap(mmap(0, 1 << 16, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0), 1 << 16);
}
static void allocate(void) {
    for (int i = 0; i < 40000; i++) {
        char *volatile block = malloc(1 << 20);
        free(block);
    }
}
static void deep(void) {
    char room[1 << 16];
    int zero = open("/dev/zero", O_RDONLY);
    for (int i = 0; i < 40000; i++) read(zero, room, 4096);
}
int main(int argc, char **argv) {
    strcmp(argv[1], "own") == 0 ? own() : strcmp(argv[1], "deep") == 0 ? deep() : allocate();
    return 0;
}
"""


@pytest.fixture(scope="module")
def caller(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("caller")
    (folder / "caller.c").write_text(CALLER)
    command = ["gcc", "-O1", "-g", "-fno-omit-frame-pointer", "-fno-inline", "caller.c", "-o", "caller"]
    subprocess.run(command, check=True, cwd=folder)
    return folder / "caller"


def causes(folder: Path, chains: tuple[str, ...], command: tuple[str, ...], layers: tuple[str, ...]) -> dict[str, int]:
    """Kernel samples of some layers by what caused them."""
    samples = load_recording(record(folder, "-F", "4999", *chains, command=command)).attribution.samples
    chosen = samples.filter(pl.col("self_layer").is_in(layers), pl.col("kernel"))
    return dict(chosen.group_by("caused_layer").agg(pl.col("count").sum()).iter_rows())


def largest(found: dict[str, int]) -> str:
    assert sum(found.values()) > 20
    return max(found, key=lambda layer: found[layer])


@live
def test_a_system_call_is_caused_by_who_called_the_c_library(caller: Path, tmp_path: Path) -> None:
    found = causes(tmp_path, ("--call-graph", "dwarf,4096"), (str(caller), "own"), ("mmap", "munmap"))
    assert largest(found) == "benchmark"


@live
def test_a_system_call_of_a_preloaded_allocator_is_caused_by_it(caller: Path, tmp_path: Path) -> None:
    known = subprocess.run(["/sbin/ldconfig", "-p"], capture_output=True, text=True, check=True).stdout
    if "libjemalloc.so.2" not in known:
        pytest.skip("libjemalloc.so.2 is not installed")
    at_once = "MALLOC_CONF=dirty_decay_ms:0,muzzy_decay_ms:0,retain:false"
    command = ("env", at_once, "LD_PRELOAD=libjemalloc.so.2", str(caller), "allocate")
    found = causes(tmp_path, ("--call-graph", "dwarf,4096"), command, ("mmap", "munmap", "madvise"))
    assert largest(found).startswith("jemalloc")


@live
def test_frame_pointers_do_not_tell_malloc_from_the_program(caller: Path, tmp_path: Path) -> None:
    # glibc keeps none: the chain goes from munmap to the caller of malloc's caller.
    command = ("env", "MALLOC_MMAP_THRESHOLD_=65536", str(caller), "allocate")
    assert largest(causes(tmp_path, ("-g",), command, ("mmap", "munmap"))) == "libc"


@live
def test_a_stack_that_is_cut_off_in_the_program_still_names_it(caller: Path, tmp_path: Path) -> None:
    # No rule names code of the program: whoever is behind the cut, the layer is the same.
    found = causes(tmp_path, ("--call-graph", "dwarf,512"), (str(caller), "deep"), ("other_syscall",))
    assert largest(found) == "benchmark"
    assert found.get(UNATTRIBUTED, 0) <= 0.02 * sum(found.values())


@live
def test_why_a_stack_is_cut_off_is_said_once(caller: Path, tmp_path: Path) -> None:
    recording = record(tmp_path, "-F", "999", "--call-graph", "dwarf,512", command=(str(caller), "deep"))
    loaded = load_recording(recording)
    notes = recording_notes(loaded.profile, loaded.attribution, loaded.profile.events[0].name)
    (note,) = (note for note in notes if "call chains" in note)
    assert "lack their last callers" in note
