"""Free-route traces among other output: the distribution, the sample, and broken records."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hakprof.errors import ParseError
from hakprof.parse.routes import SAMPLE_LINES, parse_routes, read_routes


def parse(text):
    return parse_routes(text, source="stderr")


def test_distribution_is_largest_first_with_a_tie_break():
    trace = parse(
        "[hakmem] hello\n"
        "[FREE_ROUTE] ss_hit ptr=0x79796a810040 [FREE_ROUTE] ss_hit ptr=0x79796ac10000\n"
        "[FREE_ROUTE] header_fast ptr=0x1\n[FREE_ROUTE] foreign ptr=0x2\n"
    )
    assert trace.routes.rows() == [("ss_hit", 2, 0.5), ("foreign", 1, 0.25), ("header_fast", 1, 0.25)]
    assert trace.sample_lines[0] == "[FREE_ROUTE] ss_hit ptr=0x79796a810040"
    assert (trace.traced, trace.bad_records, trace.warnings) == (4, 0, ())


def test_broken_records_are_counted_and_said():
    trace = parse(
        "[FREE_ROUTE] ss_hit ptr=0x12\n[FREE_ROUTE] ss_hit pt\n[FREE_ROUTE] <b> ptr=0x1\n[FREE_ROUTE] x ptr=0xzz\n"
    )
    assert (trace.traced, trace.bad_records) == (1, 3)
    assert trace.warnings == ("stderr: 3 of 4 route records are broken; left out",)


def test_the_sample_is_short():
    trace = parse("[FREE_ROUTE] ss_hit ptr=0x12\n" * 1000)
    assert len(trace.sample_lines) == SAMPLE_LINES
    assert trace.traced == 1000


def test_a_file_without_a_record_is_refused(tmp_path):
    (tmp_path / "stderr").write_text("nothing here\n")
    with pytest.raises(ParseError, match="no \\[FREE_ROUTE\\] record") as caught:
        read_routes(tmp_path / "stderr")
    assert "HAKMEM_FREE_ROUTE_TRACE=1" in (caught.value.remedy or "")


@given(st.lists(st.sampled_from(["[FREE_ROUTE]", " ", "ss_hit", "ptr=0x1f", "\n", "\0", "é"])))
def test_shares_sum_to_one_whatever_the_noise(pieces):
    trace = parse("[FREE_ROUTE] ss_hit ptr=0x12\n" + "".join(pieces))
    assert trace.routes["share"].sum() == pytest.approx(1)
    assert trace.routes["count"].sum() == trace.traced
    assert trace.bad_records >= 0
