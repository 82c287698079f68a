"""Every sample to exactly one layer, and kernel samples also to the user layer that caused them.

User samples. The rules name functions and source files. A sample belongs to the innermost frame that a rule names,
inlined functions first, then the callers *as long as they are in the same object*: a nameless helper inside an
allocator is the work of the allocator function that called it, but memset in libc is libc's whoever called it. Where
no frame is named, a rule for the whole object decides; where there is none either, the sample is unattributed.

Kernel samples belong to the innermost kernel entry of the chain (a page fault inside a system call is a page fault),
without any to the innermost kernel function that a rule names, otherwise to the rule for the kernel as a whole. They
were caused by the layer of the user part of the chain, found as above; by none where the chain has no user part, and
by an unattributed one where the chain breaks off (a stack that could not be unwound) before that can be told. A system
call is made in the C library for whoever called it: the caller caused it, where the chain tells that one.
"""

from dataclasses import dataclass
from functools import cached_property

import numpy as np
import numpy.typing as npt
import polars as pl

from hakprof.grouping import grouped
from hakprof.layers.frames import Indices, Sites, resolve_sites
from hakprof.layers.rules import LIBRARY, PROGRAM, SYSTEM_CALL, UNATTRIBUTED, RuleSet
from hakprof.parse.perf_data import PerfProfile
from hakprof.symbols import Symbolizer

STRIPPED_SHARE = 0.05  # of the samples of time: below it nobody misses the names
_CPUMODE_KERNEL = 1
_MOST = 2**62  # no real sum of periods comes near it
_CHAIN_KEY = ("stack_id", "ip", "mapping", "cpumode")
_SAMPLE_KEY = (
    "event",
    "pid",
    "tid",
    "comm",
    "dso",
    "symbol",
    "function",
    "kernel",
    "self_layer",
    "caused_layer",
)


@dataclass(frozen=True, slots=True)
class _Chains:
    """Distinct (stack, leaf) pairs of the samples as ranges of sites, leaf first, none empty.

    ``partial``, one for each, tells those whose last callers are not known.
    """

    offsets: Indices
    site: Indices
    kernel: npt.NDArray[np.bool_]
    partial: npt.NDArray[np.bool_]

    @property
    def leaves(self) -> Indices:
        """The site of each chain's leaf."""
        return self.site[self.offsets[:-1]]


@dataclass(frozen=True, slots=True)
class _Basis:
    """What the tables are made of: for each row of the profile's samples what is known of it, and its chain."""

    rows: pl.DataFrame
    chains: _Chains
    sites: Sites
    mappings: pl.DataFrame


@dataclass(frozen=True)
class Attribution:
    """A profile by layers. Every frame is sorted; counts are Int64 and sum to the profile's, event by event.

    samples: event, pid, tid, comm, dso, symbol (outermost), function (innermost), kernel, self_layer, caused_layer
      (null where the chain has no user frame; equal to self_layer for user samples), count, period
    unattributed_symbols: event, dso, symbol, count, largest first
    ``unmatched_rules``: layers that no rule found in this profile, of catalogues that found something.
    """

    samples: pl.DataFrame
    unattributed_symbols: pl.DataFrame
    unmatched_rules: tuple[str, ...]
    titles: dict[str, str]
    warnings: tuple[str, ...]
    _basis: _Basis

    # Made when asked for: not every report shows them, and call chains by name are as large as all the rest.

    @cached_property
    def stacks(self) -> pl.DataFrame:
        """event, frames (list, root to leaf, inlined functions expanded), layer (of the leaf), count"""
        return _stacks(self._basis)

    @cached_property
    def beginnings(self) -> pl.DataFrame:
        """event, function (the outermost of the call chain, named as in ``stacks``), count"""
        return _beginnings(self._basis)

    @cached_property
    def lines(self) -> pl.DataFrame:
        """event, layer, function, file, line (null where unknown), count: of the leaf only"""
        return _lines(self._basis)

    @cached_property
    def places(self) -> pl.DataFrame:
        """event, layer, symbol, function, path, build_id, kernel, place, count: of the leaf only.

        ``place`` is the offset in the file, and the address itself for kernel code.
        """
        return _places(self._basis)


