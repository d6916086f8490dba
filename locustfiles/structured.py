"""Clients that must get JSON of a given shape: an answer without it counts as failed."""

import json

from loadgen.user import OpenLoopUser

SHAPE = {"type": "object", "properties": {"city": {"type": "string", "maxLength": 20}}, "required": ["city"]}


class StructuredUser(OpenLoopUser):
    wants_text = True

    def body(self, arrival, history):
        return {
            "messages": self.prompts.messages(arrival, history),
            "max_tokens": arrival.output_tokens,
            "ignore_eos": False,  # an answer ends where its shape does
            "response_format": {"type": "json_schema", "json_schema": {"name": "place", "schema": SHAPE}},
        }

    def check(self, arrival, reply):
        try:
            json.loads(reply.text)["city"]
        except (KeyError, TypeError, ValueError):
            return "no JSON of the asked shape"
        return None
