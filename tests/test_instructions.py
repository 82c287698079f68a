"""Instructions per malloc+free pair from callgrind counts."""

import polars as pl
from runs import RunBuilder, with_frames

from hakprof.analysis.inputs import RunData
from hakprof.analysis.instructions import analyse_instructions
from hakprof.model.frames import INSTRUCTIONS
from hakprof.model.run import Collector


def counted_run(unknown: int = 100, **bench: object) -> RunData:
    builder = RunBuilder()
    cell = builder.cell(Collector.CALLGRIND, malloc_object="/build/lib/libdemo.so", **bench)
    key = {name: getattr(cell, name) for name in ("workload", "allocator", "variant", "build", "repetition")}
    counts = [
        ("/store/objects/lib/libdemo.so", "malloc", 1_500),
        ("/store/objects/lib/libdemo.so", "free", 1_400),
        ("/store/bin/small", "main", 2_000),
        ("???", "0x10a220", unknown),
    ]
    rows = [
        {"cell": cell.id, **key, "object": found, "function": function, "instructions": count}
        for found, function, count in counts
    ]
    return with_frames(builder.build(), instructions=pl.DataFrame(rows, schema=INSTRUCTIONS))


def test_instructions_in_the_allocator_and_in_the_process():
    (row,) = analyse_instructions(counted_run(total_malloc_calls=100, total_free_calls=100))

    assert row.allocator_per_pair == 29
    assert row.total_per_pair == 50
    assert row.functions == (("malloc", 15.0), ("free", 14.0))
    assert row.is_subject


def test_a_program_that_does_not_tell_its_calls_gives_no_row():
    assert analyse_instructions(counted_run(total_malloc_calls=None, total_free_calls=None)) == ()


def test_code_that_callgrind_cannot_place_is_not_passed_off_as_nothing():
    (row,) = analyse_instructions(counted_run(unknown=5_000, total_malloc_calls=100, total_free_calls=100))

    assert row.allocator_per_pair is None
    assert row.functions == ()
    assert row.total_per_pair == 99
