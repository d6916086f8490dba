"""The messages between master and workers, over Locust's own connection. All fields travel as msgpack."""

# master to worker
# plan (protocol.plan.Plan as a dict), lane (number), folder (the run's, on the master), users (classes)
PLAN = "tokenswarm-plan"
PING = "tokenswarm-ping"  # lane, number, sent
START = "tokenswarm-start"  # zero: the run's start on the worker's own monotonic clock
DRAIN = "tokenswarm-drain"  # end: launch nothing that is due at it or later, s from the start
CLOSE = "tokenswarm-close"  # end what is in flight, send the rest, say CLOSED
GOT = "tokenswarm-got"  # number: that batch is safe
END = "tokenswarm-end"  # the run is over; written: nothing that is left can be added to it

# worker to master; each has `run`, the plan's: what comes late is of no other run
# lane, worker (what it is), process, boot (whose monotonic clock), error (text or null)
READY = "tokenswarm-ready"
PONG = "tokenswarm-pong"  # number, sent, theirs
BATCH = "tokenswarm-batch"  # lane, number, content (an Arrow file)
PULSE = "tokenswarm-pulse"  # lane, due, in_flight, events, idle, and loadgen.live.pulse.Pulse's
# lane, batches, records, due, left: whether before its time, cost: loadgen.host.overhead.Cost, connections, …
CLOSED = "tokenswarm-closed"
