// Asks for the figures once a second and shows them. Every text from the server goes in as text, never as HTML.
"use strict";

const EVERY = 1000; // ms
const VERDICTS = { VALID: "good", "TOO-SHORT": "doubt", SATURATED: "doubt", "CLIENT-LIMITED": "doubt", DISTURBED: "doubt", INVALID: "bad" };
const PERCENTILES = ["p50", "p90", "p95", "p99"];
const byId = (id) => document.getElementById(id);
const chosen = new Set();
let seconds = [], shownRun = null, signature = "", making = false;

function number(value, digits = 1) {
  return value === null || value === undefined ? "–" : value.toLocaleString("en", { minimumFractionDigits: digits, maximumFractionDigits: digits });
}

// Seconds as milliseconds with about four digits.
function ms(value) {
  if (value === null || value === undefined) return "–";
  const found = value * 1e3;
  return number(found, found < 1 ? 3 : found < 100 ? 2 : found < 1000 ? 1 : 0);
}

// An axis shows round numbers as they are; elsewhere a rate has one decimal.
const plain = (value, axis) => (axis ? value.toLocaleString("en", { maximumFractionDigits: 3 }) : number(value, value < 100 ? 1 : 0));
const whole = (value, axis) => (axis ? plain(value, axis) : number(value, 0));
const time = (value, axis) => (axis ? plain(value * 1e3, true) : `${ms(value)} ms`);

const CHARTS = [
  { title: "Requests per second", show: plain, series: [{ key: "offered_rate", name: "offered" }, { key: "completed_rate", name: "completed" }] },
  { title: "Requests in flight", show: whole, series: [{ key: "in_flight", name: "in flight" }, { key: "running", name: "server: running" }, { key: "waiting", name: "server: waiting" }] },
  { title: "TTFT, ms", show: time, slo: "ttft", series: ["p50", "p90", "p99"].map((name) => ({ key: `ttft_${name}`, name })) },
  { title: "TPOT, ms", show: time, slo: "tpot", series: ["p50", "p90", "p99"].map((name) => ({ key: `tpot_${name}`, name })) },
  { title: "Output tokens per second", show: whole, series: [{ key: "output_token_throughput", name: "tokens/s" }] },
];
const charts = CHARTS.map((chart) => new Chart(byId("charts"), { ...chart, onHover: hover }));

function hover(t) {
  for (const chart of charts) { chart.cursor = t; chart.draw(); }
}

function element(name, { text, kind, ...rest } = {}, ...children) {
  const made = Object.assign(document.createElement(name), rest);
  if (text !== undefined) made.textContent = text;
  if (kind) made.className = kind;
  made.append(...children);
  return made;
}

async function refresh() {
  try {
    const answer = await fetch(`data?from=${seconds.length}`);
    if (answer.redirected) { location.reload(); return; } // the login has run out
    if (!answer.ok) throw new Error(`${answer.status}`);
    show(await answer.json());
    fail("connection", null);
  } catch {
    fail("connection", "Locust does not answer; the figures stand still.");
  }
  setTimeout(refresh, EVERY);
}

const failures = {};
function fail(kind, text) {
  failures[kind] = text;
  const found = Object.values(failures).filter(Boolean);
  byId("failure").textContent = found.join(" ");
  byId("failure").hidden = !found.length;
}

function show(data) {
  const { run } = data;
  fail("run", data.failure);
  byId("state").textContent = data.state;
  byId("stop").hidden = !data.going_on;
  byId("empty").hidden = run !== null;
  byId("live").hidden = run === null;
  if (run) showRun(run, data.going_on, data.finished.find((each) => each.run === run.name)?.metrics);
  showSession(data.finished, data.going_on);
}

