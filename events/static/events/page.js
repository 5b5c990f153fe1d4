/* Hands each choice of a colour to collect.js and says what becomes of it. */
"use strict";

(() => {
  const RECENT = 6;
  const DARK_INK = "#17181f";

  const texts = JSON.parse(document.getElementById("texts").textContent);
  const form = document.getElementById("choice");
  const nameField = document.getElementById("user");
  const statusLine = document.getElementById("status");
  const recent = document.getElementById("recent");
  const waitingLine = document.getElementById("waiting");
  const tiles = [...form.querySelectorAll(".tile")];

  const fill = (text, values) => text.replace(/\{(\w+)\}/g, (whole, key) => values[key] ?? whole);

  // --- colours

  /** Red, green and blue (0 to 255) of any CSS colour, as painted on white. */
  function pixel(color) {
    const context = Object.assign(document.createElement("canvas"), { width: 1, height: 1 }).getContext("2d");
    for (const style of ["white", color]) {
      context.fillStyle = style;
      context.fillRect(0, 0, 1, 1);
    }
    return context.getImageData(0, 0, 1, 1).data;
  }

  /** The relative luminance that WCAG defines. */
  function luminance(color) {
    const [red, green, blue] = Array.from(pixel(color), (value) => {
      const part = value / 255;
      return part <= 0.04045 ? part / 12.92 : ((part + 0.055) / 1.055) ** 2.4;
    });
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue;
  }

  /** White or dark, whichever reads better on the colour; white where it reads well enough. */
  function inkOn(color) {
    const light = luminance(color) + 0.05;
    const onWhite = 1.05 / light;
    const onDark = light / (luminance(DARK_INK) + 0.05);
    return onWhite >= 4.5 || onWhite >= onDark ? "#fff" : DARK_INK;
  }

  const tileColor = (tile) => getComputedStyle(tile).getPropertyValue("--tile").trim();

  function paint(tile) {
    const styled = document.createElement("div");
    styled.style.color = tile.dataset.color;
    const listed = tileColor(tile) !== neutral;
    // A name that CSS does not know keeps the neutral colour.
    if (!listed && styled.style.color !== "") tile.style.setProperty("--tile", tile.dataset.color);
    tile.style.setProperty("--on-tile", inkOn(tileColor(tile)));
  }

  const plain = Object.assign(document.createElement("span"), { className: "tile", hidden: true });
  document.body.append(plain);
  const neutral = tileColor(plain);
  plain.remove();
  tiles.forEach(paint);

  // --- what the person sees

  function say(state, text) {
    // The same text again would be read out again.
    if (statusLine.textContent === text) return;
    statusLine.dataset.state = state;
    statusLine.textContent = text;
  }

  function addRecent(tile, user) {
    const row = document.createElement("li");
    const part = (tag, className, text) => {
      const element = Object.assign(document.createElement(tag), { className, textContent: text });
      row.append(element);
      return element;
    };
    part("span", "dot", "").style.setProperty("--tile", tileColor(tile));
    const what = part("span", "what", `${tile.textContent} `);
    what.append(Object.assign(document.createElement("small"), { textContent: user }));
    what.title = user;
    const now = new Date();
    part("time", "", now.toLocaleTimeString(document.documentElement.lang)).dateTime = now.toISOString();
    part("span", "outcome", "");
    const list = recent.querySelector("ol");
    list.prepend(row);
    while (list.children.length > RECENT) list.lastElementChild.remove();
    recent.hidden = false;
    return row;
  }

  // --- what becomes of a choice

  const STATES = { accepted: "received", waiting: "waiting", rejected: "failed", dropped: "failed", ignored: "failed" };
  const PILLS = { waiting: texts.waiting, received: texts.received, failed: texts.notReceived };

  const choices = new Map(); // by the id of the event
  let latest; // the newest id

  function show({ tile, row }, state, text) {
    row.dataset.state = state;
    row.querySelector(".outcome").textContent = text;
    tile.dataset.state = state;
  }

  function long(outcome, errors, { color, user }) {
    if (outcome === "accepted") return fill(texts.receivedLong, { color, user });
    if (outcome === "waiting") return fill(navigator.onLine ? texts.busy : texts.offline, { color });
    const reason = errors ? fill(texts.refused, { reason: Object.values(errors).join(" ") }) : texts[outcome];
    return `${fill(texts.notReceivedLong, { color })} ${reason}`;
  }

  /** How many wait, of this visit and of earlier ones. */
  function countWaiting() {
    const count = collect.waiting();
    const wereWaiting = !waitingLine.hidden;
    waitingLine.textContent = fill(texts.stillWaiting, { count });
    waitingLine.hidden = count === 0;
    if (wereWaiting && count === 0 && !latest) say("received", texts.caughtUp);
  }

  addEventListener("collect", ({ detail: { id, outcome, errors } }) => {
    if (outcome === "waiting" || !waitingLine.hidden) countWaiting();
    const choice = choices.get(id);
    if (!choice) return;
    const state = STATES[outcome];
    const text = long(outcome, errors, choice);
    show(choice, state, PILLS[state]);
    choice.row.title = state === "failed" ? text : "";
    if (state !== "waiting") choices.delete(id);
    // The line tells of the newest choice alone.
    if (id === latest) say(state, text);
  });

  // Another tab may have sent them.
  addEventListener("storage", () => waitingLine.hidden || countWaiting());

  function choose(tile) {
    const user = nameField.value.trim();
    nameField.setAttribute("aria-invalid", String(user === ""));
    if (user === "") {
      say("failed", texts.nameMissing); // stays when the alert is gone
      window.alert(texts.nameMissing);
      nameField.focus();
      return;
    }
    const color = tile.textContent;
    const choice = { tile, color, user, row: addRecent(tile, user) };
    latest = collect("select-color", { colorName: tile.dataset.color, userName: user });
    choices.set(latest, choice);
    document.documentElement.style.setProperty("--accent", tileColor(tile));
    show(choice, "sending", texts.sending);
    say("sending", fill(texts.sendingLong, { color }));
  }

  form.addEventListener("submit", (event) => event.preventDefault());
  if (!window.collect) {
    // A content blocker may know collect.js by its name.
    tiles.forEach((tile) => (tile.disabled = true));
    say("failed", texts.scriptMissing);
    return;
  }
  if (collect.waiting() > 0) countWaiting();
  tiles.forEach((tile) => tile.addEventListener("click", () => choose(tile)));

  // Enter in the field goes on to the colours, or says that the name is missing.
  nameField.addEventListener("keydown", (event) => {
    if (event.key !== "Enter" || event.isComposing) return;
    event.preventDefault();
    if (nameField.value.trim() === "") choose(tiles[0]);
    else tiles[0].focus();
  });
  nameField.addEventListener("input", () => nameField.removeAttribute("aria-invalid"));

  // The name outlives a change of the language, which loads the page anew.
  try {
    nameField.value ||= sessionStorage.getItem("user") ?? "";
    nameField.addEventListener("input", () => sessionStorage.setItem("user", nameField.value));
  } catch {
    // Storage is blocked: the name is typed again.
  }
  // Not on a touch screen, where a keyboard would cover the colours.
  if (nameField.value === "" && matchMedia("(hover: hover)").matches) nameField.focus();
})();
