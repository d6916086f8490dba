"""Other tools' result files as runs, one module each; no judgement of what they claim."""
