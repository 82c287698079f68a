"""Call chains of a recording, by hakprof and by perf script, so that they can be compared."""

import subprocess
from collections import Counter
from pathlib import Path

from hakprof.parse.perf_data import PerfProfile


def own_chains(profile: PerfProfile, *, unwound: bool) -> Counter[tuple[int, ...]]:
    """Chains as perf prints them: offsets in the file; those that it unwound itself with callers one byte back.

    Besides all, those of events that ask for it in their names.
    """
    unwinds = [unwound or "call-graph=dwarf" in event.name for event in profile.events]
    shift = [offset - start for offset, start in profile.mappings.select("file_offset", "start").iter_rows()]
    stacks, chains = profile.stacks, Counter[tuple[int, ...]]()
    for event, stack, count in profile.samples.select("event", "stack_id", "count").iter_rows():
        part = slice(int(stacks.offsets[stack - 1]), int(stacks.offsets[stack]))
        columns = (c[part].tolist() for c in (stacks.address, stacks.kernel, stacks.exact, stacks.mapping))
        chains[
            tuple(
                address
                if kernel
                else address - (unwinds[event] and not exact) + (shift[mapping] if mapping >= 0 else 0)
                for address, kernel, exact, mapping in zip(*columns, strict=True)
            )
        ] += count
    return chains


def perf_chains(recording: Path) -> Counter[tuple[int, ...]]:
    """Chains as `perf script` prints them."""
    command = ["perf", "script", "--no-inline", "-F", "ip", "-i", str(recording)]
    printed = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    chains = Counter[tuple[int, ...]]()
    for block in filter(str.strip, printed.split("\n\n")):
        words = [int(word, 16) for word in block.split()]
        # Where the stack bytes end perf goes on with the address 0, less one.
        chains[tuple(words[:-1] if words[-1] == 2**64 - 1 else words)] += 1
    return chains
