"""Run directories: atomic, resumable, listable.

    <root>/runs/<UTC time>-<commit>-<study>/
        manifest.json            what the run is (model.run.Manifest)
        raw/<cell.id>/cell.json  how the cell went (model.run.CellResult), beside the files that its tools wrote
        objects/<build-id>/NAME  copies of the measured ELF files, so that an old run can still be symbolised
        host/kallsyms.gz         the kernel's symbols at the time
    <root>/build/                what hakprof built

A cell is written to ``raw/.tmp-…`` and renamed when it is whole: a killed run leaves finished cells and nothing half.
"""

import contextlib
import errno
import json
import os
import re
import shlex
import shutil
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

from pydantic import BaseModel, ValidationError

from hakprof.errors import ProjectError, StoreError
from hakprof.model.run import CEILING, Cell, CellResult, Manifest
from hakprof.project.load import parse_project

MANIFEST = "manifest.json"
CELL_FILE = "cell.json"
SCHEMA_VERSION = 1
_TEMPORARY = ".tmp-"
_BROKEN_REMEDY = "restore it from a backup, or delete the run's folder and collect again"


class RunStore:
    """One run on disk. Reading works on a read-only folder; writing raises StoreError where it cannot."""

    def __init__(self, path: Path, manifest: Manifest) -> None:
        self.path = path
        self.manifest = manifest
        self.warnings: list[str] = []
        self.resume_command = f"hakprof collect --resume {shlex.quote(str(path))}"  # what remedies tell to call

    @property
    def raw_dir(self) -> Path:
        """Folder of the cells."""
        return self.path / "raw"

    @property
    def object_dir(self) -> Path:
        """Folder of the measured ELF files, by build id."""
        return self.path / "objects"

    @property
    def kallsyms(self) -> Path:
        """The kernel's symbols; the file may be absent."""
        return self.path / "host" / "kallsyms.gz"

    def cell_dir(self, cell_id: str) -> Path:
        """Folder of a finished cell."""
        return self.raw_dir / cell_id

    def has(self, cell: Cell) -> bool:
        """Whether the cell is finished and can be read."""
        return self._read_cell(self.cell_dir(cell.id)) is not None

    def results(self) -> tuple[CellResult, ...]:
        """Every finished cell, sorted by id. One that cannot be read is left out and named in ``warnings``."""
        try:
            folders = sorted(self.raw_dir.iterdir()) if self.raw_dir.is_dir() else []
        except OSError as error:
            self._warn(f"raw: {_first_line(error)}; no cell can be read")
            return ()
        cells = (self._read_cell(folder) for folder in folders if not folder.name.startswith(_TEMPORARY))
        return tuple(result for result in cells if result is not None)

    def _read_cell(self, folder: Path) -> CellResult | None:
        path = folder / CELL_FILE
        try:
            if not folder.is_dir():
                return None
            result = CellResult.model_validate_json(path.read_bytes())
        except (OSError, ValidationError) as error:
            self._warn(f"{path.relative_to(self.path)}: {_first_line(error)}; the cell is left out")
            return None
        if result.cell.id != folder.name:
            self._warn(f"{path.relative_to(self.path)}: describes cell {result.cell.id}; the cell is left out")
            return None
        return result

    def _warn(self, text: str) -> None:
        if text not in self.warnings:
            self.warnings.append(text)

    @contextlib.contextmanager
    def begin(self, cell: Cell) -> Iterator[Path]:
        """A fresh folder for the cell's files; it vanishes unless :meth:`commit` is called before the block ends.

        A file that cannot be written inside the block (full disk) is raised as StoreError.
        """
        folder = self.raw_dir / f"{_TEMPORARY}{cell.id}"
        try:
            with _writing(self.path, self.resume_command):
                shutil.rmtree(folder, ignore_errors=True)
                folder.mkdir(parents=True)
                yield folder
        finally:
            shutil.rmtree(folder, ignore_errors=True)

    def commit(self, result: CellResult) -> None:
        """Make the begun cell a finished one. Nothing is finished if this raises StoreError."""
        folder = self.raw_dir / f"{_TEMPORARY}{result.cell.id}"
        final = self.cell_dir(result.cell.id)
        with _writing(self.path, self.resume_command):
            _write_json(folder / CELL_FILE, result)
            shutil.rmtree(final, ignore_errors=True)
            folder.rename(final)

    def write_manifest(self, manifest: Manifest) -> None:
        """Replace the manifest in one step."""
        with _writing(self.path, self.resume_command):
            _write_json(self.path / MANIFEST, manifest)
        self.manifest = manifest

    def keep_object(self, build_id: str, source: Path) -> None:
        """Copy a measured ELF file to ``objects/<build_id>/<basename>``, once."""
        target = self.object_dir / build_id / source.name
        if target.exists():
            return
        with _writing(self.path, self.resume_command):
            target.parent.mkdir(parents=True, exist_ok=True)
            partial = target.with_name(f"{_TEMPORARY}{target.name}")
            try:
                shutil.copyfile(source, partial)
                partial.replace(target)
            except OSError as error:
                partial.unlink(missing_ok=True)
                # The error of a copy names its source, which is not what the disk had no room for.
                raise OSError(error.errno, error.strerror, str(target)) from error

    def write_file(self, relative: str, content: bytes) -> None:
        """Write a file of the run in one step."""
        target = self.path / relative
        with _writing(self.path, self.resume_command):
            target.parent.mkdir(parents=True, exist_ok=True)
            _write_bytes(target, content)


