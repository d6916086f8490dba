"""`python -m loadgen`: Locust, which Ctrl-C ends without a traceback while it still imports."""

from importlib import import_module

from common import early

early.begin()
import_module("loadgen.user")  # its options, also of a locustfile that is none of ours and is told so
import_module("locust.main").main()
