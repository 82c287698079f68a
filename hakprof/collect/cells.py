"""What the collectors of single cells share: where files go, and how an outcome becomes a CellResult."""

import contextlib
import os
import tempfile
import threading
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from hakprof.collect.execute import OUTPUT_LIMIT_BYTES, Outcome, clean_environment, cut_to_limit, execute, output_tail
from hakprof.collect.target import Target
from hakprof.model.run import Cell, CellResult, CellStatus

STDOUT = "stdout.txt"
STDERR = "stderr.txt"


@dataclass(frozen=True, slots=True)
class CellRun:
    """A cell about to run: its target, the folder that its files go to, and what ends it if it runs in a thread."""

    cell: Cell
    target: Target
    folder: Path
    stop: threading.Event | None = None

    def execute(
        self,
        command: Sequence[str],
        *,
        environment: Mapping[str, str] | None = None,
        suffix: str = "",
        slowdown: float = 1.0,
    ) -> Outcome:
        """Run a command for this cell; ``slowdown`` is how much longer than plain it may take."""
        stdout, stderr = self._outputs(suffix)
        outcome = execute(
            command,
            environment=clean_environment() | dict(environment or {}),
            cwd=self.target.cwd,
            stdout=stdout,
            stderr=stderr,
            timeout_seconds=self.target.timeout_seconds * slowdown,
            watched=self.folder,
            output_limit_bytes=OUTPUT_LIMIT_BYTES,
            stop=self.stop,
        )
        if outcome.over_limit:
            for path in self.folder.iterdir():
                cut_to_limit(path, limit_bytes=OUTPUT_LIMIT_BYTES)
        return outcome

    def stderr_text(self, suffix: str = "") -> str:
        """The end of what program and tool wrote to stderr."""
        return output_tail(self._outputs(suffix)[1])

    def result(
        self,
        outcome: Outcome,
        command: Sequence[str],
        *,
        status: CellStatus | None = None,
        signal: str | None = None,
        files: Mapping[str, str] | None = None,
        role_wall_ns: Mapping[str, int] | None = None,
        environment: Mapping[str, str] | None = None,
        note: str = "",
    ) -> CellResult:
        """The cell's result; ``files`` are the roles beside stdout and stderr, left out where no file came to be."""
        status = outcome.status if status is None else status
        roles = {"stdout": STDOUT, "stderr": STDERR} | dict(files or {})
        notes = [note] if note else []
        if outcome.over_limit:
            notes.append("ended by hakprof: it wrote more than the limit")
        return CellResult(
            cell=self.cell,
            status=status,
            exit_code=outcome.exit_code,
            signal=signal or outcome.signal,
            # The temporary folder means nothing once the cell is stored.
            command=tuple(part.replace(f"{self.folder}/", "") for part in command),
            program=self.target.program,
            environment=self.target.environment | dict(environment or {}),
            binary=self.target.binary,
            preload=self.target.preload,
            started_utc=outcome.started_utc,
            wall_ns=outcome.wall_ns,
            vm_hwm_bytes=outcome.max_rss_bytes if command[0] == self.target.program[0] else None,
            files={role: name for role, name in roles.items() if (self.folder / name).is_file()},
            role_wall_ns=dict(role_wall_ns or {}),
            output_tail="" if status is CellStatus.OK else output_tail(*self._outputs("")),
            note="; ".join(notes),
        )

    def _outputs(self, suffix: str) -> tuple[Path, Path]:
        return self.folder / f"stdout{suffix}.txt", self.folder / f"stderr{suffix}.txt"


@dataclass(frozen=True, slots=True)
class Region:
    """How a tool and a program agree on the measured region: options for perf, environment for the program."""

    options: tuple[str, ...]
    environment: Mapping[str, str]


@contextlib.contextmanager
def region(target: Target) -> Iterator[Region]:
    """The fifos of a program that marks its measured region (perf starts with its events off); nothing for others.

    They lie in a folder of their own: the store may be on a file system that has no fifos.
    """
    if not target.region:
        yield Region((), {})
        return
    with tempfile.TemporaryDirectory(prefix="hakprof-") as name:
        control, answer = Path(name) / "control", Path(name) / "answer"
        os.mkfifo(control)
        os.mkfifo(answer)
        yield Region(
            ("-D", "-1", "--control", f"fifo:{control},{answer}"),
            {"HAKPROF_CTL_FIFO": str(control), "HAKPROF_ACK_FIFO": str(answer)},
        )
