"""Which file the symbols of an object are read from."""

import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest
from perf_recordings import compile_program, why_not_live

from hakprof.elf import build_id, read_elf, same_build_id
from hakprof.symbols import Symbolizer
from hakprof.symbols.objects import ObjectFinder

pytestmark = [pytest.mark.live, pytest.mark.skipif(why_not_live() is not None, reason=str(why_not_live()))]
_MD5, _NUMBER = "-Wl,--build-id=md5", "-Wl,--build-id=0xabcd"


@pytest.fixture(scope="module")
def program(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return compile_program(tmp_path_factory.mktemp("files"))


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A home of one's own, with nothing in it."""
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.delenv("XDG_CACHE_HOME", raising=False)
    monkeypatch.delenv("DEBUGINFOD_CACHE_PATH", raising=False)
    return tmp_path / "home"


def text_offsets(binary: Path) -> np.ndarray:
    """File offsets of .text, every third byte."""
    text = read_elf(binary).section(".text")
    assert text is not None
    return np.arange(text.offset, text.offset + text.size, 3, dtype=np.uint64)


def parted(program: Path, folder: Path, *options: str) -> tuple[Path, Path]:
    """The program without symbols, and a file with nothing else."""
    stripped, debug = folder / "churn", folder / "churn.debug"
    subprocess.run(["objcopy", "--only-keep-debug", str(program), str(debug)], check=True)
    subprocess.run(["objcopy", "--strip-all", *options, str(program), str(stripped)], check=True)
    return stripped, debug


def perf_copy(home: Path, identity: str) -> Path:
    """Where perf keeps what it recorded."""
    folder = home / ".debug" / ".build-id" / identity[:2] / identity[2:]
    folder.mkdir(parents=True)
    return folder / "elf"


def test_debug_files_are_found_by_build_id_and_by_link(program: Path, tmp_path: Path) -> None:
    identity = build_id(program)
    assert identity
    stripped, debug = tmp_path / "churn", tmp_path / "churn.debug"
    subprocess.run(["objcopy", "--only-keep-debug", str(program), str(debug)], check=True)
    subprocess.run(["objcopy", "--strip-all", f"--add-gnu-debuglink={debug}", str(program), str(stripped)], check=True)
    offsets = text_offsets(program)
    expected = [[f.function for f in frames] for frames in Symbolizer().user_frames(str(program), identity, offsets)]
    by_link = [[f.function for f in frames] for frames in Symbolizer().user_frames(str(stripped), identity, offsets)]
    assert by_link == expected
    store = tmp_path / "store" / identity
    store.mkdir(parents=True)
    debug.rename(store / "churn.debug")
    found = Symbolizer([tmp_path / "store"]).user_frames(str(stripped), identity, offsets)
    assert [[f.function for f in frames] for frames in found] == expected


def test_a_debug_file_without_build_id_is_proved_by_its_checksum(tmp_path: Path) -> None:
    program = compile_program(tmp_path, "-Wl,--build-id=none", name="whole")
    stripped, debug = tmp_path / "churn", tmp_path / "churn.debug"
    subprocess.run(["objcopy", "--only-keep-debug", str(program), str(debug)], check=True)
    subprocess.run(["objcopy", "--strip-all", f"--add-gnu-debuglink={debug}", str(program), str(stripped)], check=True)
    offsets = text_offsets(program)
    whole = Symbolizer().user_frames(str(program), None, offsets)
    linked = Symbolizer().user_frames(str(stripped), None, offsets)
    assert [[f.function for f in frames] for frames in linked] == [[f.function for f in frames] for frames in whole]
    debug.write_bytes(debug.read_bytes() + b"more")
    symbolizer = Symbolizer()
    assert symbolizer.user_frames(str(stripped), None, offsets[:5]) == [()] * 5
    assert "its checksum is not that in" in symbolizer.warnings[0]


def test_a_stripped_copy_does_not_hide_the_symbols_of_the_recorded_file(program: Path, home: Path) -> None:
    """GIVEN a program that was installed without its symbols, and recorded there first."""
    identity = build_id(program)
    assert identity
    subprocess.run(["strip", "-o", str(perf_copy(home, identity)), str(program)], check=True)
    found = ObjectFinder([]).find(str(program), identity)
    assert found is not None
    assert (found.runtime.path, found.debug.path) == (program, program)


def test_a_stripped_file_does_not_hide_the_symbols_of_a_copy(program: Path, tmp_path: Path, home: Path) -> None:
    identity = build_id(program)
    assert identity
    stripped, _ = parted(program, tmp_path)
    copy = perf_copy(home, identity)
    shutil.copy(program, copy)
    found = ObjectFinder([]).find(str(stripped), identity)
    assert found is not None
    assert found.debug.path == copy


def test_the_link_of_a_copy_is_not_the_only_one(program: Path, tmp_path: Path, home: Path) -> None:
    """GIVEN a copy of the same build whose debug file had another name."""
    identity = build_id(program)
    assert identity
    other = tmp_path / "other.debug"
    shutil.copy(program, other)
    _, debug = parted(program, tmp_path)
    parted(program, tmp_path, f"--add-gnu-debuglink={other}")[0].rename(perf_copy(home, identity))
    other.unlink()
    stripped, _ = parted(program, tmp_path, f"--add-gnu-debuglink={debug}")
    found = ObjectFinder([]).find(str(stripped), identity)
    assert found is not None
    assert found.debug.path == debug


@pytest.mark.usefixtures("home")
@pytest.mark.parametrize(
    "place", ["here/.debug/churn", "root/usr/bin/churn.debug", "root/usr/bin/churn", "root/bin/churn.debug"]
)
def test_debug_files_are_found_by_path(
    program: Path, tmp_path: Path, place: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """GIVEN a file that does not name its debug file, in a place where perf looks for those."""
    (tmp_path / "here").mkdir()
    stripped, debug = parted(program, tmp_path / "here")
    recorded = stripped if place.startswith("here") else Path("/usr/bin/churn")
    monkeypatch.setattr("hakprof.symbols.places.DEBUG_ROOT", tmp_path / "root")
    target = tmp_path / place
    target.parent.mkdir(parents=True)
    debug.rename(target)
    found = ObjectFinder([]).find(str(recorded), build_id(program))
    assert found is not None
    assert found.debug.path == target
    target.write_bytes(compile_program(tmp_path, "-O1", name="other").read_bytes())
    found = ObjectFinder([]).find(str(recorded), build_id(program))
    assert found is None or found.debug.path == stripped


def test_what_debuginfod_has_brought_is_used(program: Path, tmp_path: Path, home: Path) -> None:
    identity = build_id(program)
    assert identity
    stripped, debug = parted(program, tmp_path)
    kept = home / ".cache" / "debuginfod_client" / identity / "debuginfo"
    kept.parent.mkdir(parents=True)
    debug.rename(kept)
    found = ObjectFinder([]).find(str(stripped), identity)
    assert found is not None
    assert (found.runtime.path, found.debug.path) == (stripped, kept)


def test_debug_files_are_not_taken_for_what_was_mapped(program: Path, tmp_path: Path) -> None:
    """GIVEN a folder of objects where the debug file comes first: its segments are not those of the program."""
    identity = build_id(program)
    assert identity
    folder = tmp_path / "store" / identity
    folder.mkdir(parents=True)
    stripped, debug = parted(program, tmp_path)
    debug.rename(folder / "a.debug")
    stripped.rename(folder / "b")
    found = ObjectFinder([tmp_path / "store"]).find("/nowhere/else", identity)
    assert found is not None
    assert (found.runtime.path.name, found.debug.path.name) == ("b", "a.debug")


@pytest.mark.parametrize(
    ("options", "is_known"),
    [((), True), (("-no-pie",), True), (("-fuse-ld=gold", "-no-pie"), True), (("-Wl,-z,noseparate-code",), True),
     (("-Wl,-Ttext-segment=0x400100", "-Wl,-z,max-page-size=256", "-no-pie"), False)],
)  # fmt: skip
def test_a_debug_file_alone_names_functions(
    tmp_path: Path, options: tuple[str, ...], is_known: bool, home: Path
) -> None:
    """GIVEN the debug file of a program that is gone: nothing in it tells where in the file its code was."""
    program = compile_program(tmp_path, *options)
    identity, offsets = build_id(program), text_offsets(program)
    assert identity
    expected = Symbolizer().functions(str(program), identity, offsets)
    _, debug = parted(program, tmp_path)
    program.unlink()
    debug.rename(perf_copy(home, identity).with_name("debug"))
    symbolizer = Symbolizer()
    assert symbolizer.functions(str(program), identity, offsets) == (expected if is_known else [None] * offsets.size)
    assert symbolizer.warnings == (() if is_known else (f"{program}: not found, its samples stay without names",))


@pytest.mark.parametrize("option", [_MD5, _NUMBER])
def test_build_ids_that_perf_has_filled_up_are_the_same(tmp_path: Path, option: str, home: Path) -> None:
    binary = compile_program(tmp_path, option)
    identity = build_id(binary)
    assert identity
    filled = identity.ljust(40, "0")
    symbolizer = Symbolizer()
    assert any(symbolizer.user_frames(str(binary), filled, text_offsets(binary)))
    assert symbolizer.warnings == ()
    shutil.copy(binary, perf_copy(home, identity))
    assert ObjectFinder([]).find("/nowhere/else", filled) is not None


@pytest.mark.parametrize(
    ("one", "other", "are_same"),
    [("abcd", "abcd", True), ("abcd", "abcd0000", True), ("abcd00", "abcd", True), ("abcd", "abcd01", False),
     ("abcd", "ab", False), ("0000", None, False), (None, None, True)],
)  # fmt: skip
def test_build_ids_are_compared_but_for_zeros(one: str | None, other: str | None, are_same: bool) -> None:
    assert same_build_id(one, other) is are_same


def test_a_path_that_is_too_long_is_no_file() -> None:
    symbolizer = Symbolizer()
    assert symbolizer.functions(f"/{'a' * 5000}", None, np.array([1], dtype=np.uint64)) == [None]
    assert "File name too long" in symbolizer.warnings[0]
