"""Adding up the samples of a recording, by the compiled walker where it can take them, otherwise with numpy."""

from typing import Protocol

import numpy as np
import numpy.typing as npt

from hakprof.parse.perf_data.aggregate import Aggregator, Chains, ChainStore, SampleTable, table_of, united
from hakprof.parse.perf_data.columns import SampleColumns
from hakprof.parse.perf_data.compiled import CompiledEngine, compiled_library
from hakprof.parse.perf_data.epochs import Boundaries, set_epochs
from hakprof.parse.perf_data.format import EventAttr
from hakprof.parse.perf_data.samples import Layout, SampleDecoder
from hakprof.parse.perf_data.unwind import StackUnwinder
from hakprof.parse.perf_data.walk import Bytes, DamagedRecordError, Indices, SampleRuns, SampleTaker, Words

_MOST_EVENTS = 1 << 13  # all that a kernel has are fewer
_MOST_ENGINES = 64  # perf describes all events before the first sample


class BlockTaker(SampleTaker, Protocol):
    """What an engine takes the samples of one block with; ``finish`` when no more of it will follow."""

    def finish(self) -> None:
        """Adds up what was taken but not yet added."""


class Engine(Protocol):
    """Adds up samples of the events that it was made for."""

    @property
    def samples(self) -> int:
        """All samples that were taken."""

    @property
    def malformed(self) -> int:
        """Those of them that were left out."""

    @property
    def periods(self) -> tuple[Words, Words]:
        """The least and the most period of the samples of each event; least > most where it has none."""

    def renamed(self, tid: int) -> None:
        """Begins new rows for the samples of a thread from here on, unless the times of its changes are known."""

    def block(self, block: Bytes, offset: int) -> BlockTaker:
        """For the samples of a block that stands at ``offset`` of the file."""

    def result(self) -> tuple[SampleTable | None, Chains]:
        """The rows, ascending by key, and the distinct chains, ascending by hash."""


class SampleAdder:
    """Adds up the samples of a file.

    ``boundaries`` are the times, for threads that need it, at which samples before and after must be kept apart.
    Without ``keeps_chains`` samples are not told apart by their call chains; stacks that were recorded as bytes
    become chains if there is an ``unwinder``.
    """

    def __init__(
        self,
        attrs: tuple[EventAttr, ...],
        boundaries: Boundaries,
        *,
        keeps_chains: bool,
        unwinder: StackUnwinder | None = None,
    ) -> None:
        self._attrs, self._boundaries, self._keeps_chains = attrs, boundaries, keeps_chains
        self._unwinder = unwinder
        self._engines: list[Engine] = []
        self._engine: Engine | None = None

    def describe(self, attrs: tuple[EventAttr, ...]) -> None:
        """Sets the events that the samples from here on are of."""
        self._attrs, self._engine = attrs, None

    def engine(self, offset: int) -> Engine:
        """The engine for a sample at ``offset`` of the file."""
        if self._engine is None:
            if not self._attrs:
                raise DamagedRecordError(f"samples at byte {offset} come before any event was described")
            if len(self._attrs) > _MOST_EVENTS or len(self._engines) == _MOST_ENGINES:
                raise DamagedRecordError(f"too many events are described before byte {offset}")
            self._engine = self._make_engine()
            self._engines.append(self._engine)
        return self._engine

    def renamed(self, tid: int) -> None:
        """A record says that a thread begins or takes a name: what follows in the file is not added to what was before.

        Where the file is not in order of time, samples end up on the wrong side; rows whose times lie on both sides
        tell that, and only then all must be read again with ``boundaries``.
        """
        if self._engine is not None:
            self._engine.renamed(tid)

    def block(self, block: Bytes, offset: int) -> "AdderBlock":
        """For the samples of a block that stands at ``offset`` of the file."""
        return AdderBlock(self, block, offset)

    @property
    def samples(self) -> int:
        """All samples of the file."""
        return sum(engine.samples for engine in self._engines)

    @property
    def malformed(self) -> int:
        """Samples that were left out."""
        return sum(engine.malformed for engine in self._engines)

    @property
    def periods(self) -> tuple[tuple[int, int] | None, ...]:
        """The least and the most period of the samples of each event; None where it has none."""
        least, most = _no_periods(len(self._attrs))
        for engine in self._engines:
            lower, upper = engine.periods
            np.minimum(least[: lower.size], lower, out=least[: lower.size])
            np.maximum(most[: upper.size], upper, out=most[: upper.size])
        pairs = zip(least.tolist(), most.tolist(), strict=True)
        return tuple((lower, upper) if lower <= upper else None for lower, upper in pairs)

    def result(self) -> tuple[SampleTable | None, Chains]:
        """The rows, ascending by key, and the distinct chains, ascending by hash."""
        return united([engine.result() for engine in self._engines])

    def _make_engine(self) -> Engine:
        library = compiled_library()
        if library is not None and all(Layout.of(attr).is_plain for attr in self._attrs):
            return CompiledEngine(library, self._attrs, self._boundaries, keeps_chains=self._keeps_chains)
        return NumpyEngine(self._attrs, self._boundaries, keeps_chains=self._keeps_chains, unwinder=self._unwinder)


