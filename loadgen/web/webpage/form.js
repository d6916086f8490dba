// In Locust's own page: the start form's fields follow the scenario, a start that failed says why, and a
// link leads to our page.
"use strict";
(() => {
  const EVERY = 2000; // ms
  const LOCUSTS = ["userCount", "spawnRate"];
  const KEPT = "tokenswarm.settings"; // in the tab's own storage: what was last started
  const LABELS = { // option: what people call it
    label: "Name of the run, or key=value", note: "Note, kept with the run",
    scenario: "Scenario", rps: "Requests per second", duration: "Duration that is judged, s", warmup: "Warm-up before it, s",
    drain: "Longest wait for answers at the end, s", arrivals: "Arrival process", concurrency: "Clients of a closed loop",
    max_concurrency: "Most requests in flight", api: "Kind of API",
    input_tokens: "Prompt length, tokens: mean[,SD[,min-max]]", output_tokens: "Answer length, tokens: mean[,SD[,min-max]]",
    slo_ttft: "SLO: TTFT at most, ms", slo_tpot: "SLO: TPOT at most, ms", slo_share: "SLO: share of requests, as 0.99",
    seed: "Seed", timeout: "Timeout of a request, s", endpoint: "Endpoint (path)", extra_body: "Extra request fields (JSON)",
    temperature: "Temperature", top_p: "Top-p", max_tokens_field: "Field for max_tokens",
    no_ignore_eos: "Answers may end early", metrics_host: "Metrics URL, behind a gateway", model: "Model (empty: the only one)",
  };
  const OF_ONE = ["label", "note"]; // what is of one run, and not of the next
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
      if (name in LABELS && value !== undefined && (all || field.value === "")) put(field, value);
    }
  }

  // Locust makes a label of the option's name and its help; the help stays as a hint.
  function label(form) {
    for (const field of form.querySelectorAll("[name]")) {
      const wanted = LABELS[optionOf(field)], box = field.closest(".MuiFormControl-root, .MuiFormControlLabel-root");
      if (!wanted || !box) continue;
      for (const place of box.querySelectorAll("label.MuiInputLabel-root, legend > span, .MuiFormControlLabel-label")) {
        if (place.textContent === wanted) continue;
        box.title ||= place.textContent;
        place.textContent = wanted;
      }
    }
  }

  // What was last started in this tab, by the field's name.
  function kept() {
    try { return JSON.parse(sessionStorage.getItem(KEPT)) ?? {}; } catch { return {}; }
  }

  function keep(form) {
    const found = {};
    for (const field of form.querySelectorAll("input[name]:enabled, select[name]:enabled")) {
      if (OF_ONE.includes(field.name)) continue;
      found[field.name] = field.type === "checkbox" ? field.checked : field.value;
    }
    try { sessionStorage.setItem(KEPT, JSON.stringify(found)); } catch { /* storage is switched off: the defaults again */ }
  }

  function restore(form) {
    const found = kept();
    for (const field of form.querySelectorAll("input[name]:enabled, select[name]:enabled")) {
      const value = found[field.name];
      if (field.type === "checkbox") { if (typeof value === "boolean" && value !== field.checked) field.click(); }
      else if (typeof value === "string" && value !== field.value) put(field, value);
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
      label(form);
      restore(form);
      fill(form, choice, false);
      form.addEventListener("submit", () => keep(form), { capture: true });
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
