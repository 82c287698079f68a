"""CPython's own test modules, run as its developers do."""

import re
import shutil
import subprocess
from dataclasses import dataclass

from runs import Failed, Place, Skipped, counted, execute, no_complaint, proven, statistics

QUICK = ("test_json", "test_dict", "test_list", "test_mmap", "test_gc", "test_memoryview", "test_thread", "test_ctypes")
# Mostly waiting; each takes 10 to 25 s.
WAITING = ("test_threading", "test_subprocess")
LONG = (
    *("test_io", "test_re", "test_weakref", "test_pickle", "test_unicode", "test_decimal", "test_zlib", "test_asyncio"),
    *("test_multiprocessing_fork", "test_concurrent_futures", "test_fork1", "test_import", "test_queue"),
)
INTERPRETERS = ("/usr/bin/python3", "python3")


def interpreter() -> str:
    """The first Python that has its tests with it."""
    for candidate in INTERPRETERS:
        program = shutil.which(candidate)
        if program is None:
            continue
        asked = subprocess.run([program, "-c", "import test.test_json"], capture_output=True, check=False)
        if asked.returncode == 0:
            return program
    raise Skipped("no python3 has its test modules here (Debian: libpython3.X-testsuite)")


@dataclass(frozen=True, slots=True)
class TestModule:
    """Once on the release flavour; `twice`: on the instrumented one as well, whose counters are the proof."""

    name: str
    twice: bool = True
    limit: int = 300

    def check(self, place: Place) -> str:
        command = [interpreter(), "-m", "test", "-v", self.name]
        told = self._passes(place, command, instrumented=False)
        if not self.twice:
            return told
        self._passes(place, command, instrumented=True)
        return f"{told}, {proven(counted(place.folder), processes=1, mallocs=1000)}"

    def _passes(self, place: Place, command: list[str], *, instrumented: bool) -> str:
        # Children that abort on purpose are part of some modules: hakmem's word about the signal is not a complaint.
        changes = {"HAKMEM_SIGNAL_HANDLER": "0", "TMPDIR": str(place.fresh())}
        library = place.instrumented if instrumented else place.release
        if instrumented:
            changes |= statistics(place.folder)
        ended = execute(command, place.folder, library, changes=changes, limit=self.limit)
        no_complaint(ended.errors + ended.output.decode(errors="replace"))
        if ended.status != 0:
            self._fails_without_as_well(place, command, ended.output)
        return _summary(ended.output)

    def _fails_without_as_well(self, place: Place, command: list[str], output: bytes) -> None:
        plain = execute(command, place.folder, changes={"TMPDIR": str(place.fresh())}, limit=self.limit)
        if plain.status != 0 and not _failed(plain.output) and not _failed(output):
            raise Skipped("does not start without hakmem either")
        if not _failed(output) or _failed(plain.output) != _failed(output):
            raise Failed(
                f"{sorted(_failed(output))} fail, without hakmem {sorted(_failed(plain.output))}: "
                f"{output.decode(errors='replace')[-3000:]}"
            )


def _failed(output: bytes) -> set[str]:
    return set(re.findall(r"^(?:FAIL|ERROR): (.*)$", output.decode(errors="replace"), re.MULTILINE))


def _summary(output: bytes) -> str:
    runs = [int(count) for count in re.findall(r"^Ran (\d+) tests? in", output.decode(errors="replace"), re.MULTILINE)]
    if not runs or sum(runs) == 0:
        raise Failed(f"ran no test: {output.decode(errors='replace')[-2000:]}")
    also = f", {len(_failed(output))} fail as without hakmem" if _failed(output) else ""
    return f"{sum(runs)} tests{also}"
