"""The cache between runs: whole entries or none, whoever writes beside, and no more bytes than allowed."""

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from hakprof.cache import Cache, Entry, user_cache

ENTRY = Entry({"starts": np.arange(5, dtype=np.uint64), "text": np.frombuffer(b"abc", dtype=np.uint8)}, {"path": "/x"})


def stored(cache: Cache) -> list[str]:
    return sorted(path.name for path in cache.folder.iterdir())


def test_an_entry_comes_back_as_it_was(tmp_path: Path) -> None:
    cache = Cache(tmp_path / "new" / "folder")
    assert cache.load("one") is None
    cache.store("one", ENTRY)
    found = cache.load("one")
    assert found is not None
    assert found.notes == {"path": "/x"}
    assert found.arrays["starts"].tolist() == [0, 1, 2, 3, 4]
    assert found.arrays["text"].tobytes() == b"abc"
    assert stored(cache) == ["one.entry"]


@settings(max_examples=200, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_a_damaged_entry_is_none_and_goes(tmp_path: Path, data: st.DataObject) -> None:
    cache = Cache(tmp_path)
    cache.store("one", ENTRY)
    path = tmp_path / "one.entry"
    content = bytearray(path.read_bytes())
    at = data.draw(st.integers(0, len(content) - 1))
    if data.draw(st.booleans()):
        content[at] ^= data.draw(st.integers(1, 255))
    else:
        del content[at:]
    path.write_bytes(content)
    assert cache.load("one") is None
    assert not path.exists()


def test_what_was_not_used_for_longest_makes_room(tmp_path: Path) -> None:
    big = Entry({"words": np.zeros(1000, dtype=np.uint64)}, {})
    cache = Cache(tmp_path, most_bytes=25_000)
    for number, name in enumerate(("a", "b", "c")):
        cache.store(name, big)
        os.utime(tmp_path / f"{name}.entry", (number, number))
    assert cache.load("a") is not None  # used just now
    cache.store("d", big)
    assert stored(cache) == ["a.entry", "c.entry", "d.entry"]


def test_what_a_broken_writer_left_goes_after_a_while(tmp_path: Path) -> None:
    for name, seconds in (("old", 0), ("new", 2**32)):
        (tmp_path / f".{name}.partial").write_bytes(b"half")
        os.utime(tmp_path / f".{name}.partial", (seconds, seconds))
    Cache(tmp_path).store("one", ENTRY)
    assert stored(Cache(tmp_path)) == [".new.partial", "one.entry"]


def test_a_folder_that_cannot_be_made_costs_only_time(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    cache = Cache(tmp_path / "file" / "below")
    cache.store("one", ENTRY)
    assert cache.load("one") is None


def test_writers_at_the_same_time_leave_a_whole_entry(tmp_path: Path) -> None:
    script = (
        "import sys, numpy as np; from pathlib import Path; from hakprof.cache import Cache, Entry\n"
        "cache, own = Cache(Path(sys.argv[1])), int(sys.argv[2])\n"
        "for _ in range(150):\n"
        "    cache.store('one', Entry({'words': np.full(5000, own, dtype=np.uint64)}, {'own': own}))\n"
        "    found = cache.load('one')\n"
        "    assert found is not None and set(found.arrays['words'].tolist()) == {found.notes['own']}\n"
    )
    writers = [subprocess.Popen([sys.executable, "-c", script, str(tmp_path), str(own)]) for own in range(3)]
    assert [writer.wait() for writer in writers] == [0, 0, 0]
    assert stored(Cache(tmp_path)) == ["one.entry"]


@pytest.mark.parametrize(("configured", "expected"), [("/somewhere", "/somewhere"), ("", "~"), ("not/absolute", "~")])
def test_the_users_cache_is_where_the_base_directory_specification_says(
    monkeypatch: pytest.MonkeyPatch, configured: str, expected: str
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", configured)
    monkeypatch.setenv("HOME", "/home/somebody")
    cache = user_cache()
    assert cache is not None
    assert str(cache.folder) == expected.replace("~", "/home/somebody/.cache") + "/hakprof"
