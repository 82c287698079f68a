"""Programs that everybody has: git, compilers and make, sort, perl, sqlite3, xz, Python's threads."""

import shutil
import subprocess
from pathlib import Path

from runs import Program, python, shell

# A real clone over the pack protocol, then gc; the checkout may belong to somebody else, and be shallow.
GIT = """
export GIT_CONFIG_COUNT=2 GIT_CONFIG_KEY_0=safe.directory GIT_CONFIG_VALUE_0='*'
export GIT_CONFIG_KEY_1=pack.threads GIT_CONFIG_VALUE_1=2
git clone -q 'file://{source}' clone 2>&1
cd clone
git gc -q --prune=now
git fsck --full 2>/dev/null
git log {commit} --format='%H %s' --stat | cksum
git count-objects -v | grep -E '^(count|packs|garbage)'
git status --short
"""
# Made from the files of the tests, where this is no checkout.
GIT_FROM_FILES = """
git init -q source
cp work.* source
git -C source add .
git -C source -c user.name=test -c user.email=test@localhost -c commit.gpgsign=false commit -q -m first \
    --date='2020-01-01 00:00 +0000'
git -C source log --format=%s --stat
git -C source gc -q
git -C source fsck
"""
NUMBERS = "seq 1 200000 | awk '{ print ($1 * 7919) % 200003, $1 }' >numbers\n"
HAKMEM_BUILD = """
cp -r '{native}/src' '{native}/bench' '{native}/Makefile' .
make -s -j2 OUT="$PWD/out" COMMIT=none DIRTY=0 SOURCES=none {goals}
sha256sum {files}
"""
LIBRARY_FILES = "out/lib/libhakmem.so"
EVERY_FILE = "out/lib/libhakmem.so out/bin/*"


def git(native: Path) -> Program:
    """The log is that of one commit, because the repository may go on between two runs."""
    source = native.parent
    if (source / ".git").exists() and shutil.which("git"):
        asked = ["git", "-c", "safe.directory=*", "-C", str(source), "rev-parse", "HEAD"]
        told = subprocess.run(asked, capture_output=True, text=True, check=False)
        if told.returncode == 0:
            script = GIT.format(source=source, commit=told.stdout.strip())
            return shell(script, needs=["git"], processes=8, mallocs=50000)
    return shell(GIT_FROM_FILES, needs=["git"], files=("work.c", "work.cpp", "work.sql"), processes=5)


def build_of_hakmem(native: Path, *, everything: bool) -> Program:
    """Two compilers at a time; what they make must be the same, byte for byte."""
    goals, files = ("all", EVERY_FILE) if everything else ('"$PWD/out/lib/libhakmem.so"', LIBRARY_FILES)
    script = HAKMEM_BUILD.format(native=native, goals=goals, files=files)
    return shell(script, needs=["make", "gcc"], processes=50, mallocs=500000, limit=300)


def build_of(folder: Path) -> Program:
    """Somebody's sources: a copy of the folder, `./configure` where there is one, and make."""
    script = f"cp -r '{folder}/.' .; if [ -x configure ]; then ./configure >log 2>&1; fi; make -j2 >>log 2>&1"
    return shell(script, needs=["make", "gcc"], processes=50, mallocs=500000, limit=1800)


GCC = "gcc -O2 -Wall work.c -o work; ./work 1 2"
CPP = "g++ -std=c++17 -O0 -Wall -pthread work.cpp -o work; ./work"
PERL = 'my %h; $h{$_ % 9973} .= "x" x ($_ % 100) for 1..200000; print length(join "", values %h), "\\n"'
BASH = 'a=(); for i in {1..20000}; do a+=("$i$i"); done; echo ${#a[@]} ${a[19999]}'
AWK = NUMBERS + "awk '{ s[$1 % 1000] += $2 } END { for (i = 0; i < 1000; i++) t += s[i]; print t }' numbers"
TAR = "tar -C '{native}' -cf - src test/programs/inputs --sort=name --mtime=@0 | gzip -n | gzip -dc | cksum"


def catalogue(native: Path) -> dict[str, Program]:
    return {
        "git: clone of this repository, gc, fsck, log": git(native),
        "make -j2 and gcc: hakmem's library, the same bytes": build_of_hakmem(native, everything=False),
        "gcc: compile, link, run": shell(GCC, needs=["gcc"], files=("work.c",), processes=4),
        "g++: containers, new, delete, exceptions, threads": shell(
            CPP, needs=["g++"], files=("work.cpp",), processes=5, mallocs=400000
        ),
        "python3: threads, fork, json, sqlite3, subprocess": Program(
            (python(), "work.py"), files=("work.py",), processes=2, mallocs=20000
        ),
        "python3: imports": Program(
            (python(), "-c", "import json, decimal, sqlite3, xml.dom.minidom, unittest, ctypes; print('imported')")
        ),
        "sqlite3": Program(("sqlite3", ":memory:", ".read work.sql"), files=("work.sql",), mallocs=1000),
        "perl": Program(("perl", "-e", PERL), mallocs=10000),
        "bash": Program(("bash", "-c", BASH), mallocs=20000),
        "sort": shell(NUMBERS + "sort -n numbers | cksum", needs=["awk"], processes=4),
        "sort --parallel=4": shell(NUMBERS + "sort --parallel=4 -S 1M numbers | cksum", needs=["awk"], processes=4),
        "awk": shell(AWK, needs=["awk"], processes=3),
        "xz -T4": shell(NUMBERS + "xz -T4 --block-size=200000 -c numbers | xz -dc | cksum", needs=["xz"], processes=5),
        "tar and gzip": shell(TAR.format(native=native), needs=["tar", "gzip"], processes=3),
    }


def slow_catalogue(native: Path) -> dict[str, Program]:
    return {"make -j2 and gcc: hakmem and its benchmarks, the same bytes": build_of_hakmem(native, everything=True)}
