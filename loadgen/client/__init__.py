"""Bytes on the wire: connections, framing, stamps, and what became of one request; no schedule and no figures."""
