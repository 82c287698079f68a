"""`python -m hakprof`."""

from hakprof.cli.main import run

run()
