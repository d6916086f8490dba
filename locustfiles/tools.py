"""Clients that must get a tool call: an answer without a well-formed one counts as failed."""

import json

from loadgen.user import OpenLoopUser

CITY = {"type": "object", "properties": {"city": {"type": "string", "maxLength": 20}}, "required": ["city"]}
# strict: vLLM 0.32 holds arguments to their schema only then
WEATHER = {"type": "function", "function": {"name": "weather", "parameters": CITY, "strict": True}}


class ToolUser(OpenLoopUser):
    wants_text = True

    def body(self, arrival, history):
        return {
            "messages": self.prompts.messages(arrival, history),
            "max_tokens": arrival.output_tokens,
            "ignore_eos": False,  # an answer ends where its call does
            "tools": [WEATHER],
            "tool_choice": "required",
        }

    def check(self, arrival, reply):
        try:
            json.loads(reply.tool_calls[0]["function"]["arguments"])["city"]
        except (IndexError, KeyError, TypeError, ValueError):
            return "no well-formed tool call"
        return None
