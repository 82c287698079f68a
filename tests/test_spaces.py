"""What is mapped where and when: found as one would by looking through all of it, in steps that stay few."""

from bisect import bisect_right
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hakprof.parse.perf_data import spaces
from hakprof.parse.perf_data.processes import CommEvent, ForkEvent, MapEvent, ProcessEvent, ProcessHistory
from hakprof.parse.perf_data.spaces import Mapping, OpenMappings, SpaceIndex
from hakprof.parse.perf_data.timeline import Timeline

PIDS, ADDRESSES, TIMES = range(1, 4), range(14), range(24)
HIGH = 2**63 - 4  # addresses up to the last of 64 bits must not wrap around

maps = st.builds(
    lambda pid, start, pages: MapEvent(pid, HIGH + start, HIGH + start + pages, start, "/file", None),
    st.sampled_from(PIDS),
    st.sampled_from(ADDRESSES),
    st.integers(1, 6),
)
forks = st.builds(lambda pid, parent: ForkEvent(pid, parent, pid, parent, True), *[st.sampled_from(PIDS)] * 2)
timed = st.lists(st.tuples(st.sampled_from(TIMES), st.one_of(maps, maps, maps, forks)), max_size=40)


def looked_through(history: ProcessHistory, changes: list[int], pid: int, time: int, address: int) -> int:
    """The mapping at an address: it is there between two changes when it was there at any time between them."""
    at = bisect_right(changes, time)
    begin, end = changes[at - 1] if at else -1, changes[at] if at < len(changes) else max(TIMES) + 1
    found = [
        number
        for number, row in enumerate(history.mappings)
        if row.pid == pid
        and row.start <= address < row.end
        and row.since < end
        and (row.until is None or row.until > begin)
        and row.since != row.until
    ]
    assert len(found) <= 1
    return found[0] if found else -1


@given(timed)
def test_a_mapping_is_found_by_process_time_and_address(events: list[tuple[int, ProcessEvent]]) -> None:
    history = ProcessHistory(events)
    queries = [(pid, time, HIGH + address) for pid in [*PIDS, 9] for time in TIMES for address in range(20)]
    pid, time, address = zip(*queries, strict=True)
    owners, times = np.array(pid, dtype=np.int32), np.array(time, dtype=np.uint64)
    found = history.find(history.spaces(owners, times), np.array(address, dtype=np.uint64)).tolist()
    changes = {one: history.changes([one], 0).tolist() for one in (*PIDS, 9)}
    assert found == [looked_through(history, changes[query[0]], *query) for query in queries]


@given(st.lists(st.tuples(st.booleans(), st.integers(0, 120), st.integers(1, 30)), max_size=200))
def test_open_mappings_are_those_that_nothing_came_over(steps: list[tuple[bool, int, int]]) -> None:
    mappings: list[Mapping] = []
    opened, expected = OpenMappings(), set[int]()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(spaces, "_MOST_IN_BUCKET", 3)
        for is_added, start, length in steps:
            under = {n for n in expected if mappings[n].start < start + length and mappings[n].end > start}
            taken = opened.take(mappings, start, start + length)
            assert taken == sorted(under, key=lambda n: mappings[n].start)
            expected -= under
            if is_added:
                opened.add(start, len(mappings))
                expected.add(len(mappings))
                mappings.append(Mapping(1, start, start + length, 0, "/file", None, 0))
            assert opened.rows() == sorted(expected, key=lambda n: mappings[n].start)


