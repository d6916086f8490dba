"""What is seen while a run goes on: counts and digests, sent, kept and shown; records stay the truth."""
