"""Event names for files that do not carry them, and which events stand for time."""

_HARDWARE = (
    "cycles",
    "instructions",
    "cache-references",
    "cache-misses",
    "branches",
    "branch-misses",
    "bus-cycles",
    "stalled-cycles-frontend",
    "stalled-cycles-backend",
    "ref-cycles",
)
_SOFTWARE = (
    "cpu-clock",
    "task-clock",
    "page-faults",
    "context-switches",
    "cpu-migrations",
    "minor-faults",
    "major-faults",
    "alignment-faults",
    "emulation-faults",
    "dummy",
    "bpf-output",
    "cgroup-switches",
)
# Bits of a perf_event_attr's flags.
_EXCLUDES = {"k": 5, "u": 4, "h": 6}
_PRECISION, _EXCLUDES_HOST, _EXCLUDES_GUEST = 15, 19, 20
_TIME_EVENTS = {(0, 0), (0, 9), (1, 0), (1, 1)}


def event_name(kind: int, config: int, flags: int) -> str:
    """The name of an event by type, config and flags of its perf_event_attr, as perf writes it without being told."""
    generic = {0: _HARDWARE, 1: _SOFTWARE}.get(kind, ())
    if config & 0xFFFFFFFF < len(generic):
        return generic[config & 0xFFFFFFFF] + _modifiers(flags)
    return f"event-{kind}:{config:#x}"


def _modifiers(flags: int) -> str:
    """What was asked for besides, with a colon before it (evsel__add_modifiers in linux/tools/perf/util/evsel.c)."""
    letters = ""
    without_guest = False
    if any(flags >> bit & 1 for bit in _EXCLUDES.values()):
        letters += "".join(letter for letter, bit in _EXCLUDES.items() if not flags >> bit & 1)
        without_guest = True
    precision = flags >> _PRECISION & 3
    if precision:
        letters += "p" * precision
        without_guest = True
    if flags >> _EXCLUDES_HOST & 1 or bool(flags >> _EXCLUDES_GUEST & 1) == without_guest:
        letters += "H" * (not flags >> _EXCLUDES_HOST & 1) + "G" * (not flags >> _EXCLUDES_GUEST & 1)
    return f":{letters}" if letters else ""


def is_time_event(kind: int, config: int) -> bool:
    """Whether samples of the event fall in proportion to time: cycles, cpu-clock, task-clock."""
    return (kind, config & 0xFFFFFFFF) in _TIME_EVENTS
