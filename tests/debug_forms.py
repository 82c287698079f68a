"""The forms that debug information comes in, and two other readers of it, for tests and benchmarks."""

import json
import shutil
import subprocess
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

# The chain of inlined functions at an address as (function, file:line), innermost first.
Chain = list[tuple[str, str]]
Reader = Callable[[Path, list[int]], list[Chain]]


def addr2line(binary: Path, addresses: list[int]) -> list[Chain]:
    """The chain at each address by `addr2line -i` of binutils."""
    command = ["addr2line", "-a", "-i", "-f", "-e", str(binary)]
    text = "\n".join(map(hex, addresses))
    printed = subprocess.run(command, input=text, capture_output=True, text=True, check=True).stdout.splitlines()
    chains: list[Chain] = []
    lines = iter(printed)
    for line in lines:
        if line.startswith("0x"):
            chains.append([])
        else:
            chains[-1].append((line, next(lines).split(" ")[0]))
    return chains


def llvm_symbolizer(binary: Path, addresses: list[int]) -> list[Chain]:
    """The same by another reader of DWARF."""
    command = ["llvm-symbolizer", "--no-demangle", "--functions=linkage", "--output-style=JSON", "-e", str(binary)]
    text = "".join(f"{address:#x}\n" for address in addresses)
    printed = subprocess.run(command, input=text, capture_output=True, text=True, check=True).stdout
    return [
        [(frame["FunctionName"], f"{frame['FileName']}:{frame['Line'] or '?'}") for frame in json.loads(line)["Symbol"]]
        for line in printed.splitlines()
    ]


@dataclass(frozen=True, slots=True)
class Form:
    """How a program is compiled, what is done to it afterwards, and who reads the result right."""

    flags: tuple[str, ...] = ()
    compiler: str = "gcc"
    afterwards: tuple[str, ...] = ()
    reader: Reader = addr2line

    def lacking(self) -> str | None:
        """Why it cannot be had here, or None."""
        tools = (self.compiler, *self.afterwards[:1], self.reader.__name__.replace("_", "-"))
        return next((f"{tool} is not installed" for tool in tools if shutil.which(tool) is None), None)

    def finish(self, binary: Path) -> None:
        """What is done to a compiled program."""
        if self.afterwards:
            subprocess.run([*self.afterwards, str(binary)], check=True)


# addr2line of binutils 2.40 has no chains of clang's DWARF 5 and of type units, other files for link-time
# optimisation, and nothing at all of the compression that came before SHF_COMPRESSED.
FORMS = {
    "PIE": Form(("-pie",)),
    "non-PIE": Form(("-no-pie",)),
    "DWARF 4": Form(("-gdwarf-4",)),
    "little (-g1)": Form(("-g1",)),
    "type units": Form(("-fdebug-types-section",), reader=llvm_symbolizer),
    "link-time optimisation": Form(("-O3", "-flto"), reader=llvm_symbolizer),
    "compressed": Form(("-gz",)),
    "compressed the old way": Form(
        afterwards=("objcopy", "--compress-debug-sections=zlib-gnu"), reader=llvm_symbolizer
    ),
    "shared within the file (dwz)": Form(afterwards=("dwz",)),
    "clang, DWARF 5": Form(("-gdwarf-5",), compiler="clang-14", reader=llvm_symbolizer),
    "clang, DWARF 4": Form(("-gdwarf-4",), compiler="clang-14"),
}
