// In Locust's own page: the start form's fields follow the scenario, a start that failed says why, and a
// link leads to our page.
"use strict";
(() => {
  const EVERY = 2000; // ms
  const LOCUSTS = ["userCount", "spawnRate"];
  const OURS = [
    "rps", "duration", "warmup", "drain", "arrivals", "concurrency", "input_tokens", "output_tokens",
    "slo_ttft", "slo_tpot", "slo_share", "seed", "timeout", "endpoint", "extra_body", "temperature", "top_p",
    "max_tokens_field",
  ];
  let scenarios = null;

  // As if typed, so that the form's labels move out of the way.
  function put(field, value) {
    const kind = field instanceof HTMLSelectElement ? HTMLSelectElement : HTMLInputElement;
    Object.getOwnPropertyDescriptor(kind.prototype, "value").set.call(field, value);
    field.dispatchEvent(new Event(kind === HTMLSelectElement ? "change" : "input", { bubbles: true }));
  }

  // Locust writes an option's name its own way in the form, slo_ttft as sloTtft, and back when it is sent.
  const optionOf = (field) => field.name.replace(/[A-Z]/g, (letter) => `_${letter.toLowerCase()}`);

  // A field left empty means the scenario's own value; this shows which that is.
  function fill(form, choice, all) {
    const found = scenarios[choice.value];
    choice.title = found?.purpose ?? "";
    for (const field of form.querySelectorAll("input[name], select[name]")) {
      const name = optionOf(field), value = found ? found.fields[name] : all ? "" : undefined;
      if (OURS.includes(name) && value !== undefined && (all || field.value === "")) put(field, value);
    }
  }

  // The scenario says how many come and when; Locust has switched these two off.
  function hide(field) {
    if (field?.disabled) (field.closest(".MuiFormControl-root") ?? field).style.display = "none";
  }

  function prepare() {
    if (scenarios === null) return;
    for (const choice of document.querySelectorAll("form select[name=scenario]:not([data-prepared])")) {
      choice.dataset.prepared = "yes";
      const form = choice.form;
      for (const name of LOCUSTS) hide(form.querySelector(`input[name=${name}]`));
      const folded = form.querySelectorAll("button[aria-expanded=false], [role=button][aria-expanded=false]");
      for (const each of folded) if (each.parentElement.parentElement.contains(choice) || each.parentElement.contains(choice)) each.click();
      fill(form, choice, false);
      choice.addEventListener("change", () => fill(form, choice, true));
    }
  }

  const bar = document.createElement("div"), link = document.createElement("a"), text = document.createElement("span");
  bar.id = "llm-bar";
  bar.style.cssText = "position:fixed;right:12px;bottom:12px;z-index:1200;display:flex;flex-direction:column;gap:6px;align-items:flex-end;max-width:min(34rem,calc(100vw - 24px));font:14px/1.4 system-ui,sans-serif";
  text.setAttribute("role", "alert");
  text.hidden = true;
  text.style.cssText = "background:#b3261e;color:#fff;border-radius:6px;padding:6px 12px;overflow-wrap:anywhere";
  link.href = "./llm/";
  link.textContent = "LLM: live charts, runs, reports";
  link.style.cssText = "background:#1d62a8;color:#fff;border-radius:16px;padding:6px 14px;text-decoration:none;box-shadow:0 1px 4px #0006";
  bar.append(text, link);
  document.body.append(bar);
  document.body.style.paddingBottom = "72px"; // what stands last can be scrolled clear of the bar

  // The form says itself why a start was refused; said twice, or an older reason beside it, it would confuse.
  function showFailure() {
    text.hidden = !text.textContent || document.querySelector("form [role=alert]") !== null;
  }

  async function watch() {
    try {
      const answer = await fetch("./llm/data?from=1000000000");
      const found = await answer.json();
      text.textContent = found.failure ?? (found.going_on ? found.run?.key : "");
      showFailure();
    } catch { /* Locust has ended or the login has run out; its own page says so */ }
    setTimeout(watch, EVERY);
  }

  new MutationObserver((changes) => {
    prepare();
    if (changes.some(({ target }) => !bar.contains(target))) showFailure();
  }).observe(document.body, { childList: true, subtree: true });
  fetch("./llm/scenarios").then((answer) => answer.json()).then((found) => { scenarios = found; prepare(); });
  watch();
})();
