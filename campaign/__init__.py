"""Which runs, in which order: one variant, several in turn, or rates until one misses the SLO."""
