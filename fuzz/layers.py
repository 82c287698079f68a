"""Target: a recording → samples by layers, with names from whatever files it points to."""

from functools import lru_cache
from itertools import count

from memory_file import MemoryFile
from mutate import mutated

from hakprof.layers import attribute, load_rules
from hakprof.parse.perf_data import read_perf_data
from hakprof.resources import CATALOGUES
from hakprof.symbols import Symbolizer

mutator = mutated
_FILE = MemoryFile("perf.data")
_KERNEL = MemoryFile("kallsyms")
_KERNEL.hold(b"ffffffff81000000 T _text\nffffffff81000100 t clear_page_erms\nffffffff81002000 T do_syscall_64\n")
_RULES = load_rules(CATALOGUES, ())


_calls = count()


@lru_cache(maxsize=1)
def _symbolizer(_generation: int) -> Symbolizer:
    """Shared by many inputs, because the objects that the seeds point to are large; not for ever, because it grows."""
    return Symbolizer(kallsyms=_KERNEL.path)


def check(data: bytes) -> None:
    """Attributes a recording; no sample may be lost or made up on the way."""
    symbolizer = _symbolizer(next(_calls) // 500)
    profile = read_perf_data(_FILE.hold(data), frames=symbolizer.call_frames)
    samples = attribute(profile, symbolizer, _RULES).samples
    assert samples["count"].sum() == profile.sample_count
    assert not samples["self_layer"].has_nulls()
