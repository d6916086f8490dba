"""Event hooks of a run, beside Locust's own: add a listener as to any of `locust.events`.

    from loadgen import events

    @events.chat_finished.add_listener
    def on_chat_finished(environment, record, **kwargs):
        ...

They fire on the worker that sent the request, inside its event loop: a listener that takes long delays
other requests' stamps, which the run's verdict then shows.
"""

from locust.event import EventHook

launched = EventHook()
"""A request has been handed to its connection. `environment`, `arrival` (loadgen.workload.schedule.Arrival),
`due` and `now` (seconds from the run's start)."""

first_token = EventHook()
"""The first text of an answer has come. `environment`, `arrival`, `ttft` and `scheduled_ttft` (seconds)."""

chat_finished = EventHook()
"""A request has got its record, whatever became of it. `environment`, `arrival`,
`record` (loadgen.records.record.Record)."""

run_finished = EventHook()
"""On the master: a run is written and judged. `environment`, `folder` (pathlib.Path), `verdict` (text)."""
