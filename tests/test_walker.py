"""The compiled walker against numpy: the same rows, chains, counts and complaints, whatever the file holds."""

import os
import struct
import subprocess
import sys
from collections.abc import Callable
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from perf_recordings import compile_program, record, record_to_pipe, why_not_live

from hakprof.errors import HakprofError
from hakprof.parse.perf_data import read_perf_data
from hakprof.parse.perf_data.adding import NumpyEngine, SampleAdder
from hakprof.parse.perf_data.compiled import CHOICE, CompiledEngine, compiled_library
from hakprof.parse.perf_data.format import EventAttr, SampleType
from hakprof.parse.perf_data.header import read_header
from hakprof.parse.perf_data.scan import Scan

pytestmark = pytest.mark.skipif(compiled_library() is None, reason="the walker is not built here")

ROOT = Path(__file__).resolve().parent.parent
# Small enough to be read some hundred times. "renamed" has threads whose rows must be told apart by time.
RECORDED: dict[str, tuple[str, ...]] = {
    "renamed": ("-F", "2999", "-g"),
    "two events": ("-F", "999", "-e", "cpu-clock,page-faults", "-g"),
    "no times": ("-F", "999", "-g", "--no-timestamp"),
    "no chains": ("-F", "999", "-e", "task-clock"),
    "fixed period": ("-e", "page-faults", "-c", "7", "-g"),
    "tracepoint": ("-e", "syscalls:sys_enter_munmap,syscalls:sys_enter_mmap", "-g"),
    "compressed": ("-F", "2999", "-g", "-z"),
    "pipe": ("-F", "999", "-e", "cpu-clock,page-faults", "-g"),
}


