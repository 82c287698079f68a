"""A whole project in a folder of its own: a C program with every way to end, a library to preload, a build."""

import os
import shutil
import sys
from dataclasses import dataclass
from pathlib import Path

from hakprof.project import load_project
from hakprof.project.schema import Project

PROGRAM = r"""
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>
#ifndef TOLD_SOURCES
#define TOLD_SOURCES SOURCES
#endif
__attribute__((section(".hakprof.build"), used)) static const char build[] =
    "project=tiny\ncommit=" COMMIT "\nflavour=" FLAVOUR "\nsources=" TOLD_SOURCES "\n";
static int control = -1, answer = -1;
static void tell(const char *word) {
    char reply[16];
    if (control < 0) return;
    if (write(control, word, strlen(word)) < 0) return;
    if (read(answer, reply, sizeof reply) < 0) return;
}
static long now(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return t.tv_sec * 1000000000L + t.tv_nsec;
}
static __attribute__((noinline)) void spin(long ms) {
    for (long end = now() + ms * 1000000; now() < end;) { char *p = malloc(64); p[0] = 1; free(p); }
}
/* Counts the runs in the size of a file; those behind the first so many wait until the gate is open. */
static void wait_at(const char *gate, long free_runs) {
    char open_gate[4096];
    snprintf(open_gate, sizeof open_gate, "%s.open", gate);
    int count = open(gate, O_WRONLY | O_CREAT | O_APPEND, 0644);
    if (write(count, ".", 1) == 1 && lseek(count, 0, SEEK_END) > free_runs)
        while (access(open_gate, F_OK)) usleep(10000);
    close(count);
}
int main(int argc, char **argv) {
    const char *mode = argc > 1 ? argv[1] : "work";
    long ms = argc > 2 ? atol(argv[2]) : 20;
    const char *c = getenv("HAKPROF_CTL_FIFO"), *a = getenv("HAKPROF_ACK_FIFO"), *stats = getenv("TINY_STATS");
    if (c && a) { control = open(c, O_WRONLY); answer = open(a, O_RDONLY); }
    fprintf(stderr, "mode %s\n", mode);
    if (!strcmp(mode, "crash")) { char *volatile nowhere = 0; *nowhere = 1; }
    if (!strcmp(mode, "fail")) return 3;
    if (!strcmp(mode, "hang")) for (;;) pause();
    if (!strcmp(mode, "stubborn")) { signal(SIGTERM, SIG_IGN); for (;;) pause(); }
    if (!strcmp(mode, "orphan") && fork() == 0) for (;;) pause();
    if (!strcmp(mode, "flood")) for (;;) puts("a line that is written again and again and again, without an end to it");
    if (!strcmp(mode, "gate")) wait_at(argv[3], atol(argv[4]));
    spin(ms);
    tell("enable\n");
    long start = now();
    char *pages = mmap(0, 300 * 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    for (int i = 0; i < 300; i++) pages[i * 4096] = 1;
    spin(ms);
    long took = now() - start;
    tell("disable\n");
    munmap(pages, 300 * 4096);
    printf("{\"schema\":1,\"benchmark\":\"tiny\",\"ops\":1000,\"measured_ns\":%ld,\"preload\":\"%s\"}\n", took,
           getenv("LD_PRELOAD") ? getenv("LD_PRELOAD") : "");
    if (stats) {
        FILE *out = fopen(stats, "w");
        fputs("{\"calls\":{\"malloc\":1000}}\n", out);
        fclose(out);
    }
    return 0;
}
"""
LIBRARY = 'const char *tiny_allocator(void) { return "tiny"; }\n'
BUILD = """
import subprocess, sys
out, flavour, commit, sources = sys.argv[1:5]
import os
os.makedirs(out + "/bin", exist_ok=True); os.makedirs(out + "/lib", exist_ok=True)
told = [f'-D{n}="{v}"' for n, v in (("COMMIT", commit), ("FLAVOUR", flavour), ("SOURCES", sources))]
common = ["gcc", "-O1", "-g", "-fno-omit-frame-pointer", "-fno-builtin", "-Wl,--build-id"]
subprocess.run([*common, *told, "-o", out + "/bin/tiny", "tiny.c"], check=True)
subprocess.run([*common, "-shared", "-fPIC", "-o", out + "/lib/libtiny.so", "library.c"], check=True)
"""
PROJECT = """
catalogues = []
[project]
name = "tiny"
default_study = "all"
library = "lib/libtiny.so"
[builds.release]
source = "src"
sources = ["*.c", "*.py"]
command = ["python3", "build.py", "{out}", "release", "{commit}", "{sources}"]
[builds.instrumented]
source = "src"
flavour = "instrumented"
sources = ["*.c", "*.py"]
command = ["python3", "build.py", "{out}", "instrumented", "{commit}", "{sources}"]
counters_environment = { TINY_STATS = "{file}" }
[workloads.work]
title = "work"
program = "bin/tiny"
direct = "bin/tiny"
args = ["work", "20"]
quick_args = ["work", "5"]
region = true
[workloads.other]
title = "other"
program = "bin/tiny"
args = ["work", "10"]
[variants.default]
[variants.direct]
link = "direct"
[peers.system]
[studies.all]
workloads = ["work", "other"]
variants = ["default", "direct"]
peers = ["system"]
repetitions = 2
quick_repetitions = 1
[studies.plain]
workloads = ["work"]
peers = ["system"]
collectors = ["throughput"]
repetitions = 3
"""
MINIMAL_TOOLS = (
    "python3",
    "gcc",
    "as",
    "ld",
    "cc",
    "cc1",
    "collect2",
    "env",
    "true",
    "git",
    "lscpu",
    "dpkg-query",
    "sh",
)


