"""Programs that we start do not outlive us: the kernel ends them even where hakprof is killed with SIGKILL."""

import ctypes
import signal

_PR_SET_PDEATHSIG = 1  # <linux/prctl.h>
# Looked up here: between fork and exec nothing should be loaded.
_PRCTL = getattr(ctypes.CDLL(None), "prctl", None)


def end_with_parent() -> None:
    """For Popen's ``preexec_fn``: SIGTERM when the parent dies (prctl(2), PR_SET_PDEATHSIG).

    SIGTERM rather than SIGKILL, because perf, strace and make pass that one on to what they have started.
    """
    if _PRCTL is not None:
        _PRCTL(_PR_SET_PDEATHSIG, int(signal.SIGTERM), 0, 0, 0)
