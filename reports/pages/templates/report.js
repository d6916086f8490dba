"use strict";
// Draws the charts whose data the page holds, in the page's colours, and makes the tables sortable.

const dark = window.matchMedia("(prefers-color-scheme: dark)");

function color(name) {
  return getComputedStyle(document.documentElement).getPropertyValue(`--${name}`).trim();
}

function themed(layout) {
  const page = { ...layout, paper_bgcolor: color("paper"), plot_bgcolor: color("paper") };
  page.font = { color: color("ink"), size: 12, family: getComputedStyle(document.body).fontFamily };
  page.hoverlabel = { bgcolor: color("raised"), bordercolor: color("line"), font: { color: color("ink") } };
  for (const key of Object.keys(layout).filter((name) => /^[xy]axis\d*$/.test(name))) {
    page[key] = { ...layout[key], gridcolor: color("line"), linecolor: color("soft"), showline: true, tickcolor: color("soft") };
    page[key].tickfont = { color: color("soft"), size: 11 };
  }
  page.shapes = layout.shapes.map((shape) => ({ ...shape, line: { ...shape.line, color: color("soft") } }));
  page.dragmode = window.innerWidth < 700 ? false : "zoom"; // on a phone a finger scrolls the page
  return page;
}

function draw() {
  const charts = JSON.parse(document.getElementById("data").textContent);
  for (const place of document.querySelectorAll("[data-chart]")) {
    charts[place.dataset.chart].forEach((figure, index) => {
      const layout = themed(figure.layout);
      if (place.clientWidth < 600) narrow(layout, figure);
      Plotly.react(place.children[index], figure.data, layout, { responsive: true, displaylogo: false });
    });
  }
}

// On a phone: less margin, every other tick of a named axis, texts beside points only when touched.
function narrow(layout, figure) {
  layout.margin = { ...layout.margin, r: 8 };
  for (const key of Object.keys(layout).filter((name) => /^xaxis/.test(name))) {
    const { tickvals, ticktext } = layout[key];
    if (!tickvals || tickvals.length < 5) continue;
    const kept = (_, index) => index % 2 === Math.max(0, tickvals.indexOf(1)) % 2;
    layout[key] = { ...layout[key], tickvals: tickvals.filter(kept), ticktext: ticktext.filter(kept) };
  }
  figure.data = figure.data.filter((trace) => trace.mode !== "text");
}

function sortable(table) {
  const heads = table.querySelectorAll("thead th");
  heads.forEach((head, column) => {
    if (!head.textContent.trim() || table.tBodies[0].rows.length < 3) return;
    const button = document.createElement("button");
    button.type = "button";
    button.textContent = head.textContent;
    button.addEventListener("click", () => sort(table, heads, column));
    head.replaceChildren(button);
  });
}

function sort(table, heads, column) {
  const up = heads[column].getAttribute("aria-sort") !== "ascending";
  heads.forEach((head) => head.removeAttribute("aria-sort"));
  heads[column].setAttribute("aria-sort", up ? "ascending" : "descending");
  const rows = [...table.tBodies[0].rows];
  rows.sort((one, other) => compare(value(one.cells[column]), value(other.cells[column])) * (up ? 1 : -1));
  table.tBodies[0].append(...rows);
}

function value(cell) {
  const text = cell.dataset.sort ?? cell.textContent.replace(/[,\s]/g, "").replace("−", "-");
  const number = parseFloat(text);
  return Number.isNaN(number) ? cell.textContent : number;
}

function compare(one, other) {
  if (typeof one === typeof other) return typeof one === "number" ? one - other : one.localeCompare(other);
  return typeof one === "number" ? -1 : 1;
}

document.querySelectorAll("table").forEach(sortable);
draw();
dark.addEventListener("change", draw);
