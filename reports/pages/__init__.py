"""README.md and report.html, from sections to files; no figure is computed here."""
