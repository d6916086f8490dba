"""How a figure or a stranger's text is written; nothing here knows what it means."""
