"""Names that a user may ask for among those that a recording holds. Ground floor: everybody may import it."""

from collections.abc import Mapping, Sequence

from hakprof.errors import HakprofError, NotMeasuredError

MOST_NAMES = 8  # that an error offers


def event_among(wanted: str | None, present: Sequence[str], of_time: Mapping[str, bool]) -> str:
    """The event to show of those ``present``, most samples first: as asked, else the first of time, else the first.

    Raises:
        NotMeasuredError: the recording has no samples.
        HakprofError: no event of the recording bears the name, with or without its modifiers (``cycles:u``).
    """
    if not present:
        raise NotMeasuredError("the recording has no samples", remedy="record longer, or a program that uses the CPU")
    if wanted is None:
        return next((name for name in present if of_time.get(name)), present[0])
    if wanted in present:
        return wanted
    same = [name for name in present if name.partition(":")[0] == wanted]
    if len(same) == 1:
        return same[0]
    offered = ", ".join(sorted(present))
    raise HakprofError(f"no samples of event {wanted!r} in the recording", remedy=f"use one of: {offered}")


def no_samples_of(column: str, value: str, known: Sequence[str]) -> HakprofError:
    """The error for a thread name or object without samples; ``known`` are those that have some, the largest first."""
    offered = ", ".join(map(_in_one_line, known[:MOST_NAMES]))
    return HakprofError(f"no samples of {column} {value!r}", remedy=f"those with most samples are: {offered}")


def _in_one_line(name: str) -> str:
    """A name out of a recording, as it can be typed: `$'two\\nlines'`."""
    return name if name.isprintable() else f"${name!r}"
