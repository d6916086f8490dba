"""What master and workers say to one another, and the hooks that users get; no logic of either side."""
