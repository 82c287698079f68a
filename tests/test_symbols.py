"""Names and inlined functions, against nm and addr2line."""

import re
import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest
from debug_forms import FORMS
from hypothesis import given, settings
from hypothesis import strategies as st
from perf_programs import why_not_built
from perf_recordings import compile_program, record, why_not_live

from hakprof.cache import Cache
from hakprof.elf import build_id, read_elf
from hakprof.layers import attribute, load_rules
from hakprof.layers.rules import plain_name
from hakprof.parse.perf_data import read_perf_data
from hakprof.symbols import Symbolizer
from hakprof.symbols.demangle import demangle
from hakprof.symbols.elsewhere import left_elsewhere
from hakprof.symbols.symtab import Symbol, elf_symbols, plt_symbols, table_of

pytestmark = [pytest.mark.live, pytest.mark.skipif(why_not_live() is not None, reason=str(why_not_live()))]


@pytest.fixture(scope="module")
def program(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return compile_program(tmp_path_factory.mktemp("symbols"))


@pytest.fixture(scope="module", params=["-gdwarf-4", "-gdwarf-5", "-gz"])
def split(tmp_path_factory: pytest.TempPathFactory, request: pytest.FixtureRequest) -> Path:
    return compile_program(tmp_path_factory.mktemp("split"), "-gsplit-dwarf", request.param)


def text_offsets(binary: Path) -> np.ndarray:
    """File offsets of .text, every third byte."""
    text = read_elf(binary).section(".text")
    assert text is not None
    return np.arange(text.offset, text.offset + text.size, 3, dtype=np.uint64)


@pytest.mark.parametrize("name", FORMS)
def test_inline_chains_are_those_of_other_readers(tmp_path: Path, name: str) -> None:
    form = FORMS[name]
    lacking = form.lacking()
    if lacking is not None:
        pytest.skip(lacking)
    binary = compile_program(tmp_path, *form.flags, compiler=form.compiler)
    form.finish(binary)
    offsets = text_offsets(binary)
    elf = read_elf(binary)
    code = next(s for s in elf.segments if s.offset <= int(offsets[0]) < s.offset + s.file_size)
    addresses = [int(o) - code.offset + code.address for o in offsets]
    symbolizer = Symbolizer()
    compared = inlined = 0
    for frames, expected in zip(
        symbolizer.user_frames(str(binary), build_id(binary), offsets), form.reader(binary, addresses), strict=True
    ):
        if not frames or not expected[0][0].strip("?") or expected[0][1].endswith("?") or "crtstuff" in expected[0][1]:
            continue  # padding between functions, start-up code without DWARF
        compared += 1
        inlined += len(expected) > 1
        assert [f.function for f in frames if f.inlined] == [name for name, _ in expected[:-1]]
        assert [f"{f.file}:{f.line}" for f in frames] == [place for _, place in expected]
    assert symbolizer.warnings == ()
    assert compared > 100
    assert inlined > 30


def test_debug_information_in_files_that_are_not_read_is_said_to_be_missing(tmp_path: Path) -> None:
    forms = [("gcc", "-gdwarf-5"), ("gcc", "-gdwarf-4"), ("gcc", "-gz"), ("clang-14", "-gdwarf-5")]
    for compiler, option in (each for each in forms if shutil.which(each[0])):
        binary = compile_program(tmp_path, "-gsplit-dwarf", option, compiler=compiler)
        symbolizer = Symbolizer()
        frames = symbolizer.user_frames(str(binary), build_id(binary), text_offsets(binary))
        assert "churn" in {each[-1].function for each in frames if each}
        (warning,) = symbolizer.warnings
        assert warning.startswith(f"{binary}: its debug information was split off into .dwo files")


@settings(max_examples=200, deadline=None)
@given(data=st.data())
def test_damaged_units_are_split_or_not(split: Path, data: st.DataObject) -> None:
    content = bytearray(split.read_bytes())
    for name in (".debug_info", ".debug_abbrev"):
        section = read_elf(split).section(name)
        assert section is not None
        for _ in range(data.draw(st.integers(0, 6))):
            at = data.draw(st.integers(section.offset, section.offset + section.size - 1))
            content[at] = data.draw(st.integers(0, 255))
    damaged = split.with_name("damaged")
    damaged.write_bytes(content)
    said = left_elsewhere(read_elf(damaged))
    assert said is None or "split off" in said


def test_functions_without_a_name_of_their_own_are_part_of_their_callers(tmp_path: Path) -> None:
    """GIVEN two programs whose common debug information dwz has put into a third file."""
    if shutil.which("dwz") is None:
        pytest.skip("dwz is not installed")
    one, other = (compile_program(tmp_path, level, name=f"churn{level}") for level in ("-O2", "-O1"))
    shared = str(tmp_path / "shared.debug")
    subprocess.run(["dwz", "-m", shared, "-M", shared, str(one), str(other)], check=True)
    symbolizer = Symbolizer()
    found = symbolizer.user_frames(str(one), build_id(one), text_offsets(one))
    assert "churn" in {each[-1].function for each in found if each}
    assert all(frame.function for frames in found for frame in frames)
    (warning,) = symbolizer.warnings
    assert "in a file that it shares with other objects" in warning


def test_what_a_stripped_file_shared_is_not_missed(tmp_path: Path) -> None:
    """GIVEN a program as distributions ship it: stripped, but still with the reference that dwz has put into it."""
    binary = compile_program(tmp_path, "-s")
    (tmp_path / "reference").write_bytes(b"shared.debug\0" + bytes(20))
    subprocess.run(["objcopy", f"--add-section=.gnu_debugaltlink={tmp_path / 'reference'}", str(binary)], check=True)
    assert read_elf(binary).section(".gnu_debugaltlink") is not None
    assert left_elsewhere(read_elf(binary)) is None


def test_outer_names_are_those_of_nm(program: Path) -> None:
    printed = subprocess.run(["nm", str(program)], capture_output=True, text=True, check=True).stdout
    functions = {line.split()[2]: int(line.split()[0], 16) for line in printed.splitlines() if " t " in line.lower()}
    for name in ("churn", "touch", "main"):
        (frames,) = Symbolizer().user_frames(str(program), None, np.array([functions[name]], dtype=np.uint64))
        assert frames[-1].function == name


def test_stubs_are_named_as_objdump_names_them(program: Path) -> None:
    printed = subprocess.run(
        ["objdump", "-d", "-j", ".plt", "-j", ".plt.got", str(program)], capture_output=True, text=True, check=True
    ).stdout
    expected = {
        int(line.split()[0], 16): line.split("<")[1].split("@")[0]
        for line in printed.splitlines()
        if line.endswith("@plt>:")
    }
    found = {s.start: s.name.split("@")[0] for s in plt_symbols(read_elf(program))}
    assert expected
    assert found == expected


def test_stubs_of_cxx_functions_are_demangled_as_perf_does(tmp_path: Path) -> None:
    source = tmp_path / "stubs.cpp"
    source.write_text("int main(int argc, char **) { delete new int(argc); }")
    subprocess.run(["g++", "-O0", "-o", tmp_path / "stubs", source], check=True)
    assert "operator new@plt" in {s.name for s in plt_symbols(read_elf(tmp_path / "stubs"))}


def test_a_stripped_file_has_no_names_and_no_error(program: Path, tmp_path: Path) -> None:
    stripped = tmp_path / "stripped"
    subprocess.run(["strip", "-o", str(stripped), str(program)], check=True)
    symbolizer = Symbolizer()
    frames = symbolizer.user_frames(str(stripped), None, text_offsets(stripped)[:5])
    assert frames == [()] * 5
    assert all(not s.name.startswith("churn") for s in elf_symbols(read_elf(stripped)))


@pytest.mark.parametrize("mangling", [(), ("-C", "symbol-mangling-version=v0")])
def test_rust_names_equal_those_of_cxxfilt(tmp_path: Path, mangling: tuple[str, ...]) -> None:
    if why_not_built("rust"):
        pytest.skip("rustc is not installed")
    source, binary = tmp_path / "names.rs", tmp_path / "names"
    source.write_text('fn main() { println!("{}", std::env::args().count()); }')
    subprocess.run(["rustc", "-O", *mangling, str(source), "-o", str(binary)], check=True, capture_output=True)
    names = sorted({s.name for s in elf_symbols(read_elf(binary)) if re.match("_R|_ZN.*17h[0-9a-f]{16}E$", s.name)})
    command = ["c++filt", "-s", "rust"]
    printed = subprocess.run(command, input="\n".join(names), capture_output=True, text=True, check=True).stdout
    # c++filt shows what rustc-demangle leaves out on demand: hashes of crates and of names, types of constants.
    plain = [re.sub(r"(?<=\w)\[[0-9a-f]+\]|::h[0-9a-f]{16}$|(?<=\d): [iu]\w+", "", n) for n in printed.splitlines()]
    differing = [(n, demangle(n), e) for n, e in zip(names, plain, strict=True) if len(n) <= 1024 and demangle(n) != e]
    assert len(names) > 100
    assert differing == []


ODD_NAMES = (
    *("_ZN1AcvmEv", "_ZNK1AcvPKcEv", "_ZN1AcvRKT_ISt3mapIiiEEEv", "_ZN1AcvPFviEEv", "_ZN1AcvT_ImEEv", "_ZN1AdaEPv"),
    *("_Zli3_kmPKc", "_ZN1AltIiEEbT_", "_ZN1AclEv", "_ZN1AptEv", "_ZZNK1A1fEvENKUlvE_clEv", "_ZZNKR1A1fEvE1x"),
)


def test_cpp_names_equal_those_of_cxxfilt() -> None:
    """Functions of the C++ runtime, conversions and literals that it has none of, and what is local to methods."""
    command = ["gcc", "-print-file-name=libstdc++.so.6"]
    library = subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()
    names = {symbol.name.partition("@")[0] for symbol in elf_symbols(read_elf(Path(library)))} | {*ODD_NAMES}
    # c++filt spells out the abbreviations of streams and strings; tables and the like are no functions.
    functions = sorted(n for n in names if n.startswith("_Z") and not re.match("_Z(T|G)|.*S[soid]", n))
    printed = subprocess.run(["c++filt", "-p"], input="\n".join(functions), capture_output=True, text=True, check=True)
    named = zip(functions, printed.stdout.splitlines(), strict=True)
    differing = [(name, demangle(name), expected) for name, expected in named if demangle(name) != expected]
    assert len(functions) > 1000
    assert differing == []


def test_thunks_are_not_what_they_lead_to() -> None:
    """perf shows them so; c++filt without -p prints the same."""
    names = ("_ZThn8_N1C1gEjPKc", "_ZTv0_n24_NK1V1gEjPKc", "_ZTchn8_h8_N1C1gEv", "_ZTW1x", "_ZTHN1N1xE")
    printed = subprocess.run(["c++filt"], input="\n".join(names), capture_output=True, text=True, check=True)
    assert [demangle(name) for name in names] == printed.stdout.splitlines()


def test_a_file_of_another_build_is_not_used(program: Path) -> None:
    symbolizer = Symbolizer()
    assert symbolizer.user_frames(str(program), "ab" * 20, text_offsets(program)[:3]) == [()] * 3
    assert "is not the recorded" in symbolizer.warnings[0]


def test_the_cache_gives_the_same_names(program: Path, tmp_path: Path) -> None:
    cache, identity, offsets = Cache(tmp_path), build_id(program), text_offsets(program)
    expected = Symbolizer().user_frames(str(program), identity, offsets)
    assert any(len(frames) > 1 for frames in expected)
    for kind in ("empty", "filled", "partly filled", "damaged"):
        if kind == "partly filled":
            next(tmp_path.glob("inlines-*")).unlink()
            Symbolizer(cache=cache).user_frames(str(program), identity, offsets[:10])
        if kind == "damaged":
            for each in tmp_path.iterdir():
                each.write_bytes(each.read_bytes()[:-1] + b"?")
        assert Symbolizer(cache=cache).user_frames(str(program), identity, offsets) == expected
        assert sorted(each.name.split("-")[0] for each in tmp_path.iterdir()) == ["inlines", "symbols", "symcache"]


def test_a_filled_cache_spares_the_symbol_work(program: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    cache, identity, offsets = Cache(tmp_path), build_id(program), text_offsets(program)
    Symbolizer(cache=cache).user_frames(str(program), identity, offsets)
    for name in ("make_symcache", "InlineTable"):
        monkeypatch.setattr(f"hakprof.symbols.kept.{name}", None)
    monkeypatch.setattr("hakprof.symbols.symbolizer.elf_symbols", None)
    assert any(Symbolizer(cache=cache).user_frames(str(program), identity, offsets))


def test_a_stripped_file_of_the_same_build_has_entries_of_its_own(program: Path, tmp_path: Path) -> None:
    stripped = tmp_path / "stripped"
    subprocess.run(["strip", "--strip-all", "-o", str(stripped), str(program)], check=True)
    cache, identity, offsets = Cache(tmp_path / "cache"), build_id(program), text_offsets(program)
    expected = Symbolizer().functions(str(stripped), identity, offsets)
    whole = Symbolizer(cache=cache).functions(str(program), identity, offsets)
    assert Symbolizer(cache=cache).functions(str(stripped), identity, offsets) == expected != whole


def test_aliases_and_zero_sizes_follow_perf() -> None:
    table = table_of(
        [
            Symbol(100, 10, "__weakly", binding=2),
            Symbol(100, 10, "strongly", binding=0),
            Symbol(200, 0, "first"),
            Symbol(200, 0, "last"),
            Symbol(300, 5, "_short"),
            Symbol(300, 5, "longer_name"),
        ]
    )
    assert table.names == ("strongly", "last", "longer_name")
    found = table.find(np.array([99, 105, 110, 200, 299, 304, 305], dtype=np.uint64))
    assert found.tolist() == [-1, 0, -1, 1, 1, 2, -1]


def test_behind_a_function_in_another_the_outer_one_goes_on() -> None:
    symbols = [
        Symbol(100, 100, "outer"),
        Symbol(120, 30, "inner"),
        Symbol(130, 10, "innermost"),
        Symbol(190, 20, "overlapping"),
        Symbol(300, 50, "around"),
        Symbol(320, 0, "label"),
        Symbol(340, 10, "behind"),
    ]
    table = table_of(symbols)
    places = [100, 119, 120, 129, 130, 139, 140, 149, 150, 189, 190, 209, 210, 319, 320, 339, 349, 350]
    found = [table.names[slot] if slot >= 0 else None for slot in table.find(np.array(places, dtype=np.uint64))]
    assert found == [
        *("outer", "outer", "inner", "inner", "innermost", "innermost", "inner", "inner", "outer", "outer"),
        *("overlapping", "overlapping", None, "around", "label", "label", "behind", None),
    ]


@settings(max_examples=200)
@given(data=st.lists(st.tuples(st.integers(0, 60), st.integers(1, 30)), unique_by=lambda pair: pair[0]))
def test_an_address_belongs_to_the_function_that_began_last(data: list[tuple[int, int]]) -> None:
    table = table_of([Symbol(start, size, f"f{start}") for start, size in data])
    found = [table.names[slot] if slot >= 0 else None for slot in table.find(np.arange(100, dtype=np.uint64))]
    for place, name in enumerate(found):
        holders = [start for start, size in data if start <= place < start + size]
        assert name == (f"f{max(holders)}" if holders else None)


@pytest.mark.parametrize(
    ("name", "plain"),
    [
        ("churn.constprop.0", "churn"),
        ("f.part.0.cold", "f"),
        ("g.isra.0.constprop.3", "g"),
        ("h.lto_priv.0", "h"),
        ("cfree@GLIBC_2.2.5", "cfree"),
        ("free@plt", "free@plt"),
        ("_ZN8tcmalloc8PageHeap3NewEm", "tcmalloc::PageHeap::New"),
        ("_ZN12_GLOBAL__N_13fooIiEEvv", "(anonymous namespace)::foo<int>"),
        ("_ZNKSt6vectorIiSaIiEE4sizeEv", "std::vector<int, std::allocator<int> >::size"),
        ("_ZN1AclEi", "A::operator()"),
        ("_Znwm", "operator new"),
        ("_Zbroken", "_Zbroken"),
        ("_ZNK1A3getEv.isra.0", "A::get"),
        ("_RNvCs1234_7mycrate3foo", "mycrate::foo"),
        ("_RNCNvCs1_5crate4main0", "crate::main::{closure#0}"),
        ("_RNvYNtCs1_5crate3FooNtCs1_5crate3Bar3run", "<crate::Foo as crate::Bar>::run"),
        ("_RINvCs1_5crate1fAhj8_TReQlEE", "crate::f::<[u8; 8], (&str, &mut i32)>"),
        ("_RNvB_1x", "_RNvB_1x"),
        ("_ZN4core3fmt5write17h0123456789abcdefE", "core::fmt::write"),
        ("_ZN29_$LT$a..B$u20$as$u20$c..D$GT$3run17h0123456789abcdefE.llvm.99", "<a::B as c::D>::run"),
        (".cold", ".cold"),
    ],
)
def test_plain_names(name: str, plain: str) -> None:
    assert plain_name(name) == plain


def test_inlined_functions_show_in_a_recording(program: Path) -> None:
    recording = record(program.parent, "-F", "1999", "-g", command=(str(program),))
    found = attribute(read_perf_data(recording), Symbolizer(), load_rules(["benchmark", "kernel"])).samples
    inside = set(found.filter(symbol="churn")["function"])
    assert "mix" in inside
