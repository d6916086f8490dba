"""What the machine below is and gives: cores, clocks, limits, commands; nothing here knows of requests."""
