"""Makes a build, finds what it produced, and proves that the binaries are the ones that were asked for."""

from hakprof.builds.make import make_build
from hakprof.builds.sources import GitState, git_state, sources_hash

__all__ = ["GitState", "git_state", "make_build", "sources_hash"]
