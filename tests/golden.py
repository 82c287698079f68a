"""Golden documents: compare, show a unified diff, leave what was got beside what was wanted.

``pytest --update-golden`` writes the documents and still fails, so that nobody updates without looking. A document
that is missing fails as well: it is never made silently.
"""

import difflib
from pathlib import Path

import pytest

MOST_LINES = 120


def assert_golden(got: str, wanted: Path, *, update: bool) -> None:
    """Fail unless ``wanted`` holds ``got``."""
    if update:
        wanted.parent.mkdir(parents=True, exist_ok=True)
        changed = not wanted.exists() or wanted.read_text(encoding="utf-8") != got
        wanted.write_text(got, encoding="utf-8")
        if changed:
            pytest.fail(
                f"{wanted.name} written; look at it, commit it, run again without --update-golden", pytrace=False
            )
        return
    left = wanted.with_name(f"{wanted.stem}.got{wanted.suffix}")
    if not wanted.exists():
        left.parent.mkdir(parents=True, exist_ok=True)
        left.write_text(got, encoding="utf-8")
        pytest.fail(f"{wanted} is missing; run pytest --update-golden and look at what it writes", pytrace=False)
    expected = wanted.read_text(encoding="utf-8")
    if got == expected:
        left.unlink(missing_ok=True)
        return
    left.write_text(got, encoding="utf-8")
    diff = list(difflib.unified_diff(expected.splitlines(), got.splitlines(), wanted.name, left.name, lineterm=""))
    more = [f"… {len(diff) - MOST_LINES} more lines in {left}"] if len(diff) > MOST_LINES else []
    pytest.fail("\n".join([*diff[:MOST_LINES], *more]), pytrace=False)
