"""What is seen while a run goes on: digests and counts that are sent, kept and shown; records stay the truth."""
