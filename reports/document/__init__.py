"""What comparison.json holds, as a schema and as look-ups in it; nothing is computed here."""
