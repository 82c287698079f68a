"""Whether a study's CPU list can be had on this machine: told before an hour is measured."""

import os
import shutil

from hakprof.errors import HakprofError
from hakprof.project.schema import Study, cpu_list


def check_pinning(study_name: str, study: Study) -> None:
    """Raise HakprofError, naming studies.X.pin_cpus, for a CPU that we may not run on and for a missing taskset."""
    if study.pin_cpus is None:
        return
    key = f"studies.{study_name}.pin_cpus"
    usable = os.sched_getaffinity(0)
    absent = sorted(cpu_list(study.pin_cpus) - usable)
    if absent:
        raise HakprofError(
            f"{key}: {study.pin_cpus!r}: there is no CPU {absent[0]} here, or it is not ours to use",
            remedy=f"choose among {', '.join(map(str, sorted(usable)))}, or remove the key",
        )
    if shutil.which("taskset") is None:
        raise HakprofError(f"{key}: no taskset on PATH", remedy="apt-get install util-linux, or remove the key")
