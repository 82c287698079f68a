"""Builds: the sources' hash, what is made, and that a binary of another build is not passed off as this one."""

import hashlib
import os
import subprocess
from pathlib import Path

import pytest
from tiny_project import Tiny, make_tiny

from hakprof.builds import GitState, git_state, make_build, sources_hash
from hakprof.errors import BuildError
from hakprof.model.run import BuildInfo
from hakprof.resources import native_dir

pytestmark = pytest.mark.live


@pytest.fixture
def tiny(tmp_path: Path) -> Tiny:
    return make_tiny(tmp_path / "tiny")


def build(tiny: Tiny, name: str = "release", *, commit: str | None = "c0ffee", dirty: bool | None = False) -> BuildInfo:
    return make_build(tiny.load(), name, base=tiny.folder, out_root=tiny.store / "build", commit=commit, dirty=dirty)


def test_sources_hash_is_path_and_content_in_byte_order(tmp_path: Path) -> None:
    (tmp_path / "src").mkdir()
    for name in ("src/b.c", "src/a.h", "Makefile", "src/B.c", "other.txt"):
        (tmp_path / name).write_text(f"content of {name}")
    expected = hashlib.sha256()
    for name in ("Makefile", "src/B.c", "src/a.h", "src/b.c"):
        expected.update(f"{name}\ncontent of {name}".encode())
    assert sources_hash(tmp_path, ("src/*.[ch]", "Makefile", "Make*")) == expected.hexdigest()


def test_sources_hash_is_the_one_that_the_bundled_makefile_computes(tmp_path: Path) -> None:
    """`make -n` runs what `$(shell …)` says; the string header is written from it."""
    native = native_dir()
    globs = ("src/*.[ch]", "bench/*.[ch]", "Makefile")
    before = sources_hash(native, globs)
    header = tmp_path / "obj" / "gen" / "build_string.h"
    subprocess.run(["make", "-s", "-C", native, f"OUT={tmp_path}", str(header)], check=True, capture_output=True)
    if sources_hash(native, globs) != before:
        pytest.skip("native/ was edited during the test")
    assert f"sources={before}" in header.read_text()


def test_sources_hash_names_what_is_missing(tmp_path: Path) -> None:
    with pytest.raises(BuildError, match="no such source folder"):
        sources_hash(tmp_path / "no", ("*",))
    with pytest.raises(BuildError, match="no file matches"):
        sources_hash(tmp_path, ("*.c",))


def repository(folder: Path) -> list[str]:
    """A repository with one commit; the start of a git command in it."""
    git = ["git", "-C", str(folder), "-c", "user.name=t", "-c", "user.email=t@example.org"]
    subprocess.run([*git, "init", "-q"], check=True)
    (folder / "file").write_text("1")
    subprocess.run([*git, "add", "file"], check=True)
    subprocess.run([*git, "commit", "-q", "-m", "one"], check=True)
    return git


def test_git_state(tmp_path: Path) -> None:
    assert git_state(tmp_path) == GitState(None, None)
    subprocess.run(["git", "-C", tmp_path, "init", "-q"], check=True)
    assert git_state(tmp_path) == GitState(None, None)
    repository(tmp_path)
    state = git_state(tmp_path)
    assert state.commit is not None
    assert len(state.commit) == 40
    assert state.dirty is False
    (tmp_path / "file").write_text("2")
    assert git_state(tmp_path) == GitState(state.commit, True)


