"""Recorded cases of traces/ → documents, byte for byte; and the harness that compares them."""

import shutil
from pathlib import Path

import pytest
from golden import assert_golden

from hakprof import pipeline
from hakprof.model.run import Manifest

ROOT = Path(__file__).resolve().parent
TRACES = ROOT.parent / "traces"
CASES = sorted(path.name for path in TRACES.iterdir() if (path / "manifest.json").is_file())


@pytest.mark.parametrize("case", CASES)
def test_report_of_a_recorded_case(case: str, update_golden: bool) -> None:
    run = pipeline.load_run(TRACES / case, use_cache=False)
    assert_golden(pipeline.render_report(run), ROOT / "golden" / case / "report.md", update=update_golden)


@pytest.mark.parametrize("case", CASES)
def test_a_recorded_case_compared_with_itself(case: str, update_golden: bool) -> None:
    run = pipeline.load_run(TRACES / case, use_cache=False)
    assert_golden(pipeline.render_diff(run, run), ROOT / "golden" / case / "diff.md", update=update_golden)


@pytest.mark.parametrize("case", CASES)
def test_a_recorded_case_reads_the_same_from_its_cache(case: str, tmp_path: Path) -> None:
    copy = tmp_path / case
    shutil.copytree(TRACES / case, copy, ignore=shutil.ignore_patterns("tables"))
    first, second = (pipeline.render_report(pipeline.load_run(copy)) for _ in range(2))
    assert (copy / "tables").is_dir()
    assert first == second


def test_no_golden_is_left_without_its_case() -> None:
    assert {path.name for path in (ROOT / "golden").glob("*") if path.is_dir()} <= set(CASES)


@pytest.mark.parametrize("case", CASES)
def test_a_recorded_case_names_nobody(case: str) -> None:
    """Recorded cases are published: no host name, no home folder."""
    manifest = Manifest.model_validate_json((TRACES / case / "manifest.json").read_bytes())
    assert "/home/" not in manifest.model_dump_json()


# ---- the harness itself


def test_a_missing_golden_fails_and_leaves_what_was_got(tmp_path: Path) -> None:
    with pytest.raises(pytest.fail.Exception, match="missing"):
        assert_golden("new\n", tmp_path / "report.md", update=False)
    assert (tmp_path / "report.got.md").read_text() == "new\n"


def test_a_mismatch_shows_the_difference(tmp_path: Path) -> None:
    (tmp_path / "report.md").write_text("one\ntwo\n")
    with pytest.raises(pytest.fail.Exception, match=r"-two\n\+three"):
        assert_golden("one\nthree\n", tmp_path / "report.md", update=False)
    assert (tmp_path / "report.got.md").exists()


def test_an_update_writes_and_still_fails(tmp_path: Path) -> None:
    with pytest.raises(pytest.fail.Exception, match="written"):
        assert_golden("one\n", tmp_path / "report.md", update=True)
    assert_golden("one\n", tmp_path / "report.md", update=False)
    assert_golden("one\n", tmp_path / "report.md", update=True)
