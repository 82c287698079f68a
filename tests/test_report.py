"""The report of one run: what must stand in it, escaping, determinism, and sections that say why they are missing."""

import itertools
import json
import re
from dataclasses import replace

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from runs import HEALTHY_COUNTERS, PROJECT, RunBuilder, healthy, with_frames

from hakprof.analysis.inputs import RunData
from hakprof.model.run import CEILING, BinaryInfo, Capability, CellStatus, Collector, Skipped
from hakprof.report import markdown
from hakprof.report.build import build_report
from hakprof.report.json_out import to_json
from hakprof.report.model import Chart
from hakprof.report.render import render_markdown

HOSTILE = "</text><script>alert(1)</script>|`*_~[x](javascript:y)\n# heading\x1b[31m"


def document(run: RunData) -> str:
    return render_markdown(build_report(run))


def section(text: str, title: str) -> str:
    """The part of a document under the ``##`` heading that begins with ``title``."""
    found = re.search(rf"^## {re.escape(title)}.*?(?=^## |\Z)", text, re.MULTILINE | re.DOTALL)
    assert found, f"no section {title!r}"
    return found.group(0)


def table_rows(text: str) -> list[list[str]]:
    """Cells of every table row in ``text``; an escaped bar does not end a cell."""
    return [
        [cell.strip() for cell in re.split(r"(?<!\\)\|", line)[1:-1]]
        for line in text.splitlines()
        if line.startswith("|")
    ]


def test_sections_come_in_order_and_trust_comes_first() -> None:
    titles = re.findall(r"^## (.+)$", document(healthy().build()), re.MULTILINE)
    assert titles == [
        "Trust",
        "Executive Summary",
        "1. Results",
        "2. Raw runs and consistency",
        "3. Where the time goes",
        "4. System calls",
        "5. Stages and SuperSlabs",
        "6. Routing: expected and actual",
        "7. Memory",
        "8. Bottlenecks, in priority order",
        "9. Limits of this report",
        "Appendices",
    ]


def test_layer_shares_of_each_table_sum_to_100_percent() -> None:
    run = healthy().recording({"benchmark": 333, "tiny_alloc_fast": 333, "k:page_fault": 334}, "small").build()
    for view in build_report(run).layers:
        shown = [*view.rows, view.unattributed]
        assert sum(row.share.count for row in shown) == view.samples
        assert view.sum_share == pytest.approx(1.0)
        assert view.user.value + view.kernel.value == pytest.approx(1.0)
    text = section(document(run), "3.")
    assert text.count("| **Sum** |") == text.count("*unattributed*") == 3


@given(
    st.dictionaries(
        st.sampled_from(["benchmark", "libc", "tiny_alloc_fast", "k:page_fault", "k:futex", "unattributed", "refill"]),
        st.integers(1, 5000),
        min_size=1,
    )
)
@settings(max_examples=40, deadline=None)
def test_any_layers_partition_the_samples(layers: dict[str, int]) -> None:
    view = build_report(RunBuilder().recording(layers).build()).layers[0]
    assert sum(row.share.count for row in (*view.rows, view.unattributed)) == sum(layers.values()) == view.samples


def test_ns_per_op_of_the_layers_sum_to_the_measured_time() -> None:
    view = next(v for v in build_report(healthy().build()).layers if v.title == "small blocks")
    total = sum(row.ns_per_op or 0 for row in (*view.rows, view.unattributed))
    assert total == pytest.approx(10.0)  # 100M operations a second


def test_shares_carry_an_interval() -> None:
    for row in table_rows(section(document(healthy().build()), "3.")):
        if len(row) == 6 and row[0] not in ("Layer", "---", "**Sum**"):
            assert re.fullmatch(r"<?\d+\.\d % (±\d+\.\d|\(<?\d+\.\d–\d+\.\d\))", row[3]), row


def test_syscall_share_stands_beside_the_share_of_the_run() -> None:
    builder = RunBuilder().traced({"futex": (36, 0.068, 0.0011), "mmap": (1692, 0.032, 0.040)})
    rows = {row[0]: row for row in table_rows(section(document(builder.build()), "4."))}
    assert rows["`futex`"][4:7] == ["68.0 %", "2.7 %", "0.1 %"]


