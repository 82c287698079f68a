"""callgrind files: self cost per object and function, against callgrind_annotate; broken and hostile input."""

import re
import shutil
import subprocess
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hakprof.errors import ParseError
from hakprof.parse.callgrind import parse_callgrind, read_callgrind

SMALL = """# callgrind format
version: 1
positions: line
events: Ir
summary: 27

ob=(1) /lib/liba.so
fl=(1) a.c
fn=(1) outer
10 5
cob=(2) /lib/libb.so
cfi=(2) b.c
cfn=(2) inner
calls=1 3
+2 20
+1 2

ob=(2)
fl=(2)
fn=(2)
3 12
* 8
totals: 27
"""
PROGRAM = """
__attribute__((noinline, noclone)) int work(volatile int *sum, int n) {
    for (int i = 0; i < n; i++) *sum += i ^ n;
    return *sum;
}
int main(void) {
    volatile int sum = 0;
    for (int i = 0; i < 50; i++) work(&sum, 1000);
    return sum == 3;
}
"""

needs_valgrind = pytest.mark.skipif(
    shutil.which("valgrind") is None or shutil.which("gcc") is None, reason="needs valgrind and gcc"
)


def test_self_cost_without_what_callees_cost():
    parsed = parse_callgrind(SMALL, source="x")

    assert parsed.warnings == ()
    assert parsed.frame.rows() == [("/lib/libb.so", "inner", 20), ("/lib/liba.so", "outer", 7)]


def test_cut_off_file_is_said():
    cut = SMALL[: SMALL.index("* 8")].replace("totals: 27\n", "")
    assert any("cut off" in warning for warning in parse_callgrind(cut, source="x").warnings)


@pytest.mark.parametrize("text", ["", "hello\n", "version: 1\nevents: Dr\n1 2\n", "version: 1\nevents: Ir\n"])
def test_other_kinds_of_file_are_refused(text: str):
    with pytest.raises(ParseError) as raised:
        parse_callgrind(text, source="x")
    assert raised.value.remedy


@given(st.text(alphabet="0123456789+-*()=obfnclis \n", max_size=400))
def test_any_text_gives_a_frame_or_a_clear_error(text: str):
    try:
        parsed = parse_callgrind(f"positions: line\nevents: Ir\n{text}", source="x")
    except ParseError:
        return
    assert parsed.frame.height


@needs_valgrind
def test_a_real_file_sums_to_its_total_and_agrees_with_callgrind_annotate(tmp_path: Path):
    (tmp_path / "p.c").write_text(PROGRAM)
    subprocess.run(["gcc", "-O1", "-g", "-o", tmp_path / "p", tmp_path / "p.c"], check=True)
    out = tmp_path / "callgrind.out"
    subprocess.run(["valgrind", "-q", "--tool=callgrind", f"--callgrind-out-file={out}", tmp_path / "p"], check=True)

    parsed = read_callgrind(out)

    total = int(re.search(r"^summary: (\d+)", out.read_text(), re.MULTILINE)[1])
    assert parsed.warnings == ()
    assert parsed.frame["instructions"].sum() == total
    shown = subprocess.run(["callgrind_annotate", out], capture_output=True, text=True, check=True).stdout
    reference = re.search(r"^\s*([\d,]+) \([\d. ]+%\)\s+\S*p\.c:work\b", shown, re.MULTILINE)
    ours = parsed.frame.filter(parsed.frame["function"] == "work")["instructions"].sum()
    assert ours == int(reference[1].replace(",", ""))
