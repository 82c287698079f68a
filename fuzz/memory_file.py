"""A file without a place on disk, for readers that take a path."""

import os
from pathlib import Path


class MemoryFile:
    """A file of this process alone."""

    def __init__(self, name: str) -> None:
        self._descriptor = os.memfd_create(name)
        self.path = Path(f"/proc/self/fd/{self._descriptor}")

    def hold(self, content: bytes) -> Path:
        """The path of the file, which now has that content."""
        os.ftruncate(self._descriptor, 0)
        os.pwrite(self._descriptor, content, 0)
        return self.path
