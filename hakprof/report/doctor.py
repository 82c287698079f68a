"""What a machine can measure, for `hakprof doctor`: host and capabilities as a document."""

from collections.abc import Sequence
from dataclasses import dataclass

from hakprof.model.run import Capability, Host


@dataclass(frozen=True, slots=True)
class DoctorReport:
    """``missing`` are the capabilities that are not there; each says what goes without it."""

    host: Host
    capabilities: tuple[Capability, ...]
    missing: tuple[Capability, ...]
    commands: tuple[str, ...]  # what mends it, each once


def assemble_doctor(host: Host, capabilities: Sequence[Capability]) -> DoctorReport:
    """The document of one detection."""
    missing = tuple(one for one in capabilities if not one.available)
    commands = tuple(dict.fromkeys(one.remedy for one in missing if one.remedy))
    return DoctorReport(host, tuple(capabilities), missing, commands)
