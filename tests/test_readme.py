"""What README.md shows of hakprof's output is what hakprof prints of the run that the repository keeps."""

import re
import shlex
from pathlib import Path

import pytest

from hakprof.cli.main import main

ROOT = Path(__file__).resolve().parent.parent
TEXT = (ROOT / "README.md").read_text()
EXAMPLE = re.compile(r"^    \$ (hakprof .+)\n((?:    .*\n)+)", re.MULTILINE)


@pytest.mark.parametrize(("command", "shown"), EXAMPLE.findall(TEXT))
def test_an_example_shows_lines_of_the_output_in_their_order(
    command: str, shown: str, capfdbinary: pytest.CaptureFixture[bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(ROOT)
    assert main(shlex.split(command)[1:]) == 0
    printed = iter([line.split() for line in capfdbinary.readouterr().out.decode().splitlines()])
    for line in shown.splitlines():
        words = line.split()
        assert words == ["…"] or words in printed, line


def test_every_command_that_is_named_exists(capfdbinary: pytest.CaptureFixture[bytes]) -> None:
    quoted = re.findall(r"`hakprof [^`]+`|^    .+$", TEXT, re.MULTILINE)
    named = set(re.findall(r"hakprof ([a-z]+)(?= |`|$)", "\n".join(quoted)))
    assert len(named) > 5
    for name in named:
        assert main([name, "--help"]) == 0, name
        assert capfdbinary.readouterr().out
