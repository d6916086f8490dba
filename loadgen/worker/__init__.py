"""The worker's side of a run: launches arrivals on time and hands records on; it decides nothing about the run."""
