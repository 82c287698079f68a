"""Hand-over of a run to the data-frame ecosystem: its tables as labelled pandas frames, and as CSV files.

Shares are fractions (0–1), times are nanoseconds, throughput is operations per second; ``low`` and ``high`` bound 95 %.
"""

from pathlib import Path
from typing import TYPE_CHECKING

from hakprof.analysis.bundle import Analysis, analyse
from hakprof.analysis.inputs import RunData
from hakprof.errors import StoreError

if TYPE_CHECKING:
    import pandas as pd


def run_tables(run: RunData) -> "dict[str, pd.DataFrame]":
    """Name → table of one run.

    ``runs`` is indexed by workload, allocator, variant and repetition; ``results`` by workload, allocator and variant;
    ``layers`` by workload, layer and side; ``syscalls`` by workload, allocator and syscall; ``memory`` (bytes) by
    workload, with a column per allocator and variant; ``counters`` by workload and counter.
    """
    analysis = analyse(run)
    tables = {
        "runs": _runs(analysis),
        "results": _results(analysis),
        "layers": _layers(analysis),
        "syscalls": _syscalls(analysis),
        "memory": _memory(analysis),
        "counters": _counters(analysis),
    }
    return {name: table for name, table in tables.items() if len(table)}


def write_tables(run: RunData, folder: Path) -> list[Path]:
    """Each table of the run as ``folder/NAME.csv``; the files written. Raises StoreError if that is not possible."""
    written = []
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for name, table in run_tables(run).items():
            path = folder / f"{name}.csv"
            table.to_csv(path)
            written.append(path)
    except OSError as error:
        raise StoreError(
            f"{folder}: the tables cannot be written: {error.strerror}",
            remedy="name a writable folder with -o, or make room",
        ) from error
    return written


def _frame(rows: list[dict[str, object]], index: list[str]) -> "pd.DataFrame":
    import pandas as pd

    return pd.DataFrame(rows).set_index(index) if rows else pd.DataFrame()


def _runs(analysis: Analysis) -> "pd.DataFrame":
    rows: list[dict[str, object]] = [
        {
            "workload": row.workload,
            "allocator": row.allocator,
            "variant": row.variant,
            "repetition": number,
            "ops_per_second": value,
        }
        for row in analysis.throughput.rows
        for number, value in enumerate(row.runs.values)
    ]
    return _frame(rows, ["workload", "allocator", "variant", "repetition"])


def _results(analysis: Analysis) -> "pd.DataFrame":
    rows: list[dict[str, object]] = [
        {
            "workload": row.workload,
            "allocator": row.allocator,
            "variant": row.variant,
            "ops_per_second": row.ops_per_second.value,
            "of_ceiling": row.of_ceiling,
            "low": row.ops_per_second.low,
            "high": row.ops_per_second.high,
            "runs": row.runs.n,
            **{f"vs_{peer}": ratio.value for peer, ratio in row.ratios.items()},
        }
        for row in analysis.throughput.rows
    ]
    return _frame(rows, ["workload", "allocator", "variant"])


def _layers(analysis: Analysis) -> "pd.DataFrame":
    rows: list[dict[str, object]] = [
        {
            "workload": table.workload,
            "layer": row.layer,
            "side": "kernel" if row.kernel else "user",
            "share": row.share.value,
            "low": row.share.low,
            "high": row.share.high,
            "samples": row.share.count,
            "ns_per_op": row.ns_per_op,
        }
        for table in analysis.layers
        for row in table.rows
    ]
    return _frame(rows, ["workload", "layer", "side"])


def _syscalls(analysis: Analysis) -> "pd.DataFrame":
    rows: list[dict[str, object]] = [
        {
            "workload": table.workload,
            "allocator": table.allocator,
            "syscall": row.syscall,
            "category": row.category,
            "waiting": row.waiting,
            "calls": row.calls,
            "calls_per_1000_ops": row.calls_per_1000_ops,
            "usec_per_call": row.usec_per_call,
            "kernel_share_of_syscalls": row.kernel_share_of_syscalls,
            "wall_share_of_syscalls": row.wall_share_of_syscalls,
            "wall_share_of_run": row.wall_share_of_run,
        }
        for table in analysis.syscalls
        for row in table.rows
    ]
    return _frame(rows, ["workload", "allocator", "syscall"])


def _memory(analysis: Analysis) -> "pd.DataFrame":
    rows: list[dict[str, object]] = [
        {
            "workload": row.workload,
            "allocator": row.allocator,
            "variant": row.variant,
            "peak_rss_bytes": row.peak_bytes.value,
        }
        for row in analysis.memory.rows
    ]
    table = _frame(rows, ["workload", "allocator", "variant"])
    return table["peak_rss_bytes"].unstack(["allocator", "variant"]) if len(table) else table


def _counters(analysis: Analysis) -> "pd.DataFrame":
    rows: list[dict[str, object]] = [
        {"workload": one.workload, "counter": name, "value": value}
        for one in analysis.counters
        for name, value in one.values.items()
    ]
    return _frame(rows, ["workload", "counter"])
