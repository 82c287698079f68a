"""From a real collect to documents: the whole way, its cache, and input that is broken on the way."""

import json
import shutil
from pathlib import Path

import pytest
from tiny_project import PROGRAM, Tiny, make_tiny

from hakprof import pipeline
from hakprof.analysis.bundle import analyse
from hakprof.analysis.trust import Verdict
from hakprof.collect.run import collect
from hakprof.errors import StoreError
from hakprof.parse.perf_data import read_perf_data
from hakprof.report.model import SCHEMA_VERSION

pytestmark = [
    pytest.mark.live,
    pytest.mark.skipif(
        any(shutil.which(tool) is None for tool in ("gcc", "perf", "strace")), reason="needs gcc, perf and strace"
    ),
]

# A ring for an allocator: enough for a program that frees what it takes, and no other program.
ALLOCATOR = r"""
#include <stddef.h>
#include <string.h>
static char ring[1 << 24] __attribute__((aligned(16)));
static size_t next;
void *malloc(size_t size) {
    size_t whole = (size + 31) & ~(size_t)15;
    if (next + whole > sizeof ring) next = 0;
    char *block = ring + next;
    *(size_t *)block = size;
    next += whole;
    return block + 16;
}
void free(void *pointer) { (void)pointer; }
void *calloc(size_t count, size_t size) { return memset(malloc(count * size), 0, count * size); }
void *realloc(void *old, size_t size) {
    void *block = malloc(size);
    if (old) { size_t was = *(size_t *)((char *)old - 16); memcpy(block, old, was < size ? was : size); }
    return block;
}
"""


def tell_whose_malloc(text: str) -> str:
    """The tiny program, made to say which object serves its malloc."""
    text = "#define _GNU_SOURCE\n#include <dlfcn.h>\n" + text
    text = text.replace("    long took =", "    Dl_info whose;\n    dladdr((void *)malloc, &whose);\n    long took =")
    text = text.replace(r'\"preload\":\"%s\"}\n", took,', r'\"malloc_object\":\"%s\"}\n", took,')
    return text.replace('getenv("LD_PRELOAD") ? getenv("LD_PRELOAD") : "");', "whose.dli_fname);")


def project(folder: Path, *, library: str) -> Tiny:
    tiny = make_tiny(folder)
    program = tell_whose_malloc(PROGRAM)
    assert "malloc_object" in program
    (folder / "src" / "tiny.c").write_text(program)
    (folder / "src" / "library.c").write_text(library)
    tiny.edit("catalogues = []", 'catalogues = ["benchmark", "libc", "kernel"]')
    tiny.edit('args = ["work", "20"]', 'args = ["work", "250"]')
    tiny.edit('workloads = ["work", "other"]\nvariants = ["default", "direct"]', 'workloads = ["work"]')
    tiny.add('\n[[layers]]\nlayer = "ring"\ndsos = ["libtiny.so"]\n')
    return tiny


def collected(tiny: Tiny) -> Path:
    return collect(tiny.load(), None, project_file=tiny.file, store_root=tiny.store).path


@pytest.fixture(scope="module")
def run_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return collected(project(tmp_path_factory.mktemp("tiny"), library=ALLOCATOR))


@pytest.fixture
def copied(run_folder: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(run_folder, tmp_path / "run", ignore=shutil.ignore_patterns("tables")))


def perf_data(folder: Path) -> Path:
    return next(folder.glob("raw/perf_record.*/perf.data*"))


def test_samples_in_the_report_are_the_recordings(run_folder: Path) -> None:
    run = pipeline.load_run(run_folder, use_cache=False)
    profile = read_perf_data(perf_data(run_folder))
    assert int(run.samples["count"].sum()) == profile.sample_count
    assert int(run.stacks["count"].sum()) == profile.sample_count
    table = analyse(run).layers[0]
    assert sum(row.share.count for row in table.rows) == table.samples == run.profiles[0].samples
    assert table.share_of("ring").count > 0
    assert table.share_of("benchmark").count > 0


def test_the_preloaded_allocator_is_proved_to_serve(run_folder: Path) -> None:
    checks = {check.id: check for check in analyse(pipeline.load_run(run_folder)).trust}
    assert checks["T2"].verdict == Verdict.PASS, checks["T2"].summary
    assert any("libtiny.so" in row.detail for row in checks["T2"].evidence)
    # Its library carries no build string: not known is not wrong, and what perf mapped is what was built.
    assert checks["T1"].verdict == Verdict.UNKNOWN, checks["T1"].summary
    assert any("perf mapped build id" in row.detail for row in checks["T1"].evidence)


