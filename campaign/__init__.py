"""Which runs, in which order: one variant, several in turn, or rates until the SLO breaks."""
