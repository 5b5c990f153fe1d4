/* collect(event, fields) sends an event to POST /api/events, now or as soon as it can: docs/collecting.md says how. */
"use strict";

(() => {
  const TIMEOUT = 30_000; // ms
  const LONGEST_PAUSE = 60_000;
  const DAY = 86_400_000;
  const TRIES = 8;
  const BATCH_EVENTS = 500;
  const BATCH_BYTES = 60_000; // browsers allow 64 KiB to "keepalive"
  const QUEUE_LENGTH = 1_000_000; // characters
  const SETTLE = 200; // until another page's doings are seen
  const WORDS = ["accepted", "ignored", "rejected", "unavailable"];

  const random = (digit) => (digit ^ (crypto.getRandomValues(new Uint8Array(1))[0] & (15 >> (digit / 4)))).toString(16);
  /** crypto.randomUUID is there on HTTPS only. */
  const uuid = () => crypto.randomUUID?.() ?? "10000000-1000-4000-8000-100000000000".replace(/[018]/g, random);

  const script = document.currentScript ?? document.querySelector("script[src*='/collect.']"); // a module
  if (!script) return console.error("collect: load collect.js by <script src>");
  const url = new URL(script.dataset.url ?? new URL("/api/events", script.src), document.baseURI).href;
  const owner = uuid().slice(0, 8);

  let newest = 0; // event's time
  let limit = BATCH_EVENTS; // of events
  let failures = 0; // in a row
  let dropped = 0;
  let isDraining = true; // until begin(), as is flushing
  let isPaused = false;
  let isLeft = false; // it may be shown again
  let wake = () => {};
  let flushing = true; // later the promise of what flush sent
  const flying = new Set(); // keys whose answer is awaited

  const byteLength = (text) => new TextEncoder().encode(text).length;

  // --- Entries of localStorage: the key is prefix, time and id, the value owner and event. Memory mirrors those of all
  // pages, so collect() takes the same time however many wait.

  const prefix = `collect ${url} `;
  const untilKey = `collect-until ${url}`;
  const entries = new Map(); // oldest first
  const own = new Set(); // keys of this page's
  const unstored = new Set(); // keys that memory alone knows the fate of
  let length = 0; // of all, in characters
  let until = 0;
  let disk;

  /** localStorage may be blocked, full or broken: memory stands in. */
  function attempt(work) {
    try {
      return work();
    } catch {
      // Nothing is lost.
    }
  }

  /** Without a value the entry is gone. */
  function mirror(key, value) {
    length -= entries.has(key) && (key + entries.get(key)).length;
    entries.delete(key);
    own.delete(key);
    if (!value) return;
    length += (key + value).length;
    entries.set(key, value);
    if (value.startsWith(owner)) own.add(key);
  }

  /** Reads what no storage event told. */
  const look = () =>
    attempt(() => {
      const keys = [...Object.keys(disk).filter((key) => key.startsWith(prefix)), ...unstored].sort();
      const values = keys.map((key) => (unstored.has(key) ? entries.get(key) : disk.getItem(key)));
      [...entries.keys()].forEach((key) => mirror(key));
      keys.forEach((key, index) => mirror(key, values[index]));
    });

  function put(key, value) {
    mirror(key, value);
    unstored.add(key);
    attempt(() => {
      value ? disk.setItem(key, value) : disk?.removeItem(key);
      unstored.delete(key);
    });
  }

  const textOf = (key) => entries.get(key).slice(owner.length);

  const tell = (key, outcome, errors) =>
    dispatchEvent(new CustomEvent("collect", { detail: { id: key.slice(-36), outcome, errors } }));

  function reject(key, text, errors) {
    put(key);
    console.warn("collect: rejected", errors, text);
    tell(key, "rejected", errors);
  }

  function dropOldest() {
    for (const key of entries.keys()) {
      if (length <= QUEUE_LENGTH) return;
      if (flying.has(key)) continue;
      put(key);
      console.warn(`collect: the queue is full; ${++dropped} of its oldest events were dropped`);
      tell(key, "dropped");
    }
  }

  // --- Which page sends an entry

  let locks; // on HTTPS only
  const holding = (name, work) => (locks ? locks.request(prefix + name, work) : work());
  const sleep = (ms) => new Promise((resolve) => setTimeout(resolve, ms));
  const watched = new Set(); // pages whose lock is awaited

  /** Takes over what other pages leave when they end: then their locks are free. */
  function adopt() {
    for (const other of new Set([...entries.values()].map((value) => value.slice(0, owner.length)))) {
      if (other === owner || watched.has(other)) continue;
      watched.add(other);
      holding(other, async () => {
        const isFree = (key) => locks || Date.now() - parseInt(key.slice(prefix.length), 36) > 60_000;
        const find = () => look() ?? [...entries.keys()].filter((key) => entries.get(key).startsWith(other) && isFree(key));
        // What another page dealt with is soon gone.
        if (find().length) await sleep(SETTLE);
        const left = find();
        left.forEach((key) => put(key, owner + textOf(key)));
        watched.delete(other);
        if (!left.length) return;
        resume();
        await sleep(SETTLE);
      });
    }
  }

  // --- Sending

  function nextBatch() {
    const batch = [];
    let bytes = 2;
    for (const key of own) {
      if (flying.has(key)) continue;
      bytes += byteLength(textOf(key)) + 1;
      if (bytes > BATCH_BYTES || batch.length === limit) break;
      batch.push(key);
    }
    return batch;
  }

  /** How long the server is not to be called. */
  function toldPause() {
    const left = Math.max(until, attempt(() => disk.getItem(untilKey)) ?? 0) - Date.now();
    return left > 0 && left <= DAY ? left : 0;
  }

  /** Resolves to the pause before the next attempt. */
  async function send(batch) {
    const texts = batch.map(textOf);
    const abort = new AbortController();
    const timer = setTimeout(() => abort.abort(), TIMEOUT);
    const errors = [];
    let kept = new Set(batch.keys());
    let response, answer;
    batch.forEach((key) => flying.add(key));
    try {
      response = await fetch(url, { method: "POST", body: `[${texts}]`, keepalive: true, signal: abort.signal });
      const read = await response.json();
      if (WORDS.includes(read.status)) {
        for (const one of read.rejected ?? []) errors[one.index] = one.errors;
        kept = new Set(read.unavailable ?? kept);
        answer = read;
      }
    } catch {
      // All are kept.
    }
    clearTimeout(timer);

    const status = response?.status;
    const said = answer?.status;
    let isRefused = said === "rejected" && status !== 429;
    // Smaller batches find the event that it is for.
    const isSplit = batch.length > 1 && (status === 413 || (isRefused && status === 400 && !answer.rejected));
    if (status === 413 || isSplit) isRefused = !isSplit;
    // A proxy's refusal may be for one event, too.
    else if (!said && status >= 400 && status < 500 && ![408, 425, 429].includes(status))
      isRefused = batch.length === 1 && failures >= TRIES;
    if (isRefused || said === "accepted" || said === "ignored") kept.clear();

    batch.forEach((key, index) => {
      flying.delete(key);
      if (errors[index]) return reject(key, texts[index], errors[index]);
      if (kept.has(index)) return;
      if (isRefused) return reject(key, texts[index], { event: answer?.detail ?? `HTTP ${status}` });
      put(key);
      tell(key, said === "ignored" ? said : "accepted");
    });

    if (!kept.size) {
      failures = 0;
      limit = Math.min(BATCH_EVENTS, limit * 2);
      return 0;
    }
    limit = Math.max(1, batch.length >> 1);
    if (isSplit) return 0;
    const after = response?.headers.get("Retry-After");
    const told = after * 1000 || Date.parse(after) - Date.now();
    // Not all clients at the same moment.
    if (told > 0) until = Date.now() + Math.min(DAY, told + Math.random() * Math.min(told, LONGEST_PAUSE));
    if (told > 0) attempt(() => disk.setItem(untilKey, until));
    return toldPause() || Math.min(LONGEST_PAUSE, 1000 * 2 ** failures++) * (0.5 + Math.random() / 2);
  }

  async function pause(ms) {
    isPaused = true;
    [...own].forEach((key) => tell(key, "waiting"));
    await new Promise((resolve) => {
      wake = resolve;
      setTimeout(resolve, ms);
    });
    isPaused = false;
  }

  async function sendAll() {
    while (flushing || !isLeft) {
      const batch = nextBatch();
      let ms = 0;
      if (flushing) {
        ms = await flushing;
        flushing = undefined;
      } else if (batch.length) ms = toldPause() || (await send(batch));
      else break;
      if (ms) await pause(ms);
    }
    isDraining = false;
    if (!isLeft) adopt();
  }

  async function drain() {
    if (isLeft || isDraining || !(flushing || own.size)) return;
    isDraining = true;
    await null; // what is collected in one go becomes one batch
    await holding(owner, sendAll);
  }

  /** The page may end before a lock is there, and before the answer: the next page repeats what is sent now.
   * So what waits for the server to come back is left to that page, if localStorage has it.
   */
  async function flush() {
    if (flushing || toldPause() || (isPaused && !unstored.size)) return;
    const batch = nextBatch();
    if (!batch.length) return;
    flushing = send(batch);
    if (!(await flushing)) wake();
  }

  /** Never throws. Returns the id by which "collect" events of the window tell what becomes of it. */
  function collect(event, fields) {
    const id = uuid();
    newest = Math.max(newest + 1, Date.now());
    const key = `${prefix}${newest.toString(36)} ${id}`;
    let reason = "Can't be written as JSON.";
    let text;
    try {
      text = JSON.stringify({ ...fields, event: `${event}`, id });
      if (text) reason = byteLength(text) > BATCH_BYTES - 3 && `Must be less than ${BATCH_BYTES} bytes.`;
    } catch (error) {
      text = error;
    }
    if (reason) {
      queueMicrotask(() => reject(key, text, { event: reason }));
      return id;
    }
    put(key, owner + text);
    dropOldest();
    if (isPaused) queueMicrotask(() => tell(key, "waiting"));
    if (document.hidden || isLeft) flush();
    drain();
    return id;
  }

  collect.waiting = () => entries.size;
  window.collect = collect;

  function resume() {
    if (isLeft) return;
    look();
    adopt();
    drain();
  }

  function begin() {
    isDraining = flushing = false;
    attempt(() => {
      localStorage.removeItem(prefix); // else each page would send all
      disk = localStorage;
      locks = navigator.locks;
    });
    [...own].forEach((key) => put(key, entries.get(key)));
    resume();
  }

  addEventListener("storage", ({ key, newValue }) => {
    if (key?.startsWith(prefix) && !unstored.has(key)) mirror(key, newValue);
  });
  document.addEventListener("visibilitychange", () => (document.hidden ? flush() : resume()));
  addEventListener("pagehide", () => {
    isLeft = true;
    flush();
  });
  addEventListener("pageshow", () => {
    isLeft = false;
    resume();
  });
  addEventListener("online", () => {
    wake();
    resume();
  });
  if (document.prerendering) document.addEventListener("prerenderingchange", begin);
  else begin();
})();
