"""Run folders as they were recorded, and which of them to read; no figure is computed here."""
