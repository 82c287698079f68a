"""Runs a target under libFuzzer: feeds inputs, notes what must not happen, goes on.

usage: python fuzz/harness.py TARGET [libFuzzer's options] [CORPUS …] [INPUT]

A target is a module with ``check(data)`` and, where blind changes of bytes get nowhere, ``mutator(data, seed)``.

An input that ends in anything but a result or a HakprofError, that takes long, or that takes much memory, is stored
once for each place at which it happened; a native crash, a hang or the memory limit stops libFuzzer itself.
"""

import hashlib
import os
import resource
import sys
import time
import traceback
from collections.abc import Callable
from functools import partial
from importlib import import_module
from pathlib import Path

import atheris

from hakprof.errors import HakprofError

SLOW_SECONDS = 0.5
MUCH_MEMORY_KIB = 64 << 10
Check = Callable[[bytes], None]
Mutator = Callable[[bytes, int], bytes | None]


class Watch:
    """Runs a check and stores the inputs that broke a promise."""

    def __init__(self, check: Check, folder: Path) -> None:
        self._check = check
        self._folder = folder
        self._seen: set[str] = set()
        self._peak = 0
        self._calls = 0

    def __call__(self, data: bytes) -> None:
        """One input. Time is CPU time, so that a busy machine is no finding."""
        self._calls += 1
        began = time.process_time()
        try:
            self._check(data)
        except HakprofError:
            pass
        except (KeyboardInterrupt, SystemExit):
            raise
        except BaseException as error:  # noqa: BLE001 - a panic of native code is no Exception
            self._store(_place(error), data, traceback.format_exc())
        took = time.process_time() - began
        if took > SLOW_SECONDS:
            self._store("slow", data, f"{took:.1f} s of CPU time for {len(data)} bytes")
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        if self._calls > 1 and peak - self._peak > MUCH_MEMORY_KIB:
            self._store("memory", data, f"{(peak - self._peak) >> 10} MiB more for {len(data)} bytes")
        self._peak = peak

    def _store(self, what: str, data: bytes, text: str) -> None:
        if what in self._seen:
            return
        self._seen.add(what)
        name = f"{what}-{hashlib.sha256(data).hexdigest()[:12]}"
        self._folder.mkdir(parents=True, exist_ok=True)
        (self._folder / name).write_bytes(data)
        (self._folder / f"{name}.txt").write_text(text)
        print(f"FINDING {name}: {text.strip().splitlines()[-1]}", file=sys.stderr, flush=True)


def main() -> None:
    """Findings go to $HAKPROF_FUZZ_FINDINGS (default: findings)."""
    with atheris.instrument_imports(include=["hakprof"]):
        target = import_module(sys.argv.pop(1))
    watch = Watch(target.check, Path(os.environ.get("HAKPROF_FUZZ_FINDINGS", "findings")))
    mutator = getattr(target, "mutator", None)
    if mutator is None:
        atheris.Setup(sys.argv, watch)
    else:
        atheris.Setup(sys.argv, watch, custom_mutator=partial(_changed, mutator))
    atheris.Fuzz()


def _changed(mutator: Mutator, data: bytes, max_size: int, seed: int) -> bytes:
    """The target's own change mostly, libFuzzer's otherwise."""
    made = mutator(data, seed) if seed % 8 else None
    changed: bytes = made if made is not None and len(made) <= max_size else atheris.Mutate(data, max_size)
    return changed


def _place(error: BaseException) -> str:
    """The kind of the error and the innermost line of ours in which it rose."""
    ours = [each for each in traceback.extract_tb(error.__traceback__) if "hakprof" in each.filename]
    last = ours[-1] if ours else traceback.extract_tb(error.__traceback__)[-1]
    return f"{type(error).__name__}-{Path(last.filename).stem}-{last.name}".replace("<", "").replace(">", "")


if __name__ == "__main__":
    main()
