"""Clients of /v1/completions: a plain prompt in, a continuation out."""

from loadgen.user import OpenLoopUser


class CompletionUser(OpenLoopUser):
    path = "/v1/completions"

    def body(self, arrival, history):
        return {
            "prompt": self.prompts.text(arrival),
            "max_tokens": arrival.output_tokens,
            "temperature": 0,
        }
