"use strict";
(() => {
  const byId = (id) => document.getElementById(id);
  const read = (id) => JSON.parse(byId(id).textContent);
  const count = new Intl.NumberFormat("en-US");
  const share = (value) =>
    value === null ? "—" : value >= 0.9995 && value !== 1 ? "> 99.9%" : value < 0.0005 && value !== 0 ? "< 0.1%" : `${(100 * value).toFixed(1)}%`;
  const element = (name, className, text) => {
    const made = document.createElement(name);
    if (className) made.className = className;
    if (text !== undefined) made.textContent = text; // never markup
    return made;
  };

  // The slider: what each threshold would flag.
  const levels = read("thresholds");
  const own = (levels.is_chosen || []).indexOf(true);
  let level = own;
  const showLevel = () => {
    const at = levels.min_probability[level];
    byId("level").textContent = own === level ? `${Number(at.toPrecision(3))}, the run’s threshold` : String(at);
    byId("threshold").setAttribute("aria-valuetext", `probability of at least ${Number(at.toPrecision(3))}`);
    for (const shown of document.querySelectorAll("[data-figure]")) {
      const value = levels[shown.dataset.figure][level];
      shown.textContent = shown.dataset.share === undefined ? count.format(value) : share(value);
    }
    const here = byId("here");
    here.setAttribute("x1", `${100 * at}%`);
    here.setAttribute("x2", `${100 * at}%`);
    here.toggleAttribute("hidden", own === level);
    byId("own").disabled = own === level;
  };
  if (own >= 0) {
    const slider = byId("threshold");
    slider.max = levels.min_probability.length - 1;
    const move = (to) => {
      level = to;
      slider.value = to;
      showLevel();
      showPairs();
    };
    slider.addEventListener("input", () => move(Number(slider.value)));
    byId("own").addEventListener("click", () => move(own));
    const here = document.createElementNS("http://www.w3.org/2000/svg", "line");
    for (const [name, value] of [["id", "here"], ["class", "here"], ["y1", "0"], ["y2", "100%"]]) here.setAttribute(name, value);
    byId("quality").append(here);
    slider.value = own;
    byId("slider").hidden = false;
    showLevel();
  }

  // The table of pairs: searched, ordered and paged here.
  const NOT_FLAGGED = 0, FLAGGED = 1, EQUAL = 2, LET_GO = 3, PAGE = 25;
  const data = read("pairs-data");
  const texts = data.records.map((record) => record.filter((one) => one !== null).join("\n").toLowerCase());
  const orders = {
    doubt: null, // as they come
    surest: (a, b) => b[2] - a[2],
    "least sure": (a, b) => a[2] - b[2],
    nearest: (a, b) => a[3] - b[3],
    farthest: (a, b) => b[3] - a[3],
  };
  let page = 0;
  let found = data.pairs;
  const wasFlagged = (pair) => pair[4] === FLAGGED || pair[4] === EQUAL;
  const isFlagged = (pair) =>
    level === own || pair[4] === EQUAL || pair[4] === LET_GO ? wasFlagged(pair) : pair[2] >= levels.min_probability[level];
  const verdict = (pair) => {
    const now = isFlagged(pair);
    if (now !== wasFlagged(pair)) return now ? "would be flagged" : "would be let go";
    return now ? "flagged" : pair[4] === LET_GO ? "parted" : "not flagged";
  };
  const recordCell = (place) => {
    const cell = element("td", "record");
    const [id, ...values] = data.records[place];
    cell.append(element("bdi", "id", id), element("bdi", "text", values.filter((one) => one).join(" · ")));
    return cell;
  };
  const words = (text) => text.match(/[\p{L}\p{N}\p{M}]+|[^\p{L}\p{N}\p{M}]+/gu) || [];
  const valueCell = (text, other) => {
    const cell = element("td");
    if (text === null) {
      cell.append(element("span", "missing", "—"));
      return cell;
    }
    const shown = element("bdi");
    const there = new Set(words(other || ""));
    for (const word of words(text)) shown.append(text === other || other === null || there.has(word) ? word : element("mark", "", word));
    cell.append(shown);
    return cell;
  };
  const sideBySide = ([left, right]) => {
    const table = element("table", "pair");
    const head = table.createTHead().insertRow();
    for (const title of ["Field", data.records[left][0], data.records[right][0]]) {
      const cell = element("th");
      cell.scope = "col";
      cell.append(element("bdi", "", title));
      head.append(cell);
    }
    const body = table.createTBody();
    data.fields.forEach((name, i) => {
      const [one, other] = [data.records[left][i + 1], data.records[right][i + 1]];
      if (one === null && other === null) return;
      const row = body.insertRow();
      if (one === other) row.className = "same";
      const title = element("th");
      title.scope = "row";
      title.append(element("bdi", "", name));
      row.append(title, valueCell(one, other), valueCell(other, one));
    });
    return table;
  };
  const figure = (label, text) => {
    const cell = element("td", "figure", text);
    cell.dataset.label = label;
    return cell;
  };
  const pairRow = (pair) => {
    const row = element("tr", isFlagged(pair) ? "flagged" : "passed");
    if (isFlagged(pair) !== wasFlagged(pair)) row.classList.add("moved");
    const button = element("button", "", verdict(pair));
    button.type = "button";
    button.setAttribute("aria-expanded", "false");
    button.title = "Show both records";
    button.addEventListener("click", () => {
      const open = button.getAttribute("aria-expanded") === "true";
      button.setAttribute("aria-expanded", String(!open));
      if (open) return row.nextSibling.remove();
      const opened = element("tr", "opened");
      const cell = opened.insertCell();
      cell.colSpan = 5;
      cell.append(sideBySide(pair));
      row.after(opened);
    });
    const first = element("td");
    first.append(button);
    row.append(first, figure("prob.", share(Math.min(pair[2], 0.9999))), figure("dist.", pair[3].toFixed(3)), recordCell(pair[0]), recordCell(pair[1]));
    return row;
  };
  function showPairs() {
    const terms = byId("search").value.toLowerCase().split(/\s+/).filter(Boolean);
    const kind = byId("kind").value;
    const kept = {
      all: () => true,
      flagged: isFlagged,
      not: (pair) => !isFlagged(pair),
      review: (pair) => pair[4] !== EQUAL && pair[2] > 0.1 && pair[2] < 0.9,
    }[kind];
    found = data.pairs.filter(
      (pair) => kept(pair) && terms.every((term) => texts[pair[0]].includes(term) || texts[pair[1]].includes(term)),
    );
    const order = orders[byId("order").value];
    if (order) found.sort(order);
    page = 0;
    showPage();
  }
  function showPage() {
    const start = page * PAGE;
    const shown = found.slice(start, start + PAGE);
    byId("found").tBodies[0].replaceChildren(...shown.map(pairRow));
    byId("status").textContent = found.length
      ? `${count.format(start + 1)}–${count.format(start + shown.length)} of ${count.format(found.length)}`
      : "No pair is like that.";
    byId("previous").disabled = page === 0;
    byId("next").disabled = start + PAGE >= found.length;
  }
  if (data.pairs.length) {
    byId("search").addEventListener("input", showPairs);
    for (const id of ["kind", "order"]) byId(id).addEventListener("change", showPairs);
    byId("previous").addEventListener("click", () => { page -= 1; showPage(); });
    byId("next").addEventListener("click", () => { page += 1; showPage(); });
    byId("controls").hidden = byId("pager").hidden = false;
    showPairs();
  }
})();
