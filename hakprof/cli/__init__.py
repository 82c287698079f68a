"""The command line: one file per command, each of which turns options into one call."""
