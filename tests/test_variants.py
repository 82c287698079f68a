"""Variants beside the default: what is compared, which counters are chosen, and where nothing is said."""

import pytest

from hakprof.analysis.bundle import analyse
from hakprof.pipeline import render_report
from tests.runs import PROJECT, RunBuilder

STUDY = 'variants = ["default", "direct"]'
ASKED = PROJECT.replace(STUDY, STUDY + '\ncollectors = ["throughput", "counters"]\neach_variant = ["counters"]')
HEADING = "### Variants beside the default"


def compared() -> RunBuilder:
    """Two variants of one workload; the second is twice as fast and refills a hundred times as often."""
    builder = RunBuilder(project_text=ASKED)
    builder.throughput([100, 101, 102, 103], "small")
    builder.throughput([200, 202, 204, 206], "small", variant="direct")
    same = {"free.fast": 20_000_000, "pid": 1}
    builder.counted({**same, "refills": 1_000, "os.bytes": 1}, "small")
    builder.counted({**same, "refills": 100_000, "os.bytes": 1 << 30, "pid": 99_999}, "small", variant="direct")
    return builder


def test_variants_stand_beside_the_default_with_the_counters_that_moved() -> None:
    table = analyse(compared().build()).variants[0]
    assert table.counters == ("refills",)
    default, direct = table.rows
    assert (default.vs_default, default.differs) == (None, False)
    assert direct.vs_default is not None
    assert direct.vs_default.value == pytest.approx(2, rel=0.01)
    assert direct.differs
    assert direct.moved[0] == pytest.approx(100 * (default.moved[0] or 0))
    assert (direct.instructions_per_pair, direct.page_faults) == (None, None)


def test_a_variant_that_no_tool_counted_has_dashes_and_not_zeroes() -> None:
    builder = RunBuilder(project_text=ASKED)
    builder.throughput([100, 101, 102, 103], "small")
    builder.counted({"refills": 1_000}, "small")
    _, direct = analyse(builder.build()).variants[0].rows
    assert (direct.vs_default, direct.moved) == (None, ())
    assert "| linked directly | — | — | — | — |" in render_report(builder.build())


def test_the_table_is_for_studies_that_ask_tools_of_each_variant() -> None:
    asked = compared()
    assert HEADING in render_report(asked.build())
    asked.project_text = PROJECT
    assert HEADING not in render_report(asked.build())
