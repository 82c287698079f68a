"""Identity and build strings of ELF files, against readelf and against damaged files."""

import contextlib
import subprocess
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hakprof.elf import build_id, build_string, parse_build_id_note, read_elf
from hakprof.errors import ParseError

SOURCE = r"""
__attribute__((section(".hakprof.build"), used))
static const char build[] = "project=demo\nflavour=release\nflags=-O2 -DX=1\n";
int main(void) { return build[0] == 0; }
"""


@pytest.fixture(scope="module")
def program(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("elf")
    source = folder / "demo.c"
    source.write_text(SOURCE)
    binary = folder / "demo"
    subprocess.run(["gcc", "-g", "-Wl,--build-id", str(source), "-o", str(binary)], check=True)
    return binary


def test_build_id_is_what_readelf_prints(program: Path) -> None:
    printed = subprocess.run(["readelf", "-n", str(program)], capture_output=True, text=True, check=True).stdout
    assert f"Build ID: {build_id(program)}" in printed


def test_build_string_is_read_as_pairs(program: Path) -> None:
    assert build_string(program) == {"project": "demo", "flavour": "release", "flags": "-O2 -DX=1"}


def test_a_binary_without_build_section_has_an_empty_build_string() -> None:
    assert build_string(Path("/bin/true")) == {}


def test_a_file_that_is_not_elf_is_refused_by_name(tmp_path: Path) -> None:
    text = tmp_path / "notes.txt"
    text.write_text("hello")
    with pytest.raises(ParseError, match=r"notes\.txt"):
        read_elf(text)
    with pytest.raises(ParseError, match="No such file"):
        read_elf(tmp_path / "absent")


@settings(max_examples=150, deadline=None)
@given(data=st.data())
def test_damaged_headers_end_in_a_parse_error_or_a_result(
    program: Path, tmp_path_factory: pytest.TempPathFactory, data: st.DataObject
) -> None:
    content = bytearray(program.read_bytes())
    for _ in range(data.draw(st.integers(1, 8))):
        # Headers and section table are where damage matters; the section table is at the end of the file.
        position = data.draw(st.one_of(st.integers(0, 1023), st.integers(len(content) - 2600, len(content) - 1)))
        content[position] = data.draw(st.integers(0, 255))
    damaged = tmp_path_factory.getbasetemp() / "damaged"
    damaged.write_bytes(content[: data.draw(st.integers(0, len(content)))])
    with contextlib.suppress(ParseError):
        read_elf(damaged)
        build_string(damaged)


@given(st.binary(max_size=200))
def test_any_bytes_are_a_legal_question_for_the_note_parser(note: bytes) -> None:
    assert parse_build_id_note(note) is None or note
