"""Figures as people read them."""

import math

_SCALE = {"ms": 1000.0, "%": 100.0}


def scaled(value: float, display_unit: str) -> float:
    """A figure of a file (seconds, shares) in the unit that is shown."""
    return value * _SCALE.get(display_unit, 1.0)


def number(value: float | None, display_unit: str, lower_bound: float | None = None) -> str:
    """'231.7'; '> 60000' for what the data only bound; 'n/a' for what was not measured."""
    if value is None:
        return "n/a" if lower_bound is None else f"> {number(lower_bound, display_unit)}"
    shown = scaled(value, display_unit)
    if display_unit == "" and float(shown).is_integer():
        return str(int(shown))
    if display_unit == "req/s":
        return f"{shown:.2f}"
    if abs(shown) >= 1000:
        return f"{shown:.0f}"
    return f"{shown:.1f}"


def percent(change: float | None) -> str:
    """'+20.0 %'; from 1000 % on to three significant digits, '+2350 %'."""
    if change is None or not math.isfinite(change):
        return "n/a"
    value = 100 * change
    if abs(value) >= 1000:
        shown = round(value, 2 - math.floor(math.log10(abs(value))))
        text = f"{shown:+.0f}"
    else:
        text = f"{value:+.1f}"
    return "0.0 %" if text in ("+0.0", "-0.0") else text.replace("-", "\N{MINUS SIGN}") + " %"


def span(low: float | None, high: float | None) -> str:
    """'+18.1 to +22.0 %'; 'above +18.1 %' where there is no upper bound."""
    if low is None and high is None:
        return "n/a"
    if high is None:
        return f"above {percent(low)}"
    if low is None:
        return f"below {percent(high)}"
    return f"{percent(low).removesuffix(' %')} to {percent(high)}"


def listed(parts: list[str]) -> str:
    """'a, b and c'"""
    return parts[0] if len(parts) == 1 else ", ".join(parts[:-1]) + f" and {parts[-1]}"
