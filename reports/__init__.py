"""What does it mean? Reads run folders, writes verdicts and reports; needs only the record's columns."""
