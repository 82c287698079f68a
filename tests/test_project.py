"""hakprof.toml: what is valid, and what a user is told of what is not."""

from pathlib import Path

import pytest

from hakprof.errors import ProjectError
from hakprof.project import find_project_file, load_project, parse_project
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
