"""Options and fixtures that several test files share."""

import tempfile
from collections.abc import Iterator

import pytest


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--update-golden", action="store_true", help="write golden documents; the run still fails")


@pytest.fixture
def update_golden(request: pytest.FixtureRequest) -> bool:
    return bool(request.config.getoption("--update-golden"))


@pytest.fixture(autouse=True, scope="session")
def own_cache() -> Iterator[None]:
    """No test fills or reads the user's own cache, nor does a program that a test starts."""
    with tempfile.TemporaryDirectory(prefix="hakprof-cache-") as folder, pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_CACHE_HOME", folder)
        yield
