"""Frames in, frozen dataclasses out: statistics, gaps, layers, syscalls, trust checks, findings, comparison.

Nothing here prints or touches a file.
"""
