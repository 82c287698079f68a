"""Charts and flame graphs: well-formed, deterministic, harmless whatever the names, and true to their numbers."""

import re
import xml.etree.ElementTree as ET

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hakprof.report.charts import LayerBar, ThroughputBar, ThroughputGroup, layer_chart, throughput_chart
from hakprof.report.flamegraph import MARGIN, MAX_DEPTH, NEUTRAL, WIDTH, flame_graph, layer_colours
from hakprof.report.svg import clean, columns, fit, text_width

SVG = "{http://www.w3.org/2000/svg}"
HOSTILE = (
    "</text><script>alert(1)</script>",
    "a\x00b\x1b[31m",
    "\ud800",
    "]]>",
    '"onload="x',
    "&amp;",
    "\u202egnp.exe",
)


def texts(root):
    return [element.text or "" for element in root.iter(f"{SVG}text")]


def number(element, key):
    return float(element.get(key))


# --- layer bars ---------------------------------------------------------------------------------------------------


def layer_bars(count=25, columns_of_name=60):
    names = [f"layer_{index:02d}_".ljust(columns_of_name, "x") for index in range(count)]
    return [LayerBar(name, 0.03, 0.01, 0.035, 0.046) for name in names]


def test_layer_bars_are_as_long_as_their_shares():
    bars = [LayerBar("a", 0.3, 0.1, 0.38, 0.42), LayerBar("b", 0.2, 0.0, 0.18, 0.22)]
    root = ET.fromstring(layer_chart(bars, title="t"))
    widths = {
        kind: [
            number(rect, "width")
            for rect in root.iter(f"{SVG}rect")
            if rect.get("class") == kind and rect.get("height") == "14"
        ]
        for kind in ("user", "kernel")
    }
    assert widths["user"][0] == pytest.approx(3 * widths["kernel"][0], abs=0.05)
    assert widths["user"][0] == pytest.approx(1.5 * widths["user"][1], abs=0.05)
    assert len(widths["kernel"]) == 1, "no kernel bar where there is no kernel time"
    assert "40.0 % ±2.0" in texts(root)
    hovers = [title.text for title in root.iter(f"{SVG}title")]
    assert "a: 40.0 % ±2.0 (user 30.0 %, kernel 10.0 %)" in hovers


def test_whiskers_span_the_interval_on_the_bars_scale():
    root = ET.fromstring(layer_chart([LayerBar("a", 0.4, 0.0, 0.3, 0.5)], title="t"))
    bar = next(rect for rect in root.iter(f"{SVG}rect") if rect.get("class") == "user" and rect.get("height") == "14")
    x0, per_share = number(bar, "x"), number(bar, "width") / 0.4
    path = [path.get("d") for path in root.iter(f"{SVG}path") if path.get("class") == "whisker"][-1]
    low, high = (float(part) for part in re.fullmatch(r"M(\S+) .*H([\d.]+)M.*", path).groups())
    assert low == pytest.approx(x0 + 0.3 * per_share, abs=0.05)
    assert high == pytest.approx(x0 + 0.5 * per_share, abs=0.05)


def test_25_layers_with_names_of_60_columns_do_not_overlap():
    root = ET.fromstring(layer_chart(layer_bars(), title="t", subtitle="s"))
    width = number(root, "width")
    labels = [text for text in root.iter(f"{SVG}text") if (text.text or "").startswith("layer_")]
    assert len(labels) == 25
    assert all(number(label, "x") - text_width(label.text, 12) >= 0 for label in labels), "labels start inside the page"
    assert len({number(label, "y") for label in labels}) == 25
    bars = [rect for rect in root.iter(f"{SVG}rect") if rect.get("height") == "14"]
    assert min(number(bar, "x") for bar in bars) > max(number(label, "x") for label in labels)
    values = [text for text in root.iter(f"{SVG}text") if "±" in (text.text or "")]
    assert min(number(value, "x") for value in values) > max(number(bar, "x") + number(bar, "width") for bar in bars)
    assert all(number(value, "x") + text_width(value.text, 12) <= width for value in values)


def test_longer_names_are_cut_and_told_in_full_on_hover():
    name = "n" * 90
    root = ET.fromstring(layer_chart([LayerBar(name, 0.1, 0, 0.05, 0.15)], title="t"))
    assert "n" * 59 + "…" in texts(root)
    assert any(name in (title.text or "") for title in root.iter(f"{SVG}title"))


def test_no_layers_is_said():
    assert "no samples" in texts(ET.fromstring(layer_chart([], title="t")))


