"""What the wheel carries: everything that `hakprof collect` and `hakprof report` need outside a checkout."""

import os
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A wheel of this tree, unpacked as an installer would."""
    built = tmp_path_factory.mktemp("wheel")
    command = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(built)]
    subprocess.run(command, cwd=ROOT, check=True, capture_output=True)
    (wheel,) = built.glob("*.whl")
    unpacked = built / "site"
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(unpacked)
    return unpacked


def hakprof(site: Path, folder: Path, *args: str) -> subprocess.CompletedProcess[str]:
    # -P and PYTHONPATH: the unpacked wheel comes before the checkout, wherever that is installed from.
    return subprocess.run(
        [sys.executable, "-P", "-m", "hakprof", *args],
        cwd=folder,
        env=os.environ | {"PYTHONPATH": str(site)},
        capture_output=True,
        text=True,
        check=False,
    )


def test_nothing_lies_beside_the_package(site: Path):
    beside = {path.name for path in site.iterdir()}
    assert {name for name in beside if not name.endswith(".dist-info")} == {"hakprof"}


def test_the_bundled_project_is_found_outside_a_checkout(site: Path, tmp_path: Path):
    done = hakprof(site, tmp_path, "project")
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith(str(site))


def test_a_stored_run_is_reported_with_the_wheels_templates_and_catalogues(site: Path, tmp_path: Path):
    done = hakprof(site, tmp_path, "report", str(ROOT / "traces" / "hakmem"), "-o", "out")
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "out" / "layers.svg").exists()


def test_the_shipped_sources_build_and_a_run_of_them_is_reported(site: Path, tmp_path: Path):
    text = hakprof(site, tmp_path, "project", "--example").stdout
    native = site / "hakprof" / "_shipped" / "native"
    study = '[studies.tiny]\nworkloads = ["random_mixed"]\ncollectors = ["throughput"]\nrepetitions = 1\n'
    (tmp_path / "hakprof.toml").write_text(text.replace('source = "native"', f'source = "{native}"') + "\n" + study)

    collected = hakprof(site, tmp_path, "collect", "tiny")
    assert collected.returncode == 0, collected.stderr
    reported = hakprof(site, tmp_path, "report")

    assert reported.returncode == 0, reported.stderr
    assert "| random_mixed 16–1040 B | **hakmem**, default, LD_PRELOAD |" in reported.stdout
