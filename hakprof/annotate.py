"""Annotating a layer: its hottest functions, their source lines and instructions, from recordings and files."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from difflib import get_close_matches
from fnmatch import fnmatchcase
from pathlib import Path

import numpy as np
import polars as pl

from hakprof.analysis.annotation import (
    AnnotatedFunction,
    Annotation,
    CodeBlock,
    HotPlace,
    SourceLine,
    around,
    code_block,
    hottest_lines,
    skid_of,
)
from hakprof.analysis.labels import layer_meaning
from hakprof.analysis.layers import UNATTRIBUTED, largest_first
from hakprof.analysis.listing import choose_event
from hakprof.analysis.recording_notes import recording_notes
from hakprof.analysis.statistics import wilson
from hakprof.errors import HakprofError, NotMeasuredError, ParseError, ToolError
from hakprof.inspection import load
from hakprof.layers.frames import UNKNOWN
from hakprof.names import folded
from hakprof.resources import native_dir
from hakprof.selection import Recording, Selection
from hakprof.symbols import Symbolizer
from hakprof.symbols.disassembly import CodeFile, Instruction
from hakprof.symbols.objects import ObjectFinder
from hakprof.symbols.source import SourceFinder

_FUNCTION = ("function", "path", "build_id", "kernel")
_MOST_NAMES = 8


@dataclass(frozen=True, slots=True)
class Wanted:
    """What of a layer is shown. ``function`` is a name or glob; ``source`` folders that hold its sources."""

    layer: str
    event: str | None = None
    function: str | None = None
    functions: int = 5
    lines: int = 10
    context: int = 3
    with_source: bool = True
    source: tuple[Path, ...] = ()


@dataclass(frozen=True, slots=True)
class _Samples:
    """The samples of one event in the recordings of a selection: where they are, and what else must be known."""

    event: str
    is_time: bool
    places: pl.DataFrame
    titles: dict[str, str]
    notes: tuple[str, ...]


def annotate_layer(selection: Selection, wanted: Wanted) -> Annotation:
    """The hottest lines and instructions of a layer over all recordings of a selection.

    Raises:
        ParseError: a recording cannot be read.
        HakprofError: there is no such layer, event or function.
        NotMeasuredError: the layer has no samples.
    """
    samples = _gather(selection, wanted.event)
    own = _of_layer(samples, wanted.layer)
    total, layer_total = int(samples.places["count"].sum()), int(own["count"].sum())
    annotator = _Annotator(selection.recordings, wanted, own, all_samples=total)
    chosen = _of_function(annotator.samples, wanted.function)
    ranked = largest_first(chosen, _FUNCTION)
    functions = tuple(
        annotator.annotate(chosen.filter(_is(row)), row) for row in ranked.head(wanted.functions).iter_rows(named=True)
    )
    return Annotation(
        name=selection.name,
        title=", ".join(one.title for one in selection.recordings if one.title),
        layer=wanted.layer,
        meaning=layer_meaning(samples.titles, wanted.layer),
        event=samples.event,
        share=wilson(layer_total, total),
        functions=functions,
        other_functions=max(ranked.height - wanted.functions, 0),
        skid=skid_of(samples.event, is_time=samples.is_time),
        notes=(*samples.notes, *annotator.notes),
    )


def _is(row: dict[str, object]) -> pl.Expr:
    return pl.all_horizontal(pl.col(name).eq_missing(pl.lit(row[name])) for name in _FUNCTION)


def _gather(selection: Selection, wanted_event: str | None) -> _Samples:
    """All recordings' places; the event is chosen by the first recording."""
    event, is_time, titles = wanted_event, False, {}
    places: list[pl.DataFrame] = []
    notes: list[str] = []
    for one in selection.recordings:
        loaded = load(selection, one)
        of_time = {each.name: each.is_time for each in loaded.profile.events}
        event = choose_event(event, of_time, loaded.attribution.samples)
        is_time, titles = of_time[event], loaded.attribution.titles
        places.append(loaded.attribution.places.filter(pl.col("event") == event))
        notes += recording_notes(loaded.profile, loaded.attribution, event)
    if event is None:
        raise NotMeasuredError("there is no recording", remedy="collect a study with the perf_record collector")
    return _Samples(event, is_time, pl.concat(places), titles, tuple(dict.fromkeys(notes)))


