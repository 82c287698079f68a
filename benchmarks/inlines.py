"""How exact inlined functions are: chains at many addresses, against two other readers of debug information.

    python benchmarks/inlines.py [BINARY…] > benchmarks/inlines.md

Compiles templates.cpp in each form of debug information that the tests know, and takes further binaries as they are.
At 2,000 bytes of the code of each, drawn with a fixed seed, the names of all inlined functions are compared with those
of `addr2line -i` and llvm-symbolizer. 1 where less than 99.9 % are equal to neither.
"""

import argparse
import random
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "tests"))

from debug_forms import FORMS, Chain, Form, addr2line, llvm_symbolizer

from hakprof.elf import build_id, read_elf
from hakprof.symbols import Symbolizer
from hakprof.symbols.demangle import demangle

SOURCE = Path(__file__).with_name("templates.cpp")
_ADDRESSES = 2000
_WANTED = 0.999
_CXX = {"gcc": "g++", "clang-14": "clang++-14"}


def main() -> int:
    """Prints the table."""
    parser = argparse.ArgumentParser(description="Compare inlined functions with addr2line and llvm-symbolizer.")
    parser.add_argument("binaries", nargs="*", type=Path, metavar="BINARY", help="further ones with debug information")
    binaries = parser.parse_args().binaries
    readers = (addr2line.__name__, "--version"), (llvm_symbolizer.__name__.replace("_", "-"), "--version")
    versions = [subprocess.run(one, capture_output=True, text=True, check=True).stdout for one in readers]
    print(f"Inlined functions against {versions[0].splitlines()[0]} and llvm-symbolizer of")
    print(f"{versions[1].splitlines()[1].strip()}; made by `python benchmarks/inlines.py`.\n")
    print("| debug information | addresses | with inlined | = addr2line | = llvm-symbolizer | = either |")
    print("|---|---:|---:|---:|---:|---:|")
    is_exact, total = True, 0
    with tempfile.TemporaryDirectory(prefix="hakprof-inlines-") as folder:
        for name, form in FORMS.items():
            if form.lacking() is None:
                compared, exact = _compare(name, _compiled(form, Path(folder)))
                total, is_exact = total + compared, is_exact and exact
        for binary in binaries:
            compared, exact = _compare(f"`{binary.name}`", binary.resolve())
            total, is_exact = total + compared, is_exact and exact
    print(f"\n{total:,} addresses in all.")
    return 0 if is_exact else 1


def _compiled(form: Form, folder: Path) -> Path:
    binary = folder / "templates"
    options = ["-O2", "-g", "-pthread", "-Wl,--build-id", *form.flags]
    command = [_CXX[form.compiler], *options, str(SOURCE), "-o", str(binary)]
    subprocess.run(command, check=True, capture_output=True)
    form.finish(binary)
    return binary


def _compare(name: str, binary: Path) -> tuple[int, bool]:
    """Prints a row: how many addresses were compared, and whether the chains are what is promised."""
    elf = read_elf(binary)
    text = elf.section(".text")
    if text is None:
        raise ValueError(f"{binary} has no code")
    code = next(s for s in elf.segments if s.address <= text.address < s.address + s.file_size)
    drawn = random.Random(1).sample(range(text.address, text.address + text.size), min(_ADDRESSES, text.size))
    addresses = sorted(drawn)
    offsets = np.array(addresses, dtype=np.uint64) - np.uint64(code.address) + np.uint64(code.offset)
    frames = Symbolizer().user_frames(str(binary), build_id(binary), offsets)
    own = [[frame.function for frame in each if frame.inlined] for each in frames]
    by_gnu, by_llvm = addr2line(binary, addresses), llvm_symbolizer(binary, addresses)
    rows = [
        (mine == _inlined(gnu), mine == _inlined(llvm), bool(mine))
        for mine, gnu, llvm in zip(own, by_gnu, by_llvm, strict=True)
        if _is_known(gnu) or _is_known(llvm)
    ]
    shares = [sum(column) / len(rows) for column in zip(*((g, v, g or v) for g, v, _ in rows), strict=True)]
    cells = [name, f"{len(rows):,}", f"{sum(row[2] for row in rows):,}", *(f"{share:.2%}" for share in shares)]
    print(f"| {' | '.join(cells)} |", flush=True)
    return len(rows), shares[2] >= _WANTED


def _inlined(chain: Chain) -> list[str]:
    return [demangle(name) for name, _ in chain[:-1]]


def _is_known(chain: Chain) -> bool:
    """Whether a reader knows a line: padding and start-up code without debug information have none."""
    return bool(chain) and not chain[0][1].startswith(("?", ":", "crtstuff"))


if __name__ == "__main__":
    sys.exit(main())
