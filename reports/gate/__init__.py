"""Whether a change may pass: what fails a gate, and the files that CI reads of it; no figure of its own."""
