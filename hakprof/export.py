"""Hand-over of a run to the data-frame ecosystem: its tables as labelled pandas frames, and as CSV files.

Shares are fractions (0–1), times are nanoseconds, throughput is operations per second; ``low`` and ``high`` bound 95 %.
"""

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from hakprof.analysis.bundle import Analysis, analyse
from hakprof.analysis.inputs import RunData
from hakprof.errors import StoreError

if TYPE_CHECKING:
    import pandas as pd

_Row = dict[str, object]
_CONFIGURATION = ["workload", "allocator", "variant"]
_SYSCALL_COLUMNS = (
    "syscall",
    "category",
    "waiting",
    "calls",
    "calls_per_1000_ops",
    "usec_per_call",
    "kernel_share_of_syscalls",
    "wall_share_of_syscalls",
    "wall_share_of_run",
)


def run_tables(run: RunData) -> "dict[str, pd.DataFrame]":
    """Name → table of one run.

    ``runs`` is indexed by workload, allocator, variant and repetition; ``results`` by workload, allocator and variant;
    ``layers`` by workload, layer and side; ``syscalls`` by workload, allocator and syscall; ``memory`` (bytes) by
    workload, with a column per allocator and variant; ``counters`` by workload and counter.
    """
    analysis = analyse(run)
    tables = {
        "runs": _frame(_runs(analysis), [*_CONFIGURATION, "repetition"]),
        "results": _frame(_results(analysis), _CONFIGURATION),
        "layers": _frame(_layers(analysis), ["workload", "layer", "side"]),
        "syscalls": _frame(_syscalls(analysis), ["workload", "allocator", "syscall"]),
        "memory": _memory(analysis),
        "counters": _frame(_counters(analysis), ["workload", "counter"]),
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


def _frame(rows: Iterable[_Row], index: list[str]) -> "pd.DataFrame":
    import pandas as pd

    found = list(rows)
    return pd.DataFrame(found).set_index(index) if found else pd.DataFrame()


def _fields(one: object, *names: str) -> _Row:
    """The attributes that are columns as they are."""
    return {name: getattr(one, name) for name in names}


def _runs(analysis: Analysis) -> Iterator[_Row]:
    for row in analysis.throughput.rows:
        for number, value in enumerate(row.runs.values):
            yield _fields(row, *_CONFIGURATION) | {"repetition": number, "ops_per_second": value}


def _results(analysis: Analysis) -> Iterator[_Row]:
    for row in analysis.throughput.rows:
        rate = row.ops_per_second
        yield {
            **_fields(row, *_CONFIGURATION),
            "ops_per_second": rate.value,
            "of_ceiling": row.of_ceiling,
            **_fields(rate, "low", "high"),
            "runs": row.runs.n,
            **{f"vs_{peer}": ratio.value for peer, ratio in row.ratios.items()},
        }


def _layers(analysis: Analysis) -> Iterator[_Row]:
    for table in analysis.layers:
        for row in table.rows:
            yield {
                "workload": table.workload,
                "layer": row.layer,
                "side": "kernel" if row.kernel else "user",
                "share": row.share.value,
                **_fields(row.share, "low", "high"),
                "samples": row.share.count,
                "ns_per_op": row.ns_per_op,
            }


def _syscalls(analysis: Analysis) -> Iterator[_Row]:
    for table in analysis.syscalls:
        for row in table.rows:
            yield _fields(table, "workload", "allocator") | _fields(row, *_SYSCALL_COLUMNS)


def _memory(analysis: Analysis) -> "pd.DataFrame":
    """Unlike the others with a column per allocator and variant."""
    rows = [_fields(row, *_CONFIGURATION) | {"bytes": row.peak_bytes.value} for row in analysis.memory.rows]
    table = _frame(rows, _CONFIGURATION)
    return table["bytes"].unstack(["allocator", "variant"]) if len(table) else table


def _counters(analysis: Analysis) -> Iterator[_Row]:
    for one in analysis.counters:
        for name, value in one.values.items():
            yield {"workload": one.workload, "counter": name, "value": value}
