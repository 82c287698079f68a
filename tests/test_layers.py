"""Layers: every sample in exactly one, kernel time with its cause, and the catalogues on real programs."""

import re
import subprocess
from pathlib import Path

import polars as pl
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from perf_recordings import compile_program, record, why_not_live

from hakprof.errors import ProjectError
from hakprof.layers import UNATTRIBUTED, Attribution, attribute, load_rules
from hakprof.layers.rules import Code, catalogue
from hakprof.parse.perf_data import PerfProfile, read_perf_data
from hakprof.project.schema import LayerRule
from hakprof.resources import catalogues_dir, native_dir
from hakprof.symbols import Symbolizer

live = pytest.mark.skipif(why_not_live() is not None, reason=str(why_not_live()))
ALL = ("hakmem", "benchmark", "glibc", "mimalloc", "jemalloc", "tcmalloc", "libc", "kernel")
PEERS = {"mimalloc": "libmimalloc.so.2", "jemalloc": "libjemalloc.so.2", "tcmalloc": "libtcmalloc_minimal.so.4"}


@pytest.fixture(scope="module")
def program(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return compile_program(tmp_path_factory.mktemp("layers"))


@pytest.fixture(scope="module")
def profile(program: Path) -> PerfProfile:
    options = ("-F", "4999", "-e", "cpu-clock,page-faults", "-g")
    return read_perf_data(record(program.parent, *options, command=(str(program),)))


@pytest.fixture(scope="module")
def found(profile: PerfProfile) -> Attribution:
    return attribute(profile, Symbolizer(), load_rules(ALL))


@live
def test_every_sample_has_one_layer_in_every_frame(profile: PerfProfile, found: Attribution) -> None:
    names = {e.index: e.name for e in profile.events}
    totals = {
        names[event]: count for event, count in profile.samples.group_by("event").agg(pl.col("count").sum()).iter_rows()
    }
    for frame in (found.samples, found.stacks, found.lines):
        assert dict(frame.group_by("event").agg(pl.col("count").sum()).iter_rows()) == totals
    assert found.samples["self_layer"].null_count() == 0
    assert found.samples["period"].sum() == profile.samples["period"].sum()


@live
def test_user_samples_cause_themselves_and_kernel_samples_have_a_cause(found: Attribution) -> None:
    user = found.samples.filter(~pl.col("kernel"))
    assert (user["self_layer"] == user["caused_layer"]).all()
    faults = found.samples.filter(self_layer="page_fault", event="cpu-clock")
    assert faults["count"].sum() > 0
    by_cause = dict(faults.group_by("caused_layer").agg(pl.col("count").sum()).iter_rows())
    # touch() has memset write to fresh pages: libc it is that faults.
    assert max(by_cause, key=lambda cause: by_cause[cause]) == "libc"


@live
def test_layers_of_a_program_on_glibc(found: Attribution) -> None:
    layers = set(found.samples["self_layer"])
    assert {"benchmark", "glibc_front", "glibc_arena", "libc", "page_fault", "munmap"} <= layers
    clock = found.samples.filter(event="cpu-clock")
    unknown = clock.filter(self_layer=UNATTRIBUTED)["count"].sum()
    assert unknown <= 0.02 * clock["count"].sum(), found.unattributed_symbols


@live
def test_page_fault_events_belong_to_the_code_that_faulted(found: Attribution) -> None:
    events = found.samples.filter(event="page-faults")
    by_layer = dict(events.group_by("self_layer").agg(pl.col("count").sum()).iter_rows())
    assert max(by_layer, key=lambda layer: by_layer[layer]) == "libc"


@live
def test_stacks_run_from_root_to_leaf_with_inlined_functions_marked(found: Attribution) -> None:
    leaves = found.stacks.filter(pl.col("frames").list.last() == "mix (inlined)")
    assert leaves.height > 0
    for frames in leaves["frames"].to_list():
        inner = [frame.removesuffix(" (inlined)") for frame in frames[-4:]]
        assert inner[-3:] == ["churn", "mix_twice", "mix"] or inner[:-1] == ["churn", "renew", "mix_twice"]


@live
def test_beginnings_are_the_first_of_the_stacks(found: Attribution) -> None:
    first = found.stacks.with_columns(pl.col("frames").list.first().alias("function"))
    expected = first.group_by("event", "function").agg(pl.col("count").sum()).sort("event", "function")
    assert found.beginnings.equals(expected)


@live
def test_the_result_does_not_depend_on_chance(profile: PerfProfile, found: Attribution) -> None:
    again = attribute(profile, Symbolizer(), load_rules(ALL))
    for name in ("samples", "stacks", "lines", "unattributed_symbols"):
        assert getattr(again, name).equals(getattr(found, name))


@live
def test_a_projects_rules_come_first_and_reach_inlined_functions(profile: PerfProfile) -> None:
    own = LayerRule(layer="xorshift", functions=("mix*",))
    found = attribute(profile, Symbolizer(), load_rules(ALL, [own]))
    inside = found.samples.filter(self_layer="xorshift")
    assert set(inside["function"]) <= {"mix", "mix_twice"}
    assert set(inside["symbol"]) == {"churn"}


@live
def test_a_rule_for_code_that_is_not_there_is_reported(profile: PerfProfile) -> None:
    rules = [
        LayerRule(layer="gone", functions=("no_such_function",)),
        LayerRule(layer="here", functions=("touch", "churn")),
    ]
    found = attribute(profile, Symbolizer(), load_rules(ALL, rules))
    assert "gone" in found.unmatched_rules
    assert "here" not in found.unmatched_rules
    # The peers' catalogues found nothing at all: nobody asked for them.
    assert not [layer for layer in found.unmatched_rules if "malloc_" in layer and not layer.startswith("glibc")]


@live
@pytest.mark.parametrize("peer", PEERS)
def test_a_peers_catalogue_names_its_layers(program: Path, tmp_path: Path, peer: str) -> None:
    known = subprocess.run(["/sbin/ldconfig", "-p"], capture_output=True, text=True, check=True).stdout
    if PEERS[peer] not in known:
        pytest.skip(f"{PEERS[peer]} is not installed")
    command = ("env", f"LD_PRELOAD={PEERS[peer]}", str(program))
    recording = record(tmp_path, "-F", "2999", "-g", command=command)
    samples = attribute(read_perf_data(recording), Symbolizer(), load_rules(ALL)).samples
    allocator = samples.filter(pl.col("dso").str.starts_with(f"lib{peer}"))
    assert allocator["count"].sum() > 20
    assert allocator["self_layer"].str.starts_with(peer).all()
    assert f"{peer}_front" in set(allocator["self_layer"])


@live
@settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(chosen=st.lists(st.sampled_from(ALL), unique=True))
def test_shares_sum_to_one_under_any_choice_of_rules(profile: PerfProfile, chosen: list[str]) -> None:
    found = attribute(profile, Symbolizer(), load_rules(chosen))
    layers = found.samples.group_by("self_layer").agg(pl.col("count").sum())
    assert layers["count"].sum() == profile.sample_count
    assert (layers["count"] / profile.sample_count).sum() == pytest.approx(1)


def test_every_catalogue_is_valid_and_described() -> None:
    names = sorted(path.stem for path in catalogues_dir().glob("*.toml"))
    assert set(names) == set(ALL)
    for name in names:
        assert all(rule.title for rule in catalogue(name))
        assert (catalogues_dir() / f"{name}.toml").read_text().startswith("#")


def test_an_unknown_catalogue_is_refused_with_the_known_ones() -> None:
    with pytest.raises(ProjectError, match="'dlmalloc'") as caught:
        load_rules(["dlmalloc"])
    assert "hakmem" in str(caught.value.remedy)


@pytest.mark.parametrize(
    ("function", "dso", "kernel", "layer"),
    [
        ("tiny_alloc_fast", "/run/lib/libhakmem.so", False, "tiny_alloc_fast"),
        ("classify_ptr", "/run/bin/larson_hakmem", False, "classify_ptr"),
        ("tiny_alloc_fast", "/usr/bin/other", False, None),
        ("malloc", "/run/lib/libhakmem.so", False, "wrapper"),
        ("malloc", "/usr/lib/x86_64-linux-gnu/libc.so.6", False, "glibc_front"),
        ("shared_pool_acquire_slab", "/run/lib/libhakmem.so", False, "shared_pool"),
        ("tls_sll_drain", "/run/lib/libhakmem.so", False, "drain"),
        ("ss_refill_fc_fill", "/run/lib/libhakmem.so", False, "refill"),
        ("TCMallocImplementation::GetAllocatedSize", "/usr/lib/libtcmalloc_minimal.so.4", False, "tcmalloc_front"),
        ("MallocExtension::instance@plt", "/usr/lib/libtcmalloc_minimal.so.4", False, "tcmalloc_front"),
        ("schedule", "[kernel.kallsyms]", True, "scheduler"),
        ("schedule", "/usr/bin/other", False, None),
    ],
)
def test_which_layer_a_name_belongs_to(function: str, dso: str, kernel: bool, layer: str | None) -> None:
    rules = load_rules(ALL)
    match = rules.match(Code(function, None, dso, kernel, False))
    assert (rules.layers[match.named] if match.named >= 0 else None) == layer


def test_entries_are_told_apart_from_what_they_call() -> None:
    rules = load_rules(ALL)

    def entry(function: str) -> str | None:
        match = rules.match(Code(function, None, "[kernel.kallsyms]", True, False))
        return rules.layers[match.entry] if match.entry >= 0 else None

    assert entry("asm_exc_page_fault") == "page_fault"
    assert entry("__x64_sys_futex") == "futex"
    assert entry("__x64_sys_read") == "other_syscall"
    assert entry("asm_sysvec_apic_timer_interrupt") == "clock_interrupt"
    assert entry("do_syscall_64") is None


# What belongs to no layer of its own: formatting, signals and the build string run outside the measured paths.
_NO_LAYER = {"build_string.c", "fatal_signal.c", "os.c"}
_DEFINITION = re.compile(r"^(?:static |HAK_EXPORT )?[\w *]*?\b(?:HAK_NAME\((\w+)\)|(\w+))\([^;]*\) \{", re.MULTILINE)


def test_every_function_of_the_bundled_allocator_has_a_layer() -> None:
    rules = load_rules(["hakmem"])
    nameless = []
    for source in sorted((native_dir() / "src").glob("*.c")):
        for exported, plain in _DEFINITION.findall(source.read_text()):
            code = Code(exported or plain, f"/build/native/src/{source.name}", "/run/lib/libhakmem.so", False, False)
            if rules.match(code).named < 0 and source.name not in _NO_LAYER:
                nameless.append(f"{source.name}: {exported or plain}")
    assert nameless == []


def test_every_name_in_the_allocators_rules_exists() -> None:
    text = "".join(path.read_text() for path in sorted((native_dir() / "src").glob("*.[ch]")))
    elsewhere = {"cfree", "valloc", "__libc_*@plt"}  # made by macros, and by the linker
    for rule in catalogue("hakmem"):
        for pattern in rule.functions:
            expression = r"\b" + pattern.replace("*", r"\w*") + r"\b"
            assert re.search(expression, text) or pattern in elsewhere, pattern
        for file in rule.files:
            assert list((native_dir() / "src").glob(file.removeprefix("src/"))), file


@live
def test_a_stripped_object_that_holds_samples_is_named_with_the_remedy(tmp_path: Path) -> None:
    # A program of its own: perf keeps what it recorded by build id, and would lend this one its symbols.
    stripped = compile_program(tmp_path, "-s", rounds=1_400_000, name="stripped")
    recording = record(tmp_path, "-F", "4999", command=(str(stripped),))
    warnings = attribute(read_perf_data(recording), Symbolizer(), load_rules(ALL)).warnings
    assert any(w.startswith(f"{stripped}: stripped") and "do not strip" in w for w in warnings)


@live
def test_an_object_with_symbols_is_not_called_stripped(found: Attribution, program: Path) -> None:
    assert not any(str(program) in warning for warning in found.warnings)


def test_layers_of_whole_objects_are_known_as_such() -> None:
    caught = load_rules(ALL).catch_all
    assert {"other_hakmem", "mimalloc", "jemalloc", "tcmalloc", "benchmark", "libc"} == caught
    named = LayerRule(layer="mimalloc", functions=("mi_*",))
    assert "mimalloc" not in load_rules(ALL, (named,)).catch_all


def test_the_free_path_is_titled_by_the_sizes_that_it_serves() -> None:
    assert "tiny and mid" in load_rules(ALL).titles["tiny_free_fast"]