@pytest.fixture(scope="module")
def recorded(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    if why_not_live() is not None:
        pytest.skip(str(why_not_live()))
    folder = tmp_path_factory.mktemp("walker")
    program = compile_program(folder, rounds=400_000)

    def get(variant: str) -> Path:
        if variant == "tracepoint" and not Path("/sys/kernel/tracing/events/syscalls").exists():
            pytest.skip("no tracepoints here")
        path = folder / f"{variant.replace(' ', '_')}.data"
        if not path.exists():
            make = record_to_pipe if variant == "pipe" else record
            make(folder, *RECORDED[variant], command=(str(program),), name=path.name)
        return path

    return get


def scanned(path: Path, walker: str, **options: Any) -> dict[str, Any]:
    """Everything that one pass over a file gives, or why there was none."""
    before = os.environ.get(CHOICE)
    os.environ[CHOICE] = walker
    try:
        with path.open("rb") as stream:
            scan = Scan(read_header(stream, path), options.pop("boundaries", {}), **options)
            scan.run([stream])
    except (HakprofError, OSError) as error:
        return {"error": str(error)}
    finally:
        os.environ.pop(CHOICE) if before is None else os.environ.update({CHOICE: before})
    table = {each.name: getattr(scan.table, each.name).tolist() for each in fields(scan.table)} if scan.table else None
    return {
        "table": table,
        "chains": [part.tolist() for part in scan.chains],
        "counts": dict(scan.records.counts),
        "events": scan.records.events,
        "malformed": scan.malformed,
        "periods": scan.periods,
        "truncated": scan.truncated,
        "warnings": scan.warnings,
    }


@pytest.mark.live
@pytest.mark.parametrize("variant", RECORDED)
def test_both_read_a_recording_alike(
    recorded: Callable[[str], Path], variant: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = recorded(variant)
    for keeps_chains in (True, False):
        by_numpy = scanned(path, "numpy", keeps_chains=keeps_chains)
        assert scanned(path, "compiled", keeps_chains=keeps_chains) == by_numpy
        assert by_numpy["table"]
        assert by_numpy["malformed"] == 0
    # The whole reader, which scans again with the changes of threads that need it.
    profiles = []
    for walker in ("numpy", "compiled"):
        monkeypatch.setenv(CHOICE, walker)
        profiles.append(read_perf_data(path))
    by_numpy_, compiled = profiles
    assert compiled.samples.equals(by_numpy_.samples)
    assert compiled.events == by_numpy_.events
    assert compiled.stacks.address.tolist() == by_numpy_.stacks.address.tolist()
    assert compiled.stacks.offsets.tolist() == by_numpy_.stacks.offsets.tolist()


@pytest.mark.live
def test_epochs_of_threads_are_the_same(recorded: Callable[[str], Path]) -> None:
    path = recorded("renamed")
    profile = read_perf_data(path)
    times = profile.samples["first_ns"].unique().sort().to_numpy()
    tids = profile.samples["tid"].unique().sort().to_list()
    boundaries = {tid: times[index :: 5 + index].copy() for index, tid in enumerate(tids[1:])}
    by_numpy = scanned(path, "numpy", boundaries=boundaries)
    assert max(by_numpy["table"]["epoch"]) > 5
    assert scanned(path, "compiled", boundaries=boundaries) == by_numpy


WORDS = (9, 9 | 16 << 48, 9 | 24 << 48, 9 | 9 << 48, 3 | 16 << 48, 81 | 16 << 48, 64 | 80 << 48, 66 | 16 << 48, 1 << 48)


@pytest.mark.live
@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_both_read_a_damaged_file_alike(recorded: Callable[[str], Path], tmp_path: Path, data: st.DataObject) -> None:
    original = recorded(data.draw(st.sampled_from(["renamed", "two events", "no times", "pipe", "compressed"])))
    content = bytearray(original.read_bytes())
    for _ in range(data.draw(st.integers(1, 6))):
        kind = data.draw(st.sampled_from(["word", "byte", "cut", "move"]))
        at = data.draw(st.integers(16, len(content) - 1))
        if kind == "word":
            word = data.draw(st.one_of(st.sampled_from(WORDS), st.integers(0, 2**64 - 1)))
            struct.pack_into("<Q", content, min(at // 8 * 8, len(content) - 8), word)
        elif kind == "byte":
            content[at] ^= 1 << data.draw(st.integers(0, 7))
        elif kind == "cut":
            del content[at : at + data.draw(st.integers(1, 64))]
        else:
            start = data.draw(st.integers(0, len(content) - 1)) // 8 * 8
            content[at:at] = content[start : start + data.draw(st.integers(1, 40)) * 8]
    damaged = tmp_path / "damaged.data"
    damaged.write_bytes(content)
    assert scanned(damaged, "compiled") == scanned(damaged, "numpy")


LAYOUTS = [
    SampleType.IP | SampleType.TID | SampleType.TIME | SampleType.CALLCHAIN | SampleType.PERIOD,
    SampleType.IDENTIFIER | SampleType.IP | SampleType.TID | SampleType.CPU | SampleType.CALLCHAIN,
    SampleType.IDENTIFIER | SampleType.IP | SampleType.TID | SampleType.TIME | SampleType.PERIOD | SampleType.ADDR,
    SampleType.TIME | SampleType.ID | SampleType.PERIOD | SampleType.RAW,
    SampleType.CALLCHAIN,
]
SMALL_WORDS = st.one_of(st.integers(0, 5), st.sampled_from([2**64 - 512, 2**64 - 128, 2**63, 2**48]), st.just(9))


@settings(max_examples=300, deadline=None)
@given(data=st.data())
def test_made_up_samples_are_added_up_alike(data: st.DataObject) -> None:
    """Samples of any size and content, of one to three events, at any alignment, in a block that ends anywhere."""
    plain = EventAttr(1, 0, 4000, 0, 0, 0, ())
    chosen = data.draw(st.lists(st.sampled_from(LAYOUTS), min_size=1, max_size=3))
    attrs = tuple(replace(plain, sample_type=layout, ids=(index, index + 2)) for index, layout in enumerate(chosen))
    content = bytearray(data.draw(st.integers(0, 7)))
    skipped = len(content)
    for _ in range(data.draw(st.integers(1, 30))):
        words = data.draw(st.lists(SMALL_WORDS, max_size=12))
        misc = data.draw(st.integers(0, 7))
        content += struct.pack(f"<IHH{len(words)}Q", 9, misc, 8 + 8 * len(words), *words)
    cut = data.draw(st.integers(0, 20))
    block = np.frombuffer(bytes(content), dtype=np.uint8)[skipped : len(content) - cut]
    if block.size < 8 or int.from_bytes(block[6:8].tobytes(), "little") > block.size:
        return
    library = compiled_library()
    assert library is not None
    boundaries = {3: np.array([1, 4], dtype=np.uint64)}
    engines = (
        CompiledEngine(library, attrs, boundaries, keeps_chains=True),
        NumpyEngine(attrs, boundaries, keeps_chains=True),
    )
    ends, results = [], []
    for engine in engines:
        taker = engine.block(block, 1000)
        ends.append(taker.take(0))
        taker.finish()
        table, chains = engine.result()
        columns = [getattr(table, each.name).tolist() for each in fields(table)] if table is not None else None
        periods = [part.tolist() for part in engine.periods]
        results.append((columns, [part.tolist() for part in chains], engine.samples, engine.malformed, periods))
    assert ends[0] == ends[1]
    assert results[0] == results[1]


def test_samples_that_carry_more_than_a_chain_are_left_to_numpy() -> None:
    plain = EventAttr(1, 0, 4000, LAYOUTS[0], 0, 0, ())
    readings = replace(plain, sample_type=LAYOUTS[0] | SampleType.READ)
    assert isinstance(SampleAdder((plain,), {}, keeps_chains=True).engine(0), CompiledEngine)
    assert isinstance(SampleAdder((plain, readings), {}, keeps_chains=True).engine(0), NumpyEngine)


def test_without_a_compiler_the_package_is_complete_and_reads_with_numpy(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(tmp_path)]
    environment = os.environ | {"CC": str(tmp_path / "no-compiler")}
    subprocess.run(command, cwd=ROOT, env=environment, check=True, capture_output=True)
    (wheel,) = tmp_path.glob("*-none-any.whl")
    unpacked = tmp_path / "site"
    subprocess.run([sys.executable, "-m", "zipfile", "-e", str(wheel), str(unpacked)], check=True)
    script = "from hakprof.parse.perf_data.compiled import compiled_library as c; print(c())"
    for choice, expected in (("", "None"), ("compiled", "is not built")):
        done = subprocess.run(
            [sys.executable, "-P", "-c", script],
            env=os.environ | {"PYTHONPATH": str(unpacked), CHOICE: choice},
            cwd=tmp_path,
            capture_output=True,
            text=True,
            check=False,
        )
        assert expected in done.stdout + done.stderr
