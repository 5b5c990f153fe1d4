// One panel: reads its own address again and again, and shows its data or its error; others do not wait for it.
import { text } from "./format.js";

const TIMEOUT_SECONDS = 30;

export class Panel {
    #section;
    #draw;
    #query;
    #everySeconds;
    #onUpdate;
    #isLive = false;
    #timer = null;
    #request = null;
    #shown = null;

    constructor(section, { draw, query, everySeconds, onUpdate }) {
        this.#section = section;
        this.#draw = draw;
        this.#query = query;
        this.#everySeconds = everySeconds;
        this.#onUpdate = onUpdate;
    }

    // Reads now, and then again after each answer.
    start() {
        if (!this.#isLive) {
            this.#isLive = true;
            this.#read();
        }
    }

    // No more reads; what is shown stays.
    stop() {
        this.#isLive = false;
        this.#cancel();
    }

    // Reads now with another query, also when stopped.
    restart() {
        this.#cancel();
        this.#read();
    }

    #cancel() {
        clearTimeout(this.#timer);
        this.#request?.abort();
        this.#request = null;
    }

    async #read() {
        const request = new AbortController();
        this.#request = request;
        const answer = await fetchJson(`${this.#section.dataset.url}?${this.#query()}`, request.signal);
        if (this.#request !== request) {
            return; // cancelled: a later read shows its own answer
        }
        this.#request = null;
        this.#show(answer);
        this.#onUpdate();
        if (this.#isLive && !answer.isFinal) {
            this.#timer = setTimeout(() => this.#read(), this.#everySeconds * 1000);
        }
    }

    #show({ data, error }) {
        const shown = JSON.stringify([data, error]);
        if (shown === this.#shown) {
            return; // a reader may be selecting text in it
        }
        this.#shown = shown;
        const errorBox = this.#section.querySelector(".stats-error");
        const body = this.#section.querySelector(".stats-body");
        errorBox.hidden = !error;
        body.hidden = Boolean(error);
        body.removeAttribute("aria-busy");
        errorBox.replaceChildren();
        if (error) {
            const title = document.createElement("strong");
            title.textContent = error.title;
            const detail = document.createElement("p");
            detail.textContent = error.detail;
            errorBox.append(title, detail);
        }
        const part = (name) => this.#section.querySelector(`[data-part="${name}"]`);
        this.#draw(part, error ? null : data);
    }
}

// Resolves to {data} or {error: {title, detail}}, and `isFinal` when asking again is of no use; never rejects.
async function fetchJson(url, cancelled) {
    const timeout = AbortSignal.timeout(TIMEOUT_SECONDS * 1000);
    const failure = (title, isFinal = false) => ({ error: { title, detail: "" }, isFinal });
    try {
        const response = await fetch(url, {
            signal: AbortSignal.any([cancelled, timeout]),
            headers: { Accept: "application/json" },
        });
        if (response.redirected) {
            return failure(text("signedOut"), true);
        }
        if (response.status === 403) {
            return failure(text("forbidden"), true);
        }
        if (!response.headers.get("Content-Type")?.startsWith("application/json")) {
            return failure(text("requestFailed", { status: response.status }));
        }
        const data = await response.json();
        if (data.error) {
            const { server, text: detail } = data.error;
            const title = server ? text("notAnswering", { server }) : text("requestFailed", { status: response.status });
            return { error: { title, detail } };
        }
        return { data };
    } catch {
        return failure(timeout.aborted ? text("requestTimeout", { n: TIMEOUT_SECONDS }) : text("requestLost"));
    }
}
