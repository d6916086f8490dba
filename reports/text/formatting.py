"""Figures as people read them."""

import math
from collections.abc import Mapping

NOT_GIVEN = "not given"  # of a percentile that too few requests have
_SCALE = {"ms": 1000.0, "%": 100.0}
_DECIMALS = {"ms": 3, "J": 4}  # at most, of what has three digits; our stamps are no finer than 1 us
_SPREAD = 10.0  # so wide an interval that begins below 1 is read more easily as ratios
_TIMES = 100.0  # from so many times the old figure on, a ratio is read more easily than per cent


def scaled(value: float, display_unit: str) -> float:
    """A figure of a file (seconds, shares) in the unit that is shown."""
    return value * _SCALE.get(display_unit, 1.0)


def number(value: float | None, display_unit: str, lower_bound: float | None = None) -> str:
    """'231.7', '0.840', '1,425'; '> 60,000' for what the data only bound; 'n/a' for what was not measured.

    Short times have three significant digits. A bound of 0 says nothing, so it is 'n/a' too.
    """
    if value is None:
        return f"> {number(lower_bound, display_unit)}" if lower_bound else "n/a"
    shown = scaled(value, display_unit)
    if display_unit == "" and float(shown).is_integer():
        return f"{shown:,.0f}"
    if display_unit == "req/s":
        return f"{shown:.2f}"
    if display_unit in _DECIMALS and 0 < abs(shown) < 10:
        return signed(_short(shown, _DECIMALS[display_unit]))
    return signed(f"{shown:,.0f}" if abs(shown) >= 1000 else f"{shown:.1f}")


def _short(value: float, most: int) -> str:
    rounded = float(f"{value:.3g}")  # 9.996 is 10.0
    decimals = 2 - math.floor(math.log10(abs(rounded)))
    return f"{value:.{min(decimals, most)}f}"


def gateway(ttft: float | None, low: float | None, high: float | None) -> str:
    """'+18.2 ms (17.1 to 19.3)' of TTFT; 'n/a' where it was not measured."""
    if ttft is None:
        return "n/a"
    sign = "+" if ttft >= 0 else ""
    return f"{sign}{number(ttft, 'ms')} ms ({number(low, 'ms')} to {number(high, 'ms')})"


def signed(digits: str) -> str:
    """With a minus sign in front where a hyphen stood."""
    return "\N{MINUS SIGN}" + digits[1:] if digits.startswith("-") else digits


def percent(change: float | None) -> str:
    """'+20.0 %'; from 1000 % on to three significant digits, '+2,350 %'; from 100 times on '×600'."""
    if change is None or not math.isfinite(change):
        return "n/a"
    value = 100 * change
    if change + 1 >= _TIMES:
        return _ratio(change)
    text = f"{_three_digits(value):+,.0f}" if abs(value) >= 1000 else f"{value:+.1f}"
    return "0.0 %" if text in ("+0.0", "-0.0") else signed(text) + " %"


def _ratio(change: float) -> str:
    ratio = change + 1
    return f"×{_three_digits(ratio):,.0f}" if ratio >= _TIMES else f"×{ratio:.3g}"


def _three_digits(value: float) -> float:
    return round(value, 2 - math.floor(math.log10(abs(value))))


def span(low: float | None, high: float | None) -> str:
    """'+18.1 to +22.0 %', '×24.1 to ×187'; 'above +18.1 %' where there is no upper bound.

    From less to many times as much is of ratios too: '×0.2 to ×34.6'.
    """
    if low is None and high is None:
        return "n/a"
    if high is None:
        return f"above {percent(low)}"
    if low is None:
        return f"below {percent(high)}"
    if high + 1 >= (_SPREAD if low < 0 else _TIMES):
        return f"{_ratio(low)} to {_ratio(high)}"
    return f"{percent(low).removesuffix(' %')} to {percent(high)}"


def spoken(display: str) -> str:
    """A figure inside a sentence: 'more than 60,000' for '> 60,000'."""
    return display.replace("> ", "more than ").replace("< ", "less than ")


def capital(text: str) -> str:
    """With a large first letter."""
    return text[:1].upper() + text[1:]


def counted(number: int, noun: str) -> str:
    """'1 worker', '1,207 workers'"""
    return f"{number:,} {noun}" + ("" if number == 1 else "s")


def listed(parts: list[str]) -> str:
    """'a, b and c'"""
    return parts[0] if len(parts) == 1 else ", ".join(parts[:-1]) + f" and {parts[-1]}"


def slo(asked: Mapping[str, object] | None) -> str:
    """'TTFT 1,000 ms, TPOT 50 ms, for 99 % of arrivals'"""
    parts = []
    for key, value in (asked or {}).items():
        if not isinstance(value, int | float):
            continue
        known = key in ("ttft", "tpot", "itl", "latency")
        name = key.upper() if known and key != "latency" else key
        parts.append(
            f"for {100 * value:g} % of arrivals" if key == "share" else f"{name} {1000 * value:,g} ms"
        )
    return ", ".join(parts) or "none"


def lengths(asked: object) -> str | None:
    """A scenario's lengths: 'lognormal (mean 50, sd 30, min 10, max 300)', '64'; None where it has none."""
    if not isinstance(asked, Mapping):
        return None
    known = {key: value for key, value in asked.items() if isinstance(value, int | float)}
    if asked.get("distribution") == "constant":
        return f"{known.get('mean', math.nan):g}"
    return f"{asked.get('distribution')} ({', '.join(f'{key} {value:g}' for key, value in known.items())})"


def after(unit: str) -> str:
    """A unit as it stands after a figure; nothing where there is none."""
    return f" {unit}" if unit else ""


def quantity(value: float | None, unit: str = "") -> str:
    """A figure to three significant digits with its unit: '2.35 GB', '12 ms'; 'n/a' for None."""
    if value is None:
        return "n/a"
    prefix = ""
    if unit in ("B", "FLOP/s", "B/s", "FLOP"):
        for limit, name in ((1e15, "P"), (1e12, "T"), (1e9, "G"), (1e6, "M"), (1e3, "k")):
            if abs(value) >= limit:
                value, prefix = value / limit, name
                break
    digits = f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.3g}"
    return f"{signed(digits)} {prefix}{unit}".rstrip()


def milliseconds(seconds: float | None) -> str:
    """'12.3 ms', or 'n/a'."""
    return "n/a" if seconds is None else quantity(1000 * seconds, "ms")


def measured(value: object, unit: str) -> str:
    """A rule's figure or bound: shares in per cent, seconds below 10 in milliseconds, '459 requests'."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return "n/a" if value is None else f"{value} {unit}".strip()
    if math.isinf(value):
        return "infinite"
    if unit == "share":
        return quantity(100 * value, "%")
    return milliseconds(value) if unit == "s" and abs(value) < 10 else quantity(value, unit)