def attribute(profile: PerfProfile, symbolizer: Symbolizer, rules: RuleSet) -> Attribution:
    """Names the addresses of a profile and gives each sample its layer."""
    keys, chain = _distinct(profile.samples)
    chains, sites = _chains(profile, symbolizer, rules, keys)
    rows = _described(profile, rules, chains, sites, chain)
    matched = np.unique(np.concatenate((sites.entry, sites.named, sites.object)))
    samples = _sum(rows.with_columns(pl.col("pid", "tid").cast(pl.Int64)), _SAMPLE_KEY, ("count", "period"))
    return Attribution(
        samples=samples,
        unattributed_symbols=_sum(
            samples.filter(pl.col("self_layer") == UNATTRIBUTED), ("event", "dso", "symbol"), ("count",)
        ).sort(["count", "event", "dso", "symbol"], descending=[True, False, False, False]),
        unmatched_rules=rules.unmatched(
            (rules.layers[index] for index in matched[matched >= 0].tolist()), _objects(profile, symbolizer)
        ),
        titles=dict(rules.titles),
        warnings=(*symbolizer.warnings, *_stripped(profile, symbolizer)),
        _basis=_Basis(rows, chains, sites, profile.mappings),
    )


def _distinct(samples: pl.DataFrame) -> tuple[pl.DataFrame, Indices]:
    """The distinct (stack, leaf) pairs of the samples, ascending, and for each sample which it is."""
    groups, heads = grouped([samples[name].to_numpy() for name in _CHAIN_KEY])
    return samples[heads].select(_CHAIN_KEY), groups


def _described(profile: PerfProfile, rules: RuleSet, chains: _Chains, sites: Sites, chain: Indices) -> pl.DataFrame:
    """The samples of the profile with names, layers and chain."""
    own, caused = _layers_of(chains, sites, rules, has_stacks=profile.has_stacks)
    layers = pl.Series([*rules.layers, UNATTRIBUTED], dtype=pl.String)
    leaf = chains.leaves[chain]
    events = pl.Series([event.name for event in profile.events], dtype=pl.String)
    return profile.samples.select(
        events.gather(profile.samples["event"]).alias("event"),
        *("pid", "tid", "comm", "ip", "mapping"),
        sites.dso_names.gather(leaf).alias("dso"),
        sites.symbols.gather(leaf).alias("symbol"),
        sites.functions.gather(leaf).alias("function"),
        pl.Series("kernel", chains.kernel[chains.offsets[:-1]][chain], dtype=pl.Boolean),
        _named(layers, own[chain]).alias("self_layer"),
        _named(layers, caused[chain]).alias("caused_layer"),
        pl.col("count", "period").clip(upper_bound=_MOST).cast(pl.Int64),
        pl.Series("chain", chain, dtype=pl.Int64),
    )


def _named(layers: pl.Series, number: Indices) -> pl.Series:
    """Names of layers by number: the last, *unattributed*, for -1, null for -2."""
    last = len(layers) - 1
    names = layers.gather(np.where(number < 0, last, number))
    return names.set(pl.Series(number == -2), None)


def _stripped(profile: PerfProfile, symbolizer: Symbolizer) -> list[str]:
    """Objects that hold a good part of the time and have no symbol table: their functions cannot be told apart."""
    timed = profile.samples.filter(pl.col("event").is_in([event.index for event in profile.events if event.is_time]))
    total = int(timed["count"].sum())
    user = timed.filter((pl.col("cpumode") != _CPUMODE_KERNEL) & (pl.col("mapping") >= 0))
    counts = user.group_by("mapping").agg(pl.col("count").sum())
    objects = profile.mappings.with_row_index("mapping").with_columns(pl.col("mapping").cast(pl.Int32))
    held = counts.join(objects, on="mapping").group_by("path", "build_id").agg(pl.col("count").sum()).sort("path")
    return [
        f"{path}: stripped, and at least {STRIPPED_SHARE:.0%} of the samples are in it: functions that it does not"
        " export have no names — remedy: keep its symbols (-g, do not strip), or install its debug package"
        for path, identity, count in held.iter_rows()
        if path.startswith("/") and count >= STRIPPED_SHARE * total and symbolizer.names_exported_only(path, identity)
    ]


def _objects(profile: PerfProfile, symbolizer: Symbolizer) -> list[tuple[str, bool, tuple[str, ...]]]:
    """Path, whether it is the program itself, and symbol names of each user object that was sampled."""
    used = np.unique(np.concatenate((profile.samples["mapping"].to_numpy(), profile.stacks.mapping)))
    rows = profile.mappings[used[used >= 0].tolist()].filter(pl.col("pid") >= 0)
    return [
        (path, is_executable, symbolizer.symbol_names(path, identity))
        for path, is_executable, identity in rows.select("path", "is_executable", "build_id")
        .unique()
        .sort("path")
        .iter_rows()
        if path.startswith("/")
    ]


