"""Running one command: how it ends, what it leaves, and that nothing of it goes on living."""

import contextlib
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

import hakprof.collect.execute
from hakprof.children import guarded
from hakprof.collect.execute import Outcome, clean_environment, execute, output_tail
from hakprof.errors import HakprofError
from hakprof.model.run import CellStatus


def run(folder: Path, *command: str, timeout_seconds: float = 10, output_limit_bytes: int = 1 << 30) -> Outcome:
    return execute(
        command,
        environment=clean_environment(),
        cwd=folder,
        stdout=folder / "out",
        stderr=folder / "err",
        timeout_seconds=timeout_seconds,
        watched=folder,
        output_limit_bytes=output_limit_bytes,
    )


def alive(marker: str) -> bool:
    """Whether a process has the marker on its command line."""
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            if marker.encode() in path.read_bytes():
                return True
        except OSError:
            continue
    return False


def ends(marker: str) -> bool:
    """Whether no such process is left; a killed one takes a moment to go."""
    deadline = time.monotonic() + 20
    while alive(marker):
        if time.monotonic() > deadline:
            return False
        time.sleep(0.02)
    return True


def tell_when_guarded() -> None:
    """Has execute say on standard output that the program would end with us from now on."""

    @contextlib.contextmanager
    def telling(group: int) -> Iterator[None]:
        with guarded(group):
            print("guarded", flush=True)
            yield

    hakprof.collect.execute.guarded = telling


def unique_seconds() -> str:
    """A sleep that no other process asks for."""
    return f"{300 + os.getpid() / 1e7 + time.monotonic_ns() % 1000 / 1e10:.12f}"


@pytest.mark.parametrize(
    ("script", "status", "exit_code", "signal_name"),
    [
        ("echo out; echo err >&2", CellStatus.OK, 0, None),
        ("exit 3", CellStatus.FAILED, 3, None),
        ("kill -SEGV $$", CellStatus.CRASHED, None, "SIGSEGV"),
        ("kill -ABRT $$", CellStatus.CRASHED, None, "SIGABRT"),
    ],
)
def test_endings(
    tmp_path: Path, script: str, status: CellStatus, exit_code: int | None, signal_name: str | None
) -> None:
    outcome = run(tmp_path, "sh", "-c", script)
    assert (outcome.status, outcome.exit_code, outcome.signal) == (status, exit_code, signal_name)


def test_outputs_are_kept_apart_and_told_together(tmp_path: Path) -> None:
    run(tmp_path, "sh", "-c", "echo out; printf '\\377 err' >&2")
    assert (tmp_path / "out").read_text() == "out\n"
    assert output_tail(tmp_path / "out", tmp_path / "err", tmp_path / "none") == "out\n\ufffd err"


def test_the_tail_is_the_end_of_a_long_output(tmp_path: Path) -> None:
    (tmp_path / "long").write_text("x" * 100_000 + "the end")
    tail = output_tail(tmp_path / "long")
    assert tail.endswith("the end")
    assert len(tail) <= 4000


def test_a_program_that_hangs_is_ended_with_its_children(tmp_path: Path) -> None:
    seconds = unique_seconds()
    began = time.monotonic()
    outcome = run(tmp_path, "sh", "-c", f"sleep {seconds} & sleep {seconds}; true", timeout_seconds=0.3)
    assert outcome.status is CellStatus.TIMEOUT
    assert time.monotonic() - began < 20
    assert ends(seconds)


def test_a_program_that_ignores_sigterm_is_killed(tmp_path: Path) -> None:
    outcome = run(tmp_path, "sh", "-c", "trap '' TERM; while true; do sleep 0.1; done", timeout_seconds=0.2)
    assert outcome.status is CellStatus.TIMEOUT
    assert outcome.signal == "SIGKILL"


def test_children_that_outlive_their_parent_are_ended(tmp_path: Path) -> None:
    seconds = unique_seconds()
    assert run(tmp_path, "sh", "-c", f"sleep {seconds} & true").status is CellStatus.OK
    assert ends(seconds)


def test_a_flood_of_output_is_stopped(tmp_path: Path) -> None:
    outcome = run(tmp_path, "yes", output_limit_bytes=1 << 20)
    assert outcome.over_limit
    assert outcome.status is CellStatus.FAILED


def test_a_program_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(HakprofError, match="no-such-program: cannot be started: No such file") as raised:
        run(tmp_path, "no-such-program")
    assert raised.value.remedy


def test_the_environment_is_ours_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MALLOC_ARENA_MAX", "1")
    monkeypatch.setenv("LD_PRELOAD", "")
    run(tmp_path, "env")
    told = (tmp_path / "out").read_text()
    assert "MALLOC_ARENA_MAX" not in told
    assert "LD_PRELOAD" not in told
    assert "LC_ALL=C.UTF-8" in told


def test_wall_time_has_no_polling_interval_in_it(tmp_path: Path) -> None:
    walls = [run(tmp_path, "true").wall_ns for _ in range(10)]
    assert min(walls) < 30_000_000


def test_peak_memory_is_the_programs_or_unknown(tmp_path: Path) -> None:
    """GIVEN a program smaller than ourselves THEN its peak is unknown, not ours; a larger one's is known."""
    assert run(tmp_path, "true").max_rss_bytes is None
    own = int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")
    size = own + (500 << 20)
    outcome = run(tmp_path, sys.executable, "-c", f"x = bytearray({size})")
    assert outcome.max_rss_bytes is not None
    assert size <= outcome.max_rss_bytes < size + (200 << 20)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGKILL])
@pytest.mark.parametrize("tool", ["", "'perf', 'stat', '-o', 'stat', '--', ", "'strace', '-f', '-c', '-o', 'calls', "])
def test_the_program_ends_when_hakprof_does(tmp_path: Path, number: signal.Signals, tool: str) -> None:
    if tool and shutil.which(tool.split("'")[1]) is None:
        pytest.skip("the tool is missing here")
    seconds = unique_seconds()
    code = (
        f"from pathlib import Path; import sys; sys.path.insert(0, {str(Path(__file__).parent)!r})\n"
        "from test_collect_execute import run, tell_when_guarded\n"
        f"tell_when_guarded(); run(Path({str(tmp_path)!r}), {tool}'sleep', {seconds!r})"
    )
    child = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    assert child.stdout is not None
    # In the instant before the guard is told of the program, nobody could end it after a SIGKILL.
    assert child.stdout.readline() == "guarded\n"
    deadline = time.monotonic() + 60
    while not any(path.read_bytes().startswith(b"sleep\0" + seconds.encode()) for path in _cmdlines() if path.exists()):
        assert time.monotonic() < deadline
        time.sleep(0.05)
    child.send_signal(number)
    _, told = child.communicate(timeout=20)
    assert number is signal.SIGKILL or "KeyboardInterrupt" in told
    assert ends("sleep\0" + seconds)


def _cmdlines() -> list[Path]:
    return list(Path("/proc").glob("[0-9]*/cmdline"))
