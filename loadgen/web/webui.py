"""Locust's web UI with what an LLM engineer looks for: a tab of figures, and a page of its own at /llm/.

GET  llm/                the page: live charts, percentiles, the session's runs
GET  llm/data            its figures as JSON (?from=K: only the seconds from number K on)
GET  llm/scenarios       what the start form's fields are by default, for each scenario
GET  llm/files/PATH      a file in results/
GET  llm/*.csv           percentiles and seconds of the last run
POST llm/reports         make a report on one run, or compare two: {"runs": [NAME, …]}
"""

import json
from pathlib import Path
from typing import Any

from flask import Blueprint, Response, jsonify, make_response, redirect, request, send_file
from locust.argument_parser import ui_extra_args_dict
from locust.env import Environment
from locust.runners import STATE_INIT

from common.terminal import shown
from common.usage import UsageError
from common.web_guard import WebGuard
from loadgen.live.live import COLUMNS
from loadgen.master.beginning import reach
from loadgen.master.conductor import Conductor
from loadgen.protocol.settings import KEY_WITHHELD, key_withheld
from loadgen.web.webpage import figures
from loadgen.web.webpage.files import file_response, folder_response, inside
from loadgen.web.webpage.session import Session
from loadgen.workload.request import Request
from loadgen.workload.scenario import Scenario, list_scenarios

ASSETS = Path(__file__).resolve().parent / "webpage"
PAGE = "page.html"
SCRIPT = '<script src="./llm/form.js" defer></script></body>'  # for Locust's own page
ICON = "/assets/favicon-light.png"
NOT_NOW = {  # why a run cannot be started; a run that goes on can be stopped
    "ending": "the run before is just ending; try again in a moment",
    "draining": "the run before drains, and stops by itself; try again when it has ended",
    "closing": "the run before is being written; try again in a moment",
    "written": "the run before is being written; try again in a moment",
}
LOCUSTS_FIELDS = ("user_count", "spawn_rate", "host", "run_time", "profile")
CLASS_FIELDS = ("user_classes", "shape_class")  # with --class-picker
LARGEST_FORM = 100_000  # bytes; ours has some hundreds
POLICY = "default-src 'self'; img-src 'self' data:; frame-ancestors 'self'"


