"""Runs a study: detect, build, plan, run what is not stored yet, and say how to go on when it is stopped."""

import contextlib
import os
import re
import shlex
import signal
import sys
import threading
from collections import Counter
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path
from types import FrameType

import hakprof
from hakprof.builds import git_state, make_build
from hakprof.collect.callgrind import run_callgrind
from hakprof.collect.capabilities import detect
from hakprof.collect.cells import CellRun
from hakprof.collect.counters import run_counters
from hakprof.collect.perf_record import keep_binaries, keep_kernel_symbols, keep_objects, run_perf_record
from hakprof.collect.perf_stat import page_faults, run_perf_stat
from hakprof.collect.pinning import check_pinning
from hakprof.collect.plan import Plan, make_plan
from hakprof.collect.progress import Progress, SilentProgress
from hakprof.collect.strace import run_strace
from hakprof.collect.target import Setting, resolve
from hakprof.collect.throughput import run_throughput
from hakprof.collect.warm_up import warm_up
from hakprof.errors import NotMeasuredError, ProjectError, RunInterruptedError, StoreError
from hakprof.model.run import BuildInfo, Cell, CellResult, CellStatus, Collector, Manifest, Skipped
from hakprof.project.load import parse_project
from hakprof.project.schema import Project, Study
from hakprof.store import RunStore, create_run, full_disk_remedy, open_run, utc_now

_FAILURES_BEFORE_GIVING_UP = 2
_MOST_AT_ONCE = 4  # of valgrind's processes, for the sake of memory
_GIVEN_UP = f"it went wrong {_FAILURES_BEFORE_GIVING_UP} times"
_LEAST_FREE_BYTES = 1 << 20
_ERROR_WORDS = re.compile(r"error|fail|cannot|can't|denied|no such|not permitted|unable|invalid", re.IGNORECASE)


def collect(
    project: Project,
    study_name: str | None = None,
    *,
    project_file: Path,
    store_root: Path,
    quick: bool = False,
    resume: Path | None = None,
    progress: Progress | None = None,
    options: Sequence[str] | None = None,
) -> RunStore:
    """Run a study and store it below ``store_root``; with ``resume``, run the cells that a run lacks.

    Cells whose tool failed are among them: neither the program nor the allocator was to blame.

    ``project_file`` is the hakprof.toml in force: its folder is where relative paths start, its text is stored. A
    program that crashes, fails or hangs is a result. Raises HakprofError for what the user must mend (a build that
    fails, a program that is not there, a store that cannot be written) and RunInterruptedError on Ctrl-C and SIGTERM;
    finished cells are kept in either case. ``options`` are those of the command line that a remedy must repeat.
    """
    progress = progress if progress is not None else SilentProgress()
    base = project_file.resolve().parent
    store_root = store_root.resolve()  # programs and tools run in ``base``, not here
    with _sigterm_is_interrupt():
        try:
            if resume is not None:
                prepared = _resumed(resume.resolve(), study_name, base=base, store_root=store_root, progress=progress)
            else:
                prepared = _started(
                    project, study_name, project_file, base=base, store_root=store_root, quick=quick, progress=progress
                )
        except KeyboardInterrupt as stop:
            raise RunInterruptedError("interrupted before the first cell", remedy="run the command again") from stop
        if options is not None:
            prepared.store.resume_command = _resume_command(prepared.store.path, store_root, options)
        try:
            _run_cells(prepared, progress)
        except KeyboardInterrupt as stop:
            done = len(prepared.store.results())
            raise RunInterruptedError(
                f"interrupted: {done} of {len(prepared.store.manifest.cells)} cells are stored",
                remedy=f"go on with `{prepared.store.resume_command}`",
            ) from stop
    return prepared.store


@dataclass(frozen=True, slots=True)
class _Prepared:
    """A run whose manifest is written and whose builds are made."""

    store: RunStore
    setting: Setting


def _resume_command(run: Path, store_root: Path, options: Sequence[str]) -> str:
    """The command that goes on with a run: by its name where the options lead to its store, else by its path."""
    named = run.name if run.parent == store_root / "runs" else str(run)
    return shlex.join(("hakprof", "collect", "--resume", named, *options))


def _study(project: Project, name: str | None) -> tuple[str, Study]:
    chosen = name if name is not None else project.project.default_study
    if chosen not in project.studies:
        raise ProjectError(
            f"no study is called {chosen!r}", remedy=f"hakprof.toml has {', '.join(sorted(project.studies))}"
        )
    return chosen, project.studies[chosen]