def _chains(profile: PerfProfile, symbolizer: Symbolizer, rules: RuleSet, keys: pl.DataFrame) -> tuple[_Chains, Sites]:
    """The chain of each key: the sampled address, then the callers that its stack tells."""
    stacks = profile.stacks
    stack = keys["stack_id"].to_numpy().astype(np.int64)
    kernel = keys["cpumode"].to_numpy() == _CPUMODE_KERNEL
    starts = np.where(stack > 0, stacks.offsets[np.maximum(stack - 1, 0)], 0)
    lengths = np.where(stack > 0, stacks.offsets[np.minimum(stack, len(stacks))] - starts, 0)
    if stacks.address.size:
        # A stack begins with the sampled address itself, unless the kernel could not tell.
        head = np.minimum(starts, stacks.address.size - 1)
        skip = (lengths > 0) & (stacks.address[head] == keys["ip"].to_numpy()) & (stacks.kernel[head] == kernel)
        starts, lengths = starts + skip, lengths - skip
    offsets = np.concatenate(([0], np.cumsum(lengths + 1)))
    is_leaf = np.zeros(offsets[-1], dtype=np.bool_)
    is_leaf[offsets[:-1]] = True
    caller = np.repeat(starts - (np.cumsum(lengths) - lengths), lengths) + np.arange(lengths.sum())

    def merged(leaf: npt.NDArray[np.generic], callers: npt.NDArray[np.generic]) -> npt.NDArray[np.generic]:
        column = np.empty(offsets[-1], dtype=leaf.dtype)
        column[is_leaf], column[~is_leaf] = leaf, callers[caller]
        return column

    # A return address points behind the call: one byte back is inside it.
    callers = stacks.address - (~stacks.exact).astype(np.uint64)
    in_kernel = merged(kernel, stacks.kernel).astype(np.bool_)
    sites, site = resolve_sites(
        profile,
        symbolizer,
        rules,
        address=merged(keys["ip"].to_numpy(), callers).astype(np.uint64),
        mapping=merged(keys["mapping"].to_numpy(), stacks.mapping).astype(np.int32),
        kernel=in_kernel,
    )
    partial = np.append(stacks.partial, False)[np.where(stack > 0, stack - 1, -1)]
    return _Chains(offsets, site, in_kernel, partial), sites


def _layers_of(chains: _Chains, sites: Sites, rules: RuleSet, *, has_stacks: bool) -> tuple[Indices, Indices]:
    """Self and causing layer of each chain: an index into the layers, -1 unattributed, -2 (causing only) none."""
    site, starts, ends = chains.site, chains.offsets[:-1], chains.offsets[1:]
    first_user = _first(~chains.kernel, starts, ends)
    user, is_sure = _user_layer(chains, sites, _caller(chains, sites, rules, first_user, has_stacks=has_stacks))
    in_kernel = chains.kernel
    by_entry = _first(in_kernel & (sites.entry[site] >= 0), starts, first_user)
    by_name = _first(in_kernel & (sites.named[site] >= 0), starts, first_user)
    last = site.size - 1
    kernel = np.where(
        by_entry < first_user,
        sites.entry[site[np.minimum(by_entry, last)]],
        np.where(by_name < first_user, sites.named[site[np.minimum(by_name, last)]], sites.object[site[starts]]),
    )
    own = np.where(in_kernel[starts], kernel, user).astype(np.int64)
    caused = np.where(first_user < ends, np.where(in_kernel[starts] & ~is_sure, -1, user), -2).astype(np.int64)
    return own, caused


def _caller(chains: _Chains, sites: Sites, rules: RuleSet, first_user: Indices, *, has_stacks: bool) -> Indices:
    """For each chain the frame that its user part is judged from: ``first_user``, or who had libc call the system.

    Chains by frame pointers jump over functions that keep none, as those of libc: then the program's next function
    may have called malloc. Where they find no other, they go on to wherever a register happens to point.
    """
    site, starts, ends = chains.site, chains.offsets[:-1], chains.offsets[1:]
    last = site.size - 1
    is_nameless = sites.named < 0
    is_library = is_nameless & (sites.object == rules.number(LIBRARY))
    is_known = (sites.dso >= 0) & (has_stacks | ~is_nameless | (sites.object != rules.number(PROGRAM)))
    beyond = _first(~is_library[site], first_user, ends)
    enters = chains.kernel & (sites.named[site] == rules.number(SYSTEM_CALL))
    is_call = _first(enters, starts, first_user) < first_user
    is_told = (beyond < ends) & is_known[site[np.minimum(beyond, last)]]
    found: Indices = np.where(is_call & is_told, beyond, first_user)
    return found