function showRun(run, goingOn, judged) {
  if (run.name !== shownRun) {
    const started = run.first > 0; // asked from where another run had stopped: ask again, from the first second
    shownRun = run.name; seconds = [];
    byId("stop").disabled = false;
    if (started) return;
  }
  if (run.first === seconds.length) {
    seconds.push(...run.points.map((values) => Object.fromEntries(run.columns.map((column, place) => [column, values[place]]))));
  }
  byId("title").textContent = run.scenario;
  document.title = `${run.scenario}: LLM load`;
  byId("about").textContent = `${run.name} · ${run.model} at ${run.host} · ${run.workers} worker${run.workers > 1 ? "s" : ""}${run.key && ` · ${run.key}`}`;
  byId("verdict").hidden = byId("why").hidden = false;
  byId("verdict").textContent = run.verdict ? `${run.verdict}${goingOn ? " so far" : ""}` : "no verdict yet";
  byId("why").textContent = run.why;
  byId("verdict").className = `pill ${VERDICTS[run.verdict] ?? ""}`;
  byId("progress").hidden = !goingOn;
  byId("progress").firstElementChild.style.width = `${Math.min(100, Math.max(0, run.now / run.end) * 100)}%`;
  byId("heading").textContent = goingOn ? "Percentiles so far" : "Percentiles";
  byId("scope").textContent = scope(run.window);
  showTiles(run, goingOn, judged);
  const last = seconds.at(-1)?.t ?? 0;
  for (const chart of charts) chart.update(seconds, { end: Math.max(goingOn ? run.end : 0, last, 1), window: run.window, slo: run.slo, rest: goingOn ? null : run.window[1] });
  byId("tables").replaceChildren(...run.tables.map((table) => percentileTable(table, run.tables.length > 1, goingOn)));
}

// What the percentiles are of.
function scope([start, end]) {
  const from = start > 0 ? `from ${plain(start, true)} to ${plain(end, true)} s; the warm-up before is excluded` : `up to ${plain(end, true)} s`;
  return `In ms, to 1 %, of requests due ${from}. Each counts as soon as it has got so far; the report, from the records, is exact and counts those that never get there, too.`;
}

// Rates of the last seconds; once the run has been judged, those of its window.
function showTiles(run, goingOn, judged) {
  const { slo } = run, live = (name) => run.tables[0].metrics.find((row) => row.metric === name) ?? {};
  const bounds = slo ? [["TTFT", slo.ttft], ["TPOT", slo.tpot], ["latency", slo.latency]].filter(([, bound]) => bound !== null && bound !== undefined) : [];
  const ttft = judged ? judged.scheduled_ttft_p99 : live("scheduled_ttft").p99, tpot = judged ? judged.tpot_p50 : live("tpot").p50;
  const attained = judged?.slo_attainment ?? null;
  const { totals } = run, lag = run.tables[0].metrics.find((row) => row.metric === "dispatch_delay");
  const left = Math.max(0, run.end - run.now);
  const server = !goingOn || totals.running === null || totals.running === undefined ? "" : `server: ${number(totals.running, 0)} run, ${number(totals.waiting, 0)} wait`;
  const rates = judged ?? totals;
  const tiles = [
    ["Elapsed", clock(goingOn ? run.now : seconds.at(-1)?.t ?? 0), goingOn ? (left > 0 ? `${clock(left)} left` : `drain, at most ${number(run.drain, 0)} s`) : judged ? "rates: of the window" : ""],
    ["Offered", `${number(rates.offered_rate)} /s`, `${number(totals.due, 0)} due`],
    ["Completed", `${number(rates.completed_rate)} /s`, `${number(totals.completed, 0)} done`],
    ["Output", `${number(rates.output_token_throughput, 0)} tok/s`, `${number(totals.tokens, 0)} in answers`],
    ["TTFT p99, scheduled", ttft === null || ttft === undefined ? "–" : `${ms(ttft)} ms`, judged && ttft === null ? "too few requests, or beyond what was seen" : `TTFT p50, service: ${ms(judged ? judged.ttft_p50 : live("ttft").p50)} ms`],
    ["TPOT p50", tpot === null || tpot === undefined ? "–" : `${ms(tpot)} ms`, "per later token"],
    ["SLO attainment", attained === null ? "–" : `${number(100 * attained)} %`, slo ? (judged ? `wanted ${number(100 * slo.share, 1)} %: ` : "once judged: ") + bounds.map(([name, bound]) => `${name} ≤ ${plain(1e3 * bound, true)} ms`).join(", ") : "the scenario has no SLO"],
    ["In flight", number(totals.in_flight, 0), server],
    ["Failed", number(totals.failed, 0), totals.unfinished ? `${number(totals.unfinished, 0)} unfinished` : ""],
    ["Dispatch delay p99", lag.p99 === null ? "–" : `${ms(lag.p99)} ms`, `${number(lag.count, 0)} sent`],
  ];
  byId("tiles").replaceChildren(...tiles.map(([name, figure, note]) =>
    element("div", {}, element("dt", { text: name }), element("dd", { text: figure }, element("small", { text: note })))));
}

