// Asks for the data of all panels with one request, again and again while it is started.
import { text } from "./format.js";

const TIMEOUT_SECONDS = 30;
const LATE_SECONDS = 0.5;
const BUSY_SECONDS = 1;

export class Poll {
    #url;
    #query;
    #everySeconds;
    #onAnswer;
    #isLive = false;
    #timer = null;
    #request = null;

    // query(): the parameters; onAnswer({answers} or {problem}): panels by id, or why there are none.
    constructor({ url, query, everySeconds, onAnswer }) {
        this.#url = url;
        this.#query = query;
        this.#everySeconds = everySeconds;
        this.#onAnswer = onAnswer;
    }

    // Asks now, and then again after each answer.
    start() {
        if (!this.#isLive) {
            this.#isLive = true;
            this.#read();
        }
    }

    // Asks no more.
    stop() {
        this.#isLive = false;
        this.#cancel();
    }

    // Asks now with another query, also when stopped.
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
        const { isFinal, isBusy, ...answer } = await fetchJson(`${this.#url}?${this.#query()}`, request.signal);
        if (this.#request !== request) {
            return; // cancelled: a later request shows its own answer
        }
        this.#request = null;
        this.#onAnswer(answer);
        // What is not there yet is asked for soon, also on a page that is paused: it was asked for before. All tabs that
        // were refused at once must not come again at once.
        const isLate = Object.values(answer.answers ?? {}).includes(null);
        const soon = isBusy ? BUSY_SECONDS * (1 + Math.random()) : LATE_SECONDS;
        if ((this.#isLive || isLate || isBusy) && !isFinal) {
            this.#timer = setTimeout(() => this.#read(), (isLate || isBusy ? soon : this.#everySeconds) * 1000);
        }
    }
}

// Resolves to {answers} or {problem}, `isFinal` when asking again is of no use, and `isBusy` when the site has too many
// requests at present; never rejects.
async function fetchJson(url, cancelled) {
    const timeout = AbortSignal.timeout(TIMEOUT_SECONDS * 1000);
    try {
        const response = await fetch(url, {
            signal: AbortSignal.any([cancelled, timeout]),
            headers: { Accept: "application/json" },
        });
        if (response.redirected) {
            return { problem: text("signedOut"), isFinal: true };
        }
        if (response.status === 403) {
            return { problem: text("forbidden"), isFinal: true };
        }
        if (!response.headers.get("Content-Type")?.startsWith("application/json")) {
            return { problem: text("requestFailed", { status: response.status }) };
        }
        const answers = await response.json();
        if (response.ok) {
            return { answers };
        }
        // A question that is wrong stays so; a server that is away may come back.
        const { server, text: detail } = answers.error;
        return response.status === 400
            ? { problem: detail, isFinal: true }
            : { problem: server ? `${text("notAnswering", { server })}: ${detail}` : detail, isBusy: answers.is_busy };
    } catch {
        return { problem: timeout.aborted ? text("requestTimeout", { n: TIMEOUT_SECONDS }) : text("requestLost") };
    }
}
