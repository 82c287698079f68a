"""Samples with call chains (C2): one event of time and one of page faults, in one recording."""

import contextlib
import gzip
import re
import subprocess
from pathlib import Path

from hakprof import elf
from hakprof.collect.capabilities import BUILD_ID_OPTIONS, Detection, kernel_symbols_readable
from hakprof.collect.cells import CellRun, region
from hakprof.errors import ParseError
from hakprof.model.run import BinaryInfo, CellResult, CellStatus
from hakprof.store import RunStore

FILE = "perf.data"
_MOST_FAULT_SAMPLES = 10_000
_FAULT_PERIODS = (1, 7, 61, 499, 3989)  # 1 is exact; the others are primes, so as not to fall in step with a loop
_UNKNOWN_FAULTS_PERIOD = 7
_SECONDS = 60
_TOOL_FAULT = re.compile(r"^(failed to write perf data|Access to performance monitoring|Error:|perf: )", re.MULTILINE)


def run_perf_record(
    run: CellRun, *, frequency_hz: int, detection: Detection, expected_faults: int | None
) -> CellResult:
    """Record the program's measured region, or its whole life where it marks none.

    -F holds for the event of time alone: the page-fault event has a period of its own, 1 unless ``expected_faults`` (a
    perf stat count) tells that it would make a large file. -N keeps perf from filling ~/.debug.
    """
    clock = "cycles" if "cycles" in detection.hardware_events else "cpu-clock"
    period = _fault_period(expected_faults)
    chains = ("-g", "--call-graph", "fp") if detection.has("call_graph") else ()
    build_ids = BUILD_ID_OPTIONS if detection.has("buildid_mmap") else ()
    with region(run.target) as marks:
        command = (
            *("perf", "record", "-N", *build_ids, "-o", str(run.folder / FILE), "-F", str(frequency_hz), *chains),
            *("-e", clock, "-e", f"page-faults/period={period},name=page-faults/", *marks.options),
            *("--", *run.target.behind_env(marks.environment)),
        )
        outcome = run.execute(command)
    notes = [] if clock == "cycles" else ["event cpu-clock instead of cycles: no hardware counters here"]
    notes += [f"every {period}th page fault was recorded"] if period > 1 else []
    status = outcome.status
    has_output = (run.folder / FILE).is_file() and (run.folder / FILE).stat().st_size > 0
    failed = status is CellStatus.FAILED and _TOOL_FAULT.search(run.stderr_text()) is not None
    if (failed or not has_output) and status is not CellStatus.TIMEOUT:
        status = CellStatus.TOOL_FAILED
    return run.result(outcome, command, status=status, files={"perf_data": FILE}, note="; ".join(notes))


def keep_objects(store: RunStore, result: CellResult, folder: Path) -> None:
    """Copy the ELF files that a recording names into the run, if they still are the recorded ones."""
    data = folder / FILE
    if "perf_data" in result.files:
        for build_id, path in _build_ids(data):
            if _is(path, build_id):
                store.keep_object(build_id, path)
    keep_binaries(store, result.binary, result.preload)
    for path in _loaded_by(result.program[0]):
        keep_library(store, path)


def keep_library(store: RunStore, path: Path) -> None:
    """Copy a library into the run: call chains may pass through it even if no sample is in it."""
    with contextlib.suppress(ParseError, OSError):
        build_id = elf.build_id(path)
        if build_id is not None:
            store.keep_object(build_id, path)


def keep_binaries(store: RunStore, *binaries: BinaryInfo | None) -> None:
    """Copy a cell's own program and allocator into the run."""
    for binary in binaries:
        if binary is not None and binary.build_id is not None and _is(Path(binary.path), binary.build_id):
            store.keep_object(binary.build_id, Path(binary.path))


def keep_kernel_symbols(store: RunStore) -> None:
    """Store /proc/kallsyms once per run, where its addresses may be read."""
    if store.kallsyms.exists() or not kernel_symbols_readable():
        return
    content = Path("/proc/kallsyms").read_bytes()
    store.write_file("host/kallsyms.gz", gzip.compress(content, 6, mtime=0))


def _fault_period(expected_faults: int | None) -> int:
    if expected_faults is None:
        return _UNKNOWN_FAULTS_PERIOD
    fitting = (period for period in _FAULT_PERIODS if expected_faults / period <= _MOST_FAULT_SAMPLES)
    return next(fitting, _FAULT_PERIODS[-1])


def _build_ids(data: Path) -> list[tuple[str, Path]]:
    try:
        done = subprocess.run(
            ["perf", "buildid-list", "-i", str(data)],
            capture_output=True,
            text=True,
            errors="replace",
            timeout=_SECONDS,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired):
        return []
    found = re.findall(r"^([0-9a-f]{8,64}) (/.+)$", done.stdout, re.MULTILINE)
    return [(build_id, Path(path)) for build_id, path in found]


def _loaded_by(program: str) -> list[Path]:
    """The libraries that the dynamic linker finds for a program; none for a static one."""
    try:
        done = subprocess.run(["ldd", program], capture_output=True, text=True, timeout=_SECONDS, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return []
    return [Path(found) for found in re.findall(r"(?:=> |^\s+)(/\S+) \(0x", done.stdout, re.MULTILINE)]


def _is(path: Path, build_id: str) -> bool:
    try:
        return path.is_file() and elf.build_id(path) == build_id
    except (ParseError, OSError):
        return False