// Rates of the last seconds (tokens: of requests that have ended) while there are any, counts since the start.
function flowLine(flow, goingOn) {
  if (!goingOn) return `${number(flow.sent, 0)} sent, ${number(flow.completed, 0)} completed, ${number(flow.tokens, 0)} tokens, ${number(flow.failed, 0)} failed`;
  return `${number(flow.sent_rate)} /s sent (${number(flow.sent, 0)}), ${number(flow.completed_rate)} /s completed (${number(flow.completed, 0)}), ` +
    `${number(flow.token_rate, 0)} tok/s (ended), ${number(flow.in_flight, 0)} in flight, ${number(flow.failed, 0)} failed`;
}

function percentileTable({ workload, flow, metrics }, several, goingOn) {
  const head = element("tr", {}, element("th", { text: "Metric" }), ...PERCENTILES.map((name) => element("th", { text: name })), element("th", { text: "Count" }));
  const rows = metrics.map((row) => element("tr", {}, element("td", { text: row.label }),
    ...PERCENTILES.map((name) => element("td", { text: ms(row[name]) })), element("td", { text: number(row.count, 0) })));
  const table = element("table", {}, element("thead", {}, head), element("tbody", {}, ...rows));
  table.dataset.workload = workload;
  return element("div", {}, ...(several ? [element("h3", { text: workload === "all" ? "All workloads" : workload })] : []),
    ...(several ? [element("p", { text: flowLine(flow, goingOn), kind: "quiet" })] : []), table);
}

function showSession(runs, goingOn) {
  const now = JSON.stringify([runs, goingOn]);
  if (now === signature) return;
  signature = now;
  byId("none").hidden = runs.length > 0;
  byId("runs").hidden = runs.length === 0;
  byId("choose").hidden = runs.length < 2;
  for (const name of chosen) if (!runs.some((run) => run.run === name)) chosen.delete(name);
  byId("runs").tBodies[0].replaceChildren(...runs.map((run) => sessionRow(run, goingOn)));
  byId("compare").dataset.blocked = goingOn ? "yes" : "";
  allow();
}

function sessionRow(run, goingOn) {
  const cell = (label, text, kind = "") => { const made = element("td", { text, kind }); made.dataset.label = label; return made; };
  const { metrics } = run, tick = element("input", { type: "checkbox", checked: chosen.has(run.run) });
  tick.setAttribute("aria-label", `choose ${run.run} to compare`);
  tick.addEventListener("change", () => { if (tick.checked) chosen.add(run.run); else chosen.delete(run.run); allow(); });
  const choose = cell("Compare", ""), files = cell("Files", "", "files"), links = element("span");
  choose.append(tick);
  const report = element("button", { text: "Report", type: "button", kind: "link", disabled: goingOn });
  report.title = goingOn ? "once the run that goes on is over" : "made on the first click";
  report.addEventListener("click", () => openReport([run.run]));
  links.append(report);
  if (run.records) links.append(" · ", fileLink(run.records, "Records"), " · ", fileLink(`${run.folder}/`, "All files"));
  else links.append(" · outside the results folder");
  files.append(links);
  const verdict = cell("Verdict", "");
  verdict.append(element("span", {}, element("b", { text: run.verdict, kind: `pill ${VERDICTS[run.verdict] ?? ""}` }), element("small", { text: run.why, kind: "quiet" })));
  verdict.title = run.advice;
  const rate = cell("Completed /s", number(metrics.completed_rate), "right");
  const name = cell("Run", ""), { name: own, ...others } = run.labels;
  const told = [...Object.entries(others).map(([key, value]) => `${key}: ${value}`), run.note].filter(Boolean).join("; ");
  name.append(element("span", {}, ...(own ? [element("b", { text: own }), element("small", { text: run.run })] : [run.run]),
    ...(told ? [element("small", { text: told, kind: "quiet" })] : [])));
  const row = element("tr", {}, choose, name, cell("Scenario", `${run.scenario ?? "?"}, seed ${run.seed ?? "?"}`),
    verdict, rate,
    cell("TTFT p50, p99 ms", `${judgedMs(run, "ttft_p50")}, ${judgedMs(run, "ttft_p99")}`, "right"), cell("TPOT p50 ms", judgedMs(run, "tpot_p50"), "right"),
    cell("Tokens/s", number(metrics.output_token_throughput, 0), "right"), files);
  row.dataset.run = run.run;
  return row;
}

