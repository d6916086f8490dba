"""Settings of all tests."""

import os
import signal

from hypothesis import settings

# Locust makes the process cooperative when it is imported. The tests' own servers are real threads, so it
# must leave this process alone; the Locusts that tests start are processes of their own and do as always.
os.environ["LOCUST_SKIP_MONKEY_PATCH"] = "1"
import locust  # noqa: E402, F401

del os.environ["LOCUST_SKIP_MONKEY_PATCH"]

# A shell has what it starts in the background ignore Ctrl-C, `nohup` a closed terminal, and then all that the
# tests start would, too. A handler, unlike SIG_IGN, is not handed down.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)
if signal.getsignal(signal.SIGHUP) is signal.SIG_IGN:
    signal.signal(signal.SIGHUP, lambda *_: None)

os.environ["TOKENSWARM_WATCH"] = "0"  # tests run side by side: each would find its run disturbed by others

# Machines are shared: a slow moment is no failure. The same examples each time: a change fails by what it
# changed, not by chance. `make test-hostile` draws new ones.
settings.register_profile("same", deadline=None, derandomize=True)
settings.register_profile("new", deadline=None)
settings.load_profile("same")