class WebUi:
    """Registers itself with Locust's app, which must not have answered a request yet."""

    def __init__(self, environment: Environment, conductor: Conductor) -> None:
        self._environment, self._conductor = environment, conductor
        self._session = Session(conductor.finished)
        self._ui = environment.web_ui
        app, options = self._ui.app, environment.parsed_options
        self._own_scenario = str(options.scenario)  # may be the path of a file
        app.wsgi_app = WebGuard(app.wsgi_app, self._ui.host, options.web_allowed_host.split(","))
        app.config["MAX_CONTENT_LENGTH"] = LARGEST_FORM
        base = options.web_base_path or ""
        self._blueprint = Blueprint("tokenswarm", __name__, url_prefix=f"{base}/llm")
        for path, view in (
            ("/", self._page),
            ("/data", self._data),
            ("/scenarios", self._scenarios),
            ("/<string:name>.csv", self._csv),
            ("/<string:name>", self._asset),
            ("/files/<path:path>", self._file),
        ):
            self._route(path, view, "GET")
        self._route("/reports", self._report, "POST")
        self._blueprint.register_error_handler(UsageError, lambda error: (str(error), 400))
        app.register_blueprint(self._blueprint)
        app.add_url_rule("/favicon.ico", "icon", lambda: redirect(f"{base}{ICON}"))  # for text files' pages
        app.jinja_env.policies["json.dumps_kwargs"] = {"sort_keys": False}  # the form's fields in our order
        self._start = app.view_functions["locust.swarm"]
        app.view_functions["locust.swarm"] = self._ui.auth_required_if_enabled(self._checked_start)
        if not self._ui.userclass_picker_is_active:  # it sets any attribute of a class
            app.view_functions["locust.update_user"] = self._ui.auth_required_if_enabled(_not_found)
        app.after_request(self._extend)
        self._ui.template_args |= {
            "extended_tabs": [{"title": "LLM", "key": figures.TAB}],
            "extended_tables": [{"key": figures.TAB, "structure": figures.tab_structure()}],
            "extended_csv_files": [
                {"href": "./llm/percentiles.csv", "title": "Download LLM percentiles CSV"},
                {"href": "./llm/seconds.csv", "title": "Download LLM seconds CSV"},
                {"href": "./llm/", "title": "LLM live charts, runs and reports"},
            ],
        }

    def _route(self, path: str, view: Any, method: str) -> None:
        guarded = self._ui.auth_required_if_enabled(view)
        self._blueprint.add_url_rule(path, view.__name__.strip("_"), guarded, methods=[method])

    def _page(self) -> Response:
        return _asset(PAGE)

    def _asset(self, name: str) -> Response:
        if name not in [path.name for path in ASSETS.iterdir() if path.suffix in (".js", ".css")]:
            return _not_found()
        return _asset(name)

    def _data(self) -> Response:
        """The whole state of the page; loadgen.web.webpage/page.js reads it."""
        run = self._conductor.latest
        shown: dict[str, Any] = {
            "state": self._state(),
            "going_on": self._conductor.run is not None,
            "failure": self._conductor.failure,
            "finished": self._session.runs(),
            "run": None,
        }
        if run is not None:
            live, first = run.live, request.args.get("from", 0, type=int)
            verdict, why = self._verdict()
            shown["run"] = {
                "name": run.folder.name,
                "scenario": run.schedule.scenario.name,
                "host": run.plan.host,
                "key": KEY_WITHHELD if key_withheld(run.plan.with_key) else "",
                "model": run.plan.model,
                "workers": len(run.lanes),
                "now": run.now,
                "window": live.window,
                "end": live.end,
                "drain": run.schedule.scenario.drain,
                "slo": run.schedule.scenario.slo.model_dump() if run.schedule.scenario.slo else None,
                "verdict": verdict,
                "why": why,
                "totals": figures.totals(live),
                "tables": figures.tables(live),
                "columns": COLUMNS,
                "first": max(first, 0),
                "points": figures.points(live, first),
            }
        return jsonify(shown)

    def _scenarios(self) -> Response:
        """Name: the form's fields as the scenario has them, and what it is for."""
        known = {self._own_scenario: "", **list_scenarios()}
        return jsonify({name: _defaults(name, purpose) for name, purpose in known.items()})

    def _csv(self, name: str) -> Response:
        makers = {"percentiles": figures.percentiles_csv, "seconds": figures.seconds_csv}
        run = self._conductor.latest
        if name not in makers or run is None:
            return _not_found()
        response = make_response(makers[name](run.live))
        response.headers["Content-Type"] = "text/csv; charset=utf-8"
        response.headers["Content-Disposition"] = f'attachment; filename="llm_{name}.csv"'
        return response

    def _file(self, path: str) -> Response:
        found = inside(path)
        if found is None:
            return _not_found()
        if found.is_dir():
            return folder_response(found) if path.endswith("/") else redirect(f"{request.path}/")
        return file_response(found)

    def _report(self) -> Response:
        if self._conductor.run is not None:
            return make_response(
                "a run is going on, and a report would take its CPU: wait until it is over", 409
            )
        asked = request.get_json(silent=True)
        names = asked.get("runs") if isinstance(asked, dict) else None
        if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
            raise UsageError('give the names of one or two runs: {"runs": [NAME, …]}')
        return jsonify(self._session.report(tuple(names)))

    def _checked_start(self) -> Response:
        """Locust's /swarm, once what was asked for is known to be possible."""
        host, state = self._environment.host, self._state()
        if state != "idle":  # Locust would say yes, and start nothing
            why = NOT_NOW.get(state, "a run is going on; stop it first")
            # Told to this tab alone: it passes by itself.
            return jsonify({"success": False, "message": why, "host": host})
        try:
            form = request.form.to_dict()
            self._check_fields(form)
            reach(self._conductor.settings(form, form.get("host") or host))
        except UsageError as error:
            self._conductor.failure = shown(str(error))
            return jsonify({"success": False, "message": shown(str(error)), "host": host})
        return self._start()

    def _check_fields(self, form: dict[str, str]) -> None:
        """Raise UsageError for what the form does not have: Locust would set any option by it."""
        classes = CLASS_FIELDS if self._ui.userclass_picker_is_active else ()
        known = {*LOCUSTS_FIELDS, *classes, *ui_extra_args_dict()}
        if strange := sorted(form.keys() - known):
            raise UsageError(f"the form has no field {strange[0]!r}; give it on the command line")
        scenario = form.get("scenario") or self._own_scenario
        if scenario not in (self._own_scenario, *list_scenarios()):
            raise UsageError(
                f"unknown scenario {scenario!r}: for a file start the web UI with --scenario FILE"
            )

    def _extend(self, response: Response) -> Response:
        """Add our rows to Locust's figures, and our script to its page."""
        if request.endpoint == "locust.request_stats" and response.is_json:
            rows = figures.tab_rows(self._live(), self._state(), self._verdict(), self._judged())
            extended = {"extended_stats": [{"key": figures.TAB, "data": rows}]}
            found = response.get_json()
            found["state"] = figures.shown_state(found["state"])
            response.set_data(json.dumps(found | extended))
        elif request.endpoint == "locust.index" and response.status_code == 200:
            response.set_data(response.get_data(as_text=True).replace("</body>", SCRIPT))
        elif request.blueprint == "tokenswarm":
            response.headers.setdefault("Content-Security-Policy", POLICY)
            response.headers["X-Content-Type-Options"] = "nosniff"
            response.headers["Cache-Control"] = "no-cache"
        return response

    def _live(self) -> Any:
        return self._conductor.latest.live if self._conductor.latest else None

    def _state(self) -> str:
        """What goes on, in one word."""
        run = self._conductor.run
        if run is not None:
            warming = run.phase == "running" and run.now < run.live.window[0]
            return "warm-up" if warming else run.phase
        if self._environment.runner.shape_greenlet is None:
            return "idle"
        return "starting" if self._environment.runner.state == STATE_INIT else "ending"

    def _verdict(self) -> tuple[str, str]:
        """The verdict so far and why; of a finished run, the one that was judged."""
        run = self._conductor.latest
        if run is None:
            return "", "no run yet"
        if run is self._conductor.run:
            return run.live.verdict()
        return self._session.verdict(run.folder) or ("INVALID", "the run was not kept")

    def _judged(self) -> dict[str, Any] | None:
        """The figures of the run that is shown, once it has ended; none of one that was not judged."""
        run = self._conductor.latest
        if run is None or run is self._conductor.run:
            return None
        return self._session.metrics(run.folder)


