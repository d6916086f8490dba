"""Verbs that no other package has, a module each with `add_arguments` and `run`; nothing that is long."""
