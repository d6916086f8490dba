"""Whether two variants differ: what may be compared, the change, its interval and its mark."""
