"""Sections that are compressed, each way that there is."""

import subprocess
from pathlib import Path

import pytest
from perf_recordings import compile_program, why_not_live

from hakprof.elf import ElfFile, Section, read_elf
from hakprof.errors import ParseError
from hakprof.symbols.callframes import FileCallFrames
from hakprof.symbols.objects import ObjectFinder
from hakprof.symbols.sections import section_bytes

pytestmark = [pytest.mark.live, pytest.mark.skipif(why_not_live() is not None, reason=str(why_not_live()))]
METHODS = ("zlib-gabi", "zlib-gnu", "zstd")


def compressed(folder: Path, method: str, *options: str) -> tuple[Path, Path]:
    """A program, and itself with compressed sections."""
    program = compile_program(folder, *options)
    packed = folder / "packed"
    command = ["objcopy", f"--compress-debug-sections={method}", str(program), str(packed)]
    if subprocess.run(command, capture_output=True, check=False).returncode:
        pytest.skip(f"objcopy cannot compress by {method}")
    return program, packed


def debug_section(path: Path, name: str) -> tuple[ElfFile, Section]:
    elf = read_elf(path)
    section = elf.section(f".debug_{name}") or elf.section(f".zdebug_{name}")
    assert section is not None
    return elf, section


@pytest.mark.parametrize("method", METHODS)
def test_sections_are_what_they_were_before(tmp_path: Path, method: str) -> None:
    program, packed = compressed(tmp_path, method)
    for name in ("info", "line", "str"):
        expected = section_bytes(*debug_section(program, name))
        elf, section = debug_section(packed, name)
        assert section_bytes(elf, section) == expected != elf.data(section)
        assert section_bytes(elf, section, 100) == expected[:100]


@pytest.mark.parametrize("method", METHODS)
def test_damaged_sections_are_refused(tmp_path: Path, method: str) -> None:
    _, packed = compressed(tmp_path, method)
    elf, section = debug_section(packed, "info")
    content = bytearray(packed.read_bytes())
    content[section.offset + 12 : section.offset + 60] = bytes(48)
    packed.write_bytes(content)
    with pytest.raises(ParseError, match=r"section .z?debug_info is damaged"):
        section_bytes(elf, section)
    content[section.offset : section.offset + 4] = b"\x09\0\0\0"
    packed.write_bytes(content)
    with pytest.raises(ParseError, match=r"damaged|unknown method"):
        section_bytes(elf, section)


@pytest.mark.parametrize("method", METHODS)
def test_call_frames_of_debug_files_are_read(tmp_path: Path, method: str) -> None:
    """GIVEN a program without .eh_frame: the rules are in .debug_frame alone."""
    program, packed = compressed(tmp_path, method, "-fno-asynchronous-unwind-tables", "-fno-unwind-tables")
    text = read_elf(program).section(".text")
    assert text is not None
    places = range(text.offset, text.offset + text.size)
    expected, found = (
        [frames.row(str(path), None, place) for place in places]
        for path, frames in ((each, FileCallFrames(ObjectFinder([]))) for each in (program, packed))
    )
    assert len({row.start for row in expected if row is not None}) > 4
    assert found == expected
