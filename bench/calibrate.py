"""`make calibrate`: measure the client's own error on this machine and keep it for the reports."""

import sys
from dataclasses import asdict

from bench import accuracy
from common.results import now
from common.usage import Parser, exit_code
from loadgen.host import calibration


def main() -> int:
    parser = Parser(prog="python -m bench.calibrate", description=__doc__)
    parser.add_argument("--seconds", type=float, default=25.0, help="schedule of each rate")
    args = parser.parse_args()
    rows = accuracy.measure(list(accuracy.RATES), args.seconds)
    path = calibration.store([asdict(row) for row in rows], args.seconds, now())
    print(accuracy.table(rows))
    print(f"kept in {path}; reports on this machine now state the client's error")
    return 0


if __name__ == "__main__":
    sys.exit(exit_code(main))
