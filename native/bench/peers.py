#!/usr/bin/env python3
"""Table of hakmem against the allocators that are installed: interleaved runs, medians, ratios, peak memory.

    python3 bench/peers.py --build native/build/release [--runs 7] [--only NAME …] [--direct]

Every run is a process of its own. The order rotates from round to round, so that drift of the machine hits all alike.
Ratios are to the fastest peer in the same batch; `ceiling` is an allocator that does nothing (--allocator-mode null)."""

import argparse
import json
import os
import statistics
import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path

LIBRARY_FOLDERS = (
    Path("/usr/lib/x86_64-linux-gnu"),
    Path("/usr/lib/aarch64-linux-gnu"),
    Path("/usr/lib"),
    Path("/usr/local/lib"),
)
PEERS = {
    "mimalloc": ("libmimalloc.so.2", "libmimalloc.so.2.0"),
    "jemalloc": ("libjemalloc.so.2",),
    "tcmalloc": ("libtcmalloc_minimal.so.4",),
}
WORKLOADS = {
    "128 B": ["random_mixed", "--size", "128", "--ops", "10000000"],
    "256 B": ["random_mixed", "--size", "256", "--ops", "10000000"],
    "512 B": ["random_mixed", "--size", "512", "--ops", "10000000"],
    "1024 B": ["random_mixed", "--size", "1024", "--ops", "10000000"],
    "mixed 16-1040 B": ["random_mixed", "--ops", "10000000"],
    "mixed, ws 8192": ["random_mixed", "--ws", "8192", "--ops", "10000000"],
    "mixed, toggle": ["random_mixed", "--mode", "toggle", "--ops", "10000000"],
    "short cold run": ["random_mixed", "--mode", "toggle", "--ops", "200000", "--warmup", "0"],
    "larson 8-128 B, 1T": ["larson", "--ops", "20000000"],
    "larson 8-128 B, 2T": ["larson", "--ops", "20000000", "--threads", "2"],
    "larson 8-1000 B, 5000": ["larson", "--size", "8:1000", "--ws", "5000", "--ops", "10000000"],
    "mid 8-32 KB, 1T": ["mid_large_mt", "--threads", "1", "--mode", "replace", "--ops", "2000000"],
    "mid 8-32 KB, 2T": ["mid_large_mt", "--threads", "2", "--mode", "replace", "--ops", "1000000"],
    "producer-consumer": ["producer_consumer", "--ops", "2000000"],
    "batch 1000 x 128 B": ["batch", "--ops", "10000"],
    "batch 1000 x 4000 B": ["batch", "--size", "4000", "--ops", "5000"],
    "lifo 128 B": ["batch", "--ws", "1", "--ops", "20000000"],
    "churn 64-4096 B": ["churn", "--ops", "20"],
    "thread churn": ["thread_churn", "--ops", "2000"],
    "thread per 1024 ops": ["larson", "--rounds", "1", "--ops", "2000000"],
}


@dataclass
class Samples:
    """What the runs of one allocator on one workload gave."""

    ops_per_second: list[float] = field(default_factory=list)
    peak_bytes: list[int] = field(default_factory=list)
    failures: int = 0

    def median(self) -> float:
        return statistics.median(self.ops_per_second) if self.ops_per_second else 0.0


def installed_peers() -> dict[str, Path]:
    found: dict[str, Path] = {}
    for name, files in PEERS.items():
        for path in (folder / file for file in files for folder in LIBRARY_FOLDERS):
            if path.exists():
                found[name] = path
                break
    return found


def one_run(command: list[str], preload: Path | None, samples: Samples) -> None:
    environment = {key: value for key, value in os.environ.items() if not key.startswith("HAKMEM_")}
    if preload is not None:
        environment["LD_PRELOAD"] = str(preload)
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=300, check=False)
    if done.returncode != 0:
        samples.failures += 1
        return
    result = json.loads(done.stdout)
    samples.ops_per_second.append(result["ops_per_second"])
    samples.peak_bytes.append(result["vm_hwm_bytes"])


def contenders(build: Path, *, direct: bool) -> dict[str, tuple[str, Path | None]]:
    """Name → suffix of the binary and what is preloaded."""
    table: dict[str, tuple[str, Path | None]] = {"hakmem": ("", build / "lib" / "libhakmem.so"), "system": ("", None)}
    table.update({name: ("", path) for name, path in installed_peers().items()})
    if direct:
        table["hakmem direct"] = ("_hakmem", None)
    table["ceiling"] = ("", None)
    return table


def measure(
    build: Path, arguments: list[str], table: dict[str, tuple[str, Path | None]], runs: int
) -> dict[str, Samples]:
    samples = {name: Samples() for name in table}
    names = list(table)
    for turn in range(runs):
        for name in names[turn % len(names) :] + names[: turn % len(names)]:
            suffix, preload = table[name]
            command = [str(build / "bin" / (arguments[0] + suffix)), *arguments[1:]]
            if name == "ceiling":
                command += ["--allocator-mode", "null"]
            one_run(command, preload, samples[name])
    return samples


def row(name: str, samples: dict[str, Samples]) -> str:
    peers = {key: value for key, value in samples.items() if key not in ("hakmem", "hakmem direct", "ceiling")}
    best = max(peers, key=lambda key: peers[key].median())
    ours = samples["hakmem"].median()
    cells = [name]
    for value in samples.values():
        memory = statistics.median(value.peak_bytes) / 2**20 if value.peak_bytes else 0.0
        cells.append(f"failed ×{value.failures}" if value.failures else f"{value.median() / 1e6:.1f} / {memory:.1f}")
    cells.append(f"**{ours / peers[best].median():.2f}** ({best})")
    cells.append(f"{ours / samples['system'].median():.2f}")
    cells.append(f"{ours / samples['ceiling'].median():.2f}")
    return "| " + " | ".join(cells) + " |"


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--build", type=Path, required=True, help="folder with lib/ and bin/")
    parser.add_argument("--runs", type=int, default=7)
    parser.add_argument(
        "--only", nargs="*", default=[], metavar="NAME", help="workloads whose name contains one of these"
    )
    parser.add_argument("--direct", action="store_true", help="add hakmem linked into the benchmark")
    options = parser.parse_args()
    chosen = {
        key: value for key, value in WORKLOADS.items() if not options.only or any(part in key for part in options.only)
    }
    if not chosen:
        print(f"no workload matches {options.only}; there are: {', '.join(WORKLOADS)}", file=sys.stderr)
        return 2
    table = contenders(options.build, direct=options.direct)
    print(f"median of {options.runs} interleaved runs: million operations a second / peak RSS in MB\n")
    print("| workload | " + " | ".join(table) + " | vs best peer | vs system | of ceiling |")
    print("|---" * (len(table) + 4) + "|")
    for name, arguments in chosen.items():
        print(row(name, measure(options.build, arguments, table, options.runs)), flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