def _defaults(name: str, purpose: str) -> dict[str, Any]:
    """The start form's fields; a scenario that cannot be read says why instead."""
    try:
        scenario = Scenario.load(name)
    except UsageError as error:
        return {"purpose": str(error), "fields": {}}
    slo, request = scenario.slo, scenario.request or Request()
    given = {
        "rps": scenario.rate,
        "duration": scenario.duration,
        "warmup": scenario.warmup,
        "drain": scenario.drain,
        "arrivals": scenario.arrivals.process,
        "concurrency": getattr(scenario.arrivals, "concurrency", None),
        "max_concurrency": scenario.max_concurrency,
        "input_tokens": scenario.prompt_tokens.text if scenario.prompt_tokens else None,
        "output_tokens": scenario.output_tokens.text if scenario.output_tokens else None,
        "slo_ttft": _milliseconds(slo.ttft) if slo else None,
        "slo_tpot": _milliseconds(slo.tpot) if slo else None,
        "slo_share": slo.share if slo else None,
        "api": request.api,
        "endpoint": request.endpoint,
        "extra_body": json.dumps(request.extra_body) if request.extra_body else None,
        "temperature": request.temperature,
        "top_p": request.top_p,
        "max_tokens_field": request.max_tokens_field,
        "seed": scenario.seed,
        "timeout": scenario.timeout,
    }
    return {"purpose": purpose, "fields": {key: _text(value) for key, value in given.items()}}


def _milliseconds(bound: float | None) -> float | None:
    return None if bound is None else 1000 * bound


def _text(value: float | int | str | None) -> str:
    return f"{value:.9g}" if isinstance(value, float) else "" if value is None else str(value)


def _asset(name: str) -> Response:
    return make_response(send_file(ASSETS / name, etag=True))


def _not_found() -> Response:
    return make_response("not found", 404)
