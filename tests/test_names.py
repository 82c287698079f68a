"""Long names: folded in documents, whole in data, and found by either."""

import json
import subprocess
from pathlib import Path

import pytest
from perf_recordings import record, why_not_live

from hakprof.cli.main import main
from hakprof.names import folded

STRINGS = "std::__cxx11::basic_string<char, std::char_traits<char>, std::allocator<char> >"


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("std::map<int, int>::find", "std::map<int, int>::find"),
        (f"std::map<{STRINGS}, int>::find<long>", "std::map<…>::find<long>"),
        (f"std::operator< <{STRINGS}, {STRINGS} >", "std::operator< <…>"),
        (f"std::operator<< <{STRINGS}, {STRINGS} >", "std::operator<< <…>"),
        (f"A::operator-><{STRINGS}>()::{{lambda(B<{STRINGS}>)#1}}", "A::operator-><…>()::{lambda(B<…>)#1}"),
        (f"<core::iter::Map<{STRINGS}> as Iterator>::next", "<core::iter::Map<…> as Iterator>::next"),
        (f"call   2080 <std::set<{STRINGS}>::insert+0x10>", "call   2080 <std::set<…>::insert+0x10>"),
        (f"unfinished<{STRINGS}, and so on", f"unfinished<{STRINGS}, and so on"),
    ],
)  # fmt: skip
def test_long_names_lose_what_templates_are_made_with(name: str, expected: str) -> None:
    assert folded(name) == expected


SOURCE = r"""
#include <map>
#include <string>
int main() {
    std::map<std::string, int> numbers;
    for (unsigned i = 0; i < 800000; i++) numbers["number " + std::to_string(i * 7919 % 5003)] += 1;
    return numbers.size() == 1;
}
"""


@pytest.mark.skipif(why_not_live() is not None, reason=str(why_not_live()))
def test_a_document_folds_the_names_of_templates(tmp_path: Path, capfdbinary: pytest.CaptureFixture[bytes]) -> None:
    (tmp_path / "words.cpp").write_text(SOURCE)
    subprocess.run(["g++", "-O1", "-g", "words.cpp", "-o", "words"], check=True, cwd=tmp_path)
    recording = str(record(tmp_path, "-F", "4999", command=(str(tmp_path / "words"),)))

    def told(*command: str) -> str:
        assert main([*command]) == 0
        return capfdbinary.readouterr().out.decode()

    listed = told("layers", recording, "--functions", "99")
    assert "`std::_Rb_tree<…>::" in listed
    assert max(map(len, listed.splitlines())) < 320
    (listing,) = json.loads(told("layers", recording, "--functions", "99", "-f", "json"))["listings"]
    (program,) = (layer for layer in listing["layers"] if layer["layer"] == "benchmark")
    names = {row["function"] for row in program["functions"]}
    whole = next(name for name in sorted(names) if folded(name).startswith("std::_Rb_tree<…>::"))
    by_folded, by_whole = (told("annotate", "benchmark", recording, "--function", n) for n in (folded(whole), whole))
    assert f"## 1. `{folded(whole)}`:" in by_whole
    assert f"## 1. `{folded(whole)}`:" in by_folded