def test_gap_table_has_the_documents_shape() -> None:
    rows = table_rows(section(document(healthy().build()), "Executive Summary"))
    assert rows[0] == ["Allocator", "Tiny", "Large"]
    assert rows[2] == ["system malloc", "50.0M ops/s (100.0 %)", "50.0M ops/s (100.0 %)"]
    assert rows[-1][1] == "**1.25×** mimalloc"


def test_the_ceiling_stands_beside_each_result_and_is_no_peer() -> None:
    preload = BinaryInfo(path="/store/build/release/lib/libnull.so")
    builder = healthy().throughput([200.0] * 7, "small", CEILING, preload=preload)
    text = document(builder.build())
    results = table_rows(section(text, "1."))
    assert results[0][-1] == "Of ceiling"
    of_ceiling = {tuple(row[:2]): row[-1] for row in results}
    assert of_ceiling["small blocks", "mimalloc"] == "40.0 %"
    assert of_ceiling["small blocks", "**Demo**, default"] == "50.0 %"
    assert of_ceiling["large blocks", "mimalloc"] == "—"
    assert table_rows(section(text, "Executive Summary")) == table_rows(
        section(document(healthy().build()), "Executive Summary")
    )
    assert "Of ceiling" not in document(healthy().build())


def test_page_arena_has_a_table_where_it_is_counted() -> None:
    rows = table_rows(section(document(healthy().build()), "5."))
    assert ["Workload", "From the system", "Used again", "Kept, without its memory", "Back to the system"] in rows
    assert ["small blocks", "69", "3", "4", "1"] in rows
    counted = {name: count for name, count in HEALTHY_COUNTERS.items() if not name.startswith("page_arena")}
    assert "From the system" not in document(RunBuilder().counted(counted).build())


def test_workloads_that_not_everybody_completed_are_not_averaged() -> None:
    builder = RunBuilder().throughput([100.0] * 7, "small").throughput([10.0] * 7, "large")
    builder.throughput([50.0] * 7, "small", "system")
    text = document(builder.build())
    assert "Left out: large blocks: no throughput of" in text
    assert table_rows(section(text, "Executive Summary"))[0] == ["Allocator", "Tiny"]


def test_an_empty_run_says_why_each_section_is_missing() -> None:
    text = document(RunBuilder().build())
    for title in ("1.", "3.", "4.", "5.", "6.", "7."):
        body = section(text, title)
        assert "Not available: the study has no" in body, title
        assert "|" not in body, title


def test_a_skipped_tool_is_named_with_its_remedy() -> None:
    builder = healthy()
    builder.skipped = (Skipped(what="strace", reason="strace is not installed", remedy="apt-get install strace"),)
    builder.capabilities = (
        Capability(name="pmu", available=False, detail="no counters", replaced_by="cpu-clock", remedy=None),
    )
    limits = section(document(builder.build()), "9.")
    assert "| strace | strace is not installed | apt-get install strace |" in limits
    assert "| pmu | no counters; replaced by cpu-clock | — |" in limits


def test_a_crash_is_told_with_its_last_output() -> None:
    builder = healthy()
    builder.cell(Collector.THROUGHPUT, repetition=7, status=CellStatus.CRASHED)
    text = document(builder.build())
    assert "1. **Runs that did not end well** (🔥 critical)" in text
    assert "```text\n[demo] fatal signal 11\n```" in text


def test_a_failed_check_is_spelled_out_on_top() -> None:
    builder = healthy()
    builder.cell(Collector.THROUGHPUT, repetition=7, malloc_object="/lib/libc.so.6")
    text = document(builder.build())
    assert "**T2 failed** and puts in doubt: results, layers" in section(text, "Trust")
    assert text.index("T2 failed") < text.index("## Executive Summary")
    assert all("In doubt: T2 failed" in section(text, f"{number}.") for number in range(3, 8))
    assert "In doubt" not in document(healthy().build())


