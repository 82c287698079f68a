"""The allocator's own large layers, where no more specific rule has taken them: one finding that lists them.

Work that an allocator must do never vanishes, so this ranks behind everything that could, and is never severe: low
where no peer is shown to be faster, medium where one is.
"""

from hakprof.analysis import wording
from hakprof.analysis.findings import classification, front_cache, peer_gap
from hakprof.analysis.findings.common import at_most, fault_proof, layer_proof, tool_command
from hakprof.analysis.findings.model import (
    CAUSE_MAJORITY,
    HOT_LAYER,
    Context,
    Crossing,
    Finding,
    Hypothesis,
    Proof,
    Severity,
    Status,
    allocator_layers,
    crossings,
    gain_of,
)
from hakprof.analysis.instructions import InstructionRow, analyse_instructions
from hakprof.analysis.layers import LayerTable, Location, catch_all_layers, hottest_line, layer_locations
from hakprof.analysis.statistics import Share
from hakprof.analysis.trust import Concern

ID = "hot-layers"
_TAKEN = frozenset((*classification.LAYERS, *front_cache.LAYERS))


def find_hot_layers(context: Context) -> Finding | None:
    """The layers that alone cross the line on the workload where they hold most; the others are listed with it."""
    names = {layer for table in context.tables for layer in allocator_layers(table)}
    # What only its object names is unnamed code, not a layer that could be worked on.
    names -= _TAKEN | catch_all_layers(context.run)
    found = {layer: crossed for layer in names if (crossed := crossings(context, [layer], HOT_LAYER, kernel=False))}
    if not found:
        return None
    tables = _by_hot_share(found)
    lead = tables[0]
    hot = _hot_on(lead, found)
    share = lead.share_of(*hot)
    gain, title = gain_of(share), lead.title
    lines = {layer: line for layer in hot if (line := hottest_line(context.run, lead.workload, layer))}
    counted = {row.allocator: row for row in analyse_instructions(context.run) if row.workload == lead.workload}
    return Finding(
        id=ID,
        severity=Severity.MEDIUM if _behind(context, tables) else Severity.LOW,
        title=f"Time in the allocator's own layers ({wording.listing(hot)})",
        workloads=tuple(table.title for table in tables),
        impact=share,
        gain=gain,
        symptom=f"{wording.share(share)} of the samples on {title} are in {_each(lead, hot)}.",
        evidence=(
            *(proof for layer in sorted(found, key=lambda name: _rank(found, name)) for proof in _proofs(found, layer)),
            *(_line_proof(title, layer, *line) for layer, line in lines.items()),
            *(_instruction_proof(row) for row in counted.values()),
            *(fault_proof(lead, row) for row in lead.faults if row.layer in hot),
        ),
        locations=tuple(spot for layer in hot for spot in layer_locations(context.run, lead.workload, layer, most=2)),
        hypotheses=(
            _more_instructions(counted, context.run.subject),
            *(_one_line(name, *lines[name]) for name in lines),
        ),
        options=_options(hot, lines, counted, context.run.subject),
        expected=f"{at_most(gain, title)}; no allocator can make it vanish, so far less than that",
        verify=tool_command(context.run, lead.workload, ["perf", "record", "-g", "--"]),
        concerns=(Concern.LAYERS,),
    )


def _by_hot_share(found: dict[str, list[Crossing]]) -> list[LayerTable]:
    """The workloads on which some layer crosses the line, the largest sum of such layers first."""
    tables = {one.table.workload: one.table for crossed in found.values() for one in crossed}
    return sorted(tables.values(), key=lambda table: (-table.share_of(*_hot_on(table, found)).value, table.workload))


def _hot_on(table: LayerTable, found: dict[str, list[Crossing]]) -> list[str]:
    """Layers that cross the line on one workload, the largest first."""
    own = [layer for layer, crossed in found.items() if any(one.table is table for one in crossed)]
    return sorted(own, key=lambda layer: (-table.share_of(layer).count, layer))


