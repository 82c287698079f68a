#!/usr/bin/env python3
"""What `make` produces: the build string, stale strings, exported names, and a release without instrumentation.

python3 test/test_build.py NATIVE-FOLDER SCRATCH-FOLDER"""

import hashlib
import shutil
import stat
import subprocess
import sys
import unittest
from pathlib import Path

ROOT = Path(sys.argv[1]).resolve()
SCRATCH = Path(sys.argv[2]).resolve()
FAMILY = {
    "malloc", "free", "calloc", "realloc", "reallocarray", "posix_memalign", "aligned_alloc", "memalign",
    "valloc", "pvalloc", "malloc_usable_size", "malloc_trim", "cfree",
}  # fmt: skip
TARGETS = ("lib/libhakmem.so", "bin/random_mixed", "bin/random_mixed_hakmem", "bin/random_mixed_system")


def make(out: Path, *settings: str, root: Path = ROOT, targets: tuple[str, ...] = TARGETS) -> None:
    wanted = [str(out / target) for target in targets]
    command = ["make", "-s", "-j2", "-f", str(root / "Makefile"), f"OUT={out}", *settings, *wanted]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "warning" not in done.stderr, done.stderr


def build_string(binary: Path) -> dict[str, str]:
    dump = SCRATCH / "section"
    subprocess.run(["objcopy", f"--dump-section=.hakprof.build={dump}", str(binary), "/dev/null"], check=True)
    content = dump.read_bytes()
    assert content.count(b"\0") == 1 and content.endswith(b"\0"), "one NUL-terminated string"
    return dict(line.split("=", 1) for line in content[:-1].decode().splitlines())


def build_id(binary: Path) -> str:
    notes = subprocess.run(["readelf", "-n", str(binary)], capture_output=True, text=True, check=True).stdout
    return next(line.split()[-1] for line in notes.splitlines() if "Build ID" in line)


def strings(binary: Path) -> str:
    return subprocess.run(["strings", "-a", str(binary)], capture_output=True, text=True, check=True).stdout


def sources_hash(root: Path) -> str:
    """The contract: sha256 over `<relative path>\\n` + content of each file, in the order of the C locale."""
    files = [*root.glob("src/*.[ch]"), *root.glob("bench/*.[ch]"), root / "Makefile"]
    digest = hashlib.sha256()
    for path in sorted(files, key=lambda path: path.relative_to(root).as_posix().encode()):
        digest.update(path.relative_to(root).as_posix().encode() + b"\n" + path.read_bytes())
    return digest.hexdigest()


