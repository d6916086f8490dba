"""What does it mean? Reads run folders, writes verdicts and reports; needs only what a record is."""