def _rank(found: dict[str, list[Crossing]], layer: str) -> tuple[float, str]:
    return -found[layer][0].share.value, layer


def _proofs(found: dict[str, list[Crossing]], layer: str) -> list[Proof]:
    return layer_proof(found[layer], layer)


def _each(table: LayerTable, layers: list[str]) -> str:
    """The layers with their shares and, where known, their time per operation."""
    parts = []
    for layer in layers:
        row = table.row(layer)
        per_op = f", {wording.ns(row.ns_per_op)}/op" if row and row.ns_per_op is not None else ""
        parts.append(f"{layer} ({wording.pct(table.share_of(layer).value)}{per_op})")
    return wording.listing(parts)


def _where(spot: Location) -> str:
    return f"{spot.function}, {spot.file}:{spot.line}"


def _line_proof(title: str, layer: str, spot: Location, share: Share) -> Proof:
    return Proof(f"Hottest lines, {title}", _where(spot), f"{wording.share(share)} of {layer}")


def _instruction_proof(row: InstructionRow) -> Proof:
    figure = f"{row.total_per_pair:.1f} instructions per malloc/free pair, the benchmark's own included"
    return Proof(f"Instructions, {row.workload_title}", row.allocator_title, figure)


def _leanest(counted: dict[str, InstructionRow], subject: str) -> InstructionRow | None:
    peers = [row for row in counted.values() if row.allocator != subject]
    return min(peers, key=lambda row: (row.total_per_pair, row.allocator), default=None)


def _more_instructions(counted: dict[str, InstructionRow], subject: str) -> Hypothesis:
    text = "it executes more instructions than a peer needs for the same work"
    own, peer = counted.get(subject), _leanest(counted, subject)
    if own is None or peer is None:
        return Hypothesis(text, Status.UNTESTED, "callgrind counted no peer and this allocator on this workload")
    reason = (
        f"{own.total_per_pair:.1f} instructions per pair in the whole process,"
        f" {peer.total_per_pair:.1f} in {peer.allocator_title}, the leanest peer"
    )
    more = own.total_per_pair > peer.total_per_pair
    return Hypothesis(text, Status.VALIDATED if more else Status.REJECTED, reason)


def _one_line(layer: str, spot: Location, share: Share) -> Hypothesis:
    """Whether there is one place to work on. Why it takes long there, samples of time alone do not tell."""
    text = f"most of {layer} is spent at {_where(spot)}"
    status = Status.VALIDATED if share.low > CAUSE_MAJORITY else Status.UNTESTED
    status = Status.REJECTED if share.high < CAUSE_MAJORITY else status
    return Hypothesis(text, status, f"that line holds {wording.share(share)} of the layer's samples")


def _options(
    hot: list[str], lines: dict[str, tuple[Location, Share]], counted: dict[str, InstructionRow], subject: str
) -> tuple[str, ...]:
    found = [
        f"{layer}: begin at {_where(spot)}, which holds {wording.pct(share.value)} of it"
        for layer, (spot, share) in lines.items()
    ]
    own, peer = counted.get(subject), _leanest(counted, subject)
    if own is not None and own.functions:
        costly = [f"{name} ({per_pair:.1f} per pair)" for name, per_pair in own.functions[:2]]
        if peer is not None and own.total_per_pair <= peer.total_per_pair:
            total = f"{own.total_per_pair:.1f} per pair"
            found.append(f"fewer instructions promise little: {total} are already no more than any peer's")
        else:
            found.append(f"shorten the functions that execute most: {wording.listing(costly)}")
    return tuple(found) or (f"build with -g, so that the lines of {wording.listing(hot)} can be named",)


def _behind(context: Context, tables: list[LayerTable]) -> bool:
    rows = (context.throughput.row(table.workload, context.run.subject) for table in tables)
    return any(row is not None and peer_gap.is_behind(context, row) for row in rows)