def replaced(count: int) -> list[tuple[int, ProcessEvent]]:
    """So many mappings that stay, and as many that replace one another in their midst."""
    staying: list[tuple[int, ProcessEvent]] = [
        (n, MapEvent(1, 0x2000 * n, 0x2000 * n + 0x1000, 0, "/file", None)) for n in range(count)
    ]
    place = 0x2000 * (count // 2)
    return staying + [(count + n, MapEvent(1, place, place + 0x1000, 0, "/file", None)) for n in range(count)]


def test_the_work_of_finding_grows_with_the_number_of_mappings_and_not_with_its_square() -> None:
    """Twice the mappings, changes and samples: twice the entries, one bisection more, no search for each change."""
    sizes, heights = [], []
    for count in (2000, 4000, 8000):
        history = ProcessHistory(replaced(count))
        index = history.index
        samples = np.arange(2 * count, dtype=np.uint64)
        space = history.spaces(np.ones(2 * count, dtype=np.int32), samples)
        assert np.unique(space).size == count + 1
        found = history.find(space, np.full(2 * count, 0x2000 * (count // 2) + 8, dtype=np.uint64))
        assert found[count:].tolist() == list(range(count, 2 * count))
        sizes.append(index.size)
        heights.append(index.height)
    assert all(after <= 2.2 * before for before, after in pairwise(sizes))
    assert all(after <= before + 1 for before, after in pairwise(heights))


@pytest.mark.parametrize("step", [0x2000, -0x2000])
def test_a_mapping_that_comes_or_goes_moves_few_others(step: int) -> None:
    mappings: list[Mapping] = []
    opened = OpenMappings()
    for number in range(20_000):
        start = (1 << 40) + step * number
        opened.add(start, number)
        mappings.append(Mapping(1, start, start + 0x1000, 0, "/file", None, 0))
    assert opened.most_together <= 512
    assert len(opened.take(mappings, 0, 1 << 50)) == 20_000
    assert opened.rows() == []


def test_a_mapping_that_nothing_replaces_stands_in_the_index_once() -> None:
    events = [(0, MapEvent(pid, 0x1000 * n, 0x1000 * n + 0x800, 0, "/file", None)) for pid in PIDS for n in range(9)]
    index = SpaceIndex(ProcessHistory(list(events)).mappings, {pid: [] for pid in PIDS})
    assert (index.size, index.height) == (len(events), 1)


def test_a_change_belongs_to_the_stretch_after_it() -> None:
    timeline = Timeline({4: [10, 20], 2: [], 7: [10]})
    owner = np.array([2, 2, 4, 4, 4, 4, 7, 7, 3], dtype=np.int32)
    time = np.array([0, 99, 9, 10, 19, 20, 9, 2**64 - 1, 10], dtype=np.uint64)
    assert timeline.at(owner, time).tolist() == [0, 0, 1, 2, 2, 3, 4, 5, -1]
    assert timeline.last(timeline.at(owner[:8], time[:8])).tolist() == [0, 0, 3, 3, 3, 3, 5, 5]
    assert Timeline({}).at(owner, time).tolist() == [-1] * 9


def test_names_are_those_of_their_time_and_the_first_is_that_of_before() -> None:
    """As perf has it, and perf's stand-ins for the nameless. Of 4 the beginning was lost, and 5 is another's number."""
    events: list[tuple[int, ProcessEvent]] = [
        (5, CommEvent(3, 3, "first", False)),
        (8, CommEvent(3, 3, "second", False)),
        (6, CommEvent(3, 4, "first", False)),
        (7, ForkEvent(3, 3, 5, 9, copies_maps=False)),
        (8, CommEvent(3, 5, "third", False)),
        (9, ForkEvent(3, 3, 5, 3, copies_maps=False)),
    ]
    expected = [
        *((3, 4, "first"), (3, 5, "first"), (3, 8, "second"), (4, 5, "first"), (4, 6, "first")),
        *((5, 6, ":5"), (5, 7, "third"), (5, 8, "third"), (5, 9, "second")),
        *((0, 1, "swapper"), (9, 1, ":9"), (9, 2, ":9"), (10, 2, ":10")),
    ]
    tid, time, wanted = zip(*expected, strict=True)
    comm, names = ProcessHistory(events).comms(np.array(tid, dtype=np.int32), np.array(time, dtype=np.uint64))
    assert [names[one] for one in comm] == list(wanted)
    assert len(set(names)) == len(names)
