/* Sends each choice of a colour to the endpoint and says whether it was received. */
"use strict";

(() => {
  const RECENT = 6;
  const DARK_INK = "#17181f";

  const texts = JSON.parse(document.getElementById("texts").textContent);
  const form = document.getElementById("choice");
  const nameField = document.getElementById("user");
  const statusLine = document.getElementById("status");
  const recent = document.getElementById("recent");
  const tiles = [...form.querySelectorAll(".tile")];
  const timeout = Number(form.dataset.timeout);

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

  // --- sending

  /** Resolves to undefined when the event was received, otherwise to the reason as a text. */
  async function send(color, user) {
    const abort = new AbortController();
    const timer = setTimeout(() => abort.abort(), timeout);
    try {
      const query = new URLSearchParams({ color, user });
      const response = await fetch(`${form.dataset.url}?${query}`, {
        signal: abort.signal, cache: "no-store", headers: { Accept: "application/json" },
      });
      const answer = await response.json().catch(() => ({}));
      if (abort.signal.aborted) return fill(texts.noAnswer, { seconds: timeout / 1000 });
      if (response.status === 202 && answer.status === "accepted") return undefined;
      if (response.status === 503) return texts.busy;
      const reason = answer.errors ? Object.values(answer.errors).join(" ") : answer.detail;
      return fill(texts.refused, { reason: reason || `HTTP ${response.status}` });
    } catch {
      return abort.signal.aborted ? fill(texts.noAnswer, { seconds: timeout / 1000 }) : texts.unreachable;
    } finally {
      clearTimeout(timer);
    }
  }

  let latest = 0;

  async function choose(tile) {
    const user = nameField.value.trim();
    nameField.setAttribute("aria-invalid", String(user === ""));
    if (user === "") {
      window.alert(texts.nameMissing);
      nameField.focus();
      return;
    }
    const turn = ++latest;
    const color = tile.textContent;
    const row = addRecent(tile, user);
    const show = (state, text) => {
      row.dataset.state = state;
      row.querySelector(".outcome").textContent = text;
      tile.dataset.state = state;
    };
    document.documentElement.style.setProperty("--accent", tileColor(tile));
    show("sending", texts.sending);
    say("sending", texts.sending);

    const failure = await send(tile.dataset.color, user);
    show(failure ? "failed" : "received", failure ? texts.notReceived : texts.received);
    if (failure) row.title = failure;
    // An answer that arrives late stays in the list; the line tells of the newest choice.
    if (turn !== latest) return;
    if (failure) say("failed", `${fill(texts.notReceivedLong, { color })} ${failure}`);
    else say("received", fill(texts.receivedLong, { color, user }));
  }

  tiles.forEach((tile) => tile.addEventListener("click", () => choose(tile)));

  form.addEventListener("submit", (event) => event.preventDefault());
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
