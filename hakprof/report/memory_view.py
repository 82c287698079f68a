"""Peak memory as a matrix: a row per workload, a column per allocator and variant."""

from hakprof.analysis.memory import Memory, MemoryRow
from hakprof.analysis.wording import configuration
from hakprof.report.model import MemoryMatrix


def memory_matrix(memory: Memory) -> MemoryMatrix | None:
    """None where no peak is known. A pair that was not measured is None in its row."""
    if not memory.rows:
        return None
    columns = {(row.allocator, row.variant): row for row in memory.rows}
    cells = {(row.workload, row.allocator, row.variant): row for row in memory.rows}
    workloads = {row.workload: row.workload_title for row in memory.rows}
    rows: list[tuple[str, tuple[MemoryRow | None, ...]]] = [
        (title, tuple(cells.get((workload, *column)) for column in columns)) for workload, title in workloads.items()
    ]
    titles = tuple(configuration(row.allocator_title, row.variant_title) for row in columns.values())
    return MemoryMatrix(titles, tuple(rows))
