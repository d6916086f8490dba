"""The worker's side of a run: launches arrivals on time, hands records on; it decides nothing of the run."""
