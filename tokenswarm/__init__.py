"""The one command: verbs, their help and completion; what a verb does lies in the package that it calls."""
