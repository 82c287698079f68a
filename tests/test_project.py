"""hakprof.toml: what is valid, and what a user is told of what is not."""

from pathlib import Path

import pytest

from hakprof.errors import ProjectError
from hakprof.project import find_project_file, load_project, parse_project
from hakprof.project.schema import cpu_list
from hakprof.resources import default_project_file

MINIMAL = """
[project]
name = "mine"
default_study = "s"
[workloads.w]
title = "w"
program = "./w"
[variants.default]
[studies.s]
workloads = ["w"]
"""


def test_bundled_project_is_valid_and_its_names_resolve():
    project = load_project(default_project_file())

    study = project.studies[project.project.default_study]
    assert set(study.workloads) <= set(project.workloads)
    assert {"system", "mimalloc", "jemalloc", "tcmalloc"} <= set(study.peers)
    assert project.builds[study.release].flavour == "release"


BUILT = (
    MINIMAL
    + """
[builds.release]
source = "src"
command = ["make"]
switches = ["-DA=1"]
[builds.instrumented]
like = "release"
flavour = "instrumented"
[builds.other]
like = "release"
switches = ["-DA=2"]
"""
)


def test_a_build_like_another_has_its_keys_and_its_own():
    builds = parse_project(BUILT, source="t.toml").builds
    assert builds["other"].command == ("make",)
    assert (builds["other"].flavour, builds["instrumented"].flavour) == ("release", "instrumented")
    assert (builds["release"].switches, builds["other"].switches) == (("-DA=1",), ("-DA=2",))


@pytest.mark.parametrize(
    ("edit", "told"),
    [
        pytest.param(('"release"\nsw', '"none"\nsw'), "builds.other.like: 'none' is not defined", id="unknown"),
        pytest.param(
            ('"release"\nsw', '"other"\nsw'), "builds.other.like: 'other' is itself like another", id="itself"
        ),
        pytest.param(("[builds.other]", "[builds.other]\nmake = 1"), "builds.other.make: unknown key", id="misspelt"),
    ],
)
def test_a_build_that_is_like_nothing_is_said(edit: tuple[str, str], told: str):
    with pytest.raises(ProjectError) as raised:
        parse_project(BUILT.replace(*edit), source="t.toml")
    assert told in raised.value.message


@pytest.mark.parametrize("collector", ["perf_record", "strace"])
def test_only_tools_of_the_study_can_be_asked_of_each_variant(collector: str):
    text = MINIMAL + f'collectors = ["throughput", "perf_record", "counters"]\neach_variant = ["{collector}"]\n'
    with pytest.raises(ProjectError, match=f"each_variant: '{collector}' must be among the collectors"):
        parse_project(text, source="t.toml")


def test_every_variant_and_build_of_the_bundled_project_is_in_a_study():
    project = load_project(default_project_file())
    variants = {name for study in project.studies.values() for name in study.variants}
    builds = {name for study in project.studies.values() for name in (study.release, study.instrumented)}
    assert set(project.variants) == variants
    assert set(project.builds) == builds | {one.build for one in project.variants.values() if one.build is not None}


def test_minimal_project():
    project = parse_project(MINIMAL, source="t.toml")
    assert project.studies["s"].repetitions >= 5
    assert project.builds == {}


