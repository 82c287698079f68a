"""Machine code of one function as text, by `objdump` of binutils, and where functions begin in files without names.

x86 instructions have no fixed length: disassembly must begin where a function does. The symbol table tells that; in
a stripped file the table of .eh_frame_hdr does (Linux Standard Base 5.0, "Exception Frames": sorted pairs of function
start and description, relative to the section), which stripping leaves in place.
"""

import re
import shutil
import subprocess
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from hakprof.elf import ElfFile
from hakprof.errors import ParseError, ToolError
from hakprof.symbols.demangle import demangle
from hakprof.symbols.objects import FoundObject
from hakprof.symbols.symtab import elf_symbols, merged_table, plt_symbols

MOST_CODE_BYTES = 1 << 20  # of one function; hardly any has more, and nobody reads it
_SECONDS = 60
_INSTRUCTION = re.compile(r"^ *([0-9a-f]+):\t(.*)$")
_TARGET = re.compile(r"\b([0-9a-f]+) <[^<>]+>")
_FRAME_TABLE = bytes((1, 0x1B, 0x03, 0x3B))  # version; pc-relative, unsigned, section-relative 4-byte values


@dataclass(frozen=True, slots=True)
class Instruction:
    """One instruction at a virtual address of its file."""

    address: int
    text: str


@dataclass(frozen=True, slots=True)
class CodeRange:
    """A function's addresses [start, end) in its file; ``name`` is None in a stripped file."""

    start: int
    end: int
    name: str | None


class CodeFile:
    """The functions of one object. ParseError when it cannot be read."""

    def __init__(self, found: FoundObject) -> None:
        self._elf = found.runtime
        self._table = merged_table(elf_symbols(found.debug) or elf_symbols(found.runtime), plt_symbols(found.runtime))
        self._starts = _function_starts(found.runtime)

    @property
    def has_code(self) -> bool:
        """Whether the instructions are in the file: a separate debug file has none."""
        return self._elf.section(".text") is not None

    def address_of(self, offset: int) -> int:
        """The virtual address of a file offset."""
        for segment in self._elf.segments:
            if segment.offset <= offset < segment.offset + segment.file_size:
                return offset - segment.offset + segment.address
        return offset

    def offset_of(self, address: int) -> int:
        """The file offset of a virtual address."""
        for segment in self._elf.segments:
            if segment.address <= address < segment.address + segment.file_size:
                return address - segment.address + segment.offset
        return address

    def function_at(self, address: int) -> CodeRange | None:
        """The function that holds an address; None where nothing tells where it begins."""
        slot = int(self._table.find(np.array([address], dtype=np.uint64))[0])
        if slot >= 0:
            name = demangle(self._table.names[slot])
            return CodeRange(int(self._table.starts[slot]), int(self._table.ends[slot]), name)
        inside = next((s for s in self._elf.sections if s.address <= address < s.address + s.size), None)
        at = int(np.searchsorted(self._starts, address, side="right")) - 1
        if at < 0 or inside is None or self._starts[at] < inside.address:
            return None
        following = self._starts[at + 1 : at + 2].tolist()
        return CodeRange(int(self._starts[at]), min([*following, inside.address + inside.size]), None)

    def disassemble(self, code: CodeRange) -> tuple[Instruction, ...]:
        """The instructions of a function.

        Raises:
            ToolError: objdump is missing or fails, or the function is larger than :data:`MOST_CODE_BYTES`.
        """
        if not 0 < code.end - code.start <= MOST_CODE_BYTES:
            raise ToolError(f"{self._elf.path}: a function of {code.end - code.start} bytes is not disassembled")
        objdump = shutil.which("objdump")
        if objdump is None:
            raise ToolError("objdump is not installed", remedy="apt-get install binutils")
        command = [objdump, "-d", "-w", "--no-show-raw-insn"]
        command += [f"--start-address={code.start:#x}", f"--stop-address={code.end:#x}", str(self._elf.path)]
        try:
            done = subprocess.run(
                command, capture_output=True, text=True, errors="replace", timeout=_SECONDS, check=False
            )
        except (OSError, subprocess.TimeoutExpired) as error:
            raise ToolError(f"objdump did not finish on {self._elf.path}: {error}") from error
        found = (_INSTRUCTION.match(line) for line in done.stdout.splitlines())
        instructions = tuple(Instruction(int(one[1], 16), self._with_names(one[2].strip())) for one in found if one)
        if done.returncode != 0 or not instructions:
            reason = done.stderr.strip().splitlines()[-1:] or ["it found no code there"]
            raise ToolError(f"objdump cannot disassemble {self._elf.path}: {reason[0]}")
        return instructions

    def _with_names(self, text: str) -> str:
        """An instruction with our names for its targets: objdump takes the nearest symbol, however far away it is."""
        named = _TARGET.sub(lambda found: f"{found[1]}{self._name_of(int(found[1], 16))}", text)
        return re.sub(r"\s+#", "  #", named)

    def _name_of(self, address: int) -> str:
        slot = int(self._table.find(np.array([address], dtype=np.uint64))[0])
        if slot < 0:
            return ""
        beyond = address - int(self._table.starts[slot])
        return f" <{demangle(self._table.names[slot])}{f'+{beyond:#x}' if beyond else ''}>"


def _function_starts(elf: ElfFile) -> npt.NDArray[np.uint64]:
    """Where the functions of .eh_frame_hdr begin, ascending; none where the file has no such table."""
    nothing = np.zeros(0, dtype=np.uint64)
    section = elf.section(".eh_frame_hdr")
    if section is None:
        return nothing
    try:
        raw = elf.data(section)
    except ParseError:
        return nothing
    if raw[:4] != _FRAME_TABLE or len(raw) < 12:
        return nothing
    count = min(int.from_bytes(raw[8:12], "little"), (len(raw) - 12) // 8)
    pairs = np.frombuffer(raw, dtype="<i4", count=2 * count, offset=12).reshape(-1, 2)
    return np.unique((pairs[:, 0].astype(np.int64) + section.address).astype(np.uint64))
