"""What is under test: variants, targets, the launcher, and the CPU model."""
