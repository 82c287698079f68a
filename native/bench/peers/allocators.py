"""Who takes part: hakmem in two ways, the allocators that are installed, and the ceilings."""

import os
import subprocess
from dataclasses import dataclass
from pathlib import Path

LIBRARY_FOLDERS = ("/usr/lib/x86_64-linux-gnu", "/usr/lib/aarch64-linux-gnu", "/usr/lib", "/usr/local/lib")


@dataclass(frozen=True, slots=True)
class Peer:
    """Another allocator: the files it may have and the Debian package that brings it."""

    name: str
    files: tuple[str, ...]
    package: str

    def library(self) -> Path | None:
        places = (Path(folder, file) for file in self.files for folder in LIBRARY_FOLDERS)
        return next((place for place in places if place.exists()), None)

    def version(self) -> str:
        """The package's version, or the file's name where it does not come from a package."""
        library = self.library()
        assert library is not None
        asked = ["dpkg-query", "-W", "-f", "${Version}", self.package]
        try:
            told = subprocess.run(asked, capture_output=True, text=True, check=False).stdout.strip()
        except OSError:
            told = ""
        return told or library.resolve().name


PEERS = (
    Peer("mimalloc", ("libmimalloc.so.2", "libmimalloc.so.2.0"), "libmimalloc2.0"),
    Peer("jemalloc", ("libjemalloc.so.2",), "libjemalloc2"),
    Peer("tcmalloc", ("libtcmalloc_minimal.so.4",), "libtcmalloc-minimal4"),
)
PEER_NAMES = ("system", *(peer.name for peer in PEERS))
HAKMEM, LINKED, INSTRUMENTED = "hakmem", "linked in", "instrumented"
NULL, NULL_LINKED, EMPTY = "null", "null linked in", "empty"


@dataclass(frozen=True, slots=True)
class Contender:
    """One column: which binary of a benchmark, what is preloaded, and the benchmark's allocator mode."""

    name: str
    suffix: str = ""
    preload: Path | None = None
    mode: str = "real"

    def command(self, build: Path, command: tuple[str, ...]) -> list[str]:
        program = str(build / "bin" / (command[0] + self.suffix))
        return [program, *command[1:], "--allocator-mode", self.mode]


def contenders(build: Path, instrumented: Path | None) -> list[Contender]:
    """Everybody that can run here, hakmem first."""
    found = [Contender(HAKMEM, preload=build / "lib" / "libhakmem.so"), Contender(LINKED, suffix="_hakmem")]
    if instrumented is not None:
        found.append(Contender(INSTRUMENTED, preload=instrumented / "lib" / "libhakmem.so"))
    found.append(Contender("system"))
    found += [Contender(peer.name, preload=library) for peer in PEERS if (library := peer.library()) is not None]
    found.append(Contender(NULL, preload=build / "lib" / "libnull.so"))
    return [*found, Contender(NULL_LINKED, mode="null"), Contender(EMPTY, mode="empty")]


def absent_peers() -> list[Peer]:
    return [peer for peer in PEERS if peer.library() is None]


def environment(preload: Path | None) -> dict[str, str]:
    """Ours, without what would change an allocator, and with the one that is meant."""
    kept = {
        key: value for key, value in os.environ.items() if not key.startswith(("HAKMEM_", "MIMALLOC_", "TCMALLOC_"))
    }
    for key in ("LD_PRELOAD", "MALLOC_CONF", "GLIBC_TUNABLES"):
        kept.pop(key, None)
    if preload is not None:
        kept["LD_PRELOAD"] = str(preload)
    return kept
