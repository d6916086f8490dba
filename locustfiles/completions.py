"""Clients of /v1/completions: a plain prompt in, a continuation out."""

from loadgen.user import OpenLoopUser


class CompletionUser(OpenLoopUser):
    api = "completions"
