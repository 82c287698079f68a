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
_TIME_EVENTS = {(0, 0), (0, 9), (1, 0), (1, 1)}


def event_name(kind: int, config: int) -> str:
    """The name of an event by its perf_event_attr type and config, as `perf list` writes it."""
    generic = {0: _HARDWARE, 1: _SOFTWARE}.get(kind, ())
    if config & 0xFFFFFFFF < len(generic):
        return generic[config & 0xFFFFFFFF]
    return f"event-{kind}:{config:#x}"


def is_time_event(kind: int, config: int) -> bool:
    """Whether samples of the event fall in proportion to time: cycles, cpu-clock, task-clock."""
    return (kind, config & 0xFFFFFFFF) in _TIME_EVENTS
