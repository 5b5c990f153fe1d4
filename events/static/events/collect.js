/* collect(event, fields) sends an event to POST /api/events, now or as soon as it can; see docs/collecting.md.
 *
 * An event waits as an entry of localStorage until an answer tells its fate, so it outlives the page. An entry names the
 * page that sends it. That page holds a lock while it has entries; entries whose lock is free are anyone's to take over.
 */
"use strict";

(() => {
  const TIMEOUT = 30_000; // ms
  const LONGEST_PAUSE = 60_000;
  const DAY = 86_400_000;
  const TRIES = 8;
  const BATCH_EVENTS = 500;
  const BATCH_BYTES = 60_000; // browsers allow 64 KiB to requests that outlive their page
  const QUEUE_LENGTH = 1_000_000; // characters: a fifth of what browsers give a site
  const SETTLE = 200; // far more than a browser takes to show what another of its processes stored
  const WORDS = ["accepted", "ignored", "rejected", "unavailable"];

  const script = document.currentScript;
  const url = new URL(script.dataset.url ?? new URL("/api/events", script.src), document.baseURI).href;
  const owner = uuid().slice(0, 8);

  let newest = 0; // the time of the newest event, in ms
  let limit = BATCH_EVENTS; // halved by a failure, doubled by a success
  let failures = 0; // in a row
  let dropped = 0;
  let isDraining = false;
  let isPaused = false;
  let isLeft = false; // the page has ended, or waits in the browser to be shown again
  let wake = () => {};
  let flushing; // the promise of what flush sent
  const flying = new Set(); // keys of entries whose answer is awaited

  /** crypto.randomUUID is there on HTTPS only. */
  function uuid() {
    if (crypto.randomUUID) return crypto.randomUUID();
    const bytes = crypto.getRandomValues(new Uint8Array(16));
    const hex = Array.from(bytes, (byte) => byte.toString(16).padStart(2, "0")).join("");
    return hex.replace(/^(.{8})(.{4}).(.{3}).(.{3})/, "$1-$2-4$3-8$4-");
  }

  const byteLength = (text) => new TextEncoder().encode(text).length;

  // --- Entries: the key is prefix, time and id, the value owner and event. Memory has what localStorage does not take.

  const prefix = `collect ${url} `;
  const untilKey = `collect-until ${url}`;
  const memory = new Map();
  let disk;
  try {
    disk = localStorage;
  } catch {
    // It is blocked.
  }

  function put(key, value) {
    try {
      disk.setItem(key, value);
    } catch {
      memory.set(key, value);
    }
  }

  const get = (key) => memory.get(key) ?? disk?.getItem(key) ?? "";
  const textOf = (key) => get(key).slice(owner.length);

  function remove(key) {
    memory.delete(key);
    disk?.removeItem(key);
  }

  /** Oldest first. */
  const keys = () => [...memory.keys(), ...Object.keys(disk ?? {})].filter((key) => key.startsWith(prefix)).sort();
  const ownKeys = () => keys().filter((key) => get(key).startsWith(owner));

  const tell = (key, outcome, errors) =>
    dispatchEvent(new CustomEvent("collect", { detail: { id: key.slice(-36), outcome, errors } }));

  function reject(key, text, errors) {
    remove(key);
    console.warn("collect: rejected", errors, text);
    tell(key, "rejected", errors);
  }

  function dropOldest() {
    const length = (key) => key.length + get(key).length;
    const all = keys();
    let total = all.reduce((sum, key) => sum + length(key), 0);
    for (const key of all) {
      if (total <= QUEUE_LENGTH) return;
      if (flying.has(key)) continue;
      total -= length(key);
      remove(key);
      console.warn(`collect: the queue is full; ${++dropped} of its oldest events were dropped`);
      tell(key, "dropped");
    }
  }

  // --- Which page sends an entry

  const locks = disk && navigator.locks; // on HTTPS only
  const holding = (name, work) => (locks ? locks.request(prefix + name, work) : work());
  const sleep = (ms) => new Promise((resolve) => setTimeout(resolve, ms));
  const watched = new Set(); // pages whose lock is awaited

  /** Takes over what other pages leave when they end (without locks: what is a minute old). */
  function adopt() {
    for (const other of keys().map((key) => get(key).slice(0, owner.length))) {
      if (!other || other === owner || watched.has(other)) continue;
      watched.add(other);
      holding(other, async () => {
        const age = (key) => Date.now() - parseInt(key.slice(prefix.length), 36);
        const isFree = (key) => get(key).startsWith(other) && (locks || age(key) > 60_000);
        // If it lives, what it collects from now on is its own. What it or a third page dealt with is soon seen to be gone.
        let left = keys().filter(isFree);
        if (left.length) await sleep(SETTLE);
        left = left.filter(isFree);
        left.forEach((key) => put(key, owner + textOf(key)));
        watched.delete(other);
        if (!left.length) return;
        drain();
        await sleep(SETTLE);
      });
    }
  }

  // --- Sending

  function nextBatch() {
    const batch = [];
    let bytes = 2;
    for (const key of ownKeys()) {
      if (flying.has(key)) continue;
      bytes += byteLength(textOf(key)) + 1;
      if (bytes > BATCH_BYTES || batch.length === limit) break;
      batch.push(key);
    }
    return batch;
  }

  /** How long the server asked not to be called, in ms. */
  function toldPause() {
    const left = get(untilKey) - Date.now();
    return left > 0 && left <= DAY ? left : 0;
  }

  /** Sends entries and forgets those whose fate is known. Resolves to the pause before the next attempt, in ms. */
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
      // No answer, or not the collector's: all are kept.
    }
    clearTimeout(timer);

    const status = response?.status;
    const said = answer?.status;
    let isRefused = said === "rejected" && status !== 429;
    // Smaller batches find the event that it is for.
    const isSplit = batch.length > 1 && (status === 413 || (isRefused && status === 400 && !answer.rejected));
    if (status === 413 || isSplit) isRefused = !isSplit;
    // A proxy refuses the batch. If that is for one event, smaller batches find it.
    else if (!said && status >= 400 && status < 500 && ![408, 425, 429].includes(status))
      isRefused = batch.length === 1 && failures >= TRIES;
    if (isRefused || said === "accepted" || said === "ignored") kept.clear();

    batch.forEach((key, index) => {
      flying.delete(key);
      if (errors[index]) return reject(key, texts[index], errors[index]);
      if (kept.has(index)) return;
      if (isRefused) return reject(key, texts[index], { event: answer?.detail ?? `HTTP ${status}` });
      remove(key);
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
    if (told > 0) put(untilKey, Date.now() + Math.min(DAY, told + Math.random() * Math.min(told, LONGEST_PAUSE)));
    return toldPause() || Math.min(LONGEST_PAUSE, 1000 * 2 ** failures++) * (0.5 + Math.random() / 2);
  }

  async function pause(ms) {
    isPaused = true;
    ownKeys().forEach((key) => tell(key, "waiting"));
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
    if (isLeft) return;
    adopt();
    if (isDraining || !(flushing || ownKeys().length)) return;
    isDraining = true;
    await null; // what is collected in one go becomes one batch
    await holding(owner, sendAll);
  }

  /** The page may be about to end: sends what is not on its way, without waiting for a lock.
   *
   * A page that ends does not see the answer, and the next one repeats the event. So what waits for the server to come
   * back stays for the next page, when it is in localStorage, and is not sent by one that was left.
   */
  async function flush() {
    const batch = nextBatch();
    if (flushing || !batch.length || toldPause() || (isPaused && !memory.size)) return;
    flushing = send(batch);
    if (!(await flushing)) wake();
  }

  const isHidden = () => document.visibilityState === "hidden";

  /** Queues an event of this kind; returns its id, by which the outcomes in "collect" events of the window name it. */
  function collect(event, fields) {
    const id = uuid();
    newest = Math.max(newest + 1, Date.now());
    const key = `${prefix}${newest.toString(36)} ${id}`;
    const text = JSON.stringify({ ...fields, event, id });
    if (byteLength(text) > BATCH_BYTES - 3) {
      queueMicrotask(() => reject(key, text, { event: `Must be less than ${BATCH_BYTES} bytes.` }));
      return id;
    }
    put(key, owner + text);
    dropOldest();
    if (isPaused) queueMicrotask(() => tell(key, "waiting"));
    if (isHidden() || isLeft) flush();
    drain();
    return id;
  }

  /** How many events wait in this browser. */
  collect.waiting = () => keys().length;
  window.collect = collect;

  document.addEventListener("visibilitychange", () => (isHidden() ? flush() : drain()));
  addEventListener("pagehide", () => {
    isLeft = true;
    flush();
  });
  addEventListener("pageshow", () => {
    isLeft = false;
    drain();
  });
  addEventListener("online", () => {
    wake();
    drain();
  });
  drain();
})();
