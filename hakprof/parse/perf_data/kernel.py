"""What a recording says of the kernel that it was made under: its build, and where its code and its modules lay.

Format: linux/tools/perf/util/synthetic-events.c. The mapping of the kernel has the address of its first symbol in place
of a file offset; kernels are moved to another address at each boot (KASLR), and modules wherever there is room.
"""

from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import PurePosixPath

KERNEL = "[kernel.kallsyms]"
_KERNELS = (KERNEL, "[guest.kernel.kallsyms]")
_PACKED = frozenset({"", ".gz", ".xz", ".zst"})


@dataclass(frozen=True, slots=True)
class RecordedKernel:
    """``reference`` is the address that `_text` had, None where it was hidden; ``modules`` are the starts by path."""

    build_id: str | None = None
    reference: int | None = None
    modules: dict[str, int] = field(default_factory=dict)


def recorded_kernel(mappings: Iterable[tuple[str, str | None, int, int]]) -> RecordedKernel:
    """From path, build id, start and file offset of all mappings of kernel code, in order of time."""
    build_id, reference = None, None
    modules: dict[str, int] = {}
    for path, identity, start, offset in mappings:
        if path == KERNEL:
            # A part that a later mapping has cut off counts from its own start.
            reference = offset if reference is None else reference
            build_id = build_id or identity
        elif path.startswith("["):
            modules.setdefault(path, (start - offset) % 2**64)
    return RecordedKernel(build_id, reference or None, modules)


def kernel_path(path: str) -> str:
    """The object of a kernel mapping, by the name that perf shows: [name] for a module, of whatever file.

    To the kernel's own name perf appends that of its first symbol.
    """
    for each in _KERNELS:
        if path.startswith(each):
            return each
    stem, dot, rest = PurePosixPath(path).name.partition(".ko")
    return f"[{stem.replace('-', '_')}]" if dot and rest in _PACKED else path
