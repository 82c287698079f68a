"""hakprof: bottleneck reports of memory allocators, from perf and strace, that a maintainer can trust."""

__version__ = "0.1.0"
