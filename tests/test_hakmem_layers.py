"""The catalogue of the bundled allocator on real recordings: each of its layers is met where it is provoked.

In samples of its own, or as the cause of kernel time."""

import subprocess
from collections import Counter
from pathlib import Path

import polars as pl
import pytest
from perf_recordings import record, why_not_live

from hakprof.layers.rules import catalogue
from hakprof.profiles import load_recording
from hakprof.resources import native_dir

pytestmark = [pytest.mark.live, pytest.mark.skipif(why_not_live() is not None, reason=str(why_not_live()))]

# layers that a program provokes, the environment in which it runs, its command
PROVOKED = [
    (
        ("wrapper", "tiny_alloc_fast", "tiny_free_fast", "classify_ptr"),
        {},
        ("random_mixed", "--size", "128", "--ops", "20000000"),
    ),
    (("mid_large",), {}, ("mid_large_mt", "--mode", "replace", "--ops", "4000000")),
    (("remote_free", "refill"), {}, ("producer_consumer", "--ops", "4000000")),
    (("drain",), {"HAKMEM_TINY_SLL_DRAIN_INTERVAL": "1"}, ("churn", "--ops", "12")),
    (
        ("shared_pool", "superslab", "page_arena"),
        {"HAKMEM_RETAIN_MB": "0"},
        ("mid_large_mt", "--ops", "20000", "--size", "8192:2000000"),
    ),
    (("thread_heap",), {}, ("thread_churn", "--ops", "20000")),
    (("registry",), {"HAKMEM_CLASSIFY": "registry"}, ("random_mixed", "--ops", "2000000")),
    (
        ("readable_check",),
        {"HAKMEM_CLASSIFY": "header", "HAKMEM_MINCORE": "always"},
        ("random_mixed", "--ops", "400000"),
    ),
    (("fallback",), {"HAKMEM_FORCE_LIBC_ALLOC": "1"}, ("random_mixed", "--ops", "8000000")),
    (("statistics", "dispatch"), {"HAKMEM_SIZE_HIST": "1"}, ("random_mixed", "--ops", "4000000")),
]


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """hakmem with its counters, and its benchmarks."""
    out = tmp_path_factory.mktemp("native")
    command = ["make", "-s", "-j2", "-C", str(native_dir()), "all", "FLAVOUR=instrumented", f"OUT={out}"]
    subprocess.run(command, check=True, capture_output=True)
    return out


@pytest.mark.parametrize(("layers", "environment", "command"), PROVOKED, ids=[layers[0] for layers, _, _ in PROVOKED])
def test_a_layer_that_is_provoked_shows(
    built: Path, tmp_path: Path, layers: tuple[str, ...], environment: dict[str, str], command: tuple[str, ...]
) -> None:
    settings = {"LD_PRELOAD": str(built / "lib" / "libhakmem.so"), **environment}
    words = ["env", *(f"{name}={value}" for name, value in settings.items()), str(built / "bin" / command[0])]
    recording = record(tmp_path, "-F", "9999", "-g", command=(*words, *command[1:]))
    layer = pl.when("kernel").then("caused_layer").otherwise("self_layer")
    summed = load_recording(recording).attribution.samples.group_by(layer.alias("layer")).agg(pl.col("count").sum())
    counts = Counter(dict(summed.iter_rows()))
    assert {layer: counts[layer] for layer in layers if not counts[layer]} == {}
    assert counts["other_hakmem"] <= max(3, 0.01 * counts.total())


def test_every_layer_is_provoked() -> None:
    provoked = {layer for layers, _, _ in PROVOKED for layer in layers}
    assert {rule.layer for rule in catalogue("hakmem") if rule.functions} == provoked
