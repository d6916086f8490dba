"""Figures of one run, each defined once; whether they may be trusted is for `verdict`."""