@pytest.mark.skipif(os.geteuid() != 0, reason="giving a folder to another user needs root")
def test_a_repository_that_git_refuses_is_not_one_without_a_commit(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GIT_CONFIG_GLOBAL", os.devnull)
    monkeypatch.setenv("GIT_CONFIG_SYSTEM", os.devnull)
    repository(tmp_path)
    for path in (tmp_path, tmp_path / ".git"):
        os.chown(path, 65534, 65534)
    (tmp_path / "below").mkdir()
    state = git_state(tmp_path / "below")
    assert (state.commit, state.dirty) == (None, None)
    assert state.lacking is not None
    assert state.lacking.what == "commit"
    assert "dubious ownership" in state.lacking.reason
    assert state.lacking.remedy == f"git config --global --add safe.directory {tmp_path}"


def test_a_repository_without_git_on_path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    repository(tmp_path)
    monkeypatch.setenv("PATH", str(tmp_path))
    lacking = git_state(tmp_path).lacking
    assert lacking is not None
    assert lacking.remedy == "apt-get install git"


def test_a_broken_index_leaves_the_commit_known_and_says_what_is_not(tmp_path: Path) -> None:
    repository(tmp_path)
    (tmp_path / ".git" / "index").write_bytes(b"no index")
    state = git_state(tmp_path)
    assert state.commit is not None
    assert state.dirty is None
    assert state.lacking is not None
    assert "index" in state.lacking.reason


def test_a_build_is_described_from_its_elf_files(tiny: Tiny) -> None:
    info = build(tiny)
    assert sorted(info.binaries) == ["bin/tiny", "lib/libtiny.so"]
    program = info.binaries["bin/tiny"]
    assert program.build_id is not None
    assert program.build_string == {
        "project": "tiny",
        "commit": "c0ffee",
        "flavour": "release",
        "sources": info.sources_sha256,
    }
    assert program.size_bytes == Path(program.path).stat().st_size
    assert info.binaries["lib/libtiny.so"].build_string == {}


def test_builds_of_other_sources_commits_and_flavours_have_folders_of_their_own(tiny: Tiny) -> None:
    first = build(tiny)
    assert build(tiny).out == first.out
    outs = {first.out, build(tiny, commit="decade").out, build(tiny, dirty=True).out, build(tiny, "instrumented").out}
    (tiny.folder / "src" / "library.c").write_text("int other;\n")
    outs.add(build(tiny).out)
    assert len(outs) == 5


def test_a_failing_command_shows_the_end_of_its_log(tiny: Tiny) -> None:
    (tiny.folder / "src" / "library.c").write_text("this is not C\n")
    with pytest.raises(BuildError, match=r"(?s)ended with status 1.*library\.c") as raised:
        build(tiny)
    assert "build.log" in (raised.value.remedy or "")


def test_a_build_that_fails_for_lack_of_space_says_so(tiny: Tiny, tmp_path: Path) -> None:
    disk = tmp_path / "disk"
    disk.mkdir()
    if subprocess.run(["mount", "-t", "tmpfs", "-o", "size=16k", "none", disk], check=False).returncode != 0:
        pytest.skip("mounting is not permitted here")
    try:
        with pytest.raises(BuildError, match="no space left on the disk") as raised:
            make_build(tiny.load(), "release", base=tiny.folder, out_root=disk, commit=None, dirty=None)
        assert "free some space" in (raised.value.remedy or "")
    finally:
        subprocess.run(["umount", disk], check=True)


def test_a_binary_that_was_not_linked_anew_is_refused(tiny: Tiny) -> None:
    source = tiny.folder / "src" / "tiny.c"
    source.write_text('#define TOLD_SOURCES "stale"\n' + source.read_text())
    with pytest.raises(BuildError, match="says sources=stale, asked for was") as raised:
        build(tiny)
    assert "delete" in (raised.value.remedy or "")


def test_sources_that_change_under_the_build_are_noticed(tiny: Tiny) -> None:
    script = tiny.folder / "src" / "build.py"
    script.write_text(script.read_text() + 'open("library.c", "a").write("/* later */")\n')
    with pytest.raises(BuildError, match="was changed while it was being built"):
        build(tiny)


@pytest.mark.parametrize(
    ("before", "after", "message"),
    [
        (
            '["python3", "build.py", "{out}", "release"',
            '["no-such-tool", "build.py", "{out}", "release"',
            "no such program",
        ),
        ('"{out}", "release"', '"{nonsense}", "release"', "unknown placeholder 'nonsense'"),
        ('"{out}", "release"', '"/dev/null/x", "release"', "ended with status"),
        ('["python3", "build.py", "{out}", "release"', '["true", "{out}"', "no ELF file below"),
    ],
    ids=["tool", "placeholder", "folder", "nothing"],
)
def test_faults_of_the_project_file_are_named(tiny: Tiny, before: str, after: str, message: str) -> None:
    tiny.edit(before, after)
    with pytest.raises(BuildError, match=message) as raised:
        build(tiny)
    assert raised.value.remedy


def test_a_build_that_takes_too_long_is_ended(tiny: Tiny) -> None:
    tiny.edit('[builds.release]\nsource = "src"', '[builds.release]\ntimeout_seconds = 0.3\nsource = "src"')
    script = tiny.folder / "src" / "build.py"
    script.write_text("import subprocess\nsubprocess.run(['sleep', '60'])\n")
    with pytest.raises(BuildError, match=r"not done after 0\.3 s"):
        build(tiny)
