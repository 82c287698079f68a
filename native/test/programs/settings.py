"""The same programs where address space is short, with the ways to classify and to keep memory, and under valgrind."""

from dataclasses import dataclass

from runs import Failed, Place, Program, execute, python, require, shell

PYTHON = (python(), "work.py")


def limited(kilobytes: int, command: str, *files: str) -> Program:
    """Reservations degrade there, never abort."""
    return shell(f"ulimit -v {kilobytes}; {command}", needs=[command.split()[0]], files=files)


def with_setting(setting: str) -> Program:
    name, value = setting.split("=")
    return Program(PYTHON, files=("work.py",), changes={name: value}, mallocs=20000)


@dataclass(frozen=True, slots=True)
class ForcedLibc:
    """HAKMEM_FORCE_LIBC_ALLOC: the program runs as ever, and none of its blocks is hakmem's."""

    def check(self, place: Place) -> str:
        program = Program(PYTHON, files=("work.py",))
        expected = program.once(place, None, {})
        actual = program.once(place, place.release, {"HAKMEM_FORCE_LIBC_ALLOC": "1"})
        if (actual.status, actual.output) != (0, expected.output):
            raise Failed(f"status {actual.status}: {actual.errors[-2000:]}")
        return "served by libc, as told"


@dataclass(frozen=True, slots=True)
class UnderValgrind:
    """Valgrind cannot reserve what hakmem asks for first; it runs on less."""

    def check(self, place: Place) -> str:
        require("valgrind")
        script = "seq 1 20000 | valgrind -q --tool=none --trace-children=yes sort -rn | cksum"
        expected = execute(("bash", "-c", "seq 1 20000 | sort -rn | cksum"), place.fresh())
        actual = execute(("bash", "-c", script), place.fresh(), place.release)
        if (actual.status, actual.output, actual.errors) != (0, expected.output, ""):
            raise Failed(f"status {actual.status}: {actual.errors[-2000:]}")
        return "sort"


SETTINGS = ("HAKMEM_CLASSIFY=header", "HAKMEM_CLASSIFY=registry", "HAKMEM_FLAT_MAP=0", "HAKMEM_RETAIN_MB=0")


def catalogue() -> dict[str, Program | ForcedLibc | UnderValgrind]:
    perl = "perl -e 'my @a = map { \"x\" x $_ } 1..2000; print scalar(@a)'"
    return {
        "python3 under ulimit -v 1000000": limited(1000000, f"{python()} work.py", "work.py"),
        "sort under ulimit -v 150000": limited(150000, "sort -rn -S 1M work.sql | cksum", "work.sql"),
        "perl under ulimit -v 60000": limited(60000, perl),
        **{f"python3 with {setting}": with_setting(setting) for setting in SETTINGS},
        "python3 with HAKMEM_FORCE_LIBC_ALLOC=1": ForcedLibc(),
        "sort under valgrind": UnderValgrind(),
    }
