"""A gate as CI systems read it: a JUnit file, and a few lines of Markdown for a pull request."""

from collections import Counter
from xml.etree import ElementTree as Xml

from reports.gate.gate import Case, Gate
from reports.text.escape import clean, inline

ROWS = 4  # of the summary's table: with heading, table head and last line ten lines
_TAGS = {"failed": "failure", "error": "error", "skipped": "skipped"}
_ORDER = ("error", "failed", "passed", "skipped")


def junit(gate: Gate) -> str:
    """JUnit's XML as GitHub's and GitLab's readers take it: one suite, a case for each figure."""
    counts = Counter(case.state for case in gate.cases)
    numbers = {
        "tests": str(len(gate.cases)),
        "failures": str(counts["failed"]),
        "errors": str(counts["error"]),
        "skipped": str(counts["skipped"]),
    }
    suite = Xml.Element("testsuite", {"name": clean(gate.name), **numbers})
    for case in gate.cases:
        node = Xml.SubElement(
            suite, "testcase", {"classname": clean(case.subject), "name": clean(case.figure)}
        )
        if tag := _TAGS.get(case.state):
            Xml.SubElement(node, tag, {"message": clean(case.text)}).text = clean(_told(case))
        else:
            Xml.SubElement(node, "system-out").text = clean(_told(case))
    root = Xml.Element("testsuites")
    root.append(suite)
    Xml.indent(root)
    return '<?xml version="1.0" encoding="UTF-8"?>\n' + Xml.tostring(root, encoding="unicode") + "\n"


def summary(gate: Gate) -> str:
    """Ten lines of Markdown: what came out, the cases that matter most, the conditions."""
    ordered = sorted(gate.cases, key=lambda case: _ORDER.index(case.state))
    lines = [f"**{inline(gate.headline)}**", ""]
    lines += ["| | figure | before | now | change | |", "|---|---|---:|---:|---:|---|"]
    lines += [_row(case) for case in ordered[:ROWS]]
    rest = len(ordered) - ROWS
    more = f"{rest} more in {inline(gate.name)}. " if rest > 0 else ""
    return "\n".join([*lines, f"\n{more}{inline(gate.setup)}"]) + "\n"


def _row(case: Case) -> str:
    cells = (case.subject, case.figure, case.before, case.now, case.change, f"{case.state}: {case.text}")
    return f"| {' | '.join(map(inline, cells))} |"


def _told(case: Case) -> str:
    figures = f"{case.before} to {case.now}, {case.change}: " if case.change else ""
    return f"{figures}{case.text}"
