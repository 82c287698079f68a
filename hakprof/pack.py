"""Making a stored run small enough to send or to commit, without changing any report that is made of it.

What goes: binaries that hold no sample, the code of system libraries (symbol tables stay, and call frame information
that stacks are unwound by), kernel symbols that no sample touches, and cached tables. What stays: the manifest, the
cells as the tools wrote them, the project's binaries.
"""

import gzip
import shutil
from bisect import bisect_right
from collections.abc import Iterator, Set
from pathlib import Path

import numpy as np

from hakprof.elf import BUILD_SECTION, SHT_NOBITS, read_elf
from hakprof.errors import StoreError
from hakprof.parse.perf_data import PerfProfile, read_perf_data
from hakprof.parse.perf_data.frames import CallFrames, FrameRow
from hakprof.store import RunStore, open_run
from hakprof.symbols import Symbolizer
from hakprof.symbols.kallsyms import REFERENCES, reference_address

_CODE_SECTIONS = frozenset({".text", ".rodata", ".data", ".data.rel.ro", ".gcc_except_table"})
_CALL_FRAMES = frozenset({".eh_frame", ".eh_frame_hdr"})
_CPUMODE_KERNEL = 1


class _AskedFrames:
    """Call frame information that notes whose it was: that of others unwinds nothing."""

    def __init__(self, frames: CallFrames) -> None:
        self._frames = frames
        self.build_ids: set[str | None] = set()

    def row(self, path: str, build_id: str | None, offset: int) -> FrameRow | None:
        """The rules at a file offset of an object."""
        self.build_ids.add(build_id)
        return self._frames.row(path, build_id, offset)


def pack_run(source: Path, target: Path) -> Path:
    """Write a packed copy of the run ``source`` to the new folder ``target`` and return it.

    Raises:
        StoreError: ``source`` is no run, or ``target`` exists.
    """
    run = open_run(source)
    if target.exists():
        raise StoreError(f"{target}: exists already", remedy="name a folder that does not exist yet")
    target.mkdir(parents=True)
    shutil.copyfile(run.path / "manifest.json", target / "manifest.json")
    frames = _AskedFrames(Symbolizer((run.object_dir,)).call_frames)
    reference = reference_address(run.kallsyms) if run.kallsyms.is_file() else None
    build_ids: set[str] = set()
    addresses: set[int] = set()
    for result in run.results():
        folder = run.cell_dir(result.cell.id)
        shutil.copytree(folder, target / folder.relative_to(run.path))
        if "perf_data" in result.files:
            profile = read_perf_data(folder / result.files["perf_data"], frames=frames)
            build_ids |= _touched_objects(profile)
            addresses |= _kernel_addresses(profile, reference)
    _pack_objects(run, target, build_ids, unwound=frames.build_ids)
    if run.kallsyms.is_file():
        packed = target / run.kallsyms.relative_to(run.path)
        packed.parent.mkdir(parents=True, exist_ok=True)
        # No time stamp inside, so that packing twice gives the same bytes.
        packed.write_bytes(gzip.compress("".join(_touched_symbols(run.kallsyms, addresses)).encode(), mtime=0))
    return target


def _touched_objects(profile: PerfProfile) -> set[str]:
    rows = np.unique(np.concatenate([profile.samples["mapping"].to_numpy(), profile.stacks.mapping]))
    found = profile.mappings["build_id"].gather(rows[rows >= 0])
    return {build_id for build_id in found.to_list() if build_id}


def _kernel_addresses(profile: PerfProfile, reference: int | None) -> set[int]:
    """Those that were sampled, as they were when the kernel's first symbol was at ``reference``."""
    leaves = profile.samples.filter(profile.samples["cpumode"] == _CPUMODE_KERNEL)["ip"].to_list()
    recorded = profile.recorded_kernel.reference
    moved = reference - recorded if reference is not None and recorded is not None else 0
    return {each + moved for each in (*leaves, *profile.stacks.address[profile.stacks.kernel].tolist())}


def _pack_objects(run: RunStore, target: Path, build_ids: set[str], *, unwound: Set[str | None]) -> None:
    own = {
        binary.build_id
        for build in run.manifest.builds
        for binary in build.binaries.values()
        if binary.build_id is not None
    }
    for folder in sorted(path for path in run.object_dir.iterdir() if path.name in build_ids):
        copied = target / run.object_dir.relative_to(run.path) / folder.name
        shutil.copytree(folder, copied)
        for path in copied.iterdir():
            if folder.name not in own:
                _blank(path, _CODE_SECTIONS if folder.name in unwound else _CODE_SECTIONS | _CALL_FRAMES)


def _blank(path: Path, sections: Set[str]) -> None:
    """Overwrite sections with zeros: names and addresses stay, and the file compresses to almost nothing."""
    elf = read_elf(path)
    if elf.section(BUILD_SECTION) is not None:
        return
    path.chmod(0o644)
    with path.open("r+b") as stream:
        for section in elf.sections:
            if section.name in sections and section.type != SHT_NOBITS:
                stream.seek(section.offset)
                stream.write(bytes(section.size))


def _touched_symbols(kallsyms: Path, addresses: set[int]) -> Iterator[str]:
    """The lines of the symbols that hold an address, each with its successor, which tells where it ends.

    And those of the first symbols, which tell where the kernel lay.
    """
    opener = gzip.open if kallsyms.suffix == ".gz" else open
    with opener(kallsyms, "rt", encoding="utf-8", errors="replace") as stream:
        lines = stream.readlines()
    starts = [int(line.split(maxsplit=1)[0], 16) for line in lines]
    order = sorted(range(len(lines)), key=lambda index: (starts[index], index))
    ordered = [starts[index] for index in order]
    wanted = {index for index, line in enumerate(lines) if line.split()[2] in REFERENCES}
    for address in addresses:
        after = bisect_right(ordered, address)
        if after == 0:
            continue
        # Aliases share an address; which of them is shown is the symboliser's choice, so all stay.
        wanted.update(
            order[
                bisect_right(ordered, ordered[after - 1] - 1) : bisect_right(
                    ordered, ordered[min(after, len(order) - 1)]
                )
            ]
        )
    return (lines[index] for index in sorted(wanted))
