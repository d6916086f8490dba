"""What the load generator's own error was at a run's load, in words."""

from collections.abc import Mapping
from typing import Any

UNKNOWN = "not measured on this machine (make calibrate measures it)"


def client_error(found: Mapping[str, Any] | None) -> str:
    """The calibration's row in one line; `found` is the manifest's `client_error` (times in seconds).

    Errors are the client's TTFT and TPOT less the true ones, against a server on a known timetable.
    """
    if not found:
        return UNKNOWN
    return (
        f"TTFT {_ms(found, 'ttft_error_p50', 2, '+')} (p50) and {_ms(found, 'ttft_error_p99', 2)} (p99), "
        f"TPOT {_ms(found, 'tpot_error_p99', 4)} (p99), "
        f"dispatch delay {_ms(found, 'dispatch_delay_p99', 2)} (p99); "
        f"measured {found.get('measured_at', 'once')} at {found.get('rate', 0):g} requests/s, "
        f"{found.get('chunks_per_s', 0):,.0f} chunks/s"
    )


def _ms(found: Mapping[str, Any], name: str, places: int, sign: str = "") -> str:
    value = found.get(name)
    return "n/a" if value is None else f"{1000 * value:{sign}.{places}f} ms"
