"""Our pages in Locust's web UI; figures come from `live`, and runs are made by the master."""
