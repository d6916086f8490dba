// Line charts over the seconds of a run, drawn as SVG; the cursor is shared by all charts of the page.
"use strict";

const LEFT = 46, RIGHT = 8, TOP = 6, BOTTOM = 20;
const SLO_WITHIN = 3; // times the highest value: a line of the SLO is drawn up to there
const SVG = "http://www.w3.org/2000/svg";

function svg(name, attributes, text) {
  const element = document.createElementNS(SVG, name);
  for (const [key, value] of Object.entries(attributes)) element.setAttribute(key, value);
  if (text !== undefined) element.textContent = text;
  return element;
}

// Round numbers from 0 to at least `top`, about `wanted` of them.
function ticks(top, wanted) {
  const raw = top / wanted, power = 10 ** Math.floor(Math.log10(raw));
  const step = [1, 2, 5, 10].map((factor) => factor * power).find((each) => each >= raw * 0.999);
  return Array.from({ length: Math.ceil(top / step - 1e-9) + 1 }, (_, number) => number * step);
}

function clock(seconds) {
  const whole = Math.max(0, Math.round(seconds));
  return `${Math.floor(whole / 60)}:${String(whole % 60).padStart(2, "0")}`;
}

function timeTicks(end, wanted) {
  const steps = [1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200];
  const step = steps.find((each) => end / each <= wanted) ?? 14400;
  return Array.from({ length: Math.floor(end / step) + 1 }, (_, number) => number * step);
}

// The lowest and the highest point of each pixel: a long run keeps its peaks.
function thinned(points, room) {
  if (points.length <= 2 * room) return points;
  const kept = [], share = Math.ceil(points.length / room);
  for (let at = 0; at < points.length; at += share) {
    const group = points.slice(at, at + share).filter((point) => point[1] !== null);
    if (!group.length) { kept.push(points[at]); continue; }
    const low = group.reduce((a, b) => (b[1] < a[1] ? b : a)), high = group.reduce((a, b) => (b[1] > a[1] ? b : a));
    kept.push(...(low === high ? [low] : low[0] < high[0] ? [low, high] : [high, low]));
  }
  return kept;
}

class Chart {
  // series: [{key, name}], up to three; show: a value's text; slo: whose bound of the SLO is drawn, if any.
  constructor(parent, { title, series, show, slo, onHover }) {
    this.title = title; this.series = series; this.show = show; this.slo = slo;
    this.seconds = []; this.frame = { end: 1, window: [0, 1], rest: null }; this.cursor = null;
    const box = document.createElement("div");
    box.className = "chart";
    const heading = document.createElement("h3");
    heading.textContent = title;
    this.moment = document.createElement("small");
    heading.append(this.moment);
    this.keys = document.createElement("div");
    this.keys.className = "keys";
    this.picture = svg("svg", { role: "img" });
    box.append(heading, this.keys, this.picture);
    parent.append(box);
    this.picture.addEventListener("pointermove", (event) => {
      const place = event.clientX - this.picture.getBoundingClientRect().left;
      onHover((place - LEFT) / this.room() * this.frame.end);
    });
    this.picture.addEventListener("pointerleave", () => onHover(null));
    new ResizeObserver(() => this.draw()).observe(this.picture);
  }

  room() { return Math.max(this.picture.clientWidth - LEFT - RIGHT, 10); }

  // seconds: [{t, key: value or null}]; frame: {end, window, rest, slo}, seconds; slo: its bounds by name; rest: what the figures are of
  // while no cursor points anywhere, null for the last one.
  update(seconds, frame) {
    this.seconds = seconds; this.frame = frame;
    this.draw();
  }

  draw() {
    const width = this.room(), height = Math.max(this.picture.clientHeight - TOP - BOTTOM, 10);
    const shown = this.series.filter(({ key }) => this.seconds.some((second) => second[key] !== null));
    const values = this.seconds.flatMap((second) => shown.map(({ key }) => second[key] ?? 0));
    const highest = values.reduce((a, b) => Math.max(a, b), 0), bound = (this.slo && this.frame.slo?.[this.slo]) ?? null;
    const near = bound !== null && bound <= SLO_WITHIN * highest; // a bound far above would press the lines flat
    const levels = ticks(Math.max(highest, near ? bound : 0) * 1.05 || 1, 4), top = levels.at(-1);
    const x = (t) => LEFT + (t / this.frame.end) * width, y = (value) => TOP + height - (value / top) * height;
    const parts = [];
    for (const [from, to] of [[0, this.frame.window[0]], [this.frame.window[1], this.frame.end]]) {
      if (to > from) parts.push(svg("rect", { class: "outside", x: x(from), y: TOP, width: x(to) - x(from), height }));
    }
    for (const level of shown.length ? levels : [0]) {
      parts.push(svg("line", { class: "grid", x1: LEFT, x2: LEFT + width, y1: y(level), y2: y(level) }));
      parts.push(svg("text", { x: LEFT - 6, y: y(level) + 4, "text-anchor": "end" }, this.show(level, true)));
    }
    for (const t of timeTicks(this.frame.end, Math.max(2, width / 70))) {
      parts.push(svg("text", { x: x(t), y: TOP + height + 15, "text-anchor": x(t) > LEFT + width - 14 ? "end" : "middle" }, clock(t)));
    }
    shown.forEach((series) => parts.push(this.line(series, x, y, width)));
    if (bound !== null) {
      const level = near ? y(bound) : TOP;
      if (near) parts.push(svg("line", { class: "slo", x1: LEFT, x2: LEFT + width, y1: level, y2: level }));
      const place = { class: "slo", x: LEFT + width - 3, y: near && level > TOP + 14 ? level - 4 : level + 12, "text-anchor": "end" };
      parts.push(svg("text", place, `SLO ${this.show(bound)}${near ? "" : ", above"}`));
    }
    const at = this.at();
    if (!shown.length) parts.push(svg("text", { x: LEFT + width / 2, y: TOP + height / 2, "text-anchor": "middle" }, "nothing yet"));
    if (this.cursor !== null && at) parts.push(svg("line", { class: "cursor", x1: x(at.t), x2: x(at.t), y1: TOP, y2: TOP + height }));
    this.picture.replaceChildren(...parts);
    this.label(shown, at);
  }

  line({ key }, x, y, width) {
    let drawing = false, path = "";
    for (const [t, value] of thinned(this.seconds.map((second) => [second.t, second[key]]), width)) {
      if (value === null) { drawing = false; continue; }
      path += `${drawing ? "L" : "M"}${x(t).toFixed(1)},${y(value).toFixed(1)}`;
      drawing = true;
    }
    return svg("path", { class: this.colour(key), d: path });
  }

  colour(key) { return `k${this.series.findIndex((each) => each.key === key) + 1}`; }

  // The second under the cursor, else the one to rest at.
  at() {
    const wanted = this.cursor ?? this.frame.rest;
    if (wanted === null) return this.seconds.at(-1);
    return this.seconds.reduce((a, b) => (Math.abs(b.t - wanted) < Math.abs(a.t - wanted) ? b : a), this.seconds[0]);
  }

  label(shown, at) {
    const parts = shown.map(({ key, name }) => {
      const item = document.createElement("span"), figure = document.createElement("b");
      item.className = this.colour(key);
      figure.textContent = at && at[key] !== null ? this.show(at[key]) : "–";
      item.append(`${name} `, figure);
      return item;
    });
    this.moment.textContent = at && shown.length ? ` at ${clock(at.t)}` : "";
    this.keys.replaceChildren(...parts);
    this.picture.setAttribute("aria-label", `${this.title}: ${parts.map((part) => part.textContent).join(", ")}`);
  }
}