def _of_layer(samples: _Samples, layer: str) -> pl.DataFrame:
    own = samples.places.filter(pl.col("layer") == layer)
    if own.height:
        return own
    present = largest_first(samples.places, ["layer"])["layer"].to_list()
    with_samples = f"layers with samples: {', '.join(present[:_MOST_NAMES])} (`hakprof layers` lists all)"
    if layer in samples.titles or layer == UNATTRIBUTED:
        raise NotMeasuredError(f"layer {layer} has no samples of {samples.event} here", remedy=with_samples)
    near = get_close_matches(layer, [*present, *samples.titles], n=3)
    raise HakprofError(
        f"there is no layer {layer!r}",
        remedy=f"did you mean {' or '.join(dict.fromkeys(near))}? {with_samples}" if near else with_samples,
    )


def _of_function(own: pl.DataFrame, function: str | None) -> pl.DataFrame:
    if function is None:
        return own
    names = own["function"].unique().to_list()
    matching = [name for name in names if fnmatchcase(name, function) or folded(name) == function]
    if not matching:
        known = largest_first(own, ["function"])["function"].head(_MOST_NAMES).to_list()
        raise HakprofError(
            f"no samples of the layer are in a function {function!r}",
            remedy=f"its functions with most samples: {', '.join(map(folded, known))}",
        )
    return own.filter(pl.col("function").is_in(matching))


