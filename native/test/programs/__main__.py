"""Real programs on hakmem by LD_PRELOAD. What is not installed is named and skipped.

python3 test/programs --release LIBRARY --instrumented LIBRARY [--all] [--only NAME …] [--build FOLDER …]"""

import argparse
import shutil
import sys
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor, as_completed
from pathlib import Path

import cpython
import settings
import tools
from redis_server import RedisServer
from runs import Failed, Place, Skipped

NATIVE = Path(__file__).resolve().parents[2]
AT_ONCE = 2
Check = Callable[[Place], str]


def cases(*, everything: bool, builds: list[Path]) -> dict[str, Check]:
    """Those that take longest come first, so that the last one does not run alone."""
    modules = [cpython.TestModule(name, twice=False) for name in cpython.WAITING]
    modules += [cpython.TestModule(name) for name in cpython.QUICK]
    found: dict[str, Check] = {f"make -j2: {folder}": tools.build_of(folder).check for folder in builds}
    if everything:
        modules += [cpython.TestModule(name, twice=False, limit=900) for name in cpython.LONG]
        found |= {name: program.check for name, program in tools.slow_catalogue(NATIVE).items()}
    found |= {f"python3 -m test {module.name}": module.check for module in modules}
    found |= {name: program.check for name, program in tools.catalogue(NATIVE).items()}
    found |= {"redis-server: filled, benchmarked, saved, loaded": RedisServer().check}
    found |= {name: case.check for name, case in settings.catalogue().items()}
    return found


def judged(name: str, check: Check, place: Place) -> tuple[str, str]:
    """("ok", "--" or "failed", a line to print)."""
    began = time.monotonic()
    try:
        return "ok", f"ok {name}: {check(place)} ({time.monotonic() - began:.1f} s)"
    except Skipped as reason:
        return "--", f"-- {name}: skipped, {reason}"
    except Failed as reason:
        return "failed", f"failed {name}: {reason}"


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--release", type=Path, required=True, help="libhakmem.so of the release flavour")
    parser.add_argument("--instrumented", type=Path, required=True, help="the same of the instrumented flavour")
    parser.add_argument("--all", action="store_true", help="also what takes minutes")
    parser.add_argument("--only", nargs="+", metavar="NAME", help="cases whose name contains one of these")
    parser.add_argument("--build", nargs="+", type=Path, default=[], metavar="FOLDER", help="also build these sources")
    return parser.parse_args()


def open_to_all(library: Path, folder: Path) -> Path:
    """A copy that programs can load after they have become another user: the build's folder may be closed to others."""
    copy = Path(tempfile.mkdtemp(dir=folder), library.name)
    copy.parent.chmod(0o755)
    shutil.copy(library, copy)
    copy.chmod(0o755)
    return copy


def main() -> int:
    options = parse()
    chosen = {
        name: check
        for name, check in cases(everything=options.all, builds=[folder.resolve() for folder in options.build]).items()
        if options.only is None or any(part in name for part in options.only)
    }
    counts = {"ok": 0, "--": 0, "failed": 0}
    with tempfile.TemporaryDirectory() as folder, ThreadPoolExecutor(AT_ONCE) as pool:
        Path(folder).chmod(0o755)
        release, instrumented = (open_to_all(library, Path(folder)) for library in (options.release, options.instrumented))
        waiting = []
        for index, (name, check) in enumerate(chosen.items()):
            own = Path(folder, str(index))
            own.mkdir()
            place = Place(release, instrumented, own)
            waiting.append(pool.submit(judged, name, check, place))
        for done in as_completed(waiting):
            state, line = done.result()
            counts[state] += 1
            print(line, flush=True)
    print(f"programs: {counts['ok']} passed, {counts['--']} skipped, {counts['failed']} failed")
    return 1 if counts["failed"] or not counts["ok"] else 0


if __name__ == "__main__":
    sys.exit(main())
