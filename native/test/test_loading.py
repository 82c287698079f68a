#!/usr/bin/env python3
"""The ways into a program: preloaded, needed by it, linked in, loaded late. Forks beside other libraries' handlers; dlclose.

python3 test/test_loading.py INSTRUMENTED-BUILD-FOLDER RELEASE-BUILD-FOLDER NATIVE-FOLDER SCRATCH-FOLDER"""

import json
import os
import signal
import subprocess
import sys
import unittest
from pathlib import Path

from running import BUILD

RELEASE, ROOT, SCRATCH = (Path(argument).resolve() for argument in sys.argv[2:5])
BUILDS = (RELEASE, BUILD)


def compiled(name: str, *arguments: str, source: str | None = None) -> Path:
    """A program or library of test/ in the scratch folder."""
    SCRATCH.mkdir(parents=True, exist_ok=True)
    path = SCRATCH / name
    command = ["gcc", "-std=c11", "-D_GNU_SOURCE", "-O1", "-fno-builtin", "-pthread", "-o", str(path)]
    subprocess.run([*command, str(ROOT / "test" / (source or f"{name}.c")), *arguments], check=True)
    return path


def started(command: list[str], **settings: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        command, env={**os.environ, **settings}, capture_output=True, text=True, timeout=20, check=False
    )


def objects(build: Path) -> list[str]:
    """All of hakmem, to be linked in."""
    return [str(path) for path in sorted((build / "obj/exe").glob("*.o"))]


class Loading(unittest.TestCase):
    def test_forks_beside_a_library_that_locks_its_own_mutex(self) -> None:
        """The library's constructor runs before those of the program, and its handler after none of ours."""
        library = str(compiled("fork_library.so", "-shared", "-fPIC", source="fork_library.c"))
        plain = str(compiled("fork_program", library))
        for build in BUILDS:
            needed = [library, f"-L{build / 'lib'}", "-Wl,--no-as-needed", "-lhakmem", f"-Wl,-rpath,{build / 'lib'}"]
            ways = {
                "preloaded": (plain, {"LD_PRELOAD": str(build / "lib/libhakmem.so")}),
                "needed": (str(compiled("fork_needs", *needed, source="fork_program.c")), {}),
                "linked in": (str(compiled("fork_linked", library, *objects(build), source="fork_program.c")), {}),
            }
            for way, (program, settings) in ways.items():
                for changes in ({}, {"HAKMEM_FORCE_LIBC_ALLOC": "1"}):
                    with self.subTest(build=build.name, way=way, changes=changes):
                        stats = SCRATCH / "stats.json"
                        stats.unlink(missing_ok=True)
                        done = started([program], HAKMEM_STATS_FILE=str(stats), **settings, **changes)
                        self.assertEqual((done.returncode, done.stderr), (0, ""))
                        if build == BUILD:
                            served = json.loads(stats.read_text())["calls"]["malloc"]
                            self.assertEqual(served == 0, bool(changes), served)

    def test_a_library_that_is_closed_stays(self) -> None:
        program = str(compiled("unload_program", "-ldl"))
        for build in BUILDS:
            library = str(build / "lib/libhakmem.so")
            done = started([program, library])
            self.assertEqual((done.returncode, done.stderr), (0, ""))
            done = started([program, library, "abort"])
            self.assertEqual(done.returncode, -signal.SIGABRT)
            self.assertRegex(done.stderr, r"^\[hakmem\] fatal signal 6 \(SIGABRT\) build [^\n]*\n$")


if __name__ == "__main__":
    unittest.main(argv=sys.argv[:1])
