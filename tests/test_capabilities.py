"""Detection on a machine that lacks tools, forbids them, or has other ones: PATH is all that it goes by."""

import subprocess
import time
from pathlib import Path

import pytest
from tiny_project import MINIMAL_TOOLS, fake_tool, make_tiny, path_with

from hakprof.collect import peers
from hakprof.collect.capabilities import Detection, detect
from hakprof.project.schema import Peer, Project

pytestmark = pytest.mark.live
FORBIDDEN = """Error:
Access to performance monitoring and observability operations is limited.
Consider adjusting /proc/sys/kernel/perf_event_paranoid setting to open
access to performance monitoring and observability operations for processes
perf_event_paranoid setting is 4:"""


@pytest.fixture
def project(tmp_path: Path) -> Project:
    tiny = make_tiny(tmp_path / "tiny")
    tiny.add('\n[peers.absent]\nlibrary = "libabsent.so.9"\npackage = "libabsent9"\n')
    return tiny.load()


def detect_with(
    project: Project, monkeypatch: pytest.MonkeyPatch, folder: Path, *tools: str, **scripts: str
) -> Detection:
    """Detection on a PATH that has the minimal tools, these tools, and fakes for these names."""
    path = path_with(folder, *MINIMAL_TOOLS, *tools)
    for name, script in scripts.items():
        fake_tool(folder, name, script)
    monkeypatch.setenv("PATH", path)
    return detect(project)


def test_without_any_tool_each_lack_is_named_with_its_package(
    project: Project, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    detection = detect_with(project, monkeypatch, tmp_path / "path")
    remedies = {one.name: one.remedy for one in detection.capabilities if not one.available}
    assert remedies["perf"] == "apt-get install linux-perf"
    assert remedies["strace"] == "apt-get install strace"
    assert remedies["valgrind"] == "apt-get install valgrind"
    assert remedies["peer absent"] == "apt-get install libabsent9"
    assert all(remedies.values())
    assert "perf" not in detection.host.tools
    assert detection.hardware_events == ()


def test_without_perf_nothing_is_guessed_about_the_machine(
    project: Project, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    detection = detect_with(project, monkeypatch, tmp_path / "path")
    for name in ("hardware_counters", "call_graph", "buildid_mmap", "region_control"):
        found = detection.find(name)
        assert found is not None
        assert not found.available
        assert "no perf on PATH" in found.detail
        assert found.remedy == "apt-get install linux-perf"


def test_an_empty_path_takes_no_peer_and_no_other_tool_away(
    project: Project, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """`env` and `true` are not on it; a library is found by the linker's cache and can be preloaded all the same."""
    with_libc = project.model_copy(update={"peers": {"libc": Peer(library="libc.so.6")}})
    monkeypatch.setenv("PATH", "")
    assert detect(with_libc).has("peer libc")
    folder = tmp_path / "tools"
    fake_tool(folder, "strace", 'while [ "${1#-}" != "$1" ]; do shift; [ -e "$1" ] && shift; done; exec "$@"')
    monkeypatch.setenv("PATH", str(folder))
    assert detect(with_libc).has("strace")


def test_everything_unavailable_says_why(project: Project, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    detection = detect_with(project, monkeypatch, tmp_path / "path")
    for one in detection.capabilities:
        assert one.detail, one.name
    assert detection.has("peer system")
    assert detection.has("python3")
    assert not detection.has("never heard of")


def test_forbidden_perf_tells_the_level_and_the_sysctl(
    project: Project, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    script = f'[ "$1" = --version ] && echo "perf version 6.1" && exit 0\necho "{FORBIDDEN}" >&2\nexit 255'
    detection = detect_with(project, monkeypatch, tmp_path / "path", perf=script)
    assert detection.has("perf")
    events = detection.find("perf_events")
    assert events is not None
    assert not events.available
    assert "Access to performance monitoring" in events.detail
    assert "perf_event_paranoid = " in events.detail
    assert events.remedy == "sysctl kernel.perf_event_paranoid=1"
    hardware = detection.find("hardware_counters")
    assert hardware is not None
    assert "Access to performance monitoring" in hardware.detail
    assert hardware.remedy == events.remedy
    assert not detection.has("call_graph")
    assert not detection.has("region_control")


def test_hardware_events_count_by_value_not_by_percentage(
    project: Project, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    script = (
        "printf '%s\\n' '123456;;cycles:u;1000;100.00;;' '<not supported>;;instructions;0;100.00;;' "
        "'<not counted>;;branches;0;100.00;;' '77;;branch-misses;1000;42.00;;' 'some text' >&2"
    )
    detection = detect_with(project, monkeypatch, tmp_path / "path", perf=script)
    assert detection.hardware_events == ("cycles", "branch-misses")
    assert detection.has("hardware_counters")


def test_forbidden_tracing_is_told_apart_from_a_missing_tool(
    project: Project, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    script = 'echo "strace: ptrace(PTRACE_TRACEME, ...): Operation not permitted" >&2; exit 1'
    found = detect_with(project, monkeypatch, tmp_path / "path", strace=script).find("strace")
    assert found is not None
    assert not found.available
    assert "Operation not permitted" in found.detail
    assert "ptrace_scope" in (found.remedy or "")


def test_the_real_machine_is_described_quickly(project: Project) -> None:
    began = time.monotonic()
    detection = detect(project)
    assert time.monotonic() - began < 20
    assert detection.host.cpus >= 1
    assert detection.host.memory_bytes > 1 << 20
    assert detection.host.libc.startswith("glibc")
    names = [one.name for one in detection.capabilities]
    assert len(names) == len(set(names))


def test_libraries_are_found_by_path_by_search_path_and_by_the_linkers_cache(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    library = tmp_path / "libmine.so.1"
    (tmp_path / "mine.c").write_text("int mine;\n")
    subprocess.run(["gcc", "-shared", "-fPIC", "-o", library, tmp_path / "mine.c"], check=True)
    assert peers.find_library(str(library)) == library
    assert peers.find_library("libmine.so.1") is None
    monkeypatch.setenv("LD_LIBRARY_PATH", f"/nowhere:{tmp_path}")
    assert peers.find_library("libmine.so.1") == library
    libc = peers.find_library("libc.so.6")
    assert libc is not None
    assert libc.is_absolute()
    assert peers.loads(library)


def test_a_file_that_is_no_library_is_not_preloaded(tmp_path: Path) -> None:
    bad = tmp_path / "libbad.so"
    bad.write_text("no library")
    assert not peers.loads(bad)
