"""Every distinct address of a profile, named once and matched against the rules once."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from hakprof.layers.rules import Code, RuleSet, plain_name
from hakprof.parse.perf_data import PerfProfile, short_name
from hakprof.symbols import Frame, Symbolizer

UNKNOWN = "[unknown]"
Indices = npt.NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Sites:
    """Distinct code addresses. Layer arrays hold indices into the rules' layers, -1 for none.

    ``frames`` are innermost first; ``dso`` numbers objects, so that runs in one object can be told.
    """

    frames: Sequence[tuple[Frame, ...]]
    dso: npt.NDArray[np.int32]
    dso_names: tuple[str, ...]
    entry: npt.NDArray[np.int32]
    named: npt.NDArray[np.int32]
    object: npt.NDArray[np.int32]

    def dso_name(self, site: int) -> str:
        """The object of a site, as perf shows it."""
        return self.dso_names[int(self.dso[site])]

    def symbol(self, site: int) -> str:
        """The outermost function: what perf shows."""
        frames = self.frames[site]
        return (frames[-1].function if frames else None) or UNKNOWN

    def function(self, site: int) -> str:
        """The innermost inlined function."""
        frames = self.frames[site]
        name = frames[0].function if frames else None
        return plain_name(name) if name else UNKNOWN

    def labels(self, site: int) -> tuple[str, ...]:
        """What a flame graph shows for the site, outermost first; the object where no function is known."""
        frames = self.frames[site]
        if not frames:
            name = self.dso_name(site)
            return (name if name.startswith("[") else f"[{name}]",)
        return tuple(plain_name(f.function) if f.function else UNKNOWN for f in reversed(frames))


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
    order = np.lexsort((place, kernel, number))
    differs = np.ones(order.size, dtype=np.bool_)
    for at, column in enumerate((place, kernel, number)):
        changed = column[order][1:] != column[order][:-1]
        differs[1:] = changed if at == 0 else differs[1:] | changed
    site = np.empty(order.size, dtype=np.int64)
    site[order] = np.cumsum(differs) - 1
    heads = order[differs]
    frames = _name(objects, symbolizer, number[heads], place[heads], kernel[heads])
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
    number: npt.NDArray[np.int32],
    place: npt.NDArray[np.uint64],
    kernel: npt.NDArray[np.bool_],
) -> list[tuple[Frame, ...]]:
    frames: list[tuple[Frame, ...]] = [()] * number.size
    for one in np.unique(number[number >= 0]).tolist():
        for is_kernel, name in ((True, symbolizer.kernel_frames), (False, symbolizer.user_frames)):
            chosen = np.flatnonzero((number == one) & (kernel == is_kernel))
            if chosen.size:
                found = name(objects.paths[one], objects.build_ids[one], place[chosen])
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
    names = (*(short_name(path) for path in objects.paths), UNKNOWN)
    return Sites(frames, number, names, entry, named, whole)
