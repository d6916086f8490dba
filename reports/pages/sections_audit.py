"""The section of a report that audits another tool's result files: the claim, the records, the difference."""

from collections.abc import Sequence

from reports.document.audit import Audit, Outcome
from reports.document.schema import Comparison
from reports.document.screen import Tone
from reports.pages.blocks import Block, Bullets, Cell, Table, Text, row
from reports.pages.first_screen import next_step
from reports.pages.section import Charts, section
from reports.text.formatting import listed

OUTCOMES: dict[Outcome, Cell] = {
    "supported": Cell("▲ supported", "good"),
    "not supported": Cell("▼ not supported", "bad"),
    "cannot tell": Cell("? cannot tell", "doubt"),
}
QUIET: Tone = "quiet"
SAME = "the same"  # a cause that is none (SameFigure.cause)


@section("Audit")
def _audit(comparison: Comparison, charts: Charts) -> list[Block]:
    """Of another tool's result files alone."""
    if comparison.audit is None:
        return []
    return audit_blocks(comparison.audit, next_step(comparison.recommendations[0]))


def audit_blocks(audit: Audit, step: Sequence[Block] = ()) -> list[Block]:
    """First the paragraph that says it all and what to do, then each claim, what else the records show, what
    they cannot."""
    blocks: list[Block] = [
        Text(audit.paragraph),
        *step,
        *[Text(line) for line in audit.limits],
        Text(f"Read from {listed(audit.files)}, written by {audit.tool}."),
    ]
    if audit.checks:
        blocks.append(_checks(audit))
    if audit.same:
        blocks.append(_same(audit))
    if audit.notes:
        blocks += [Text("", "What the records show, and what was assumed"), _bullets(audit.notes)]
    untold = [row(each.what, Cell(each.why, QUIET)) for each in audit.untold]
    if untold:
        blocks.append(Table("What the file cannot tell", ["figure or check", "why"], untold))
    return blocks


def _checks(audit: Audit) -> Table:
    rows = [
        row(
            "change" if check.field.startswith("change of ") else check.variant,
            check.label,
            check.display_unit,
            check.claimed_display,
            check.supported_display,
            OUTCOMES[check.outcome],
            check.reason,
            check.field,
        )
        for check in audit.checks
    ]
    columns = ["", "figure", "unit", "claimed", "the records give", "", "why", "name in the file"]
    return Table("Claim by claim", columns, rows, frozenset({3, 4}))


def _same(audit: Audit) -> Table:
    rows = [
        row(
            each.variant,
            each.label,
            each.display_unit,
            each.own_display if each.reproduced else f"{each.own_display} (printed: {each.printed_display})",
            each.here_display,
            Cell(each.cause, QUIET) if each.cause == SAME else each.cause,
            each.field,
        )
        for each in audit.same
    ]
    title = "Same words: the printed figures, reckoned again from the file's records"
    columns = [
        "",
        "figure",
        "unit",
        "as the tool defines it",
        "as defined here",
        "why they differ",
        "its name",
    ]
    return Table(title, columns, rows, frozenset({3, 4}))


def _bullets(lines: list[str]) -> Bullets:
    return Bullets([Text(line) for line in lines])
