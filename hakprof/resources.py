"""Where the shipped files are: beside the package in a checkout, inside it when installed from a wheel."""

from pathlib import Path

_PACKAGE = Path(__file__).resolve().parent

# The bundled layer catalogues in order of precedence, where a project or a command names no others.
CATALOGUES = ("hakmem", "benchmark", "glibc", "mimalloc", "jemalloc", "tcmalloc", "libc", "kernel")


def _shipped(name: str) -> Path:
    installed = _PACKAGE / "_shipped" / name
    return installed if installed.exists() else _PACKAGE.parent / name


def templates_dir() -> Path:
    """Folder of the jinja2 templates."""
    return _shipped("templates")


def native_dir() -> Path:
    """Folder of the bundled allocator's sources."""
    return _shipped("native")


def default_project_file() -> Path:
    """The bundled hakprof.toml, in force where the user has none."""
    return _shipped("hakprof.toml")


def catalogues_dir() -> Path:
    """Folder of the bundled layer catalogues."""
    return _PACKAGE / "layers" / "catalogues"