def test_finding_has_the_documents_block_form() -> None:
    run = RunBuilder().recording({"benchmark": 300, "k:page_fault": 700}).build()
    body = section(document(run), "8.")
    for label in ("Impact", "Symptom", "Evidence", "Location", "Hypotheses", "Options", "Expected gain"):
        assert f"**{label}**:" in body, label


@pytest.mark.parametrize("workloads", [["small"], ["small", "large"]], ids=len)
def test_summary_repeats_the_figures_of_the_finding(workloads: list[str]) -> None:
    builder = RunBuilder()
    for workload in workloads:
        builder.recording({"benchmark": 1357, "k:page_fault": 643}, workload)
    report = build_report(builder.build())
    for line, finding in zip(report.bottlenecks, report.findings, strict=True):
        assert line.line.startswith(finding.symptom.removesuffix("."))
        assert ("1 more workload)" in line.line) == (len(workloads) > 1)
    assert "32.1 % (30.1–34.2 %) of the samples" in document(builder.build())


def test_commands_name_no_folder_of_the_store() -> None:
    text = document(healthy().build())
    assert "/store/build" not in text
    assert "LD_PRELOAD=$OUT/lib/libdemo.so $OUT/bin/small --ops 1000000" in text


# ---- escaping -----------------------------------------------------------------------------------------------------


def rename_everything(run: RunData, name: str) -> RunData:
    renamed = [pl.lit(name).alias(column) for column in ("dso", "symbol", "function", "self_layer", "comm")]
    return with_frames(
        run,
        samples=run.samples.with_columns(renamed),
        syscalls=run.syscalls.with_columns(pl.lit(name).alias("syscall"), pl.lit(name).alias("category")),
        lines=run.lines.with_columns(pl.lit(name).alias(c) for c in ("function", "file", "layer")),
    )


def test_hostile_names_stay_text() -> None:
    text = document(rename_everything(healthy().build(), HOSTILE))
    spans = re.compile(r"(?<!\\)(`+)(?!`).*?(?<!`)\1(?!`)")
    bare = "\n".join(spans.sub("", line) for line in text.splitlines())
    assert not re.search(r"(?<!\\)</?(?:script|text)\b", bare)
    assert "\n# heading" not in text
    assert "\x1b" not in text
    assert not re.search(r"(?<!\\)\[x(?<!\\)\]\(", bare)


def test_hostile_names_do_not_break_a_table() -> None:
    plain, hostile = (document(rename_everything(healthy().build(), name)) for name in ("name", HOSTILE))
    assert [len(row) for row in table_rows(hostile)] == [len(row) for row in table_rows(plain)]


@given(st.text())
def test_escaped_text_is_one_line_without_bare_markup(text: str) -> None:
    escaped = markdown.escape(text)
    assert len(escaped.splitlines()) <= 1
    unescaped = re.sub(r"\\.", "", escaped)
    assert not set(unescaped) & set("`*|~[]>")
    assert not re.search(r"<(?![\d ])", unescaped)


@given(st.text())
def test_code_spans_hold_any_text(text: str) -> None:
    span = markdown.code(text)
    fence = re.match(r"`+", span)
    assert fence is not None
    assert len(span.splitlines()) == 1
    inner = span[fence.end() : len(span) - fence.end()]
    assert fence.group(0) not in re.findall(r"`+", inner)
    assert not re.search(r"(?<!\\)\|", inner)


def test_words_with_underscores_stay_readable() -> None:
    assert markdown.escape("tiny_alloc_fast <0.1 %") == "tiny_alloc_fast <0.1 %"
    assert markdown.escape("_x_") == "\\_x\\_"


def test_what_looks_like_an_entity_renders_as_itself() -> None:
    assert markdown.escape("R&D &amp; &#38; &") == "R&D \\&amp; \\&#38; &"


# ---- determinism and JSON -----------------------------------------------------------------------------------------


