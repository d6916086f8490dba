"""Chat clients: each asks, reads the streamed answer, and is gone. The scenario sets times and lengths."""

from loadgen.user import OpenLoopUser


class ChatUser(OpenLoopUser):
    path = "/v1/chat/completions"

    def body(self, arrival, history):
        return {
            "messages": self.prompts.messages(arrival, history),
            "max_tokens": arrival.output_tokens,
            "temperature": 0,
        }
