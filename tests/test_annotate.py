"""`hakprof annotate`: lines and instructions of a layer, and refusing to show those of another build."""

import json
import os
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
from perf_recordings import PROGRAM, compile_program, record, why_not_live

from hakprof.analysis.annotation import around
from hakprof.cli.main import main
from hakprof.symbols.disassembly import Instruction

live = pytest.mark.skipif(why_not_live() is not None, reason=str(why_not_live()))
TRACE = str(Path(__file__).parent.parent / "traces" / "hakmem")
ROUNDS = 800_000


@pytest.fixture(scope="module")
def recording(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("annotate")
    return record(folder, "-F", "4999", "-g", command=(str(compile_program(folder, rounds=ROUNDS)),))


def run(capfdbinary: pytest.CaptureFixture[bytes], *args: str) -> str:
    status = main(["annotate", *args])
    out, err = capfdbinary.readouterr()
    assert status == 0, err.decode()
    return out.decode()


def as_json(capfdbinary: pytest.CaptureFixture[bytes], *args: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(run(capfdbinary, *args, "-f", "json"))
    return found


def test_inlined_lines_of_a_run_with_the_bundled_source(capfdbinary: pytest.CaptureFixture[bytes]) -> None:
    found = as_json(capfdbinary, "tiny_free_fast", TRACE, "--workload", "larson_2t")
    first = found["functions"][0]
    assert (first["function"], first["symbols"]) == ("hak_bin_push", ["free"])
    assert {line["text"] for line in first["lines"]} >= {"bin->head = block;"}
    assert sum(one["of_layer"]["count"] for one in found["functions"]) == found["share"]["count"]
    hottest = first["blocks"][0]
    assert hottest["chain"] == ["free", "hak_free", "tiny_free_fast", "hak_bin_push"]
    assert max(row["of_layer"] for row in hottest["rows"]) > 0.3
    assert "(skid)" in found["skid"]


@live
def test_instructions_hold_as_many_samples_as_perf_annotate_says(
    recording: Path, capfdbinary: pytest.CaptureFixture[bytes]
) -> None:
    found = as_json(capfdbinary, "benchmark", str(recording), "--functions", "99", "--lines", "999")
    ours: dict[int, int] = {}
    for function in found["functions"]:
        if function["symbols"] == ["churn"]:
            ours |= {row["address"]: row["samples"] for block in function["blocks"] for row in block["rows"]}
    command = ["perf", "annotate", "--stdio", "--show-nr-samples", "-i", str(recording), "-s", "churn"]
    printed = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    theirs = {int(at, 16): int(count) for count, at in re.findall(r"^ +(\d+) +: +([0-9a-f]+):", printed, re.M)}
    theirs = {address: count for address, count in theirs.items() if count}
    assert theirs
    assert {address: count for address, count in ours.items() if count} == theirs


@live
def test_source_is_found_where_it_is_named_and_left_out_when_asked(
    recording: Path, tmp_path: Path, capfdbinary: pytest.CaptureFixture[bytes]
) -> None:
    source = recording.parent / "churn.c"
    shutil.move(source, tmp_path / "churn.c")
    try:
        without = as_json(capfdbinary, "benchmark", str(recording), "--function", "mix")
        assert any("churn.c: not found" in note for note in without["notes"])
        named = as_json(capfdbinary, "benchmark", str(recording), "--function", "mix", "--source", str(tmp_path))
        assert "x ^= x << 13" in named["functions"][0]["lines"][0]["text"]
        plain = as_json(capfdbinary, "benchmark", str(recording), "--no-source", "--source", str(tmp_path))
        assert {line["text"] for one in plain["functions"] for line in one["lines"]} == {None}
        (tmp_path / "churn.c").write_text("/* cut short */\n")
        other = as_json(capfdbinary, "benchmark", str(recording), "--source", str(tmp_path))
        assert any("it is not the text that was compiled" in note for note in other["notes"])
    finally:
        source.write_text(PROGRAM)


@live
def test_another_build_under_the_same_path_is_not_disassembled(
    tmp_path: Path, capfdbinary: pytest.CaptureFixture[bytes]
) -> None:
    # perf keeps a copy of what it recorded unless told not to (-N).
    program = compile_program(tmp_path, rounds=ROUNDS + 1)
    recording = record(tmp_path, "-N", "-F", "4999", "-g", command=(str(program),))
    compile_program(tmp_path, "-O1", rounds=ROUNDS + 1)
    changed = as_json(capfdbinary, "benchmark", str(recording))["functions"][0]
    assert changed["blocks"] == []
    assert "is not the recorded" in changed["no_code"]
    program.unlink()
    gone = as_json(capfdbinary, "benchmark", str(recording))["functions"][0]
    assert (gone["blocks"], gone["no_code"].partition(",")[0]) == ([], "not found")


@live
def test_without_build_id_the_file_is_shown_as_it_is_unless_it_was_changed_since(
    tmp_path: Path, capfdbinary: pytest.CaptureFixture[bytes]
) -> None:
    program = compile_program(tmp_path, "-Wl,--build-id=none", rounds=ROUNDS + 3)
    recording = record(tmp_path, "-N", "-F", "4999", "-g", command=(str(program),))
    same = as_json(capfdbinary, "benchmark", str(recording))
    said = f"{program}: recorded without build id: its lines and instructions are those of the file as it is now"
    assert said in same["notes"]
    assert same["functions"][0]["lines"]
    assert same["functions"][0]["blocks"]
    os.utime(program)
    changed = as_json(capfdbinary, "benchmark", str(recording))
    assert said not in changed["notes"]
    first = changed["functions"][0]
    assert (first["lines"], first["blocks"]) == ([], [])
    assert f"{program} was changed after the recording" in first["no_code"]


@live
def test_functions_of_a_stripped_file_are_told_apart(tmp_path: Path, capfdbinary: pytest.CaptureFixture[bytes]) -> None:
    stripped = compile_program(tmp_path, "-s", rounds=ROUNDS + 2, name="bare")
    recording = record(tmp_path, "-F", "4999", command=(str(stripped),))
    (first, *_) = as_json(capfdbinary, "benchmark", str(recording))["functions"]
    assert re.fullmatch(r"bare\+0x[0-9a-f]+", first["function"])
    assert first["lines"] == []
    assert first["blocks"]


@live
def test_kernel_layers_have_functions_and_no_instructions(
    recording: Path, capfdbinary: pytest.CaptureFixture[bytes]
) -> None:
    text = run(capfdbinary, "page_fault", str(recording))
    assert "No instructions: kernel code" in text


def test_a_layer_that_does_not_exist_names_those_near_it(capfdbinary: pytest.CaptureFixture[bytes]) -> None:
    assert main(["annotate", "tiny_fre_fast", TRACE]) == 2
    assert "did you mean tiny_free_fast" in capfdbinary.readouterr().err.decode()
    assert main(["annotate", "tiny_free_fast", TRACE, "--function", "hak_bin_pusch"]) == 2
    assert "hak_bin_push" in capfdbinary.readouterr().err.decode()


def test_a_source_that_is_no_folder_is_refused(tmp_path: Path, capfdbinary: pytest.CaptureFixture[bytes]) -> None:
    for path in (tmp_path / "absent", Path(__file__)):
        assert main(["annotate", "libc", TRACE, "--source", str(path)]) == 2
        assert "Invalid value for '--source'" in capfdbinary.readouterr().err.decode()


@pytest.mark.parametrize("layer", ["jemalloc_front", "unattributed"])
def test_a_layer_without_samples_could_not_be_measured(layer: str, capfdbinary: pytest.CaptureFixture[bytes]) -> None:
    assert main(["annotate", layer, TRACE]) == 3
    assert f"{layer} has no samples of cpu-clock" in capfdbinary.readouterr().err.decode()


def test_instructions_around_hot_ones_come_in_runs_that_do_not_touch() -> None:
    code = [Instruction(address, "nop") for address in range(0, 40, 2)]
    runs = around({4, 8, 30, 31}, code, context=1)
    assert [[one.address for one in run] for run in runs] == [[2, 4, 6, 8, 10], [28, 30, 32]]
