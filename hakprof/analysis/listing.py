"""The layers of one recording: shares, the functions in each, what caused the kernel's part, what has no layer.

Works on the samples of any recording, with or without a run around it. Shares are shares of the samples that were
asked for, counted and not weighted by period, as in :mod:`hakprof.analysis.layers`.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import polars as pl

from hakprof.analysis.labels import layer_meaning
from hakprof.analysis.layers import (
    FEWEST_SAMPLES,
    NO_CHAINS,
    NO_USER_FRAME,
    UNATTRIBUTED,
    Cause,
    Location,
    causes_of,
    largest_first,
    largest_symbols,
)
from hakprof.analysis.statistics import Share, wilson
from hakprof.choice import event_among, no_samples_of
from hakprof.layers.rules import plain_name


@dataclass(frozen=True, slots=True)
class Narrowing:
    """Which samples of a recording are asked for; None takes all. ``event`` None: the first that stands for time."""

    event: str | None = None
    comm: str | None = None
    dso: str | None = None

    def describe(self) -> str:
        """The filters in words; empty where there is none."""
        named = (("comm", self.comm), ("dso", self.dso))
        return ", ".join(f"{name} {value}" for name, value in named if value is not None)


@dataclass(frozen=True, slots=True)
class FunctionRow:
    """A function of a layer. ``inlined_into`` is the symbol that holds its code, where that is another one."""

    function: str
    inlined_into: str | None
    dso: str
    of_layer: Share
    of_all: Share


@dataclass(frozen=True, slots=True)
class ListedLayer:
    """A layer; ``causes`` are the user layers that asked for its kernel samples, largest first."""

    layer: str
    meaning: str
    share: Share
    kernel_samples: int
    causes: tuple[Cause, ...]
    functions: tuple[FunctionRow, ...]  # the largest; none of a layer with next to no samples
    other_functions: int  # how many more hold samples
    others_of_layer: Share
    others_of_all: Share

    @property
    def side(self) -> str:
        """Where its samples are: ``user``, ``kernel`` or ``both``."""
        if not self.kernel_samples:
            return "user" if self.share.count else "—"
        return "kernel" if self.kernel_samples == self.share.count else "both"


@dataclass(frozen=True, slots=True)
class Listing:
    """One recording by layers, largest first, the unattributed one last and always there."""

    title: str
    event: str
    is_time: bool
    has_chains: bool  # whether call chains were recorded, which tell causes
    narrowed_to: str
    samples: int
    event_samples: int  # of the event in the whole recording, before narrowing
    user: Share
    kernel: Share
    layers: tuple[ListedLayer, ...]
    unattributed_symbols: tuple[Location, ...]
    notes: tuple[str, ...]  # what the reader must know before trusting the numbers

    @property
    def has_functions(self) -> bool:
        """Whether functions were asked for."""
        return any(layer.functions for layer in self.layers)

    @property
    def sum_share(self) -> float:
        """Of all layers together: 1, because every sample has one."""
        return sum(layer.share.count for layer in self.layers) / self.samples


def choose_event(wanted: str | None, of_time: Mapping[str, bool], samples: pl.DataFrame) -> str:
    """The event to show, by :func:`hakprof.choice.event_among`."""
    return event_among(wanted, largest_first(samples, ["event"])["event"].to_list(), of_time)


def narrow(samples: pl.DataFrame, by: Narrowing) -> pl.DataFrame:
    """The samples of one event that were asked for.

    Raises:
        HakprofError: there are none; the remedy offers the names that hold most samples.
    """
    for column, value in (("comm", by.comm), ("dso", by.dso)):
        if value is None:
            continue
        kept = samples.filter(pl.col(column) == value)
        if not kept.height:
            raise no_samples_of(column, value, largest_first(samples, [column])[column].to_list())
        samples = kept
    return samples


def list_layers(
    samples: pl.DataFrame,
    *,
    title: str,
    event: str,
    is_time: bool,
    titles: Mapping[str, str],
    narrowing: Narrowing,
    functions: int,
    has_chains: bool,
    notes: tuple[str, ...] = (),
) -> Listing:
    """Adds up the samples of a recording (schema of Attribution.samples) by layers.

    ``event`` is one of :func:`choose_event`; ``titles`` say what layers are; ``functions``: how many to name of each;
    ``has_chains``: whether call chains were recorded.
    """
    of_event = samples.filter(pl.col("event") == event)
    own = narrow(of_event, narrowing)
    total = int(own["count"].sum())
    causes = causes_of(own, none=NO_USER_FRAME if has_chains else NO_CHAINS)
    order = [layer for layer, _ in largest_first(own, ["self_layer"]).iter_rows() if layer != UNATTRIBUTED]
    kernel = int(own.filter(pl.col("kernel"))["count"].sum())
    return Listing(
        title=title,
        event=event,
        is_time=is_time,
        has_chains=has_chains,
        narrowed_to=narrowing.describe(),
        samples=total,
        event_samples=int(of_event["count"].sum()),
        user=wilson(total - kernel, total),
        kernel=wilson(kernel, total),
        layers=tuple(
            _layer(own, layer, titles, causes, total=total, most=functions) for layer in (*order, UNATTRIBUTED)
        ),
        unattributed_symbols=largest_symbols(own.filter(pl.col("self_layer") == UNATTRIBUTED)),
        notes=notes,
    )


def _layer(
    samples: pl.DataFrame, layer: str, titles: Mapping[str, str], causes: tuple[Cause, ...], *, total: int, most: int
) -> ListedLayer:
    own = samples.filter(pl.col("self_layer") == layer)
    count = int(own["count"].sum())
    most = most if count >= FEWEST_SAMPLES else 0
    by_function = largest_first(own, ["function", "symbol", "dso"])
    others = int(by_function["count"].slice(most).sum())
    return ListedLayer(
        layer=layer,
        meaning="no rule names it" if layer == UNATTRIBUTED else layer_meaning(titles, layer),
        share=wilson(count, total),
        kernel_samples=int(own.filter(pl.col("kernel"))["count"].sum()),
        causes=tuple(cause for cause in causes if cause.layer == layer),
        functions=tuple(
            FunctionRow(function, _host(function, symbol), dso, wilson(n, count), wilson(n, total))
            for function, symbol, dso, n in by_function.head(most).iter_rows()
        ),
        other_functions=max(by_function.height - most, 0) if most else 0,
        others_of_layer=wilson(others, count),
        others_of_all=wilson(others, total),
    )


def _host(function: str, symbol: str) -> str | None:
    """The symbol that a function's code is part of; None where it is its own."""
    return symbol if plain_name(symbol) != function else None
