"""The layer catalogues against what was sampled: every rule owns samples, every pattern is the name of something.

tests/sampled_names/ holds what recordings of real programs on each allocator sampled, since a machine seldom has these
libraries with symbols; what the installed ones and this kernel show is recorded anew.
"""

import re
import subprocess
from collections import Counter
from fnmatch import fnmatchcase
from pathlib import Path

import polars as pl
import pytest
from perf_recordings import record, why_not_live

from hakprof.layers import RuleSet, load_rules
from hakprof.layers.rules import Code, catalogue, plain_name
from hakprof.profiles import load_recording

live = pytest.mark.skipif(why_not_live() is not None, reason=str(why_not_live()))
NAMES = Path(__file__).parent / "sampled_names"
OBJECTS = {
    "glibc": "/usr/lib/x86_64-linux-gnu/libc.so.6",
    "mimalloc": "/usr/lib/libmimalloc.so.2",
    "jemalloc": "/usr/lib/libjemalloc.so.2",
    "tcmalloc": "/usr/lib/libtcmalloc_minimal.so.4",
}
# Names of other machines than those that were recorded; the catalogue says so.
ELSEWHERE = ("__arm64_*", "el[01]*", "do_mem_abort", "do_translation_fault", "invoke_syscall")
BEFORE_5_8 = ("page_fault", "async_page_fault", "do_page_fault")
# Accessors that are inlined into functions of every layer have no rule: a sample in one is its caller's.
ACCESSORS = (
    *("edata_*", "*sz_*", "atomic_*", "fb_*", "*fs_lu", "lg_*", "malloc_mutex_*", "mutex_*"),
    *("_mi_wsize*", "*mi_stat*", "*mi_option*", "_mi_ptr_segment", "mi_tf_*", "mi_tls_*", "*_default_heap"),
)


def sampled(name: str) -> Counter[str]:
    rows = (line.split("\t") for line in (NAMES / f"{name}.tsv").read_text().splitlines() if line[0] != "#")
    return Counter({function: int(count) for count, function in rows})


def layers_of(rules: RuleSet, names: Counter[str], path: str) -> Counter[str]:
    """Samples by layer, as far as the names decide it."""
    found: Counter[str] = Counter()
    for name, count in names.items():
        match = rules.match(Code(name, None, path, False, False))
        found[rules.layers[match.named if match.named >= 0 else match.object]] += count
    return found


@pytest.mark.parametrize("allocator", OBJECTS)
def test_every_rule_of_an_allocator_owns_samples(allocator: str) -> None:
    found = layers_of(load_rules([allocator, "libc"]), sampled(allocator), OBJECTS[allocator])
    without = [rule.layer for rule in catalogue(allocator) if rule.functions and not found[rule.layer]]
    assert without == []


@pytest.mark.parametrize("allocator", ["mimalloc", "jemalloc", "tcmalloc"])
def test_little_of_an_allocator_with_symbols_is_named_by_its_object_alone(allocator: str) -> None:
    names = sampled(allocator)
    found = layers_of(load_rules([allocator]), names, OBJECTS[allocator])
    alone = {
        name: count
        for name, count in names.items()
        if load_rules([allocator]).match(Code(name, None, OBJECTS[allocator], False, False)).named < 0
        and not any(fnmatchcase(name, pattern) for pattern in ACCESSORS)
    }
    assert sum(alone.values()) <= 0.05 * found.total(), alone


@pytest.mark.parametrize("name", [*OBJECTS, "kernel"])
def test_every_pattern_is_the_name_of_something(name: str) -> None:
    known = sampled(name)
    exempt = (*ELSEWHERE, *BEFORE_5_8) if name == "kernel" else ()
    patterns = [pattern for rule in catalogue(name) for pattern in (*rule.functions, *rule.entries)]
    strange = [
        pattern
        for pattern in patterns
        if not any(fnmatchcase(function, pattern) for function in known)
        and not any(fnmatchcase(pattern, other) for other in exempt)
    ]
    assert strange == []


def test_stubs_bear_the_demangled_name_of_what_they_call() -> None:
    assert plain_name("_ZN8tcmalloc11DLL_PrependEPNS_4SpanES1_@plt") == "tcmalloc::DLL_Prepend@plt"
    assert plain_name("memset@plt") == "memset@plt"


PROVOKER = r"""
#define _GNU_SOURCE
#include <linux/futex.h>
#include <sched.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>
#define BYTES (64 * 4096L)
static char *area;
static char *fresh(int flags) {
    return mmap(0, BYTES, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | flags, -1, 0);
}
static void fault(void) { for (long i = 0; i < BYTES; i += 4096) area[i] = 1; madvise(area, BYTES, MADV_DONTNEED); }
static void map(void) { char *m = fresh(0); mprotect(m, 4096, PROT_READ); munmap(m, BYTES); }
static void unmap(void) { munmap(fresh(MAP_POPULATE), BYTES); }
static void advise(void) { madvise(area, BYTES, MADV_NORMAL); }
static void core(void) { unsigned char seen[64]; mincore(area, BYTES, seen); }
static void brk_(void) { sbrk(1 << 16); sbrk(-(1 << 16)); }
static void futex(void) { static int word; syscall(SYS_futex, &word, FUTEX_WAKE, 1, 0, 0, 0); }
static void yield(void) { sched_yield(); }
static void fork_(void) { if (fork() == 0) _exit(0); wait(0); }
static void other(void) { getppid(); }
static const struct { const char *name; void (*call)(void); } phases[] = {
    {"page_fault", fault}, {"mmap", map}, {"munmap", unmap}, {"madvise", advise}, {"mincore", core}, {"brk", brk_},
    {"futex", futex}, {"scheduler", yield}, {"start_exit", fork_}, {"other_syscall", other}};
int main(void) {
    area = fresh(0);
    for (unsigned i = 0; i < sizeof phases / sizeof *phases; i++) {
        prctl(PR_SET_NAME, phases[i].name);
        for (clock_t end = clock() + CLOCKS_PER_SEC / 10; clock() < end;)
            for (int n = 0; n < 16; n++) phases[i].call();
    }
}
"""


@live
def test_programs_that_provoke_a_kernel_layer_show_it(tmp_path: Path) -> None:
    (tmp_path / "provoke.c").write_text(PROVOKER)
    program = tmp_path / "provoke"
    options = ["-O1", "-g", "-fno-omit-frame-pointer", "-w"]
    subprocess.run(["gcc", *options, str(tmp_path / "provoke.c"), "-o", str(program)], check=True)
    recording = record(tmp_path, "-F", "4999", "-g", command=(str(program),))
    samples = load_recording(recording).attribution.samples.filter(pl.col("kernel"))
    summed = samples.group_by("comm", "self_layer").agg(pl.col("count").sum())
    counts = Counter({(comm, layer): count for comm, layer, count in summed.iter_rows()})
    phases = re.findall(r'\{"(\w+)", ', PROVOKER)
    assert {phase: counts[phase, phase] for phase in phases if not counts[phase, phase]} == {}
    kernel = sum(counts.values())
    assert sum(count for (_, layer), count in counts.items() if layer == "other_kernel") <= 0.02 * kernel
