"""strace -c in its forms: columns by their heads, blank errors, other text around it, and what is waiting."""

import subprocess
import sys
from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hakprof.errors import ParseError
from hakprof.parse.strace import STRACE, parse_strace, read_strace
from hakprof.parse.syscall_names import category, is_waiting

TABLE = """\
% time     seconds  usecs/call     calls    errors syscall
------ ----------- ----------- --------- --------- ----------------
 68.18    0.070920        1970        36           futex
 11.60    0.012068           7      1665           munmap
  7.28    0.007574           4      1692         2 mmap
  0.00    0.000000           0         1         1 access
------ ----------- ----------- --------- --------- ----------------
100.00    0.090562          26      3394         3 total
"""


def parse(text, clock="system"):
    return parse_strace(text, clock=clock, source="strace.txt")


def rows(parsed):
    return {row["syscall"]: row for row in parsed.frame.iter_rows(named=True)}


def test_default_columns():
    parsed = parse(TABLE)
    assert parsed.warnings == ()
    assert parsed.frame.schema == STRACE
    assert list(parsed.frame["syscall"]) == ["futex", "munmap", "mmap", "access"]
    futex = rows(parsed)["futex"]
    assert (futex["calls"], futex["errors"], futex["seconds"]) == (36, 0, 0.070920)
    assert futex["usec_per_call"] == pytest.approx(1970)
    assert futex["share_of_syscall_time"] == pytest.approx(0.070920 / 0.090562)
    assert rows(parsed)["mmap"]["errors"] == 2
    assert parsed.frame["share_of_syscall_time"].sum() == pytest.approx(1)


def test_a_futex_waits_by_the_wall_clock_only():
    assert [rows(parse(TABLE, clock))["futex"]["waiting"] for clock in ("system", "wall")] == [False, True]
    assert rows(parse(TABLE))["futex"]["category"] == "synchronization"


@pytest.mark.parametrize("name", ["nanosleep", "clock_nanosleep", "poll", "select", "epoll_wait", "wait4"])
def test_sleeping_calls_wait_by_either_clock(name):
    assert category(name) == "waiting"
    assert is_waiting(name, "system")
    assert is_waiting(name, "wall")


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("madvise", "memory"),
        ("mincore", "memory"),
        ("openat", "file"),
        ("clone3", "process"),
        ("syscall_0x1c9", "other"),
    ],
)
def test_categories(name, expected):
    assert category(name) == expected


def test_columns_in_another_order_and_number():
    parsed = parse(
        "syscall              calls    errors % time     seconds shortest  longest\n"
        "---------------- --------- --------- ------ ----------- -------- --------\n"
        "openat                  39        19  24.32    0.000538 0.000001 0.000090\n"
        "mmap                    30            21.43    0.000474 0.000001 0.000090\n"
        "---------------- --------- --------- ------ ----------- -------- --------\n"
        "total                   69        19 100.00    0.001012 0.000001 0.000090\n"
    )
    assert parsed.warnings == ()
    assert (rows(parsed)["openat"]["errors"], rows(parsed)["mmap"]["errors"]) == (19, 0)
    assert rows(parsed)["mmap"]["seconds"] == 0.000474


def test_without_a_time_column_time_is_null():
    parsed = parse("   calls syscall\n------- -------\n      3 mmap\n------- -------\n      3 total\n")
    assert rows(parsed)["mmap"]["seconds"] is None
    assert rows(parsed)["mmap"]["share_of_syscall_time"] is None


def test_output_of_the_program_around_the_table_is_passed_over():
    around = "warming up: 12 calls, 3 errors\n[hakmem] total 5\nstrace: Process 12 attached\n"
    assert parse(around + TABLE + "done\n").frame.equals(parse(TABLE).frame)


def test_a_line_that_breaks_into_the_table_is_a_warning():
    broken = TABLE.replace("  7.28", "worker <b>done</b>\n  7.28")
    parsed = parse(broken)
    assert parsed.frame.equals(parse(TABLE).frame)
    assert parsed.warnings == ("strace.txt:5: no row of a strace table: 'worker <b>done</b>'",)


def test_names_that_are_no_syscalls_are_not_taken():
    parsed = parse(TABLE.replace(" futex", " <script>"))
    assert "<script>" not in rows(parsed)
    assert len(parsed.warnings) == 2, "the row, and the total that no longer agrees"


def test_a_table_without_its_total_is_said_to_be_cut_off():
    parsed = parse(TABLE[: TABLE.index("  0.00    ")])
    assert list(parsed.frame["syscall"]) == ["futex", "munmap", "mmap"]
    assert parsed.warnings == ("strace.txt: the table has no total line; it may be cut off",)


def test_two_tables_are_added_up():
    parsed = parse(
        f"System call usage summary for 64 bit mode:\n{TABLE}\nSystem call usage summary for 32 bit mode:\n{TABLE}"
    )
    assert rows(parsed)["munmap"]["calls"] == 2 * 1665
    assert rows(parsed)["mmap"]["errors"] == 4
    assert parsed.warnings == ("strace.txt: 2 tables, added up",)


def test_a_total_with_a_blank_column_of_older_strace():
    assert parse(TABLE.replace("         26      3394", "                 3394")).warnings == ()


def test_a_total_that_does_not_agree_is_said():
    assert "own total" in parse(TABLE.replace("3394", "3395")).warnings[0]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "empty"),
        (" \n\n", "empty"),
        ("mmap(NULL, 4096, PROT_READ) = 0x7f\n", "a log of single calls"),
        ("[pid 123] futex(0x7f, FUTEX_WAIT, 1 <unfinished ...>\n", "a log of single calls"),
        ("hello\n", "no table"),
        (TABLE[:130], "without any row"),
    ],
)
def test_a_wrong_file_is_refused_with_a_remedy(text, message):
    with pytest.raises(ParseError, match=r"strace\.txt: ") as caught:
        parse(text)
    assert message in caught.value.message
    assert "strace -f -c" in (caught.value.remedy or "")


@given(st.text(alphabet=st.characters(codec="utf-8"), max_size=200), st.integers(min_value=0, max_value=len(TABLE)))
def test_any_text_anywhere_is_a_table_or_a_parse_error(noise, place):
    with suppress(ParseError):
        assert parse(TABLE[:place] + noise + TABLE[place:]).frame["calls"].min() >= 0


THREADS = "import threading, time\nfor _ in range(3): threading.Thread(target=time.sleep, args=(0.05,)).start()"


@pytest.mark.live
@pytest.mark.parametrize(
    "more", [(), ("-w",), ("-U", "name,errors,calls,total-time"), ("-w", "-U", "max-time,calls,name")]
)
def test_what_this_strace_writes(tmp_path, more):
    output = tmp_path / "strace.txt"
    command = ["strace", "-f", "-c", *more, "-o", str(output), sys.executable, "-c", THREADS]
    subprocess.run(command, check=True, capture_output=True)
    parsed = read_strace(output, clock="wall" if "-w" in more else "system")
    assert parsed.warnings == ()
    assert rows(parsed)["execve"]["calls"] >= 1
    if more == ("-w",):
        sleeping = parsed.frame.filter(parsed.frame["waiting"])["seconds"].sum()
        assert sleeping >= 0.15, "three threads slept 50 ms each"
