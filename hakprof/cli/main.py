"""`hakprof`: the commands, and the one place where an error becomes an exit status."""

import errno
import os
import sys
from collections.abc import Sequence

import typer

from hakprof import __version__
from hakprof.cli import annotate, collect, diff, doctor, export, layers, pack, project, report, runs
from hakprof.cli.output import say
from hakprof.errors import EXIT_INPUT, EXIT_INTERRUPTED, EXIT_OK, HakprofError

_REMEDIES = {
    errno.ENOSPC: "free some disk space; what was finished is kept",
    errno.EROFS: "choose a writable folder with --store or -o",
    errno.EACCES: "choose a folder you may write to with --store or -o, or correct its permissions",
}

app = typer.Typer(
    name="hakprof",
    help="Bottleneck reports of memory allocators, from perf and strace, that can be trusted.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)
app.command(name="collect")(collect.collect)
app.command(name="report")(report.report)
app.command(name="layers")(layers.layers)
app.command(name="annotate")(annotate.annotate)
app.command(name="diff")(diff.diff)
app.command(name="doctor")(doctor.doctor)
app.command(name="runs")(runs.runs)
app.command(name="export")(export.export)
app.command(name="pack")(pack.pack)
app.command(name="project")(project.project)


def _print_version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"hakprof {__version__}")
        raise typer.Exit


@app.callback()
def _options(
    version: bool = typer.Option(False, "--version", callback=_print_version, is_eager=True, help="Print the version."),
) -> None:
    """Bottleneck reports of memory allocators, from perf and strace, that can be trusted."""


def main(args: Sequence[str] | None = None) -> int:
    """Run one command line and return its exit status (see :mod:`hakprof.errors`)."""
    try:
        app(args=args, prog_name="hakprof")
    except SystemExit as stop:
        return stop.code if isinstance(stop.code, int) else EXIT_OK
    except HakprofError as error:
        say(f"hakprof: {error.message}")
        if error.remedy:
            say(f"  remedy: {error.remedy}")
        return error.exit_status
    except KeyboardInterrupt:
        say("hakprof: interrupted")
        return EXIT_INTERRUPTED
    except BrokenPipeError:
        # The reader (`| head`) has gone. Without this, Python reports the same error again while closing stdout.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return EXIT_OK
    except OSError as error:
        if error.filename is None and error.errno not in _REMEDIES:
            raise
        place = f"{error.filename}: " if error.filename is not None else ""
        say(f"hakprof: {place}{error.strerror}")
        say(f"  remedy: {_REMEDIES.get(error.errno or 0, 'check the path')}")
        return EXIT_INPUT
    return EXIT_OK


def run() -> None:
    """Entry point of the installed script."""
    sys.exit(main())
