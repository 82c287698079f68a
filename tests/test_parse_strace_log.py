"""Logs of single calls: every form of their lines, joined halves, what counts as a call, and the clock of a table."""

import subprocess
import sys
from contextlib import suppress
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hakprof.errors import ParseError
from hakprof.parse.strace import STRACE, read_strace
from hakprof.parse.strace_log import Trace, read_trace

TABLE = """\
% time     seconds  usecs/call     calls    errors syscall
------ ----------- ----------- --------- --------- ----------------
 99.00    0.990000        {sleep}         {calls}           clock_nanosleep
  1.00    0.010000           5      2000           munmap
------ ----------- ----------- --------- --------- ----------------
100.00    1.000000          33      {total}           total
"""


def read(tmp_path: Path, text: str) -> Trace:
    file = tmp_path / "strace.txt"
    file.write_text(text)
    return read_trace(file)


def calls(trace: Trace) -> dict[str, tuple[int, int, float | None]]:
    return {r["syscall"]: (r["calls"], r["errors"], r["seconds"]) for r in trace.frame.iter_rows(named=True)}


@pytest.mark.parametrize(
    "prefix",
    [
        "",
        "123   ",
        "[pid   123] ",
        "13:46:05 ",
        "123   13:46:05.387095 ",
        "[pid 123] 1795268766.066633671 ",
        "123        0.000012 ",
        "123   13:46:06.030648 (+     0.000246) ",
        "123   13:46:05.630877 [  59] [00007f6a60a25ad7] ",
    ],
)
def test_what_may_stand_before_a_call(tmp_path: Path, prefix: str) -> None:
    trace = read(
        tmp_path, f'{prefix}openat(AT_FDCWD, "/a) = 3 <1.0>", O_RDONLY) = -1 ENOENT (No such file) <0.000021>\n'
    )
    assert calls(trace) == {"openat": (1, 1, 0.000021)}
    assert trace.frame.schema == STRACE
    assert (trace.kind, trace.clock, trace.clock_is_sure, trace.warnings) == ("log", "wall", True, ())


@pytest.mark.parametrize(
    ("result", "failed"),
    [
        ("0", 0),
        ("0x7fd32996c000", 0),
        ("1 ([{fd=3, revents=POLLIN}])", 0),
        ("0 (Timeout)", 0),
        ("-1 EAGAIN (Resource temporarily unavailable)", 1),
        ("? ERESTARTSYS (To be restarted if SA_RESTART is set)", 1),
    ],
)
def test_results(tmp_path: Path, result: str, failed: int) -> None:
    assert calls(read(tmp_path, f"poll([{{fd=3}}], 1, 5)         = {result}\n")) == {"poll": (1, failed, None)}


def test_halves_of_a_call_are_one_call_that_counts_when_it_returns(tmp_path: Path) -> None:
    trace = read(
        tmp_path,
        "10 futex(0x7f, FUTEX_WAIT, 1, NULL <unfinished ...>\n"
        "11 write(1, 0x7f, 3strace: Process 12 attached\n"
        " <unfinished ...>\n"
        "12 nanosleep({tv_sec=9}, <unfinished ...>\n"
        "10 <... futex resumed>) = 0 <0.5>\n"
        "11 <... write resumed>) = 3 <0.25>\n"
        "10 --- SIGCHLD {si_signo=SIGCHLD, si_status=0} ---\n"
        " > /usr/lib/libc.so.6(mmap+0x10) [0x1ab70]\n"
        "10 exit_group(0) = ?\n"
        "10 +++ exited with 0 +++\n",
    )
    assert calls(trace) == {"futex": (1, 0, 0.5), "write": (1, 0, 0.25)}
    assert trace.warnings == (
        f"{tmp_path}/strace.txt: 1 calls had not returned at its end and are not counted (nanosleep)",
    )


