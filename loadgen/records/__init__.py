"""One row per arrival, and its way from worker to disk; no figure is computed here."""
