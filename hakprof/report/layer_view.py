"""Layer tables as they are shown: small layers folded, the unattributed row and the sum always there."""

from collections.abc import Sequence

from hakprof.analysis.layers import ALL, UNATTRIBUTED, LayerRow, LayerTable
from hakprof.analysis.statistics import wilson
from hakprof.report.model import LayerMatrix, LayerView, LayerViewRow

SMALLEST_SHOWN = 0.005  # of the samples; below it a layer is folded with its like
LEAST_FOLDED = 2  # one small layer takes no more room than a row that stands for it
MATRIX_SHOWN = 0.02  # on some workload
MOST_CAUSES = 8
SMALLER = "smaller layers"  # the row that stands for what is below MATRIX_SHOWN everywhere


def layer_views(tables: Sequence[LayerTable]) -> tuple[LayerView, ...]:
    """The table over all workloads first, where there is one."""
    ordered = sorted(tables, key=lambda table: table.workload != ALL)
    return tuple(_view(table) for table in ordered)


def _view(table: LayerTable) -> LayerView:
    attributed = [row for row in table.rows if row.layer != UNATTRIBUTED]
    rest = [row for row in table.rows if row.layer == UNATTRIBUTED]
    folded = [row for row in attributed if row.share.value < SMALLEST_SHOWN]
    if len(folded) < LEAST_FOLDED:
        folded = []
    shown = attributed[: len(attributed) - len(folded)]  # largest first
    rows = [_row(row) for row in shown]
    if folded:
        rows.append(_together(f"{len(folded)} smaller layers", None, folded, table.samples))
    return LayerView(
        title=table.title,
        samples=table.samples,
        rows=tuple(rows),
        unattributed=_together(rest[0].meaning, UNATTRIBUTED, rest, table.samples),
        sum_share=sum(row.share.count for row in table.rows) / table.samples,
        user=wilson(table.samples - table.kernel.count, table.samples),
        kernel=table.kernel,
        causes=table.causes[:MOST_CAUSES],
        faults=table.faults[:MOST_CAUSES],
        unattributed_symbols=tuple(f"{s.function} ({s.dso}): {s.samples}" for s in table.unattributed_symbols),
    )


def _row(row: LayerRow) -> LayerViewRow:
    return LayerViewRow(row.meaning, row.layer, _side([row]), row.share, row.ns_per_op)


def _together(title: str, layer: str | None, rows: Sequence[LayerRow], samples: int) -> LayerViewRow:
    known = [row.ns_per_op for row in rows if row.ns_per_op is not None]
    share = wilson(sum(row.share.count for row in rows), samples)
    return LayerViewRow(title, layer, _side(rows), share, sum(known) if known else None)


def _side(rows: Sequence[LayerRow]) -> str:
    sides = {"kernel" if row.kernel else "user" for row in rows if row.share.count}
    return sides.pop() if len(sides) == 1 else "both" if sides else "—"


def layer_matrix(tables: Sequence[LayerTable]) -> LayerMatrix | None:
    """Layers × workloads; None for a single workload, whose own table says it all."""
    single = [table for table in tables if table.workload != ALL]
    if len(single) < 2:
        return None
    largest: dict[str, float] = {}
    for table in single:
        for row in table.rows:
            largest[row.layer] = max(largest.get(row.layer, 0.0), table.share_of(row.layer).value)
    names = [name for name in largest if name == UNATTRIBUTED or largest[name] >= MATRIX_SHOWN]
    names.sort(key=lambda name: (name == UNATTRIBUTED, -largest[name], name))
    rows = [(name, tuple(table.share_of(name) for table in single)) for name in names]
    small = sorted(largest.keys() - set(names))
    if small:
        rows.insert(len(rows) - (UNATTRIBUTED in names), (SMALLER, tuple(table.share_of(*small) for table in single)))
    return LayerMatrix(tuple(table.title for table in single), tuple(rows))