class AdderBlock:
    """The samples of one block. Events may be described in the middle of it (pipe mode)."""

    def __init__(self, adder: SampleAdder, block: Bytes, offset: int) -> None:
        self._adder, self._block, self._offset = adder, block, offset
        self._engine: Engine | None = None
        self._taker: BlockTaker | None = None

    def take(self, position: int) -> int:
        """Takes the samples from ``position`` on, as far as they are whole; the position behind them."""
        engine = self._adder.engine(self._offset + position)
        if self._taker is None or engine is not self._engine:
            self.finish()
            self._engine, self._taker = engine, engine.block(self._block, self._offset)
        return self._taker.take(position)

    def finish(self) -> None:
        """Adds up what was taken but not yet added."""
        if self._taker is not None:
            self._taker.finish()


class NumpyEngine:
    """Takes samples of any layout, a block at a time."""

    def __init__(
        self,
        attrs: tuple[EventAttr, ...],
        boundaries: Boundaries,
        *,
        keeps_chains: bool,
        unwinder: StackUnwinder | None = None,
    ) -> None:
        self._decoder = SampleDecoder(attrs, keeps_chains=keeps_chains, unwinder=unwinder)
        self._boundaries = boundaries
        self.renames = 0
        self._renamed: dict[int, list[int]] = {}  # for each thread which of all renames were its own
        self._aggregator, self._chains = Aggregator(), ChainStore()
        self.samples = 0
        self.periods = _no_periods(len(attrs))

    @property
    def malformed(self) -> int:
        """Samples that were left out."""
        return self._decoder.malformed

    def renamed(self, tid: int) -> None:
        """Begins new rows for the samples of a thread from here on, unless the times of its changes are known."""
        self.renames += 1
        self._renamed.setdefault(tid, []).append(self.renames)

    def block(self, block: Bytes, offset: int) -> "_NumpyBlock":
        """For the samples of a block that stands at ``offset`` of the file."""
        return _NumpyBlock(self, block, offset)

    def add(self, runs: SampleRuns, starts: Indices, renames: Indices, offset: int) -> None:
        """Adds up the samples at ``starts``, each after so many ``renames``.

        ``offset`` is where the first word stands in the file.
        """
        self.samples += starts.size
        for columns in self._decoder.decode(runs.words, starts, offset):
            if columns.event.size:
                epoch = np.zeros(columns.tid.size, dtype=np.uint32)
                set_epochs(epoch, self._renamed, columns.tid, renames[np.searchsorted(starts, columns.start)])
                set_epochs(epoch, self._boundaries, columns.tid, columns.time)
                self._add_columns(columns, epoch)

    def result(self) -> tuple[SampleTable | None, Chains]:
        """The rows, ascending by key, and the distinct chains, ascending by hash."""
        return self._aggregator.result(), self._chains.result()

    def _add_columns(self, columns: SampleColumns, epoch: npt.NDArray[np.uint32]) -> None:
        table, examples = table_of(columns, epoch)
        least, most = self.periods
        np.minimum.at(least, columns.event, columns.period)
        np.maximum.at(most, columns.event, columns.period)
        self._chains.add(columns, examples)
        self._aggregator.add(table)


class _NumpyBlock:
    """Gathers the samples of a block and adds them up at once."""

    def __init__(self, engine: NumpyEngine, block: Bytes, offset: int) -> None:
        self._engine, self._block, self._offset = engine, block, offset
        self._phases: dict[int, SampleRuns] = {}
        self._found: dict[int, list[tuple[Indices, int]]] = {}  # samples, and how many renames stand before them

    def take(self, position: int) -> int:
        phase = position & 7
        if phase not in self._phases:
            self._phases[phase] = SampleRuns(self._block, phase)
        starts, behind = self._phases[phase].run_from(position >> 3)
        self._found.setdefault(phase, []).append((starts, self._engine.renames))
        return behind * 8 + phase

    def finish(self) -> None:
        for phase, found in self._found.items():
            starts = np.concatenate([each for each, _ in found])
            renames = np.repeat([before for _, before in found], [each.size for each, _ in found])
            self._engine.add(self._phases[phase], starts, renames, self._offset + phase)
        self._found.clear()


def _no_periods(events: int) -> tuple[Words, Words]:
    """The extremes of nothing."""
    return np.full(events, np.iinfo(np.uint64).max, dtype=np.uint64), np.zeros(events, dtype=np.uint64)