def test_a_library_that_serves_nothing_is_found_out(tmp_path: Path) -> None:
    """The mistake of the documents: a benchmark that measured glibc under the allocator's name."""
    folder = collected(project(tmp_path, library='const char *tiny(void) { return "no malloc here"; }\n'))
    check = next(one for one in analyse(pipeline.load_run(folder)).trust if one.id == "T2")
    assert check.verdict == Verdict.FAIL
    assert "expected libtiny.so" in check.summary
    assert "T2 failed" in pipeline.render_report(pipeline.load_run(folder))


def test_the_second_report_is_read_from_the_cache_and_is_the_same(copied: Path) -> None:
    fresh = pipeline.render_report(pipeline.load_run(copied, use_cache=False))
    assert not (copied / "tables").exists()
    first = pipeline.render_report(pipeline.load_run(copied))
    (entry,) = (copied / "tables").iterdir()
    assert not entry.name.startswith(".tmp-")
    assert first == pipeline.render_report(pipeline.load_run(copied)) == fresh


def test_a_changed_recording_is_read_anew(copied: Path) -> None:
    pipeline.load_run(copied)
    data = perf_data(copied)
    data.write_bytes(data.read_bytes()[: data.stat().st_size // 2])
    run = pipeline.load_run(copied)
    assert len(list((copied / "tables").iterdir())) == 2
    assert run.profiles[0].truncated
    assert any("perf_record" in warning for warning in run.warnings)


def test_a_changed_rule_is_applied_to_an_old_run(copied: Path) -> None:
    pipeline.load_run(copied)
    manifest = json.loads((copied / "manifest.json").read_text())
    manifest["project_file"] = manifest["project_file"].replace('layer = "ring"', 'layer = "other_name"')
    (copied / "manifest.json").write_text(json.dumps(manifest))
    assert "other_name" in pipeline.load_run(copied).samples["self_layer"].to_list()


def test_a_broken_cache_entry_is_made_again(copied: Path) -> None:
    want = pipeline.render_report(pipeline.load_run(copied))
    (entry,) = (copied / "tables").iterdir()
    (entry / "samples.parquet").write_bytes(b"PAR1 and then nothing")
    assert pipeline.render_report(pipeline.load_run(copied)) == want


def test_no_room_for_the_cache_is_no_matter(copied: Path) -> None:
    (copied / "tables").write_text("a file where the folder should be")
    assert "# tiny" in pipeline.render_report(pipeline.load_run(copied))


@pytest.mark.parametrize("broken", [b"", b"PERFILE2", b"not a recording" * 99], ids=["empty", "header only", "other"])
def test_a_recording_that_is_none_costs_its_section_only(copied: Path, broken: bytes) -> None:
    perf_data(copied).write_bytes(broken)
    run = pipeline.load_run(copied)
    text = pipeline.render_report(run)
    assert any("perf_record" in warning for warning in run.warnings)
    assert "## 3. Where the time goes\n\nNot available" in text
    assert "Throughput: median of the plain runs" in text


def test_a_broken_cell_costs_itself_only(copied: Path) -> None:
    next(copied.glob("raw/strace.*/cell.json")).write_text("{")
    run = pipeline.load_run(copied)
    assert any("left out" in warning for warning in run.warnings)
    assert pipeline.render_report(run)


def test_a_study_that_is_not_in_the_manifest(copied: Path) -> None:
    manifest = json.loads((copied / "manifest.json").read_text())
    (copied / "manifest.json").write_text(json.dumps(manifest | {"study": "unknown"}))
    with pytest.raises(StoreError, match="no study 'unknown'"):
        pipeline.load_run(copied)


def test_files_of_a_written_report(run_folder: Path, tmp_path: Path) -> None:
    run = pipeline.load_run(run_folder)
    paths = pipeline.write_report(run, tmp_path / "out")
    names = {path.name for path in paths}
    assert {"report.md", "report.json", "throughput.svg", "layers.svg", "flame-work.svg"} == names
    text = (tmp_path / "out" / "report.md").read_text()
    assert all(f"]({name})" in text for name in names if name.endswith(".svg"))
    data = json.loads((tmp_path / "out" / "report.json").read_text())
    assert data["schema_version"] == SCHEMA_VERSION


def test_a_report_that_cannot_be_written(run_folder: Path, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(StoreError, match="cannot be written"):
        pipeline.write_report(pipeline.load_run(run_folder), tmp_path / "file")


def test_a_run_compared_with_itself(run_folder: Path) -> None:
    run = pipeline.load_run(run_folder)
    assert "Host, tools, builds, environment and arguments are the same." in pipeline.render_diff(run, run)
    assert json.loads(pipeline.render_diff(run, run, format="json"))["comparison"]["differences"] == []
