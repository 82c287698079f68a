"""C11 and C12: cells that did not end well or were never run, and what the machine could not measure."""

from hakprof.analysis import wording
from hakprof.analysis.inputs import RunData
from hakprof.analysis.labels import allocator_title, workload_title
from hakprof.analysis.trust.model import Concern, Evidence, TrustCheck, Verdict, worst, worst_first
from hakprof.model.run import Cell, CellResult, CellStatus

_ENDINGS = {
    CellStatus.FAILED: "exited with status {result.exit_code}",
    CellStatus.CRASHED: "was ended by {result.signal}",
    CellStatus.TIMEOUT: "ran into its time limit",
    CellStatus.TOOL_FAILED: "could not be measured: the tool failed",
}
_SILENT = "exited with status 0, and its benchmark line is missing or cannot be read"


def check_endings(run: RunData) -> TrustCheck:
    """A crash or a time-out is a result, and one that the averages do not show."""
    bad = [result for result in run.results if result.status != CellStatus.OK]
    done = {result.cell.id for result in run.results}
    missing = [cell for cell in run.manifest.cells if cell.id not in done]
    told = set(run.bench["cell"].to_list())
    silent = [result for result in run.results if result.status == CellStatus.OK and result.cell.id not in told]
    rows = [_row(run, result) for result in bad]
    rows += [Evidence(_name(run, result.cell), _SILENT, _blame(run, result)) for result in silent]
    if run.manifest.finished_utc is not None:
        rows += [Evidence(_name(run, cell), "planned, and no result of it is stored", Verdict.WARN) for cell in missing]
    elif missing:
        detail = f"{len(missing)} of {len(run.manifest.cells)} were not run yet"
        rows.append(Evidence("planned cells", detail, Verdict.WARN))
    total = len(run.manifest.cells)
    if not rows:
        summary = f"All {total} cells ran and ended well."
    else:
        summary = f"{len(bad) + len(silent)} of {total} cells did not end well, {len(missing)} have no result."
        summary += f" {rows[0].what}: {rows[0].detail}."
    verdict = worst([row.verdict for row in rows]) if rows else Verdict.PASS
    remedy = "read the program's last output below; `hakprof collect --resume` runs what is missing" if rows else None
    return TrustCheck("C11", "every cell ended well", verdict, summary, worst_first(rows), (Concern.RESULTS,), remedy)


def ending(result: CellResult) -> str:
    """How a cell ended, in words."""
    return _ENDINGS.get(result.status, "ended well").format(result=result)


def _row(run: RunData, result: CellResult) -> Evidence:
    return Evidence(_name(run, result.cell), ending(result), _blame(run, result))


def _name(run: RunData, cell: Cell) -> str:
    names = (workload_title(run, cell.workload), allocator_title(run, cell.allocator), cell.variant, cell.collector)
    return f"{', '.join(names)}, run {cell.repetition + 1}"


def _blame(run: RunData, result: CellResult) -> Verdict:
    own = result.cell.allocator == run.subject and result.status != CellStatus.TOOL_FAILED
    return Verdict.FAIL if own else Verdict.WARN


def check_capabilities(run: RunData) -> TrustCheck:
    """What the study asked for and the machine could not give; each is said once, with its remedy."""
    title = "the machine could measure what was asked"
    rows = [Evidence(one.what, one.reason, Verdict.WARN) for one in run.manifest.skipped]
    rows += [
        Evidence(one.name, one.detail + (f"; replaced by {one.replaced_by}" if one.replaced_by else ""), Verdict.WARN)
        for one in run.manifest.capabilities
        if not one.available
    ]
    rows += [Evidence("input", warning, Verdict.WARN) for warning in run.warnings]
    if not rows:
        summary = "Everything that was asked for could be measured; nothing was skipped."
        return TrustCheck("C12", title, Verdict.PASS, summary)
    names = list(dict.fromkeys(row.what for row in rows))
    summary = f"Missing, replaced or read with a reservation: {wording.listing(names)}."
    return TrustCheck(
        "C12", title, Verdict.WARN, summary, tuple(rows), (), "`hakprof doctor` names the commands that mend it"
    )
