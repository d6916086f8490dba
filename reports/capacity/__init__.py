"""The report of a search for a server's capacity."""
