"use strict";
// Makes the tables sortable, and copies the first screen as Markdown.

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

const copy = document.getElementById("copy");
copy.addEventListener("click", async () => {
  await navigator.clipboard.writeText(document.getElementById("copied").content.textContent);
  copy.textContent = "Copied";
});
// A phone has no pointer to hover with: a touch says the definition.
document.querySelectorAll(".help").forEach((each) => each.addEventListener("click", () => alert(each.title)));
