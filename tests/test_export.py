"""A run's tables as pandas frames and CSV files."""

from pathlib import Path

import pandas as pd
import pytest

from hakprof import pipeline
from hakprof.errors import StoreError
from hakprof.export import run_tables, write_tables

TRACE = Path(__file__).resolve().parent.parent / "traces" / "hakmem"


@pytest.fixture(scope="module")
def tables() -> dict[str, pd.DataFrame]:
    return run_tables(pipeline.load_run(TRACE, use_cache=False))


def test_results_are_the_medians_of_the_runs(tables: dict[str, pd.DataFrame]):
    medians = tables["runs"]["ops_per_second"].groupby(["workload", "allocator", "variant"]).median()
    results = tables["results"]["ops_per_second"]
    assert (medians.sort_index() == results.sort_index()).all()


def test_layer_shares_sum_to_one(tables: dict[str, pd.DataFrame]):
    assert tables["layers"]["share"].groupby("workload").sum().tolist() == pytest.approx([1.0] * 4)


def test_memory_has_a_column_per_allocator(tables: dict[str, pd.DataFrame]):
    assert ("hakmem", "default") in tables["memory"].columns
    assert (tables["memory"] > 0).all(axis=None)


def test_csv_files_read_back(tmp_path: Path, tables: dict[str, pd.DataFrame]):
    written = write_tables(pipeline.load_run(TRACE, use_cache=False), tmp_path / "out")
    assert {path.stem for path in written} == set(tables)
    read = pd.read_csv(tmp_path / "out" / "layers.csv", index_col=["workload", "layer", "side"])
    pd.testing.assert_frame_equal(read, tables["layers"], check_dtype=False)


def test_a_folder_that_cannot_be_made(tmp_path: Path):
    (tmp_path / "file").write_text("")
    with pytest.raises(StoreError, match="cannot be written"):
        write_tables(pipeline.load_run(TRACE, use_cache=False), tmp_path / "file")