def shuffled(run: RunData, seed: int) -> RunData:
    names = ("bench", "counters", "syscalls", "allocator_counters", "samples", "stacks", "lines")
    frames = {name: getattr(run, name).sample(fraction=1, shuffle=True, seed=seed) for name in names}
    return replace(run, **frames)


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_order_of_rows_does_not_change_the_report(seed: int) -> None:
    run = healthy(scale=0.6).recording({"benchmark": 500, "k:page_fault": 300, "refill": 300}, "small").build()
    assert document(shuffled(run, seed)) == document(run)


def test_rendering_twice_gives_the_same_bytes() -> None:
    assert document(healthy().build()) == document(healthy().build())


def test_json_is_strict_and_carries_what_the_document_says() -> None:
    builder = healthy()
    builder.throughput([5.0], "small", variant="direct")  # one run: no standard deviation
    data = json.loads(to_json(build_report(builder.build())), parse_constant=lambda name: pytest.fail(name))
    assert data["schema_version"] == 1
    assert data["provenance"]["commit"].startswith("01234567")
    assert [check["id"] for check in data["trust"]][:3] == ["T1", "T2", "T3"]
    assert data["throughput"]["gaps"]["gaps"]["Tiny"]["ratio"] == pytest.approx(1.25)


def test_charts_are_linked() -> None:
    charts = (
        Chart("throughput", "Throughput", "throughput.svg"),
        Chart("flame", "Flame graph: small", "flame-small.svg"),
    )
    text = render_markdown(build_report(healthy().build(), charts=charts))
    assert "![Throughput](throughput.svg)" in text
    assert "[Flame graph: small](flame-small.svg)" in text


def test_a_project_without_peers_or_variants_has_a_report() -> None:
    text = PROJECT.replace('peers = ["system", "mimalloc"]', "").replace('variants = ["default", "direct"]', "")
    builder = RunBuilder(project_text=text).throughput([100.0] * 7)
    rendered = document(builder.build())
    assert "was not compared with a peer" in rendered
    assert "| small blocks | **Demo**, default |" in rendered


def full_document() -> str:
    """A document in which every kind of block occurs."""
    builder = healthy(scale=0.5)
    builder.recording({"benchmark": 300, "tiny_free_fast": 300, "refill": 200, "k:page_fault": 300}, "small")
    builder.cell(Collector.THROUGHPUT, repetition=7, status=CellStatus.CRASHED)
    builder.cell(Collector.THROUGHPUT, "large", repetition=7, malloc_object="/lib/libc.so.6")
    builder.skipped = (Skipped(what="strace", reason="strace is not installed", remedy="apt-get install strace"),)
    return document(builder.build())


def test_blocks_stand_apart() -> None:
    """Markdown joins what no blank line parts: a table to the sentence before it, one label to the next."""
    outside = re.sub(r"^```.*?^```$", "fenced", full_document(), flags=re.MULTILINE | re.DOTALL)
    for before, line in itertools.pairwise(outside.splitlines()):
        if line.startswith("|") and not before.startswith("|"):
            assert before == "", line
        if line.startswith("- ") and not before.startswith("- "):
            assert before == "", line
        if line.startswith(("**", "#")):
            assert before == "", line
        if before.startswith("#"):
            assert line == "", before
        assert not (line == "" and before == "")


def test_rows_of_a_table_have_the_width_of_its_head() -> None:
    width = 0
    for before, line in zip(["", *full_document().splitlines()], full_document().splitlines(), strict=False):
        if line.startswith("|"):
            row = re.split(r"(?<!\\)\|", line)
            width = len(row) if not before.startswith("|") else width
            assert len(row) == width, line
            assert line.endswith("|"), line


def test_a_backtick_in_a_name_opens_no_code_span() -> None:
    hostile = "a`* (</text><script>alert(1)</script>|b"
    text = markdown.prose(f"{hostile} and {hostile}; see `plain code`")
    assert "<script>" not in text.replace("\\<", "")
    assert "`" not in text.replace("\\`", "")
    assert markdown.prose("run `hakprof collect --resume latest`") == "run `hakprof collect --resume latest`"