@given(st.lists(st.tuples(st.floats(0, 1), st.floats(0, 1), st.floats(0, 0.5)), max_size=8))
@settings(max_examples=50)
def test_any_shares_stay_inside_the_page(shares):
    bars = [LayerBar("x", a * b, a * (1 - b), max(a - h, 0), min(a + h, 1)) for a, b, h in shares]
    root = ET.fromstring(layer_chart(bars, title="t"))
    for rect in root.iter(f"{SVG}rect"):
        if rect.get("height") == "14":
            assert number(rect, "x") + number(rect, "width") <= number(root, "width") + 0.1


# --- throughput bars ----------------------------------------------------------------------------------------------


def groups(ceiling=None):
    bars = (ThroughputBar("hakmem", 60e6, 58e6, 61e6, subject=True), ThroughputBar("system", 30e6, 29e6, 31e6))
    return [ThroughputGroup("random_mixed", bars, ceiling), ThroughputGroup("larson", bars[1:])]


def test_throughput_bars_have_the_scale_of_their_workload():
    root = ET.fromstring(throughput_chart(groups(), title="t"))
    subject = [number(rect, "width") for rect in root.iter(f"{SVG}rect") if rect.get("class") == "subject"]
    peer = [number(rect, "width") for rect in root.iter(f"{SVG}rect") if rect.get("class") == "peer"]
    assert subject[0] == pytest.approx(2 * peer[0], abs=0.05)
    assert peer[1] > 1.8 * peer[0], "alone in its workload it fills its own scale"
    assert " 60.0M (58.0M – 61.0M)" in texts(root)


@pytest.mark.parametrize(
    ("ceiling", "text", "drawn"),
    [(None, "", False), (80e6, "ceiling 80.0M ops/s", True), (1e9, "ceiling 1.00G ops/s (beyond the scale)", False)],
)
def test_the_ceiling_is_drawn_or_told(ceiling, text, drawn):
    root = ET.fromstring(throughput_chart(groups(ceiling), title="t"))
    assert text in texts(root)
    marks = [path for path in root.iter(f"{SVG}path") if path.get("class") == "ceiling"]
    assert len(marks) == (2 if drawn else 0), "the mark and its key"


def test_no_throughput_is_said():
    assert "no throughput was measured" in texts(ET.fromstring(throughput_chart([], title="t")))
    assert (
        ET.fromstring(throughput_chart([ThroughputGroup("w", (ThroughputBar("a", 0, 0, 0),))], title="t")) is not None
    )


# --- flame graphs -------------------------------------------------------------------------------------------------


def stacks(*rows, event="cpu-clock"):
    columns_of_rows = list(zip(*rows, strict=True)) or [[], [], []]
    names = ("frames", "layer", "count")
    schema = {"event": pl.String, "frames": pl.List(pl.String), "layer": pl.String, "count": pl.UInt64}
    return pl.DataFrame({"event": [event] * len(rows)} | dict(zip(names, columns_of_rows, strict=True)), schema=schema)


def flame(*rows, **options):
    return flame_graph(stacks(*rows), event="cpu-clock", title="t", **options)


def frames_of(svg):
    """Name → (x, y, width, fill, hover text, whether marked as inlined)."""
    found = {}
    for group in ET.fromstring(svg).iter(f"{SVG}g"):
        if (group.get("class") or "").split()[:1] == ["f"]:
            title, rect, _ = group
            place = (number(rect, "x"), number(rect, "y"), number(rect, "width"))
            found[group.get("data-n")] = (*place, rect.get("fill"), title.text, "i" in group.get("class").split())
    return found


def test_frames_are_as_wide_as_their_samples_and_stand_on_their_callers():
    found = frames_of(flame((["main", "malloc"], "wrapper", 30), (["main", "free"], "drain", 10)))
    whole = WIDTH - 2 * MARGIN
    assert found["all"][2] == found["main"][2] == pytest.approx(whole)
    assert found["malloc"][2] == pytest.approx(whole * 0.75, abs=0.02)
    assert found["free"][0] == MARGIN, "siblings stand by name"
    assert found["malloc"][0] == pytest.approx(MARGIN + whole / 4, abs=0.02)
    assert found["all"][1] > found["main"][1] > found["malloc"][1] == found["free"][1]
    assert found["malloc"][4] == "malloc: 30 samples, 75.00 %; wrapper"


def test_colours_follow_the_layers():
    found = frames_of(
        flame(
            (["main", "malloc"], "wrapper", 30),
            (["main", "malloc", "refill", "asm_exc_page_fault", "clear_page"], "page_fault", 10),
            (["main", "step", "malloc2", "helper"], "a", 5),
            (["main", "step", "malloc2", "other"], "b", 5),
        )
    )
    colours = layer_colours(("wrapper", "page_fault", "a", "b"))
    assert found["malloc"][3] == colours["wrapper"], "of its own samples"
    assert found["refill"][3] == found["asm_exc_page_fault"][3] == colours["page_fault"], "all above it is one layer"
    assert found["main"][3] == found["step"][3] == NEUTRAL