// A percentile that the records could not give, since too many never got there, is above a bound.
function judgedMs({ metrics, bounds }, name) {
  return metrics[name] === null && bounds[name] ? `> ${ms(bounds[name])}` : ms(metrics[name]);
}

const fileUrl = (path) => `files/${path.split("/").map(encodeURIComponent).join("/")}`;
const fileLink = (path, text) => element("a", { text, href: fileUrl(path) });

function allow() {
  byId("compare").disabled = making || chosen.size !== 2 || byId("compare").dataset.blocked === "yes";
}

// The first screen of a report, from its data: both say the same.
function summarise({ path, screen }) {
  if (!screen) throw new Error("the report has no first screen; open it from the files");
  const small = (text) => element("dd", {}, element("small", { text }));
  const tiles = screen.rows.map((row) => element("div", { title: row.definition },
    element("dt", { text: row.label }),
    element("dd", {}, row.after || row.before, " ", element("i", { text: row.unit })),
    ...(screen.variant ? [small(`${screen.baseline} ${row.before}`), element("dd", { kind: row.tone }, element("small", { text: `${row.change} ${row.mark}` })), small(`${screen.confidence ?? "95 %"}: ${row.interval}`)] : [])));
  const line = (lead, text) => element("p", {}, ...(lead ? [element("b", { text: `${lead}. ` })] : []), text);
  byId("summary").replaceChildren(element("h3", { text: screen.title }),
    ...(tiles.length ? [element("dl", { kind: "tiles" }, ...tiles)] : []),
    ...screen.lines.map(({ lead, text }) => line(lead, text)),
    ...(screen.next ? [line("Next", screen.next.text)] : []),
    ...(screen.next?.command ? [element("pre", { text: screen.next.command })] : []),
    element("p", {}, fileLink(path, "The whole report")));
  byId("summary").hidden = false;
  byId("summary").scrollIntoView({ block: "nearest" });
}

// The older run first: what the other one is compared with.
async function openReport(names) {
  if (making) return;
  making = true; allow();
  byId("choose").hidden = false;
  byId("working").textContent = `Making the report on ${names.join(" and ")}…`;
  try {
    const answer = await fetch("reports", { method: "POST", headers: { "Content-Type": "application/json" }, body: JSON.stringify({ runs: names }) });
    if (!answer.ok) throw new Error(await answer.text());
    const made = await answer.json();
    if (names.length === 1) location.assign(fileUrl(made.path)); else summarise(made);
    byId("working").textContent = "";
  } catch (error) {
    byId("working").textContent = error.message;
  }
  making = false; allow();
}

byId("compare").addEventListener("click", () => {
  const rows = [...byId("runs").tBodies[0].rows].map((row) => row.dataset.run);
  openReport(rows.reverse().filter((name) => chosen.has(name)));
});
byId("stop").addEventListener("click", () => {
  byId("stop").disabled = true;
  fetch("../stop", { method: "POST" }).finally(() => { byId("stop").disabled = false; });
});
window.addEventListener("pageshow", (event) => { if (event.persisted) location.reload(); });
refresh();
