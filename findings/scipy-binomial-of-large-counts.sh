#!/usr/bin/env bash
# scipy 1.17.1: special.bdtr, the binomial distribution function, is wrong by a fifth for counts of 100 million.
#
# Found: bdtr(50_000_000, 10**8, 0.5) gives 0.6104. The truth is 0.50004: by symmetry a half, and half the chance of
# the middle. stats.binom.cdf gives it. At 10**6 both agree to 1e-6. Expected: one answer from both.
# An interval of a percentile is taken from this function: take stats.binom.cdf.
# Seen 2026-11-29 with Python 3.11.7: 1,000,000: 0.50040, 0.50040, truth 0.50040;
# 100,000,000: bdtr 0.61039, binom.cdf 0.50004, truth 0.50004.
set -euo pipefail
source "$(dirname "$0")/support/packages.sh"
packages 'scipy==1.17.1'
"$VENV/bin/python" - <<'PY'
import math
import sys

from scipy import special, stats

seen = {}
for count in (10**6, 10**8):
    half = count // 2
    truth = 0.5 + 0.5 / math.sqrt(math.pi * half)  # the middle's chance by Stirling
    seen[count] = (special.bdtr(half, count, 0.5), stats.binom.cdf(half, count, 0.5), truth)
    print(f"{count:,}: bdtr {seen[count][0]:.5f}, binom.cdf {seen[count][1]:.5f}, truth {truth:.5f}")
agrees, wrong = seen[10**6], seen[10**8]
sys.exit(0 if abs(agrees[0] - agrees[2]) < 1e-4 and abs(wrong[0] - wrong[2]) > 0.05 else "this is no longer so")
PY
