"""Settings of all tests."""

import os

from hypothesis import settings

# Locust makes the process cooperative when it is imported. The tests' own servers are real threads, so it
# must leave this process alone; the Locusts that tests start are processes of their own and do as always.
os.environ["LOCUST_SKIP_MONKEY_PATCH"] = "1"
import locust  # noqa: E402, F401

del os.environ["LOCUST_SKIP_MONKEY_PATCH"]

settings.register_profile("shared", deadline=None)  # machines are shared: a slow moment is no failure
settings.load_profile("shared")
