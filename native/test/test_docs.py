#!/usr/bin/env python3
"""README.md names every environment variable and build switch of the sources, and no other, with the right defaults and ranges,
and the study that it names varies it.

python3 test/test_docs.py NATIVE-FOLDER"""

import re
import sys
import tomllib
import unittest
from pathlib import Path
from typing import Any

ROOT = Path(sys.argv[1]).resolve()
PROJECT = ROOT.parent / "hakprof.toml"


def table(prefix: str) -> dict[str, str]:
    """First cell → second cell of the README's table rows whose first cell is a name with this prefix."""
    rows = re.findall(rf"^\| `({prefix}\w+)` \| ([^|]*) \|", (ROOT / "README.md").read_text(), re.MULTILINE)
    names = [name for name, _ in rows]
    assert len(names) == len(set(names)), "a name is in the table twice"
    return dict(rows)


def rows() -> dict[str, list[str]]:
    """Name of a variable or switch → the cells of its row."""
    found = re.findall(r"^\| (`HAK\w+` \|.*)\|$", (ROOT / "README.md").read_text(), re.MULTILINE)
    cells = [[cell.strip() for cell in row.split("|")] for row in found]
    return {row[0].strip("`"): row for row in cells}


def switch_defaults() -> dict[str, str]:
    """Build switch → its default; one that is another macro is resolved to that macro's number."""
    source = (ROOT / "src/switches.h").read_text()
    macros = dict(re.findall(r"^#define (HAK_\w+) (\w+)$", source, re.MULTILINE))
    switches = re.findall(r"^#ifndef (HAK_\w+)\n#define \1 (\w+)$", source, re.MULTILINE)
    return {name: macros.get(value, value) for name, value in switches}


def settings(project: dict[str, Any], variant: str) -> set[str]:
    """Environment variables and build switches that a variant of the project sets."""
    described = project["variants"][variant]
    build = project["builds"].get(described.get("build", ""), {})
    switches = {switch.removeprefix("-D").split("=")[0] for switch in build.get("switches", [])}
    flavour = {"HAK_INSTRUMENTED"} if build.get("flavour") == "instrumented" else set()
    return {*described.get("environment", {}), *switches, *flavour}


class Tables(unittest.TestCase):
    def test_environment_variables(self) -> None:
        source = (ROOT / "src/config.h").read_text()
        self.assertEqual(set(table("HAKMEM_")), set(re.findall(r'"(HAKMEM_\w+)"', source)))

    def test_defaults_of_numbers(self) -> None:
        source = (ROOT / "src/config.h").read_text()
        numbers = re.findall(r'NUMBER\(\w+, "(HAKMEM_\w+)", (\d+),', source)
        self.assertGreater(len(numbers), 5)
        for name, default in numbers:
            self.assertRegex(table("HAKMEM_")[name], rf"^{default}\b", name)

    def test_ranges_of_numbers(self) -> None:
        source = (ROOT / "src/config.h").read_text()
        for name, least, most in re.findall(r'NUMBER\(\w+, "(HAKMEM_\w+)", \d+, (\d+), (\d+)\)', source):
            if int(most) > 1:
                self.assertIn(f"{int(least):,}–{int(most):,}", rows()[name][2], name)

    def test_defaults_of_words_and_texts(self) -> None:
        source = (ROOT / "src/config.h").read_text()
        words = re.findall(r'WORD\(\w+, "(HAKMEM_\w+)", "([\w|]+)", (\w+)\)', source)
        self.assertTrue(words)
        for name, choices, default in words:
            index = int(default) if default.isdigit() else int(switch_defaults()[default])
            self.assertRegex(table("HAKMEM_")[name], rf"^`{choices.split('|')[index]}`", name)
            for choice in choices.split("|"):
                self.assertIn(f"`{choice}`", " ".join(rows()[name]), name)
        texts = re.findall(r'TEXT\(\w+, "(HAKMEM_\w+)"\)', source)
        self.assertTrue(texts)
        for name in texts:
            self.assertRegex(table("HAKMEM_")[name], r"^(none|stderr)$", name)

    def test_every_row_tells_cost_and_study(self) -> None:
        for name, cells in rows().items():
            self.assertEqual(len(cells), 5, name)
            self.assertNotIn("", cells, name)
            self.assertRegex(cells[-1], r"^(`[\w-]+`|none: .+)$", name)

    @unittest.skipUnless(PROJECT.is_file(), "these sources stand without the project that measures them")
    def test_studies_vary_what_names_them(self) -> None:
        """GIVEN a variable or switch with a study, THEN a variant of that study sets it."""
        project = tomllib.loads(PROJECT.read_text())
        for name, cells in rows().items():
            if cells[-1].startswith("none: "):
                continue
            study = cells[-1].strip("`")
            self.assertIn(study, project["studies"], name)
            varied = {one for variant in project["studies"][study]["variants"] for one in settings(project, variant)}
            self.assertIn(name, varied, f"study {study}")

    def test_variables_are_read_nowhere_else(self) -> None:
        for path in sorted((ROOT / "src").glob("*.c")):
            self.assertNotIn("getenv", path.read_text(), path.name)

    def test_build_switches(self) -> None:
        switches = switch_defaults()
        documented = table("HAK_(?!MEM)")
        self.assertEqual(set(documented), set(switches))
        for name, default in switches.items():
            self.assertEqual(documented[name], default, name)

    def test_benchmarks(self) -> None:
        sources = {path.stem for path in (ROOT / "bench").glob("*.c")} - {"harness", "null_allocator"}
        readme = (ROOT / "README.md").read_text()
        self.assertEqual(set(re.findall(r"^\| `(\w+)` \| `[A-Z]", readme, re.MULTILINE)), sources)


if __name__ == "__main__":
    unittest.main(argv=sys.argv[:1])