@pytest.mark.parametrize(
    ("stamps", "span"),
    [
        (("13:46:05.500000", "13:46:07.000000"), 1.75),
        (("23:59:59.500000", "00:00:01.000000"), 1.75),
        (("1795268766.500000", "1795268768.000000"), 1.75),
        (("     0.000000", "     1.500000"), 1.75),
        (("13:46:05", "13:46:07"), None),
    ],
)
def test_how_long_the_program_ran(tmp_path: Path, stamps: tuple[str, str], span: float | None) -> None:
    trace = read(tmp_path, "".join(f"7 {stamp} brk(NULL) = 0x5 <0.250000>\n" for stamp in stamps))
    assert trace.span_seconds == (pytest.approx(span, abs=1e-6) if span else None)


def test_a_cut_off_line_is_a_warning(tmp_path: Path) -> None:
    trace = read(tmp_path, "brk(NULL) = 0x5 <0.1>\nmmap(NULL, 81")
    assert calls(trace) == {"brk": (1, 0, 0.1)}
    assert trace.warnings == (f"{tmp_path}/strace.txt:2: a call without its result: 'mmap(NULL, 81'",)


def test_calls_that_are_timed_in_part_have_no_time(tmp_path: Path) -> None:
    trace = read(tmp_path, "brk(NULL) = 0x5 <0.1>\nbrk(NULL) = 0x5\nclose(3) = 0 <0.2>\n")
    assert calls(trace) == {"close": (1, 0, 0.2), "brk": (2, 0, None)}
    assert "1 of 3 calls have no time" in trace.warnings[0]


def test_a_sleep_tells_the_clock_of_a_table(tmp_path: Path) -> None:
    slept = read(tmp_path, TABLE.format(sleep=30000, calls=33, total=2033))
    assert (slept.kind, slept.clock, slept.clock_is_sure) == ("table", "wall", True)
    counted = read(tmp_path, TABLE.format(sleep=9, calls=100000, total=102000))
    assert (counted.clock, counted.clock_is_sure) == ("system", False)
    assert read_trace(tmp_path / "strace.txt", clock="wall").clock_is_sure


@pytest.mark.parametrize(
    ("text", "message"), [("", "empty"), ("hello\n", "neither a table"), (TABLE[:130], "without any row")]
)
def test_other_files_are_refused(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(ParseError, match=message):
        read(tmp_path, text)


@given(st.text(alphabet=st.sampled_from("a1 (<>.:?=)[]{}\n-+E_,\"'resumed"), max_size=120))
def test_any_text_is_a_trace_or_a_parse_error(tmp_path_factory: pytest.TempPathFactory, text: str) -> None:
    file = tmp_path_factory.getbasetemp() / "any.txt"
    file.write_text(f"brk(NULL) = 0x5 <0.1>\n{text}")
    with suppress(ParseError):
        assert read_trace(file).frame["calls"].sum() >= 1


@pytest.mark.live
@pytest.mark.parametrize(
    "options", [("-T",), ("-tt",), ("-T", "-r"), ("-T", "-tt", "-i", "-n"), ("-T", "-yy"), ("-C", "-T")]
)
def test_what_this_strace_writes_counts_as_its_table(tmp_path: Path, options: tuple[str, ...]) -> None:
    program = [sys.executable, "-S", "-c", "import os; [os.stat('/') for _ in range(50)]; os.getppid()"]
    for name, more in (("table.txt", ("-c",)), ("log.txt", options)):
        subprocess.run(["strace", "-f", *more, "-o", str(tmp_path / name), *program], check=True, capture_output=True)
    table, log = read_strace(tmp_path / "table.txt", clock="system").frame, read_trace(tmp_path / "log.txt")
    assert log.warnings == ()
    wanted = {name: (calls, errors) for name, calls, errors in table.select("syscall", "calls", "errors").iter_rows()}
    assert {name: (count, errors) for name, (count, errors, _) in calls(log).items()} == wanted
