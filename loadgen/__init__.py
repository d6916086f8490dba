"""How the load is made and measured, in rooms; no figure is judged here.

What locustfiles may rely on (docs/writing-a-client.md), wherever the rooms move:

    from loadgen.user import OpenLoopUser
    from loadgen import events
    from loadgen.schedule import Arrival
    from loadgen.record import Record

Everything else may change with any version. Importing `loadgen` itself loads nothing.
"""
