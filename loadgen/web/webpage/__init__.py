"""Our page beside Locust's own: what it shows (Python), and how (HTML, CSS and JavaScript, as files)."""
