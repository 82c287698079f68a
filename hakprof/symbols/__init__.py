"""Addresses of recorded objects → functions, source files and lines, inlined functions included."""

from hakprof.symbols.symbolizer import Frame, Symbolizer

__all__ = ("Frame", "Symbolizer")
