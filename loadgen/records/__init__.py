"""One row per arrival, its way from worker to disk, and its metrics; no figure of a run is computed here."""
