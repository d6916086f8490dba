"""What locustfiles may rely on, and that naming the package loads nothing."""

import re
import subprocess
import sys

import loadgen
from common.places import ROOT


def test_what_is_public_can_be_imported() -> None:
    lines = re.findall(r"^ +(from loadgen\S* import \w+)$", loadgen.__doc__ or "", re.MULTILINE)
    assert len(lines) == 4
    subprocess.run([sys.executable, "-c", "\n".join(lines)], cwd=ROOT, check=True)


def test_what_the_docs_import_is_public() -> None:
    found = set()
    pages = set(ROOT.glob("docs/*.md")) - {ROOT / "docs/contributing.md"}  # for who works on the rooms
    for path in (*pages, *ROOT.glob("locustfiles/*.py"), ROOT / "README.md"):
        found |= set(re.findall(r"^ *(from loadgen\S* import .+)$", path.read_text("utf-8"), re.MULTILINE))
    assert found
    assert {line for line in found if line not in (loadgen.__doc__ or "")} == set()


def test_the_package_loads_nothing() -> None:
    code = "import sys, loadgen; print([name for name in sys.modules if name.startswith('loadgen.')])"
    out = subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=True, capture_output=True, text=True)
    assert out.stdout.strip() == "[]"
