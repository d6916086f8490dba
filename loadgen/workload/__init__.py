"""What load is sent: scenarios, arrivals, lengths, prompts and the schedule they give; nothing here talks to a server."""