class Build(unittest.TestCase):
    """One release and one instrumented build, made once."""

    @classmethod
    def setUpClass(cls) -> None:
        shutil.rmtree(SCRATCH, ignore_errors=True)
        SCRATCH.mkdir(parents=True)
        cls.release, cls.instrumented = SCRATCH / "release", SCRATCH / "instrumented"
        make(cls.release, "COMMIT=abc123", "DIRTY=0")
        make(cls.instrumented, "FLAVOUR=instrumented", "COMMIT=abc123", "DIRTY=0", "SOURCES=feed")

    def test_every_binary_says_its_build(self) -> None:
        for target in TARGETS:
            told = build_string(self.release / target)
            expected = {"project", "commit", "dirty", "flavour", "switches", "compiler", "flags", "sources"}
            self.assertEqual(set(told), expected, target)
            self.assertEqual((told["project"], told["commit"], told["dirty"]), ("hakmem", "abc123", "0"))
            self.assertEqual(told["flavour"], "release")
            self.assertIn("-O2", told["flags"])
            self.assertRegex(build_id(self.release / target), r"^[0-9a-f]{40}$")
        told = build_string(self.instrumented / "lib/libhakmem.so")
        self.assertEqual((told["flavour"], told["sources"]), ("instrumented", "feed"))

    def test_sources_hash_is_the_documented_one(self) -> None:
        self.assertEqual(build_string(self.release / TARGETS[0])["sources"], sources_hash(ROOT))

    def test_a_changed_fact_relinks_and_an_unchanged_one_does_not(self) -> None:
        out = SCRATCH / "changes"
        base = ["COMMIT=one", "DIRTY=0", "SOURCES=s1", "FLAVOUR=release"]
        make(out, *base)
        library = out / "lib/libhakmem.so"
        first = library.stat().st_mtime_ns
        make(out, *base)
        self.assertEqual(library.stat().st_mtime_ns, first)
        changes = {
            "commit": "COMMIT=two",
            "dirty": "DIRTY=1",
            "sources": "SOURCES=s2",
            "switches": "SWITCHES=-DHAK_COLOUR=0",
        }
        for key, setting in changes.items():
            make(out, *[item for item in base if not item.startswith(setting.split("=")[0])], setting)
            for target in TARGETS:
                self.assertEqual(build_string(out / target)[key], setting.split("=", 1)[1], (key, target))

    def test_exports_only_the_malloc_family(self) -> None:
        listing = subprocess.run(
            ["nm", "-D", "--defined-only", str(self.release / TARGETS[0])], capture_output=True, text=True, check=True
        ).stdout
        self.assertEqual({line.split()[-1] for line in listing.splitlines()}, FAMILY)

    def test_release_holds_no_instrumentation(self) -> None:
        for target in ("lib/libhakmem.so", "bin/random_mixed_hakmem"):
            symbols = subprocess.run(
                ["nm", str(self.release / target)], capture_output=True, text=True, check=True
            ).stdout
            self.assertNotIn("hak_stat", symbols)
            text = strings(self.release / target)
            for word in (
                "FREE_ROUTE",
                "SS_ACQUIRE",
                "MEM_TRACE",
                "HAKMEM_STATS_FILE",
                "HAKMEM_SIZE_HIST",
                "alloc_routes",
                "size_histogram",
            ):
                self.assertNotIn(word, text)
                self.assertIn(word, strings(self.instrumented / target))

    def test_thread_local_storage_fits_into_dlopen_surplus(self) -> None:
        headers = subprocess.run(
            ["readelf", "-lW", str(self.release / TARGETS[0])], capture_output=True, text=True, check=True
        )
        row = next(line.split() for line in headers.stdout.splitlines() if line.split()[:1] == ["TLS"])
        self.assertLessEqual(int(row[5], 16), 16)

    def test_builds_from_a_read_only_folder(self) -> None:
        copy = SCRATCH / "readonly"
        for folder in ("src", "bench", "test"):
            shutil.copytree(ROOT / folder, copy / folder)
        shutil.copy(ROOT / "Makefile", copy)
        folders = [copy, *(path for path in copy.rglob("*") if path.is_dir())]
        for path in folders:
            path.chmod(stat.S_IRUSR | stat.S_IXUSR)
        before = sorted(path.name for path in copy.rglob("*"))
        try:
            make(SCRATCH / "from-readonly", "COMMIT=x", "DIRTY=0", root=copy)
            self.assertEqual(sorted(path.name for path in copy.rglob("*")), before)
        finally:
            for path in folders:
                path.chmod(0o755)

    def test_a_program_links_the_archive(self) -> None:
        """GIVEN a program that links libhakmem.a, THEN its malloc is hakmem's: 100 bytes have room for 112."""
        make(self.release, "COMMIT=abc123", "DIRTY=0", targets=("lib/libhakmem.a",))
        source, program = SCRATCH / "program.c", SCRATCH / "program"
        source.write_text(
            "#include <malloc.h>\n#include <stdio.h>\n#include <stdlib.h>\n"
            'int main(void) { void *p = malloc(100); printf("%zu\\n", malloc_usable_size(p)); free(p); return 0; }\n'
        )
        archive = str(self.release / "lib/libhakmem.a")
        subprocess.run(["gcc", "-o", str(program), str(source), archive, "-pthread"], check=True)
        self.assertEqual(subprocess.run([program], capture_output=True, text=True, check=True).stdout, "112\n")

    def test_the_historical_name_of_release_must_not_contradict(self) -> None:
        for flavour, value, accepted in (("release", 1, True), ("release", 0, False), ("instrumented", 0, True)):
            define = [f"-DHAK_INSTRUMENTED={int(flavour != 'release')}", f"-DHAKMEM_BUILD_RELEASE={value}"]
            command = ["gcc", "-fsyntax-only", *define, "-x", "c", str(ROOT / "src/switches.h")]
            done = subprocess.run(command, capture_output=True, text=True, check=False)
            self.assertEqual(done.returncode == 0, accepted, (flavour, value))
            self.assertEqual("says another flavour" in done.stderr, not accepted)

    def test_an_unknown_flavour_is_refused(self) -> None:
        command = ["make", "-f", str(ROOT / "Makefile"), "FLAVOUR=fast", f"OUT={SCRATCH / 'none'}"]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        self.assertNotEqual(done.returncode, 0)
        self.assertIn("FLAVOUR=fast", done.stderr)


if __name__ == "__main__":
    unittest.main(argv=sys.argv[:1])
