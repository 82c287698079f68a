"""How exact hakprof is: every kind of recording that the tests know, made here and compared with perf.

    python benchmarks/accuracy.py [--variants NAME…] > benchmarks/accuracy.md

For each variant: samples, whether the totals of all events equal perf report's, half the sum of absolute differences
per (event, comm, dso, symbol), and how many call chains equal perf script's, address by address. Inline chains are
compared with `addr2line -i` at the hot addresses of the recorded programs.
"""

import argparse
import platform
import subprocess
import sys
import tempfile
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "tests"))

from debug_forms import addr2line
from perf_chains import own_chains, perf_chains
from perf_programs import why_not_built
from perf_recordings import perf_table, why_not_live
from perf_variants import VARIANTS, difference, for_perf, own_table, record_variant

from hakprof.elf import read_elf
from hakprof.parse.perf_data import PerfProfile, read_perf_data
from hakprof.symbols import Symbolizer
from hakprof.symbols.demangle import demangle

_NO_ORDER = "passes whatever the difference is, and 0 is luck: without times samples and execs have no order"


@dataclass(slots=True)
class InlineCount:
    """Hot addresses whose inline chain was compared, and those that were equal."""

    compared: int = 0
    equal: int = 0
    inlined: int = 0


def main() -> int:
    """Prints the table; 1 when a variant is beyond what is promised."""
    parser = argparse.ArgumentParser(description="Compare hakprof with perf on every kind of recording.")
    parser.add_argument("--variants", nargs="*", default=list(VARIANTS), choices=list(VARIANTS), metavar="NAME")
    chosen = parser.parse_args().variants
    reason = why_not_live()
    if reason:
        print(f"accuracy: {reason}", file=sys.stderr)
        return 3
    perf = subprocess.run(["perf", "--version"], capture_output=True, text=True, check=True).stdout.strip()
    print(f"Every kind of recording that hakprof reads, against {perf} on Linux {platform.release()}; made by")
    print("`python benchmarks/accuracy.py`.\n")
    print("| variant | samples | totals equal | difference | chains equal | notes |")
    print("|---|---:|---|---:|---:|---|")
    inlines, is_exact = InlineCount(), True
    with tempfile.TemporaryDirectory(prefix="hakprof-accuracy-") as folder:
        for name in chosen:
            is_exact &= _compare(name, Path(folder), inlines)
    print(
        f"\nInline chains: {inlines.equal} of {inlines.compared} hot addresses of the recorded programs equal to"
        f" `addr2line -i`; {inlines.inlined} of them have inlined functions."
    )
    return 0 if is_exact and inlines.equal >= 0.999 * inlines.compared else 1


def _compare(name: str, folder: Path, inlines: InlineCount) -> bool:
    """Prints the row of a variant; whether it is within what is promised."""
    variant = VARIANTS[name]
    missing = why_not_built(variant.program)
    if missing or (variant.needs is not None and not variant.needs.exists()):
        print(f"| {name} | | | | | not recorded: {missing or f'{variant.needs} is not there'} |", flush=True)
        return True
    recording = record_variant(name, folder)
    symbolizer = Symbolizer()
    profile = read_perf_data(recording, frames=symbolizer.call_frames)
    mine, theirs = own_table(profile, symbolizer), perf_table(for_perf(name, recording))
    share, _ = difference(mine, theirs)
    totals = _totals(mine) == _totals(theirs)
    # perf script does not heed the choice of fields when it reads from a pipe.
    chains = (
        ""
        if variant.way == "pipe"
        else _chains(profile, for_perf(name, recording), unwound="--call-graph" in variant.options)
    )
    notes = [f"`perf record {' '.join(variant.options)}`"]
    notes += [] if variant.has_order else [_NO_ORDER]
    notes += [each.split(":")[0] for each in profile.warnings]
    cells = [name, f"{profile.sample_count:,}", "yes" if totals else "no", f"{share:.4%}", chains, "; ".join(notes)]
    print(f"| {' | '.join(cells)} |", flush=True)
    _count_inlines(profile, symbolizer, folder, inlines)
    return totals and (share <= 0.0001 or not variant.has_order)


def _totals(table: Counter[tuple[str, str, str, str]]) -> Counter[str]:
    totals = Counter[str]()
    for (event, _, _, _), count in table.items():
        totals[event] += count
    return totals


def _chains(profile: PerfProfile, recording: Path, *, unwound: bool) -> str:
    """The share of call chains that perf script has too."""
    if not profile.has_chains:
        return ""
    mine, theirs = own_chains(profile, unwound=unwound), perf_chains(recording)
    return f"{(mine & theirs).total() / max(theirs.total(), 1):.2%}"


def _count_inlines(profile: PerfProfile, symbolizer: Symbolizer, folder: Path, inlines: InlineCount) -> None:
    """Compares the inline chains at the sampled addresses of the programs that were built for this."""
    for mapping, start, offset, path, identity in (
        profile.mappings.with_row_index("mapping")
        .select("mapping", "start", "file_offset", "path", "build_id")
        .iter_rows()
    ):
        if not path.startswith(str(folder)):
            continue
        hot = np.unique(profile.samples.filter(mapping=mapping)["ip"].to_numpy()) - np.uint64(start) + np.uint64(offset)
        elf = read_elf(Path(path))
        places = [(o, s) for o in hot.tolist() for s in elf.segments if s.offset <= o < s.offset + s.file_size]
        expected = addr2line(Path(path), [o - s.offset + s.address for o, s in places])
        found = symbolizer.user_frames(path, identity, np.array([o for o, _ in places], dtype=np.uint64))
        for frames, chain in zip(found, expected, strict=True):
            if frames and chain and chain[0][1] not in {"??:0", "??:?"}:
                names = [demangle(name) for name, _ in chain[:-1]]
                inlines.compared += 1
                inlines.inlined += bool(names)
                inlines.equal += [f.function for f in frames[:-1]] == names


if __name__ == "__main__":
    sys.exit(main())
