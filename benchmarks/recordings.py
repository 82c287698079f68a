"""Recordings for benchmarks/reading.py: one real one, and files of a given number of samples made of it.

A file of N samples is made of a real recording by taking its record stream up to the N-th sample. Where the recording
has fewer, its stream is repeated, each time later by the time that the whole recording took, so that times still
ascend: either all of it, so that processes are born, named, mapped and gone once for each repetition, under the same
numbers, or its samples only (``Again``). In the header only the size of the record section changes, and the offsets of
the feature sections that follow it. All other bytes are perf's own; perf must count the same samples in the file
(``counted_by_perf``).
"""

import struct
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from enum import Enum
from functools import partial
from pathlib import Path
from typing import BinaryIO

import numpy as np

from hakprof.parse.perf_data.aggregate import ranges
from hakprof.parse.perf_data.format import EventAttr, SampleType
from hakprof.parse.perf_data.header import read_header
from hakprof.parse.perf_data.samples import Layout
from hakprof.parse.perf_data.walk import Bytes, Indices, SampleRuns, walk_block

WORKLOAD = Path(__file__).with_name("workload.c")
_BLOCK_BYTES = 8 << 20
_PERFS_OWN = 64  # record types from here on are made by perf record and have no time


class Again(Enum):
    """What of a recording is repeated where more samples are wanted than it has."""

    ALL = "all records"
    SAMPLES = "samples only"


def record_workload(folder: Path, seconds: float, *, buffer_pages: int) -> Path:
    """Builds the workload and records it at the highest rate, call chains by frame pointers; the perf.data file.

    Records come into the file by CPU, a buffer of ``buffer_pages`` at a time: a prefix of the file that is smaller than
    the buffers may have nothing of the CPU on which the processes began.
    """
    program, output = folder / "workload", folder / "workload.data"
    flags = ["-O2", "-g", "-fno-omit-frame-pointer", "-pthread"]
    subprocess.run(["gcc", *flags, str(WORKLOAD), "-o", str(program)], check=True)
    perf = ["perf", "record", "-q", "-F", "max", "-m", str(buffer_pages), "-g", "-e", "cpu-clock", "-o", str(output)]
    subprocess.run([*perf, "--", str(program), f"{seconds:g}"], check=True, stderr=subprocess.DEVNULL)
    return output


def counted_by_perf(recording: Path) -> int:
    """How many samples perf finds in a file."""
    command = ["perf", "report", "--stats", "-i", str(recording)]
    for line in subprocess.run(command, check=True, capture_output=True, text=True).stdout.splitlines():
        if line.split()[:2] == ["SAMPLE", "events:"]:
            return int(line.split()[2])
    return 0


def resize(recording: Path, output: Path, samples: int, *, again: Again = Again.ALL) -> None:
    """Writes a recording of exactly that many samples, as described above."""
    with recording.open("rb") as source, output.open("wb") as target:
        header = read_header(source, recording)
        if header.data_end is None:
            raise ValueError(f"{recording} is not a finished recording in file mode")
        source.seek(0)
        target.write(source.read(header.data_start))
        stream = _Stream(source, header.data_start, header.data_end, header.attrs)
        first, last = stream.time_range()
        left, repetition = samples, 0
        while left:
            for block, starts in stream.blocks(later_by=repetition * (last - first + 1)):
                if repetition and again is Again.SAMPLES:
                    block, starts = _only_samples(block, starts)
                cut = int(starts[left]) if starts.size > left else block.size
                target.write(block[:cut].data)
                left -= min(left, starts.size)
                if not left:
                    break
            repetition += 1
        _finish(source, target, header.data_start, header.data_end)


def _only_samples(block: Bytes, starts: Indices) -> tuple[Bytes, Indices]:
    """A block without all other records, and where its samples start."""
    words = block.view(np.uint64)
    sizes = (words[starts // 8] >> np.uint64(48)).astype(np.int64)
    return words[ranges(starts // 8, sizes // 8)].view(np.uint8), np.cumsum(sizes) - sizes


def _finish(source: BinaryIO, target: BinaryIO, data_start: int, data_end: int) -> None:
    """Copies the feature sections behind the records, and corrects what the header says of their places."""
    new_end = target.tell()
    shift = new_end - data_end
    source.seek(72)
    features = int.from_bytes(source.read(32), "little").bit_count()
    source.seek(data_end)
    table = struct.unpack(f"<{2 * features}Q", source.read(16 * features))
    moved = [value + shift if index % 2 == 0 else value for index, value in enumerate(table)]
    target.write(struct.pack(f"<{2 * features}Q", *moved))
    target.write(source.read())
    target.seek(48)
    target.write(struct.pack("<Q", new_end - data_start))


@dataclass(frozen=True)
class _Stream:
    """The records of a file in blocks."""

    source: BinaryIO
    start: int
    end: int
    attrs: tuple[EventAttr, ...]

    def blocks(self, *, later_by: int) -> Iterator[tuple[Bytes, Indices]]:
        """Blocks of whole records with their times moved, and the bytes at which samples start in each."""
        time_word = Layout.of(self.attrs[0]).time
        if time_word is None:
            raise ValueError("the recording has no times")
        position = self.start
        while position < self.end:
            self.source.seek(position)
            block = np.frombuffer(self.source.read(min(_BLOCK_BYTES, self.end - position)), dtype=np.uint8).copy()
            taker = _Positions(block)
            consumed = walk_block(block, 0, taker, partial(self._move, block, later_by))
            starts = np.concatenate([np.zeros(0, dtype=np.int64), *taker.found])
            block[:consumed].view(np.uint64)[starts // 8 + time_word] += np.uint64(later_by)
            yield block[:consumed], starts
            position += consumed

    def time_range(self) -> tuple[int, int]:
        """The first and the last time of a sample."""
        time_word = Layout.of(self.attrs[0]).time or 0
        extremes = []
        for block, starts in self.blocks(later_by=0):
            times = block.view(np.uint64)[starts // 8 + time_word]
            extremes += [int(times.min()), int(times.max())] if times.size else []
        return min(extremes), max(extremes)

    def _move(self, block: Bytes, later_by: int, kind: int, _misc: int, content: memoryview, position: int) -> int:
        """Moves the time at the end of a record that is no sample."""
        from_end = self.attrs[0].trailer_offset(SampleType.TIME)
        if kind < _PERFS_OWN and from_end is not None:
            at = (position + len(content) - from_end) // 8
            block[: block.size // 8 * 8].view(np.uint64)[at] += np.uint64(later_by)
        return 0


class _Positions:
    """Notes where the samples of a block start. All records of a file that perf wrote uncompressed are aligned."""

    def __init__(self, block: Bytes) -> None:
        self._runs = SampleRuns(block, 0)
        self.found: list[Indices] = []

    def take(self, position: int) -> int:
        starts, behind = self._runs.run_from(position // 8)
        self.found.append(starts * 8)
        return behind * 8
