"""Starts benchmarks and small programs on hakmem and reads what they and the allocator tell.

The first argument of the test is the folder of an instrumented build; its benchmarks run on any library."""

import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path

BUILD = Path(sys.argv[1]).resolve()
LIBRARY = BUILD / "lib/libhakmem.so"
WORKLOADS = {
    "small": ("random_mixed", "--ops", "50000", "--size", "128"),
    "mixed": ("random_mixed", "--ops", "50000"),
    "toggle": ("random_mixed", "--ops", "50000", "--mode", "toggle"),
    "larson": ("larson", "--ops", "60000", "--threads", "3", "--rounds", "5"),
    "mid": ("mid_large_mt", "--ops", "20000"),
    "remote": ("producer_consumer", "--ops", "30000"),
    "batch": ("batch", "--ops", "30", "--size", "4000"),
    "churn": ("churn", "--ops", "1", "--ws", "5000"),
    "threads": ("thread_churn", "--ops", "50", "--threads", "2"),
    "large": ("random_mixed", "--ops", "2000", "--size", "20000:3000000", "--ws", "50", "--warmup", "0"),
}
# Slabs that are emptied and wanted again all the time.
EMPTYING = ("batch", "--ops", "50", "--warmup", "1", "--ws", "20000", "--size", "500:1000")
DRAINS = {"HAKMEM_TINY_SLL_DRAIN_INTERVAL": "5", "HAKMEM_TINY_FAST_CAP": "1"}


def run(
    command: tuple[str, ...], *, library: Path = LIBRARY, direct: bool = False, **settings: str
) -> tuple[dict, dict, str]:
    """Benchmark's line, counters, stderr."""
    with tempfile.TemporaryDirectory() as folder:
        stats = Path(folder, "stats.json")
        environment = {**os.environ, "HAKMEM_STATS_FILE": str(stats), **settings}
        if not direct:
            environment["LD_PRELOAD"] = str(library)
        arguments = [str(BUILD / "bin" / (command[0] + ("_hakmem" if direct else ""))), *command[1:]]
        done = subprocess.run(arguments, env=environment, capture_output=True, text=True, timeout=120, check=False)
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout), json.loads(stats.read_text()), done.stderr


def run_python(code: str, *, library: Path = LIBRARY, **settings: str) -> tuple[str, dict, str]:
    """Output, counters and stderr of a python3 on hakmem; `libc` in its code is the C library with malloc and free."""
    prologue = (
        "import ctypes\n"
        "libc = ctypes.CDLL(None)\n"
        "libc.malloc.argtypes, libc.malloc.restype = [ctypes.c_size_t], ctypes.c_void_p\n"
        "libc.free.argtypes, libc.free.restype = [ctypes.c_void_p], None\n"
    )
    with tempfile.TemporaryDirectory() as folder:
        stats = Path(folder, "stats.json")
        preload = {"LD_PRELOAD": str(library), "HAKMEM_STATS_FILE": str(stats)}
        done = subprocess.run(
            [sys.executable, "-c", prologue + code],
            env={**os.environ, **preload, **settings},
            capture_output=True,
            text=True,
            timeout=120,
            check=True,
        )
        return done.stdout, json.loads(stats.read_text()), done.stderr
