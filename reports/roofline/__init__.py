"""The model on its hardware: bytes, FLOPs and the bounds that follow."""
