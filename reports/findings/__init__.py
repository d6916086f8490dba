"""What a comparison means in words, and what to do next; no figure is computed here."""
