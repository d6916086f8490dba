"""The master's side of a run: plans it, starts it, ends it, writes its folder; it sends no load."""