def create_run(root: Path, manifest: Manifest) -> RunStore:
    """Make the run's folder below ``root`` and write its manifest."""
    stamp = re.sub(r"[-:]", "", manifest.created_utc).split(".")[0].rstrip("Z") + "Z"
    stamp = stamp.replace("+0000Z", "Z")
    base = f"{stamp}-{(manifest.commit or 'nogit')[:8]}-{manifest.study}"
    with _writing(root):
        (root / "runs").mkdir(parents=True, exist_ok=True)
        path = _fresh_folder(root / "runs", base)
        try:
            (path / "raw").mkdir()
            _write_json(path / MANIFEST, manifest)
        except BaseException:
            shutil.rmtree(path, ignore_errors=True)
            raise
    return RunStore(path, manifest)


def _fresh_folder(parent: Path, base: str) -> Path:
    for name in (base, *(f"{base}-{number}" for number in range(2, 100))):
        with contextlib.suppress(FileExistsError):
            (parent / name).mkdir()
            return parent / name
    raise StoreError(f"{parent}: too many runs called {base}", remedy="wait a second and try again")


def open_run(path: Path) -> RunStore:
    """Open a stored run for reading or resuming. StoreError when it is none, or of a newer hakprof."""
    file = path / MANIFEST
    try:
        text = file.read_bytes()
    except FileNotFoundError as error:
        what = "is no run directory: it has no manifest.json" if path.is_dir() else "no such run directory"
        raise StoreError(f"{path}: {what}", remedy=f"`{_runs_command(path)}` lists the runs there are") from error
    except OSError as error:
        raise StoreError(f"{file}: cannot be read: {error.strerror}", remedy="make it readable for you") from error
    _refuse_newer(file, text)
    try:
        manifest = Manifest.model_validate_json(text)
    except ValidationError as error:
        raise StoreError(
            f"{file}: not a valid manifest: {_first_line(error)}",
            remedy=_BROKEN_REMEDY,
        ) from error
    _refuse_contradictions(file, manifest)
    return RunStore(path, manifest)


def _refuse_contradictions(file: Path, manifest: Manifest) -> None:
    """Every cell must be one that the project file in the same manifest can describe."""
    try:
        project = parse_project(manifest.project_file, source=f"{file}: project_file")
    except ProjectError as error:
        raise StoreError(error.message, remedy=_BROKEN_REMEDY) from error
    if not manifest.cells:
        raise StoreError(f"{file}: the run has no cells", remedy=_BROKEN_REMEDY)
    if manifest.study not in project.studies:
        raise StoreError(f"{file}: its project file has no study {manifest.study[:80]!r}", remedy=_BROKEN_REMEDY)
    if manifest.subject != project.project.name:
        raise StoreError(f"{file}: its project file has no subject {manifest.subject[:80]!r}", remedy=_BROKEN_REMEDY)
    allocators = {project.project.name, *project.peers, *([CEILING] if project.project.ceiling else [])}
    for number, cell in enumerate(manifest.cells):
        for key, name, known in (
            ("workload", cell.workload, project.workloads),
            ("allocator", cell.allocator, allocators),
            ("variant", cell.variant, project.variants),
        ):
            if name not in known:
                raise StoreError(
                    f"{file}: cells.{number}.{key}: {name[:80]!r} is not in the run's own project_file",
                    remedy=_BROKEN_REMEDY,
                )