def _started(
    project: Project,
    study_name: str | None,
    project_file: Path,
    *,
    base: Path,
    store_root: Path,
    quick: bool,
    progress: Progress,
) -> _Prepared:
    name, study = _study(project, study_name)
    check_pinning(name, study)
    detection = detect(project)
    plan = make_plan(project, study, quick=quick, detection=detection)
    _refuse_nothing(name, plan)
    git = git_state(base)
    builds = _make_builds(project, study, plan.cells, base, store_root, git.commit, git.dirty, progress)
    skipped = plan.skipped if git.lacking is None else (*plan.skipped, git.lacking)
    setting = Setting(project, study, quick, base, builds, detection)
    _check_programs(setting, plan.cells)
    manifest = Manifest(
        hakprof_version=hakprof.__version__,
        project=project.project.title or project.project.name,
        subject=project.project.name,
        study=name,
        created_utc=utc_now(),
        commit=git.commit,
        dirty=git.dirty,
        command_line=_command_line(),
        quick=quick,
        host=detection.host,
        capabilities=detection.capabilities,
        builds=tuple(builds.values()),
        cells=plan.cells,
        skipped=skipped,
        project_file=project_file.read_text(encoding="utf-8"),
    )
    for one in skipped:
        remedy = f" (mend it: {one.remedy})" if one.remedy else ""
        progress.message(f"not measured: {one.what}: {one.reason}{remedy}")
    return _Prepared(create_run(store_root, manifest), setting)


def _refuse_nothing(study_name: str, plan: Plan) -> None:
    if not plan.cells:
        lacking = "; ".join(f"{one.what}: {one.reason}" for one in plan.skipped)
        remedies = dict.fromkeys(one.remedy for one in plan.skipped if one.remedy)
        raise NotMeasuredError(
            f"study {study_name}: nothing of it can be measured here" + (f" ({lacking})" if lacking else ""),
            remedy="; ".join(remedies) or f"give studies.{study_name} collectors that have something to run",
        )


def _resumed(path: Path, study_name: str | None, *, base: Path, store_root: Path, progress: Progress) -> _Prepared:
    """An unfinished run, by its own project text; its builds must come out as they were."""
    store = open_run(path)
    manifest = store.manifest
    if study_name is not None and study_name != manifest.study:
        raise StoreError(
            f"{path.name} is a run of study {manifest.study}, not {study_name}",
            remedy="leave the study out, or start a new run without --resume",
        )
    project = parse_project(manifest.project_file, source=f"{path.name}/manifest.json")
    _, study = _study(project, manifest.study)
    check_pinning(manifest.study, study)
    detection = detect(project)
    builds = _make_builds(project, study, manifest.cells, base, store_root, manifest.commit, manifest.dirty, progress)
    _refuse_other_builds(store, builds)
    again = sum(result.status is CellStatus.TOOL_FAILED for result in store.results())
    repeated = f"; {again} whose tool failed are run again" if again else ""
    progress.message(
        f"resuming {path.name}: {len(store.results())} of {len(manifest.cells)} cells are stored{repeated}"
    )
    return _Prepared(store, Setting(project, study, manifest.quick, base, builds, detection))


def _refuse_other_builds(store: RunStore, builds: dict[str, BuildInfo]) -> None:
    for stored in store.manifest.builds:
        now = builds.get(stored.name)
        if now is None:
            continue
        ids = {path: binary.build_id for path, binary in stored.binaries.items()}
        if stored.sources_sha256 != now.sources_sha256:
            what = "its sources have changed"
        elif ids != {path: binary.build_id for path, binary in now.binaries.items()}:
            what = "its binaries have other build ids (another compiler?)"
        else:
            continue
        raise StoreError(
            f"{store.path.name} cannot be resumed: build {stored.name}: {what}",
            remedy="start a new run without --resume, or restore the tree that the run began with",
        )


def _make_builds(
    project: Project,
    study: Study,
    cells: tuple[Cell, ...],
    base: Path,
    store_root: Path,
    commit: str | None,
    dirty: bool | None,
    progress: Progress,
) -> dict[str, BuildInfo]:
    if not project.builds:
        return {}
    needed = {study.release} | {cell.build for cell in cells if cell.build in project.builds}
    builds = {}
    for name in sorted(needed):
        progress.message(f"building {name}")
        builds[name] = make_build(project, name, base=base, out_root=store_root / "build", commit=commit, dirty=dirty)
    return builds


def _check_programs(setting: Setting, cells: tuple[Cell, ...]) -> None:
    """A program that is not there is the project's fault: say so before an hour is measured, not after."""
    for cell in dict.fromkeys(cell.model_copy(update={"repetition": 0}) for cell in cells):
        resolve(setting, cell)


def _run_cells(prepared: _Prepared, progress: Progress) -> None:
    store, setting = prepared.store, prepared.setting
    stored = {result.cell.id: result for result in store.results() if result.status is not CellStatus.TOOL_FAILED}
    left = [cell for cell in store.manifest.cells if cell.id not in stored]
    failures = Counter(_series(result.cell) for result in stored.values() if result.status is not CellStatus.OK)
    given_up: dict[str, Cell] = {}
    keep_kernel_symbols(store)
    progress.start(len(left))
    if any(cell.collector is Collector.THROUGHPUT for cell in left):
        progress.message("warming up")
        warm_up(setting, left)
    for batch in _batches(left):
        due = [cell for cell in batch if failures[_series(cell)] < _FAILURES_BEFORE_GIVING_UP]
        for cell in batch:
            if cell in due:
                progress.cell_started(cell)
            else:
                given_up.setdefault(_series(cell), cell)
        for result in _run_batch(prepared, due):
            failures[_series(result.cell)] += result.status is not CellStatus.OK
            progress.cell_done(result)
            if result.status is CellStatus.TOOL_FAILED:
                progress.message(f"{result.cell.collector.value}: {_first_error(result.output_tail)}")
    skipped = tuple(
        Skipped(
            what=f"{cell.collector.value} of {cell.workload} under {cell.allocator} ({cell.variant}) from repetition "
            f"{cell.repetition + 1} on",
            reason=_GIVEN_UP,
            remedy="read the program's last output in the report",
        )
        for cell in given_up.values()
    )
    manifest = store.manifest
    others = tuple(one for one in manifest.skipped if one.reason != _GIVEN_UP)
    store.write_manifest(manifest.model_copy(update={"finished_utc": utc_now(), "skipped": (*others, *skipped)}))