def _user_layer(chains: _Chains, sites: Sites, first_user: Indices) -> tuple[Indices, npt.NDArray[np.bool_]]:
    """The layer of the user part of each chain from ``first_user`` on; -1 where it has none.

    And whether that is sure: a chain that is cut off in the object might go on to a frame that a rule names.
    """
    site, ends = chains.site, chains.offsets[1:]
    last = site.size - 1
    head = np.minimum(first_user, last)
    dso = sites.dso[site]
    owner = np.repeat(np.arange(ends.size), np.diff(chains.offsets))
    leaves_object = _first(dso != dso[head][owner], first_user, ends)
    named_at = _first(sites.named[site] >= 0, first_user, leaves_object)
    named = sites.named[site[np.minimum(named_at, last)]]
    found: Indices = np.where(named_at < leaves_object, named, sites.object[site[head]]).astype(np.int64)
    is_told = (named_at < leaves_object) | (leaves_object < ends) | ~sites.others_named[site[head]]
    is_sure = ~chains.partial | is_told
    return np.where(first_user < ends, found, -1), is_sure


def _first(condition: npt.NDArray[np.bool_], starts: Indices, ends: Indices) -> Indices:
    """The first position in each range [start, end) that meets the condition; ``end`` where none does."""
    where = np.append(np.flatnonzero(condition), condition.size)
    found: Indices = np.minimum(where[np.searchsorted(where, np.minimum(starts, condition.size))], ends)
    return found


def _stacks(basis: _Basis) -> pl.DataFrame:
    """One row for each event and distinct list of names."""
    chains = basis.chains
    lengths = np.diff(chains.offsets)
    # Leaf first to root first: each chain backwards.
    position = np.repeat(chains.offsets[:-1] + chains.offsets[1:] - 1, lengths) - np.arange(chains.site.size)
    labels = pl.Series(
        ["\n".join(name.replace("\n", " ") for name in names) for names in basis.sites.labels()], dtype=pl.String
    )
    text = (
        pl.DataFrame({"chain": np.repeat(np.arange(lengths.size), lengths)})
        .with_columns(labels.gather(chains.site[position]).alias("frames"))
        .group_by("chain")
        .agg(pl.col("frames").str.join("\n"))
    )
    by_chain = _sum(basis.rows, ("event", "chain", "self_layer"), ("count",)).join(text, on="chain", how="left")
    by_names = _sum(by_chain.rename({"self_layer": "layer"}), ("event", "frames", "layer"), ("count",))
    return by_names.with_columns(pl.col("frames").str.split("\n"))


def _beginnings(basis: _Basis) -> pl.DataFrame:
    """One row for each event and outermost name."""
    roots = basis.chains.site[basis.chains.offsets[1:] - 1][basis.rows["chain"].to_numpy()]
    outermost = pl.Series([names[0] for names in basis.sites.labels()], dtype=pl.String)
    return _sum(basis.rows.with_columns(outermost.gather(roots).alias("function")), ("event", "function"), ("count",))


def _lines(basis: _Basis) -> pl.DataFrame:
    leaf = basis.chains.leaves[basis.rows["chain"].to_numpy()]
    innermost = [frames[0] if frames else None for frames in basis.sites.frames]
    files = pl.Series([frame.file if frame else None for frame in innermost], dtype=pl.String)
    lines = pl.Series([frame.line if frame else None for frame in innermost], dtype=pl.Int64)
    placed = basis.rows.with_columns(files.gather(leaf).alias("file"), lines.gather(leaf).alias("line"))
    return _sum(placed.rename({"self_layer": "layer"}), ("event", "layer", "function", "file", "line"), ("count",))


def _places(basis: _Basis) -> pl.DataFrame:
    """Where in which file the sampled instructions are."""
    shift = basis.mappings.select(
        pl.int_range(pl.len(), dtype=pl.Int32).alias("mapping"), "path", "build_id", "start", "file_offset"
    )
    placed = basis.rows.rename({"self_layer": "layer"}).join(shift, on="mapping", how="left", maintain_order="left")
    is_offset = ~pl.col("kernel") & pl.col("start").is_not_null()
    offset = pl.col("ip") - pl.col("start") + pl.col("file_offset")
    placed = placed.with_columns(pl.when(is_offset).then(offset).otherwise("ip").alias("place"))
    return _sum(placed, ("event", "layer", "symbol", "function", "path", "build_id", "kernel", "place"), ("count",))


def _sum(frame: pl.DataFrame, keys: tuple[str, ...], values: tuple[str, ...]) -> pl.DataFrame:
    """Sums by keys, sorted by the keys."""
    return frame.group_by(keys).agg(pl.col(values).sum()).sort(keys)