def test_the_legend_tells_every_layer_with_its_share():
    svg = flame((["a"], "wrapper", 3), (["b"], "page_fault", 1))
    shown = texts(ET.fromstring(svg))
    assert "wrapper 75.0 %" in shown
    assert "page_fault 25.0 %" in shown
    assert shown.index("wrapper 75.0 %") < shown.index("page_fault 25.0 %")


@pytest.mark.parametrize("mark", [" (inlined)", "_[i]"])
def test_inlined_functions_are_marked(mark):
    found = frames_of(flame((["malloc", f"tiny_alloc_fast{mark}"], "tiny_alloc_fast", 1)))
    assert found["tiny_alloc_fast"][5]
    assert not found["malloc"][5]
    assert "tiny_alloc_fast (inlined): 1 sample," in found["tiny_alloc_fast"][4]


def test_narrow_frames_are_left_out_and_said():
    svg = flame((["wide"], "a", 100_000), (["narrow", "deeper"], "b", 3))
    assert set(frames_of(svg)) == {"all", "wide"}
    assert any(text.startswith("left out: 2 frames narrower than 0.1 px") for text in texts(ET.fromstring(svg)))


def test_very_deep_recursion_is_cut_and_said():
    svg = flame(([f"f{index}" for index in range(5000)], "a", 1))
    assert len(frames_of(svg)) == MAX_DEPTH
    assert f"{5001 - MAX_DEPTH:,} frames" in "".join(texts(ET.fromstring(svg)))


def test_only_the_event_asked_for_is_drawn():
    both = pl.concat([stacks((["a"], "x", 1)), stacks((["b"], "x", 1), event="page-faults")])
    assert set(frames_of(flame_graph(both, event="page-faults", title="t"))) == {"all", "b"}


def test_no_samples_is_said():
    svg = flame_graph(stacks(), event="cpu-clock", title="t")
    assert "no samples of cpu-clock" in texts(ET.fromstring(svg))
    assert not frames_of(svg)


def test_a_stack_without_frames_or_layer_still_counts():
    found = frames_of(flame(([], None, 1), (["a"], None, 3)))
    assert found["a"][2] == pytest.approx((WIDTH - 2 * MARGIN) * 0.75)


def test_order_of_the_stacks_does_not_matter():
    rows = [(["main", name, f"{name}_leaf"], f"layer{number % 3}", number + 1) for number, name in enumerate("dbcae")]
    assert flame(*rows) == flame(*reversed(rows))


def test_up_to_24_layers_differ_in_colour():
    names = [f"layer_{number}" for number in range(24)]
    assert len(set(layer_colours(names).values())) == 24
    assert layer_colours(names) == layer_colours(names[::-1])


def test_the_script_reaches_for_nothing_outside():
    svg = flame((["main"], "a", 1))
    assert re.findall(r"https?://[^\"\s]+", svg) == ["http://www.w3.org/2000/svg"]
    assert "innerHTML" not in svg
    assert "eval" not in svg


# --- names from binaries ------------------------------------------------------------------------------------------


def everything(name):
    yield layer_chart([LayerBar(name, 0.1, 0.1, 0.1, 0.3)], title=name, subtitle=name)
    yield throughput_chart(
        [ThroughputGroup(name, (ThroughputBar(name, 2e6, 1e6, 3e6),), 4e6)], title=name, subtitle=name
    )
    frame = pl.DataFrame({"event": ["e"], "frames": [[clean(name)]], "layer": ["l"], "count": [1]})
    yield flame_graph(frame, event="e", title=name, subtitle=name)


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_names_stay_text(name):
    for svg, scripts in zip(everything(name), (0, 0, 1), strict=True):
        root = ET.fromstring(svg.encode())
        assert len(list(root.iter(f"{SVG}script"))) == scripts
        assert any(clean(name) in text for text in texts(root))
        assert "\x00" not in svg
        assert not any(key.startswith("on") for element in root.iter() for key in element.attrib)


def test_a_frame_with_a_hostile_name_is_drawn_as_it_is():
    found = frames_of(flame((["main", HOSTILE[0]], "</style>", 1)))
    assert HOSTILE[0] in found


@given(st.text())
@settings(max_examples=50)
def test_any_name_gives_well_formed_documents(name):
    for svg in everything(name):
        ET.fromstring(svg.encode())


@given(st.text(), st.floats(0, 400))
def test_a_fitted_text_fits(text, width):
    assert text_width(fit(text, width, 11), 11) <= width


def test_columns():
    assert columns("abc") == 3
    assert columns("名前") == 4
    assert columns("e\u0301") == 1
    assert fit("名前の長い", 12 * 0.602 * 5, 12) == "名前…"