def _first_error(output: str) -> str:
    """The line of a tool's last output that says what went wrong, as well as can be told from its words."""
    lines = [line.strip() for line in output.splitlines() if line.strip(" \n:")]
    useful = [line for line in lines if line != "Error:"]
    telling = next((line for line in useful if _ERROR_WORDS.search(line)), useful[0] if useful else "it said nothing")
    return telling[:200]


def _batches(cells: Sequence[Cell]) -> Iterator[list[Cell]]:
    """Cells one by one; those that count instructions, which nothing beside them disturbs, one on each CPU."""
    at_once = min(len(os.sched_getaffinity(0)), _MOST_AT_ONCE)
    for collector, group in groupby(cells, key=lambda cell: cell.collector):
        alike = list(group)
        size = at_once if collector is Collector.CALLGRIND else 1
        yield from (alike[start : start + size] for start in range(0, len(alike), size))


def _run_batch(prepared: _Prepared, cells: Sequence[Cell]) -> list[CellResult]:
    store, stop = prepared.store, threading.Event()
    with contextlib.ExitStack() as stack:
        runs = []
        for cell in cells:
            target = resolve(prepared.setting, cell, short=cell.collector is Collector.CALLGRIND)
            runs.append(CellRun(cell, target, stack.enter_context(store.begin(cell)), stop))
        results = _measure_all(prepared, runs, stop)
        for run, result in zip(runs, results, strict=True):
            if run.cell.collector is Collector.PERF_RECORD:
                keep_objects(store, result, run.folder)
            else:
                keep_binaries(store, result.binary, result.preload)
            _refuse_full_disk(store)
            store.commit(result)
    return results


def _measure_all(prepared: _Prepared, runs: Sequence[CellRun], stop: threading.Event) -> list[CellResult]:
    """One in this thread; several in threads of their own, which end early when one of them or the user says so."""
    if len(runs) < 2:
        return [_measure(prepared, run) for run in runs]
    with ThreadPoolExecutor(len(runs)) as pool:
        begun = [pool.submit(_measure, prepared, run) for run in runs]
        try:
            return [one.result() for one in begun]
        except BaseException:
            stop.set()
            raise


def _measure(prepared: _Prepared, run: CellRun) -> CellResult:
    setting = prepared.setting
    match run.cell.collector:
        case Collector.THROUGHPUT:
            return run_throughput(run)
        case Collector.PERF_STAT:
            return run_perf_stat(run, setting.detection.hardware_events)
        case Collector.PERF_RECORD:
            return run_perf_record(
                run,
                frequency_hz=setting.study.frequency_hz,
                detection=setting.detection,
                expected_faults=_expected_faults(prepared.store, run.cell),
            )
        case Collector.STRACE:
            return run_strace(run)
        case Collector.COUNTERS:
            build = setting.project.builds[run.cell.build]
            is_own = setting.project.variants[run.cell.variant].served_by is None
            return run_counters(run, build, short=resolve(setting, run.cell, short=True) if is_own else None)
        case Collector.CALLGRIND:
            return run_callgrind(run)


def _expected_faults(store: RunStore, cell: Cell) -> int | None:
    """What perf stat counted for the same program in this run."""
    counted = cell.model_copy(update={"collector": Collector.PERF_STAT})
    return page_faults(store.cell_dir(counted.id) / "perf_stat.json")


def _refuse_full_disk(store: RunStore) -> None:
    """On a full disk the tools write half files and seem to be at fault: such a cell must not count as finished."""
    free = os.statvfs(store.path)
    if free.f_bavail * free.f_frsize < _LEAST_FREE_BYTES:
        raise StoreError(
            f"{store.path}: the disk is full",
            remedy=full_disk_remedy(store.resume_command),
        )


def _series(cell: Cell) -> str:
    """What all repetitions of a cell have in common."""
    return cell.model_copy(update={"repetition": 0}).id


def _command_line() -> tuple[str, ...]:
    """How hakprof was called; the program by its name alone, since a path tells whose machine it was."""
    return (Path(sys.argv[0]).name, *sys.argv[1:])


@contextlib.contextmanager
def _sigterm_is_interrupt() -> Iterator[None]:
    """Let SIGTERM end the run as Ctrl-C does. Python takes signals in its main thread alone."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def interrupt(_number: int, _frame: FrameType | None) -> None:
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGTERM, interrupt)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)
