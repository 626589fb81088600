"use strict";
(() => {
  const sheet = JSON.parse(document.getElementById("sheet").textContent);
  const items = sheet.items;
  const storageKey = `human_eval:${sheet.sheet_sha256}`;
  const choiceNames = { left: "A is better", similar: "similar", right: "B is better" };
  const choiceOfKey = { 1: "left", 2: "similar", 3: "right" };
  const element = (id) => document.getElementById(id);
  const choiceButtons = [...document.querySelectorAll("[data-choice]")];

  // alias, started, finished, choices {item: choice}, position (one past the last prompt is the final page)
  let state = load();

  function load() {
    let stored;
    try {
      stored = localStorage.getItem(storageKey);
    } catch {
      element("storage-warning").hidden = false;
      return null;
    }
    try {
      const value = JSON.parse(stored);
      const usable = isAlias(value.alias) && typeof value.started === "string" && value.choices instanceof Object;
      return usable ? value : null;
    } catch {
      return null;
    }
  }

  function save() {
    try {
      localStorage.setItem(storageKey, JSON.stringify(state));
    } catch {
      element("storage-warning").hidden = false;
    }
  }

  function isAlias(text) {
    return typeof text === "string" && /^[\p{L}\p{N}_-]{1,32}$/u.test(text);
  }

  function choiceOf(item) {
    const choice = Object.hasOwn(state.choices, item.item) ? state.choices[item.item] : "";
    return Object.hasOwn(choiceNames, choice) ? choice : "";
  }

  const ratedCount = () => items.filter(choiceOf).length;

  function show(section) {
    for (const id of ["start", "rate", "finish"]) element(id).hidden = id !== section;
    element("progress-block").hidden = section === "start";
  }

  function setText(id, text, emptyText) {
    element(id).textContent = text || emptyText;
    element(id).classList.toggle("empty", !text);
  }

  function renderProgress() {
    element("progress").max = items.length;
    element("progress").value = ratedCount();
    element("progress-text").textContent = `${ratedCount()} of ${items.length} rated`;
    [...element("jumps").children].forEach((entry, index) => {
      const button = entry.firstChild;
      const rated = Boolean(choiceOf(items[index]));
      button.classList.toggle("rated", rated);
      button.setAttribute("aria-label", `Prompt ${index + 1}, ${rated ? "rated" : "not rated yet"}`);
      if (index === state.position) button.setAttribute("aria-current", "step");
      else button.removeAttribute("aria-current");
    });
  }

  function renderChoice() {
    const choice = choiceOf(items[state.position]);
    for (const button of choiceButtons) button.setAttribute("aria-pressed", String(button.dataset.choice === choice));
    for (const side of ["left", "right"]) element(`card-${side}`).classList.toggle("chosen", side === choice);
  }

  function renderItem() {
    const item = items[state.position];
    show("rate");
    element("position").textContent = `Prompt ${state.position + 1} of ${items.length}`;
    setText("instruction", item.instruction, "(empty)");
    setText("input", item.input, "");
    element("input-block").hidden = !item.input;
    setText("left", item.left, "(empty response)");
    setText("right", item.right, "(empty response)");
    element("previous").disabled = state.position === 0;
    element("next-text").textContent = state.position === items.length - 1 ? "Finish" : "Next";
    renderChoice();
  }

  function renderFinish() {
    const missing = items.length - ratedCount();
    show("finish");
    element("finish-title").textContent = missing ? `${missing} of ${items.length} still to rate` : "All done, thank you";
    element("finish-text").textContent = missing
      ? "You can download what there is, but an incomplete file is not counted. Go back to rate the rest."
      : `All ${items.length} prompts are rated. Download the file and give it to the person who gave you this page.`;
    element("download").textContent = missing ? "Download the incomplete ratings" : "Download the ratings";
    element("download").classList.toggle("primary", !missing);
    element("back").classList.toggle("primary", Boolean(missing));
    element("downloaded").textContent = "";
  }

  function render() {
    if (!state) {
      show("start");
      element("count").textContent = items.length;
      element("again").hidden = new Set(items.map((item) => JSON.stringify([item.instruction, item.input]))).size === items.length;
      return;
    }
    state.position = Math.min(Math.max(Math.trunc(state.position) || 0, 0), items.length);
    if (state.position < items.length) renderItem();
    else renderFinish();
    renderProgress();
  }

  function focusHeading() {
    scrollTo(0, 0);
    const heading = document.querySelector("section:not([hidden]) h2");
    heading.focus({ preventScroll: true });
  }

  function goTo(position) {
    if (position < 0 || position > items.length) return;
    state.position = position;
    save();
    render();
    focusHeading();
  }

  function choose(choice) {
    if (state.position >= items.length) return;
    state.choices[items[state.position].item] = choice;
    state.finished = ratedCount() === items.length ? new Date().toISOString() : null;
    save();
    renderChoice();
    renderProgress();
    element("announcement").textContent = `Prompt ${state.position + 1}: ${choiceNames[choice]}`;
  }

  function begin(event) {
    event.preventDefault();
    const alias = element("alias").value.trim().normalize("NFC");
    const problems = {
      alias: isAlias(alias) ? "" : "Please give an alias of letters, digits, - or _, without spaces.",
      consent: element("consent").checked ? "" : "Please tick the box if you agree; without it the rating cannot be used.",
    };
    for (const [id, problem] of Object.entries(problems)) {
      element(`${id}-error`).textContent = problem;
      element(id).setAttribute("aria-invalid", String(Boolean(problem)));
    }
    const first = Object.keys(problems).find((id) => problems[id]);
    if (first) {
      element(first).focus();
      return;
    }
    state = { alias, started: new Date().toISOString(), finished: null, choices: {}, position: 0 };
    goTo(0);
  }

  function download() {
    const rating = {
      sheet_sha256: sheet.sheet_sha256,
      alias: state.alias,
      consent: true,
      started: state.started,
      finished: state.finished,
      ratings: items.filter(choiceOf).map((item) => ({ item: item.item, choice: choiceOf(item) })),
    };
    const name = `rating_${state.alias}_${sheet.sheet_sha256.slice(0, 8)}.json`;
    const link = document.createElement("a");
    link.href = URL.createObjectURL(new Blob([JSON.stringify(rating, null, 2) + "\n"], { type: "application/json" }));
    link.download = name;
    link.click();
    setTimeout(() => URL.revokeObjectURL(link.href), 60000);
    element("downloaded").textContent = `Saved as ${name} among your downloads.`;
  }

  function erase() {
    if (!confirm("Erase your alias and all choices from this browser? A downloaded file is kept.")) return;
    localStorage.removeItem(storageKey);
    location.reload();
  }

  function onKey(event) {
    if (!state || !element("shortcuts").checked) return;
    if (event.ctrlKey || event.altKey || event.metaKey || event.shiftKey || event.isComposing) return;
    if (event.key in choiceOfKey) choose(choiceOfKey[event.key]);
    else if (event.key === "ArrowLeft") goTo(state.position - 1);
    else if (event.key === "ArrowRight") goTo(state.position + 1);
    else return;
    event.preventDefault();
  }

  items.forEach((_, index) => {
    const button = document.createElement("button");
    button.type = "button";
    button.textContent = index + 1;
    button.addEventListener("click", () => goTo(index));
    const entry = document.createElement("li");
    entry.append(button);
    element("jumps").append(entry);
  });
  for (const button of choiceButtons) button.addEventListener("click", () => choose(button.dataset.choice));
  element("start-form").addEventListener("submit", begin);
  element("previous").addEventListener("click", () => goTo(state.position - 1));
  element("next").addEventListener("click", () => goTo(state.position + 1));
  element("back").addEventListener("click", () => {
    const missing = items.findIndex((item) => !choiceOf(item));
    goTo(missing < 0 ? items.length - 1 : missing);
  });
  element("download").addEventListener("click", download);
  element("erase").addEventListener("click", erase);
  document.addEventListener("keydown", onKey);
  addEventListener("storage", (event) => {
    if (event.key !== storageKey && event.key !== null) return;
    state = load();
    render();
  });
  render();
})();
