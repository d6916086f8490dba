"""Chat clients: each asks, reads the streamed answer, and is gone. The scenario sets times and lengths."""

from loadgen.user import OpenLoopUser


class ChatUser(OpenLoopUser):
    api = "chat"  # --api responses, and others, send the same load elsewhere