@dataclass(frozen=True)
class Tiny:
    """A project's folder; ``store`` is where its runs go."""

    folder: Path

    @property
    def file(self) -> Path:
        return self.folder / "hakprof.toml"

    @property
    def store(self) -> Path:
        return self.folder / ".hakprof"

    def load(self) -> Project:
        return load_project(self.file)

    def add(self, text: str) -> None:
        self.file.write_text(self.file.read_text() + text)

    def edit(self, before: str, after: str) -> None:
        text = self.file.read_text()
        assert before in text
        self.file.write_text(text.replace(before, after))


def make_tiny(folder: Path) -> Tiny:
    (folder / "src").mkdir(parents=True)
    (folder / "src" / "tiny.c").write_text(PROGRAM)
    (folder / "src" / "library.c").write_text(LIBRARY)
    (folder / "src" / "build.py").write_text(BUILD)
    (folder / "hakprof.toml").write_text(PROJECT)
    return Tiny(folder)


def workload(name: str, *args: str, extra: str = "") -> str:
    """The text of a workload and of a throughput study of the same name, three repetitions."""
    listed = ", ".join(f'"{arg}"' for arg in args)
    return f"""
[workloads.{name}]
title = "{name}"
program = "bin/tiny"
args = [{listed}]
{extra}
[studies.{name}]
workloads = ["{name}"]
collectors = ["throughput"]
repetitions = 3
"""


def path_with(folder: Path, *tools: str) -> str:
    """A PATH on which only these tools are found."""
    folder.mkdir(parents=True, exist_ok=True)
    for tool in tools:
        found = sys.executable if tool == "python3" else shutil.which(tool)
        if found is not None:
            # A wrapper rather than a link: gcc and python look for their parts beside themselves.
            script = folder / tool
            script.write_text(f'#!/bin/sh\nexec {os.path.realpath(found)} "$@"\n')
            script.chmod(0o755)
    return str(folder)


def fake_tool(folder: Path, name: str, script: str) -> None:
    """A program of our own under a tool's name."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / name
    path.write_text(f"#!/bin/sh\n{script}\n")
    path.chmod(0o755)
