"""Errors that users can cause. Each says what is wrong, where, and how to mend it; anything else is a bug.

Exit statuses: 0 fine, 1 shown to be worse, 2 usage or input, 3 could not measure, 130 interrupted.
"""

EXIT_OK = 0
EXIT_WORSE = 1
EXIT_INPUT = 2
EXIT_NOT_MEASURED = 3
EXIT_INTERRUPTED = 130


class HakprofError(Exception):
    """A fault in input or surroundings. ``remedy`` is one sentence that tells how to mend it."""

    exit_status = EXIT_INPUT

    def __init__(self, message: str, *, remedy: str | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.remedy = remedy


class ProjectError(HakprofError):
    """hakprof.toml is missing, malformed or contradictory."""


class BuildError(HakprofError):
    """A build could not be made, or what it made is not what was asked for."""


class StoreError(HakprofError):
    """A run directory cannot be read or written."""


class ParseError(HakprofError):
    """A file is not of the kind it should be, or holds nothing usable."""


class ToolError(HakprofError):
    """An outside tool is missing, forbidden or failed."""


class NotMeasuredError(HakprofError):
    """There is input, but nothing that answers the question."""

    exit_status = EXIT_NOT_MEASURED


class RunInterruptedError(HakprofError):
    """The user stopped the work; ``remedy`` says how to go on."""

    exit_status = EXIT_INTERRUPTED
