#!/usr/bin/env python3
"""README.md names every environment variable and build switch of the sources, and no other, with the right defaults.

python3 test/test_docs.py NATIVE-FOLDER"""

import re
import sys
import unittest
from pathlib import Path

ROOT = Path(sys.argv[1]).resolve()


def table(prefix: str) -> dict[str, str]:
    """First cell → second cell of the README's table rows whose first cell is a name with this prefix."""
    rows = re.findall(rf"^\| `({prefix}\w+)` \| ([^|]*) \|", (ROOT / "README.md").read_text(), re.MULTILINE)
    names = [name for name, _ in rows]
    assert len(names) == len(set(names)), "a name is in the table twice"
    return dict(rows)


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

    def test_every_row_tells_cost_and_study(self) -> None:
        readme = (ROOT / "README.md").read_text()
        studies = set(
            re.findall(r"\*([^*\n]+)\*", readme[readme.index("The last column") : readme.index("| variable |")])
        )
        rows = re.findall(r"^\| `HAK\w+` \|(.*)\|$", readme, re.MULTILINE)
        for row in rows:
            cells = [cell.strip() for cell in re.split(r"(?<!\\)\|", row)]
            self.assertEqual(len(cells), 4, row)
            self.assertNotIn("", cells)
            self.assertTrue(cells[-1] in studies | {"every one"} or cells[-1].startswith("none: "), row)

    def test_variables_are_read_nowhere_else(self) -> None:
        for path in sorted((ROOT / "src").glob("*.c")):
            self.assertNotIn("getenv", path.read_text(), path.name)

    def test_build_switches(self) -> None:
        source = (ROOT / "src/switches.h").read_text()
        switches = dict(re.findall(r"^#ifndef (HAK_\w+)\n#define \1 (\w+)$", source, re.MULTILINE))
        documented = table("HAK_(?!MEM)")
        self.assertEqual(set(documented), set(switches))
        for name, default in switches.items():
            if default.isdigit():
                self.assertEqual(documented[name], default, name)

    def test_benchmarks(self) -> None:
        sources = {path.stem for path in (ROOT / "bench").glob("*.c")} - {"harness", "null_allocator"}
        readme = (ROOT / "README.md").read_text()
        self.assertEqual(set(re.findall(r"^\| `(\w+)` \| `[A-Z]", readme, re.MULTILINE)), sources)


if __name__ == "__main__":
    unittest.main(argv=sys.argv[:1])