def _runs_command(path: Path) -> str:
    """The call that lists the runs of the store that a path seems to lie in."""
    is_in_store = path.parent.name == "runs"
    return f"hakprof runs --store {shlex.quote(str(path.parent.parent))}" if is_in_store else "hakprof runs"


def _refuse_newer(file: Path, text: bytes) -> None:
    # What json cannot read (RecursionError: nested too deeply) is told by the manifest's own validation.
    with contextlib.suppress(ValueError, RecursionError):
        document = json.loads(text)
        version = document.get("schema_version") if isinstance(document, dict) else None
        if isinstance(version, int) and version > SCHEMA_VERSION:
            raise StoreError(
                f"{file}: written by a newer hakprof (schema {version}, this one reads {SCHEMA_VERSION})",
                remedy="upgrade hakprof (`pip install --upgrade hakprof`)",
            )


def list_runs(root: Path) -> tuple[Path, ...]:
    """Folders of the runs below ``root``, oldest first, among them those that open_run will refuse."""
    folder = root / "runs"
    try:
        if not folder.is_dir():
            return ()
        return tuple(sorted((path for path in folder.iterdir() if _may_be_run(path)), key=lambda p: p.name))
    except OSError as error:
        raise StoreError(f"{folder}: cannot be read: {error.strerror}", remedy="make it readable for you") from error


def _may_be_run(path: Path) -> bool:
    """Whether there is a manifest; a folder that may not be looked into counts, so that it is seen to be unreadable."""
    try:
        return (path / MANIFEST).is_file()
    except OSError:
        return True


def latest_run(root: Path, study: str | None = None, finished: bool | None = None) -> Path | None:
    """The youngest run of a study; ``finished`` chooses by that if given. Unreadable ones are passed over."""
    for path in reversed(list_runs(root)):
        try:
            manifest = open_run(path).manifest
        except StoreError:
            continue
        if study is not None and manifest.study != study:
            continue
        if finished is None or finished == (manifest.finished_utc is not None):
            return path
    return None


def utc_now() -> str:
    """The time as manifests and cells carry it: ISO 8601, UTC, whole milliseconds."""
    return datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%S.%f")[:-3] + "Z"


def _write_json(path: Path, value: BaseModel) -> None:
    _write_bytes(path, (value.model_dump_json(indent=1) + "\n").encode("utf-8"))


def _write_bytes(path: Path, content: bytes) -> None:
    partial = path.with_name(f"{_TEMPORARY}{path.name}")
    try:
        partial.write_bytes(content)
        partial.replace(path)
    except OSError:
        partial.unlink(missing_ok=True)
        raise


@contextlib.contextmanager
def _writing(where: Path, resume_command: str | None = None) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise StoreError(
            f"{error.filename or where}: cannot be written: {os.strerror(error.errno or errno.EIO)}",
            remedy=_write_remedy(error.errno, resume_command),
        ) from error


def _write_remedy(number: int | None, resume_command: str | None) -> str:
    if number in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG):
        return full_disk_remedy(resume_command)
    if number in (errno.EROFS, errno.EACCES, errno.EPERM):
        return "choose a folder that you may write to with --store"
    return "choose another folder with --store"


def full_disk_remedy(resume_command: str | None) -> str:
    """What to do when the disk is full; ``resume_command`` goes on with the run, if it has begun."""
    if resume_command is None:
        return "free some space (old runs below runs/ can be deleted), then run the command again"
    return (
        f"free some space (old runs below runs/ can be deleted), then go on with `{resume_command}`; "
        "finished cells are kept"
    )


def _first_line(error: Exception) -> str:
    if isinstance(error, ValidationError):
        problem = error.errors(include_url=False, include_context=False, include_input=False)[0]
        return f"{'.'.join(str(part) for part in problem['loc']) or 'file'}: {problem['msg']}"
    if isinstance(error, OSError) and error.strerror:
        return error.strerror
    return str(error).splitlines()[0]
