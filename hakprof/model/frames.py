"""Schemas of the frames that parsers hand on: column → (polars dtype, unit and meaning), in one place per parser.

Every cell-level frame starts with the key columns of :data:`CELL_KEY`, so that any two can be joined.
"""

from typing import Any

import polars as pl

Schema = dict[str, Any]

CELL_KEY: Schema = {
    "cell": pl.String,  # Cell.id
    "workload": pl.String,
    "allocator": pl.String,
    "variant": pl.String,
    "build": pl.String,
    "repetition": pl.Int64,
}

# One row per cell whose program printed a benchmark line (any collector; column ``collector`` says which).
BENCH: Schema = CELL_KEY | {
    "collector": pl.String,
    "status": pl.String,  # CellStatus
    "ops": pl.Int64,  # operations in the measured region
    "ops_unit": pl.String,
    "measured_ns": pl.Int64,  # the measured region; the whole run where the program prints no line
    "ops_per_second": pl.Float64,
    "startup_ns": pl.Int64,
    "warmup_ns": pl.Int64,
    "wall_ns": pl.Int64,  # the process, seen from outside
    "malloc_calls": pl.Int64,  # in the measured region
    "free_calls": pl.Int64,
    "total_malloc_calls": pl.Int64,  # of the whole process: what an allocator's own counters must show
    "total_free_calls": pl.Int64,
    "allocator_mode": pl.String,  # "real"; "empty" (no calls) and "null" (an allocator that does nothing) are ceilings
    "threads": pl.Int64,
    "vm_hwm_bytes": pl.Int64,
    "minor_faults": pl.Int64,
    "malloc_object": pl.String,  # ELF object whose malloc served the calls, by dladdr
    "region_marked": pl.Boolean,  # the program told where its measured region begins and ends
}

# perf stat: one row per cell and event.
COUNTERS: Schema = CELL_KEY | {
    "event": pl.String,
    "value": pl.Float64,  # null: not supported or not counted
    "unit": pl.String,  # "" or "msec"
    "running_share": pl.Float64,  # of the time the event was on a counter; null where value is null
    "per_op": pl.Float64,
}

# strace -c: one row per cell, clock and syscall.
SYSCALLS: Schema = CELL_KEY | {
    "clock": pl.String,  # "system" (CPU time in the kernel) or "wall" (strace -w)
    "syscall": pl.String,
    "category": pl.String,  # "memory", "synchronization", "waiting", "file", "process", "other"
    "waiting": pl.Boolean,  # sleeps by design: its time is no work
    "calls": pl.Int64,
    "errors": pl.Int64,
    "seconds": pl.Float64,
    "usec_per_call": pl.Float64,
    "share_of_syscall_time": pl.Float64,  # of the same clock
    "share_of_run": pl.Float64,  # seconds / wall time of the traced run
    "calls_per_1000_ops": pl.Float64,
}

# Counters of the instrumented build: one row per cell and counter, nested keys joined by ".".
ALLOCATOR_COUNTERS: Schema = CELL_KEY | {"counter": pl.String, "value": pl.Int64}

# Traced frees of the instrumented build: one row per cell and route.
ROUTES: Schema = CELL_KEY | {
    "route": pl.String,
    "count": pl.Int64,
    "share": pl.Float64,  # of the cell's traced frees
}

# callgrind: self cost, one row per cell, ELF object and function; the whole process with its start-up.
INSTRUCTIONS: Schema = CELL_KEY | {"object": pl.String, "function": pl.String, "instructions": pl.Int64}

# Attributed samples: one row per cell and key, ``count`` samples each.
SAMPLES: Schema = CELL_KEY | {
    "event": pl.String,
    "pid": pl.Int64,
    "tid": pl.Int64,
    "comm": pl.String,
    "dso": pl.String,
    "symbol": pl.String,  # outermost function: what perf shows
    "function": pl.String,  # innermost inlined function
    "kernel": pl.Boolean,
    "self_layer": pl.String,
    "caused_layer": pl.String,  # user layer that caused a kernel sample; null where the chain has no user frame
    "count": pl.Int64,
    "period": pl.Int64,
}
