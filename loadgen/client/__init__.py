"""Bytes on the wire: connections, framing, stamps, what became of one request; no schedule, no figures."""
