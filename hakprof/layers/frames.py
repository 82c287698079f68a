"""Every distinct address of a profile, named once and matched against the rules once."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import polars as pl

from hakprof.grouping import grouped
from hakprof.layers.rules import Code, RuleSet, plain_name
from hakprof.parse.perf_data import PerfProfile, short_name
from hakprof.parse.perf_data.kernel import RecordedKernel
from hakprof.symbols import Frame, Symbolizer

UNKNOWN = "[unknown]"
INLINED_MARK = " (inlined)"  # as perf script marks them in chains
Indices = npt.NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Sites:
    """Distinct code addresses. Layer arrays hold indices into the rules' layers, -1 for none.

    ``frames`` are innermost first; ``dso`` numbers objects, so that runs in one object can be told. Of each site:
    ``dso_names`` has the object as perf shows it, ``symbols`` the outermost function, ``functions`` the innermost;
    ``others_named`` tells whether rules name code in its object.
    """

    frames: Sequence[tuple[Frame, ...]]
    dso: npt.NDArray[np.int32]
    dso_names: pl.Series
    symbols: pl.Series
    functions: pl.Series
    entry: npt.NDArray[np.int32]
    named: npt.NDArray[np.int32]
    object: npt.NDArray[np.int32]
    others_named: npt.NDArray[np.bool_]

    def labels(self) -> list[tuple[str, ...]]:
        """What a flame graph shows for each site, outermost first; the object where no function is known."""
        return [
            tuple(_label(f) for f in reversed(frames)) or (name if name.startswith("[") else f"[{name}]",)
            for frames, name in zip(self.frames, self.dso_names.to_list(), strict=True)
        ]


@dataclass(frozen=True, slots=True)
class _Objects:
    """The distinct objects of the mappings, and for each mapping which it is and how addresses fall into it."""

    paths: tuple[str, ...]
    build_ids: tuple[str | None, ...]
    executable: tuple[bool, ...]
    of_mapping: npt.NDArray[np.int32]
    shift: npt.NDArray[np.uint64]


def resolve_sites(
    profile: PerfProfile,
    symbolizer: Symbolizer,
    rules: RuleSet,
    *,
    address: npt.NDArray[np.uint64],
    mapping: npt.NDArray[np.int32],
    kernel: npt.NDArray[np.bool_],
) -> tuple[Sites, Indices]:
    """Names and layers of addresses; the sites, and the site of each address."""
    objects = _objects(profile)
    number = np.where(mapping >= 0, objects.of_mapping[mapping], -1).astype(np.int32)
    place = np.where(kernel | (mapping < 0), address, address + objects.shift[mapping])
    site, heads = grouped([number, kernel, place])
    frames = _name(objects, symbolizer, profile.recorded_kernel, number[heads], place[heads], kernel[heads])
    return _match(objects, rules, number[heads], kernel[heads], frames), site


def _objects(profile: PerfProfile) -> _Objects:
    frame = profile.mappings
    numbers: dict[tuple[str, str | None], int] = {}
    of_mapping = [numbers.setdefault(key, len(numbers)) for key in zip(frame["path"], frame["build_id"], strict=True)]
    executable = [False] * len(numbers)
    for number, is_executable in zip(of_mapping, frame["is_executable"], strict=True):
        executable[number] |= is_executable
    shift = frame["file_offset"].to_numpy() - frame["start"].to_numpy()
    # One more entry, for mapping -1.
    return _Objects(
        paths=tuple(path for path, _ in numbers),
        build_ids=tuple(identity for _, identity in numbers),
        executable=tuple(executable),
        of_mapping=np.array([*of_mapping, -1], dtype=np.int32),
        shift=np.append(shift, np.uint64(0)).astype(np.uint64),
    )


def _name(
    objects: _Objects,
    symbolizer: Symbolizer,
    recorded: RecordedKernel,
    number: npt.NDArray[np.int32],
    place: npt.NDArray[np.uint64],
    kernel: npt.NDArray[np.bool_],
) -> list[tuple[Frame, ...]]:
    frames: list[tuple[Frame, ...]] = [()] * number.size
    for one in np.unique(number[number >= 0]).tolist():
        path = objects.paths[one]
        for is_kernel in (True, False):
            chosen = np.flatnonzero((number == one) & (kernel == is_kernel))
            if chosen.size:
                if is_kernel:
                    found = symbolizer.kernel_frames(path, recorded, place[chosen])
                else:
                    found = symbolizer.user_frames(path, objects.build_ids[one], place[chosen])
                for index, each in zip(chosen.tolist(), found, strict=True):
                    frames[index] = each
    return frames


def _match(
    objects: _Objects,
    rules: RuleSet,
    number: npt.NDArray[np.int32],
    kernel: npt.NDArray[np.bool_],
    frames: list[tuple[Frame, ...]],
) -> Sites:
    """The layers of each site: those of its innermost frame that has one."""
    entry, named, whole = (np.full(number.size, -1, dtype=np.int32) for _ in range(3))
    others_named = np.zeros(number.size, dtype=np.bool_)
    nameless = Frame(None, None, None, "", False)
    for site, (one, is_kernel, chain) in enumerate(zip(number.tolist(), kernel.tolist(), frames, strict=True)):
        if one < 0 and not is_kernel:
            continue
        path = objects.paths[one] if one >= 0 else UNKNOWN
        for frame in chain or (nameless,):
            name = plain_name(frame.function) if frame.function else None
            match = rules.match(Code(name, frame.file, path, is_kernel, one >= 0 and objects.executable[one]))
            entry[site] = match.entry if entry[site] < 0 else entry[site]
            named[site] = match.named if named[site] < 0 else named[site]
            whole[site] = match.object if whole[site] < 0 else whole[site]
            others_named[site] = match.others_named
    names = pl.Series([*(short_name(path) for path in objects.paths), UNKNOWN], dtype=pl.String)
    functions = (plain_name(chain[0].function) if chain and chain[0].function else UNKNOWN for chain in frames)
    return Sites(
        frames=frames,
        dso=number,
        dso_names=names.gather(np.where(number < 0, len(names) - 1, number)),
        symbols=pl.Series([(chain[-1].function if chain else None) or UNKNOWN for chain in frames], dtype=pl.String),
        functions=pl.Series(list(functions), dtype=pl.String),
        entry=entry,
        named=named,
        object=whole,
        others_named=others_named,
    )


def _label(frame: Frame) -> str:
    name = plain_name(frame.function) if frame.function else UNKNOWN
    return f"{name}{INLINED_MARK}" if frame.inlined else name