class _Annotator:
    """Finds text and code for the functions of one layer."""

    def __init__(
        self, recordings: Sequence[Recording], wanted: Wanted, samples: pl.DataFrame, *, all_samples: int
    ) -> None:
        folders = tuple(dict.fromkeys(folder for one in recordings for folder in one.objects))
        self._wanted = wanted
        self._finder = ObjectFinder(folders)
        self._symbolizer = Symbolizer(folders)
        self._source = SourceFinder(wanted.source, bundled=native_dir().parent)
        self._layer_samples = int(samples["count"].sum())
        self._all_samples = all_samples
        self._objects: dict[tuple[str, str | None], CodeFile | str] = {}
        self._recorded_ns = min(one.path.stat().st_mtime_ns for one in recordings)
        self._changed: set[str] = set()  # paths of files that were written after the recording
        self._notes: dict[str, None] = {}
        self.samples = self._told_apart(samples)  # places of the layer

    @property
    def notes(self) -> tuple[str, ...]:
        """What was found out on the way and concerns more than one function."""
        return tuple(self._notes)

    def annotate(self, samples: pl.DataFrame, row: dict[str, object]) -> AnnotatedFunction:
        """One function: ``samples`` are its places, ``row`` its name, file and count."""
        path = str(row["path"]) if row["path"] is not None else "[unknown]"
        build_id = str(row["build_id"]) if row["build_id"] is not None else None
        count = int(samples["count"].sum())
        summed = samples.group_by("place").agg(pl.col("count").sum()).sort("place")
        places = self._places(path, build_id, summed, is_kernel=bool(row["kernel"]))
        blocks, no_code = self._blocks(path, build_id, places, is_kernel=bool(row["kernel"]))
        lines, others = hottest_lines(
            places if path not in self._changed else (),
            layer_samples=self._layer_samples,
            all_samples=self._all_samples,
            most=self._wanted.lines,
        )
        return AnnotatedFunction(
            function=str(row["function"]),
            object=path,
            build_id=build_id,
            symbols=tuple(largest_first(samples, ["symbol"])["symbol"].to_list()),
            of_layer=wilson(count, self._layer_samples),
            of_all=wilson(count, self._all_samples),
            lines=tuple(map(self._with_text, lines)),
            other_lines=others,
            blocks=blocks,
            no_code=no_code,
        )

    def _told_apart(self, samples: pl.DataFrame) -> pl.DataFrame:
        """The samples with functions of stripped files called by where they begin, as far as that is known."""
        is_nameless = (pl.col("function") == UNKNOWN) & ~pl.col("kernel") & pl.col("path").is_not_null()
        nameless = samples.filter(is_nameless).select("path", "build_id", "place").unique(maintain_order=True)
        names = [self._begin(*row) for row in nameless.iter_rows()]
        named = nameless.with_columns(pl.Series("begin", names, dtype=pl.String))
        joined = samples.join(
            named, on=["path", "build_id", "place"], how="left", nulls_equal=True, maintain_order="left"
        )
        begin = pl.when(is_nameless).then(pl.col("begin"))
        return joined.with_columns(pl.coalesce(begin, pl.col("function")).alias("function")).drop("begin")

    def _begin(self, path: str, build_id: str | None, place: int) -> str | None:
        code = self._code(path, build_id)
        found = None if isinstance(code, str) else code.function_at(code.address_of(place))
        return f"{Path(path).name}+{found.start:#x}" if found else None

    def _places(self, path: str, build_id: str | None, summed: pl.DataFrame, *, is_kernel: bool) -> list[HotPlace]:
        offsets = summed["place"].to_numpy().astype(np.uint64)
        frames = self._symbolizer.user_frames(path, build_id, offsets) if not is_kernel else [()] * offsets.size
        return [HotPlace(place, count, found) for (place, count), found in zip(summed.iter_rows(), frames, strict=True)]

    def _with_text(self, line: SourceLine) -> SourceLine:
        if not self._wanted.with_source or line.file is None or line.line is None:
            return line
        text = self._source.line(line.file, line.line)
        found = self._source.path(line.file)
        if found is None:
            self._note(f"{line.file}: not found; name the folder of the sources with --source")
        elif text is None:
            self._note(f"{found}: has no line {line.line}; it is not the text that was compiled")
        elif str(found) != line.file:
            self._note(f"{line.file}: its text is from {found}, which may be another version")
        return replace(line, text=text)

    def _blocks(
        self, path: str, build_id: str | None, places: Sequence[HotPlace], *, is_kernel: bool
    ) -> tuple[tuple[CodeBlock, ...], str | None]:
        if is_kernel:
            return (), "kernel code: no file here holds its instructions"
        code = self._code(path, build_id)
        if isinstance(code, str):
            return (), code
        hottest = sorted(places, key=lambda one: (-one.samples, one.place))[: self._wanted.lines]
        hot = {code.address_of(one.place) for one in hottest}
        ranges = {code.function_at(address) for address in hot}
        if None in ranges:
            return (), "stripped, and nothing tells where its functions begin"
        try:
            functions = [code.disassemble(each) for each in ranges if each]
        except ToolError as error:
            return (), f"{error.message}{f' ({error.remedy})' if error.remedy else ''}"
        runs = [run for one in functions for run in around(hot, one, context=self._wanted.context)]
        of_layer = self._sampled(path, build_id, code)
        blocks = [self._block(code, path, build_id, run, of_layer) for run in runs]
        return tuple(sorted(blocks, key=lambda one: (-one.samples, one.rows[0].address))), None

    def _sampled(self, path: str, build_id: str | None, code: CodeFile) -> dict[int, int]:
        """Samples of the layer by address: other functions of it may stand between the instructions of one."""
        inside = self.samples.filter((pl.col("path") == path) & pl.col("build_id").eq_missing(pl.lit(build_id)))
        summed = inside.group_by("place").agg(pl.col("count").sum())
        return {code.address_of(place): count for place, count in summed.iter_rows()}

    def _block(
        self, code: CodeFile, path: str, build_id: str | None, run: Sequence[Instruction], hot: Mapping[int, int]
    ) -> CodeBlock:
        offsets = np.array([code.offset_of(one.address) for one in run], dtype=np.uint64)
        frames = self._symbolizer.user_frames(path, build_id, offsets)
        by_address = {one.address: found for one, found in zip(run, frames, strict=True)}
        return code_block(run, hot=hot, frames=by_address, layer_samples=self._layer_samples)

    def _code(self, path: str, build_id: str | None) -> CodeFile | str:
        """The object's code, or why it is not shown: instructions of another build would be wrong in every line."""
        key = (path, build_id)
        if key not in self._objects:
            self._objects[key] = self._open(path, build_id)
        return self._objects[key]

    def _open(self, path: str, build_id: str | None) -> CodeFile | str:
        found = self._finder.find(path, build_id)
        if found is None:
            told = [text for text in self._finder.warnings if text.startswith(f"{path}: ")]
            return told[-1].removeprefix(f"{path}: ") if told else "the file is not here"
        if build_id is None:
            file = found.runtime.path
            if str(file) == path and file.stat().st_mtime_ns > self._recorded_ns:
                self._changed.add(path)
                return f"{path} was changed after the recording, which has no build id of it; nor are lines shown"
            self._note(
                f"{path}: recorded without build id: its lines and instructions are those of the file as it is now"
            )
        try:
            code = CodeFile(found)
        except (ParseError, OSError) as error:
            return str(error)
        return code if code.has_code else "only its debug file is here, which holds no instructions"

    def _note(self, text: str) -> None:
        self._notes.setdefault(text)