@pytest.mark.parametrize(
    ("edit", "told"),
    [
        pytest.param(("program", "progam"), "workloads.w.progam: unknown key", id="misspelt-key"),
        pytest.param(('program = "./w"', ""), "workloads.w.program: this key is required", id="missing-key"),
        pytest.param(
            ('workloads = ["w"]', 'workloads = ["v"]'), "studies.s.workloads: 'v' is not defined", id="unknown"
        ),
        pytest.param(('workloads = ["w"]', "workloads = []"), "studies.s.workloads", id="empty-study"),
        pytest.param(('default_study = "s"', 'default_study = "t"'), "no study is called 't'", id="no-default-study"),
        pytest.param(
            ("[variants.default]", "[variants.other]"), "variants.default is missing", id="no-default-variant"
        ),
        pytest.param(('name = "mine"', 'name = "../mine"'), "project.name", id="name-with-a-path"),
        pytest.param(("[project]", "[project"), "not valid TOML", id="not-toml"),
        pytest.param(('"w"]', '"w"]\ndeep = ' + "[" * 5000), "nested too deeply", id="deep"),
        pytest.param(('"w"]', '"w"]\nrepetitions = ' + "9" * 5000), "not valid TOML", id="endless-number"),
        pytest.param(('"w"]', '"w"]\nrepetitions = 0x' + "f" * 9000), "a very large number", id="endless-hex"),
        pytest.param(
            ("[project]", 'catalogues = ["gibc"]\n[project]'), "catalogues: there is no layer", id="catalogue"
        ),
        pytest.param(('["w"]', '["w", "w"]'), "studies.s.workloads: 'w' is named twice", id="workload-twice"),
        pytest.param(
            ('"w"]', '"w"]\nvariants = ["default", "default"]'), "studies.s.variants: 'default' is", id="variant-twice"
        ),
        pytest.param(
            ('"w"]', '"w"]\npeers = ["p", "p"]\n[peers.p]'), "studies.s.peers: 'p' is named twice", id="peer-twice"
        ),
        pytest.param(
            ('"w"]', '"w"]\ncollectors = ["strace", "strace"]'),
            "studies.s.collectors: 'strace' is named twice",
            id="collector-twice",
        ),
        pytest.param(
            ('"w"]', '"w"]\n[peers.mine]'), "peers.mine: this is the name of the allocator", id="peer-is-subject"
        ),
        pytest.param(('"./w"', '"./w\\u0000"'), "workloads.w.program: a NUL byte", id="nul-in-program"),
        pytest.param(
            ('"./w"', '""'), "workloads.w.program: String should have at least 1 character", id="empty-program"
        ),
        pytest.param(('"./w"', '"./w"\nargs = ["a", "\\u0000"]'), "workloads.w.args.1: a NUL byte", id="nul-in-args"),
        pytest.param(
            ("[variants.default]", '[variants.default]\nenvironment = { A = "\\u0000" }'),
            "variants.default.environment.A: a NUL byte",
            id="nul-in-environment",
        ),
        pytest.param(
            ("[variants.default]", '[variants.default]\nenvironment = { "A=B" = "1" }'),
            "variants.default.environment.A=B",
            id="equals-sign-in-environment",
        ),
        pytest.param(
            ("[variants.default]", '[variants.default]\nenvironment = { "" = "1" }'),
            "the name of an environment variable",
            id="nameless-environment",
        ),
        pytest.param(
            ('"w"]', '"w"]\n[builds.release]\nsource = "."\ncommand = []'),
            "builds.release.command: the",
            id="no-command",
        ),
        pytest.param(
            ('"w"]', '"w"]\n[builds.release]\nsource = "."\ncommand = ["a\\u0000"]'),
            "builds.release.command.0: a NUL byte",
            id="nul-in-command",
        ),
        pytest.param(('"w"]', '"w"]\npin_cpus = "a-b"'), "studies.s.pin_cpus: not a CPU list", id="pin-text"),
        pytest.param(('"w"]', '"w"]\npin_cpus = "3-1"'), "studies.s.pin_cpus: '3-1' is no range", id="pin-backwards"),
        pytest.param(('"w"]', '"w"]\npin_cpus = "0-999999999"'), "studies.s.pin_cpus: not a CPU", id="pin-endless"),
        pytest.param(('"w"]', '"w"]\ntemplate = "other"'), "studies.s.template", id="template"),
        pytest.param(
            ('"w"]', '"w"]\n[[layers]]\nlayer = "unattributed"\nfiles = ["x"]'), "layers.0.layer: 'unattr", id="layer"
        ),
    ],
)
def test_error_names_file_key_and_remedy(edit: tuple[str, str], told: str):
    text = MINIMAL.replace(*edit)
    assert text != MINIMAL

    with pytest.raises(ProjectError) as raised:
        parse_project(text, source="t.toml")

    assert raised.value.message.startswith("t.toml")
    assert told in raised.value.message
    assert raised.value.remedy


def test_missing_file_and_binary_file(tmp_path: Path):
    with pytest.raises(ProjectError, match="no such file"):
        load_project(tmp_path / "hakprof.toml")

    binary = tmp_path / "binary.toml"
    binary.write_bytes(b"\xff\xfe\x00")
    with pytest.raises(ProjectError, match="cannot be read"):
        load_project(binary)


def test_nearest_project_file_wins_and_bundled_is_last(tmp_path: Path):
    below = tmp_path / "a" / "b"
    below.mkdir(parents=True)
    assert find_project_file(below) == default_project_file()

    mine = tmp_path / "a" / "hakprof.toml"
    mine.write_text(MINIMAL)
    assert find_project_file(below) == mine


def test_layer_rule_without_a_criterion_is_refused():
    with pytest.raises(ProjectError, match="at least one of functions, files, dsos, entries"):
        parse_project(MINIMAL + '[[layers]]\nlayer = "x"\n', source="t.toml")


def test_what_concerns_several_keys_is_told_without_a_place_of_ours():
    with pytest.raises(ProjectError) as raised:
        parse_project(MINIMAL.replace('workloads = ["w"]', 'workloads = ["v"]'), source="t.toml")
    assert "\n  studies.s.workloads: 'v' is not defined" in raised.value.message


def test_a_wrong_value_is_cut_and_harmless_to_a_terminal():
    text = MINIMAL.replace('"w"]', '"w"]\ntemplate = "' + "x" * 5000 + '"\n"\\u001b[31m' + "y" * 5000 + '" = 1')
    with pytest.raises(ProjectError) as raised:
        parse_project(text, source="t.toml")
    assert "x" * 60 in raised.value.message
    assert all(len(line) < 250 for line in raised.value.message.splitlines())
    assert "\x1b" not in raised.value.message


@pytest.mark.parametrize(("text", "cpus"), [("0", {0}), ("0-3", {0, 1, 2, 3}), ("0-6:3,9", {0, 3, 6, 9}), ("1,1", {1})])
def test_cpu_lists_are_read_as_taskset_reads_them(text: str, cpus: set[int]):
    assert cpu_list(text) == cpus
