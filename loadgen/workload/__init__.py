"""What is sent: scenarios, arrivals, lengths, prompts and their schedule; nothing here meets a server."""
