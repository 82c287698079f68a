"""Builds the compiled walker with the package: one C file, a plain shared library, loaded through ctypes.

A build without a C compiler gives a package that is complete and slower: numpy then does the walker's work. With one,
the wheel is for this kind of machine, but for every Python version. By hand, in a checkout: `python hatch_build.py`.
"""

import os
import shlex
import shutil
import subprocess
import sys
import sysconfig
from pathlib import Path
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface

SOURCE = Path("hakprof/parse/perf_data/walker.c")
LIBRARY = SOURCE.with_suffix(".so")
FLAGS = ("-std=c11", "-O2", "-fPIC", "-shared", "-Wall", "-Wextra")


class WalkerBuildHook(BuildHookInterface):
    """Puts the library into the wheel, or beside its source for an editable install."""

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        """Called by hatchling before it gathers the files of a wheel."""
        if build(Path(self.root)):
            build_data["artifacts"].append(f"/{LIBRARY.as_posix()}")
            build_data["pure_python"] = False
            build_data["tag"] = f"py3-none-{sysconfig.get_platform().replace('-', '_').replace('.', '_')}"


def build(root: Path) -> bool:
    """Compiles the walker in a checkout; whether it is there now. Written aside and renamed: it may be in use."""
    compiler = shlex.split(os.environ.get("CC", "")) or [shutil.which("gcc") or shutil.which("cc") or ""]
    partial = root / LIBRARY.with_suffix(f".{os.getpid()}.partial")
    try:
        subprocess.run([*compiler, *FLAGS, str(root / SOURCE), "-o", str(partial)], check=True)
        partial.replace(root / LIBRARY)
    except (OSError, subprocess.CalledProcessError) as error:
        partial.unlink(missing_ok=True)
        print(f"the compiled walker is left out, numpy does its work: {error}", file=sys.stderr)
        return False
    return True


if __name__ == "__main__":
    sys.exit(not build(Path(__file__).resolve().parent))
