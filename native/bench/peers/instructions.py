"""Instructions of one malloc+free pair, counted by callgrind.

A long run less a short one, over the pairs that they differ by: start-up, warm-up and exit cancel out. The loop of the
benchmark, its calls and the dynamic linker's jump are in it, and `empty` tells the loop's share."""

import re
import shutil
import subprocess
from collections.abc import Sequence
from pathlib import Path

from allocators import INSTRUMENTED, Contender, environment

PAIRS = (20000, 120000)


def can_count() -> bool:
    return shutil.which("valgrind") is not None


def _instructions(contender: Contender, build: Path, pairs: int) -> int | None:
    run = contender.command(build, ("random_mixed", "--size", "128", "--ops", str(pairs)))
    done = subprocess.run(
        ["valgrind", "--tool=callgrind", "--callgrind-out-file=/dev/null", *run],
        env=environment(contender.preload), capture_output=True, text=True, timeout=300, check=False,
    )  # fmt: skip
    counted = re.search(r"Collected : (\d+)", done.stderr)
    return int(counted[1]) if done.returncode == 0 and counted else None


def per_pair(contender: Contender, build: Path) -> float | None:
    """None where the allocator does not run under valgrind."""
    short, long = (_instructions(contender, build, pairs) for pairs in PAIRS)
    return None if short is None or long is None else (long - short) / (PAIRS[1] - PAIRS[0])


def count(contenders: Sequence[Contender], build: Path) -> dict[str, float | None]:
    return {each.name: per_pair(each, build) for each in contenders if each.name != INSTRUMENTED}
