"use strict";
(() => {
  const read = (id) => JSON.parse(document.getElementById(id).textContent);
  const { cells, runs, prompts, preset } = read("data");
  const words = read("words");
  const element = (id) => document.getElementById(id);
  const dialog = element("cell");
  let shown = null;

  const has = (table, key) => Object.prototype.hasOwnProperty.call(table, key);

  function setText(parent, selector, text, emptyText) {
    const target = parent.querySelector(selector);
    target.textContent = text || emptyText;
    target.classList.toggle("empty", !text);
  }

  // Cells of the sensitivity table name their scoring: sensitivity/<model>/<method>/<scoring>/...
  const scoringOf = (id) => (id.startsWith("sensitivity/") ? id.split("/")[3] : "generation");

  function itemNode(item, scoring) {
    const node = element("item-template").content.cloneNode(true);
    const chip = node.querySelector(".chip");
    const correct = item.correct[scoring];
    chip.textContent = correct ? words.right : words.wrong;
    chip.dataset.correct = correct;
    node.querySelector(".item").dataset.correct = correct;
    node.querySelector(".id").textContent = item.id;
    setText(node, ".generation", item.generation, words.empty);
    setText(node, ".parsed", item.parsed, item.parse);
    setText(node, ".gold", item.gold, words.empty);
    node.querySelector(".prompt").textContent = prompts[item.prompt];
    return node;
  }

  function runNode(name, scoring) {
    const run = runs[name];
    const node = element("run-template").content.cloneNode(true);
    const seed = run.k ? `, ${words.seed} ${run.seed}` : "";
    const place = name.split("/").slice(0, -1).join("/");
    const told = `${place} · k=${run.k}${seed} · ${run.correct[scoring]} / ${run.n} ${words.rightOf} · ${words.holds} ${run.items.length}`;
    node.querySelector("h3").textContent = told;
    node.querySelector("ol").append(...run.items.map((item) => itemNode(item, scoring)));
    return node;
  }

  function filter(which) {
    for (const button of dialog.querySelectorAll("[data-show]")) {
      button.setAttribute("aria-pressed", String(button.dataset.show === which));
    }
    const items = [...dialog.querySelectorAll(".item")];
    for (const item of items) item.hidden = which !== "all" && (item.dataset.correct === "true") !== (which === "right");
    element("cell-count").textContent = `${items.filter((item) => !item.hidden).length} / ${items.length}`;
  }

  function openCell(id) {
    if (!has(cells, id)) return;
    const cell = cells[id];
    const found = (cell.runs || []).filter((name) => has(runs, name));
    element("cell-title").textContent = id;
    const facts = [cell.value || "–"];
    if (Number(cell.stderr)) facts.push(`± ${Number(cell.stderr).toPrecision(3)} (${words.stderr})`);
    if (cell.n) facts.push(`n = ${cell.n}`);
    element("cell-value").textContent = facts.join("  ·  ");
    element("cell-source").textContent = cell.source || "–";
    element("cell-trace").textContent = `make trace PRESET=${preset} CELL="${id}"`;
    element("cell-runs").replaceChildren(...found.map((name) => runNode(name, scoringOf(id))));
    element("cell-tools").hidden = !found.length;
    filter("all");
    shown = id;
    if (!dialog.open) dialog.showModal();
    dialog.scrollTop = 0;
    element("cell-title").focus();
    history.replaceState(null, "", `#cell=${encodeURIComponent(id)}`);
  }

  function closed() {
    const opener = shown && document.querySelector(`[data-cell="${CSS.escape(shown)}"]`);
    shown = null;
    history.replaceState(null, "", location.pathname + location.search);
    if (opener) opener.focus({ preventScroll: true });
  }

  const textOf = (row, column) => {
    const cell = row.cells[column];
    return cell ? (cell.querySelector("button") || cell).firstChild?.textContent.trim() || "" : "";
  };

  function compare(a, b) {
    const [x, y] = [a, b].map((text) => Number.parseFloat(text.replace(/^</, "").replace(/[,\u2212]/g, (c) => (c === "," ? "" : "-"))));
    if (Number.isNaN(x) && Number.isNaN(y)) return a.localeCompare(b, undefined, { numeric: true });
    if (Number.isNaN(x)) return 1;
    if (Number.isNaN(y)) return -1;
    return x - y;
  }

  function sort(button) {
    const head = button.closest("th");
    const table = button.closest("table");
    const column = [...head.parentElement.children].indexOf(head);
    const direction = head.getAttribute("aria-sort") === "descending" ? "ascending" : "descending";
    for (const other of table.querySelectorAll("th[aria-sort]")) other.removeAttribute("aria-sort");
    head.setAttribute("aria-sort", direction);
    const sign = direction === "ascending" ? 1 : -1;
    for (const body of table.tBodies) {
      const rows = [...body.rows].filter((row) => !row.classList.contains("group"));
      rows.sort((a, b) => sign * compare(textOf(a, column), textOf(b, column)));
      body.append(...rows);
    }
  }

  document.addEventListener("click", (event) => {
    const button = event.target.closest("button");
    if (!button) return;
    if (button.dataset.cell) openCell(button.dataset.cell);
    else if (button.dataset.show) filter(button.dataset.show);
    else if (button.classList.contains("sort")) sort(button);
    else if (button.id === "close") dialog.close();
  });
  dialog.addEventListener("click", (event) => {
    if (event.target === dialog) dialog.close();
  });
  dialog.addEventListener("close", closed);

  const asked = /^#cell=(.+)$/.exec(location.hash);
  if (asked) openCell(decodeURIComponent(asked[1]));
})();
