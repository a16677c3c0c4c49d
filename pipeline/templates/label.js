// The labelling page: one pair at a time, a key an answer. An answer is done when the server has written it, and kept here until then.
"use strict";
{
  const at = (id) => document.getElementById(id);
  const NAMES = new Map([[true, "The same"], [false, "Different"], [null, "Unsure"]]);
  const KEYS = { y: () => answer(true), n: () => answer(false), u: () => answer(null), b: back, "?": () => at("help").showModal() };
  const PENDING = `pending ${location.pathname}`; // of this program: another one on this port may have other records
  const SOON = 2000; // milliseconds: between looks at a model in training, and until an unwritten answer is sent again

  const tab = (sessionStorage.tab ??= crypto.randomUUID());
  let shown = null; // the pair on the page
  let busy = false;
  let again = 0; // timer

  class Refused extends Error {
    constructor(sentence, passes) {
      super(sentence);
      this.passes = passes; // trying again may help
    }
  }

  async function ask(name, body) {
    let response;
    try {
      response = await fetch(name, body && { method: "POST", headers: { "Content-Type": "application/json" }, body: JSON.stringify(body) });
    } catch {
      throw new Refused("the program that serves this page does not answer; if it was ended, start it again and open its new address", true);
    }
    const said = await response.json().catch(() => ({ error: `the program answered ${response.status}` }));
    if (!response.ok) throw new Refused(said.error, response.status >= 500);
    return said;
  }

  // Does one thing at a time, and says what went wrong; what is asked for meanwhile is left, for nobody has seen its pair.
  async function once(job, onRefusal) {
    if (busy) return;
    busy = true;
    clearTimeout(again);
    document.body.setAttribute("aria-busy", "true");
    try {
      await job();
      at("problem").hidden = true;
    } catch (error) {
      at("why").textContent = onRefusal(error);
      at("problem").hidden = false;
      if (error.passes) again = setTimeout(start, SOON);
    } finally {
      busy = false;
      document.body.removeAttribute("aria-busy");
    }
  }

  function show(state, said) {
    const pair = at("pair");
    const held = pair.contains(document.activeElement);
    pair.innerHTML = state.pair;
    shorten();
    if (held) pair.focus({ preventScroll: true });
    shown = state.left_id === null ? null : { left_id: state.left_id, right_id: state.right_id };
    for (const button of document.querySelectorAll("[data-answer]")) button.disabled = !shown;
    if (!shown && document.activeElement === document.body) at("back").focus();
    scrollTo(0, 0);
    at("said").textContent = said ?? "";
    stand();
  }

  // How it stands comes after the pair, one request at a time, and again while the model learns.
  async function stand() {
    clearTimeout(stand.timer);
    stand.wanted = true;
    if (stand.busy) return;
    stand.busy = true;
    let state = null;
    while (stand.wanted) {
      stand.wanted = false;
      state = document.hidden ? null : await ask("standing").catch(() => null);
      if (!state) continue;
      const open = at("standing").querySelector("details[open]");
      at("standing").innerHTML = state.standing;
      if (open) at("standing").querySelector("details")?.setAttribute("open", "");
      at("count").textContent = state.answered.toLocaleString("en");
    }
    stand.busy = false;
    if (!state || state.training) stand.timer = setTimeout(stand, SOON);
  }

  function answer(label) {
    if (!shown || busy) return;
    sessionStorage.setItem(PENDING, JSON.stringify({ tab, request: crypto.randomUUID(), ...shown, label }));
    send();
  }

  function send() {
    const pending = JSON.parse(sessionStorage.getItem(PENDING));
    const name = NAMES.get(pending.label);
    once(
      async () => {
        const state = await ask("answer", { ...pending, by: at("by").value });
        sessionStorage.removeItem(PENDING);
        show(state, `${name}: written.`);
      },
      (error) => `Your answer “${name.toLowerCase()}” is not written: ${error.message}. ` +
        (error.passes ? "It is kept here and sent again. " : "It is kept here. ") + "Answer again to change it, or go back to drop it.",
    );
  }

  function back() {
    if (busy) return;
    if (sessionStorage.getItem(PENDING)) {
      sessionStorage.removeItem(PENDING);
      at("said").textContent = "Dropped.";
      return start();
    }
    const request = crypto.randomUUID();
    once(
      async () => {
        const state = await ask("back", { tab, request, by: at("by").value });
        show(state, state.undone ? "Taken back: judge it again." : "There is no answer of yours to take back.");
      },
      (error) => `Not taken back: ${error.message}.`,
    );
  }

  function start() {
    if (sessionStorage.getItem(PENDING)) return send();
    once(async () => show(await ask("pair", { tab })), (error) => `There is no pair to show: ${error.message}.`);
  }

  // A long field shows its beginning: the row's name gets a button for the rest.
  function shorten() {
    for (const [field, row] of [...at("pair").querySelectorAll("tbody tr")].entries()) {
      if (!row.querySelector(".rest")) continue;
      const button = document.createElement("button");
      button.type = "button";
      button.textContent = "show all";
      button.setAttribute("aria-label", `show all of ${row.cells[0].textContent}`);
      button.dataset.field = field;
      row.cells[0].append(" ", button);
    }
  }

  function expand(button) {
    const row = button.closest("tr");
    once(
      async () => {
        const { cells } = await ask("field", { tab, ...shown, field: Number(button.dataset.field) });
        cells.forEach((html, side) => { row.cells[side + 1].innerHTML = html; });
        button.remove();
        at("pair").focus({ preventScroll: true });
      },
      (error) => `The whole field cannot be shown: ${error.message}.`,
    );
  }

  document.addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey || event.repeat || event.isComposing) return;
    if (at("help").open || event.target.matches("input")) return;
    const key = event.key.toLowerCase();
    const latin = /^[\x20-\x7e]$/.test(key) ? key : event.code.replace(/^Key/, "").toLowerCase(); // on a Greek or Arabic keyboard, by place
    if (Object.hasOwn(KEYS, latin)) {
      event.preventDefault();
      KEYS[latin]();
    }
  });
  document.addEventListener("click", (event) => {
    const button = event.target.closest("button");
    if (!button) return;
    if (button.dataset.key) KEYS[button.dataset.key]();
    else if (button.dataset.field !== undefined) expand(button);
    else if (button.id === "retry") start();
    else if (button.id === "close") at("help").close();
  });
  at("by").value = sessionStorage.by ?? at("by").value;
  at("by").addEventListener("change", () => { sessionStorage.by = at("by").value; });
  start();
}
