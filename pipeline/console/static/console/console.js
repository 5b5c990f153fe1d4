// The console's panels: each reads its own address and shows what came or why it did not; none waits for another.
// Their HTML is made by this site's templates, which escape everything that a record, a file or a document says.

const TIMEOUT_SECONDS = 30;
const LATE_SECONDS = 0.5;
const BUSY_SECONDS = 1;
const root = document.getElementById("console");
const everySeconds = Number(root.dataset.refreshSeconds);

const say = (key, values = {}) => root.dataset[`text${key}`].replace(/\{(\w+)\}/g, (_, name) => String(values[name]));

// Resolves to the answer's object, with {error: {title, detail}} when there is none to show; never rejects. `isFinal`:
// asking again is of no use; `again`: after so many seconds the page should, for the answer is not there yet.
async function ask(url) {
    const failure = (title, isFinal = false) => ({ error: { title, detail: "" }, isFinal });
    try {
        const answer = await fetch(url, {
            headers: { Accept: "application/json" },
            signal: AbortSignal.timeout(TIMEOUT_SECONDS * 1000),
        });
        if (answer.redirected) {
            return failure(say("SignedOut"), true);
        }
        if (answer.status === 403) {
            return failure(say("Forbidden"), true);
        }
        if (!answer.headers.get("Content-Type")?.startsWith("application/json")) {
            return failure(say("Failed", { status: answer.status }));
        }
        const data = await answer.json();
        if (data.error) {
            const { server, text } = data.error;
            const error = server ? { title: say("Away", { server }), detail: text } : { title: text, detail: "" };
            // All tabs that were refused at once must not come again at once.
            return data.is_busy ? { error, isBusy: true, again: BUSY_SECONDS * (1 + Math.random()) } : { error };
        }
        return data.late ? { ...data, again: LATE_SECONDS } : data;
    } catch {
        return failure(say("Lost"));
    }
}

const isSeen = () => document.visibilityState === "visible";

class Panel {
    #section;
    #isLive;
    #shown = null;

    constructor(section) {
        this.#section = section;
        this.#isLive = "every" in section.dataset;
        document.addEventListener("visibilitychange", () => this.#isWaiting && isSeen() && this.read());
    }

    #isWaiting = false;

    async read() {
        this.#isWaiting = false;
        const answer = await ask(this.#section.dataset.url);
        this.#show(answer);
        const seconds = answer.again ?? (this.#isLive && !answer.isFinal ? everySeconds : null);
        if (seconds !== null) {
            setTimeout(() => (isSeen() ? this.read() : (this.#isWaiting = true)), seconds * 1000);
        }
    }

    #show({ html, error, mistake, isBusy }) {
        if (mistake) {
            showMistake(mistake);
        }
        const [body, box] = [".console-body", ".console-error"].map((part) => this.#section.querySelector(part));
        if (!body.hidden) {
            showError(box, isBusy ? error : null); // what is shown stays, with a note
        }
        const shown = error ? JSON.stringify(error) : html;
        if (shown === undefined || shown === this.#shown || (isBusy && !body.hidden)) {
            return; // it is late; or a reader may be selecting text in it
        }
        this.#shown = shown;
        body.hidden = Boolean(error);
        body.removeAttribute("aria-busy");
        showError(box, error);
        if (!error) {
            body.innerHTML = html;
            body.querySelectorAll("[data-tail]").forEach((part) => new Tail(part));
        }
    }
}

// At the field that holds it; each panel that it keeps empty tells the same one.
function showMistake({ field, text }) {
    const note = document.getElementById(`${field}-mistake`);
    if (note.hidden) {
        note.textContent = `⚠ ${text}`;
        note.hidden = false;
        document.getElementById(field).setAttribute("aria-invalid", "true");
    }
}

function showError(box, error) {
    box.hidden = !error;
    box.replaceChildren();
    if (error) {
        const title = document.createElement("strong");
        title.textContent = error.title;
        const detail = document.createElement("p");
        detail.textContent = error.detail;
        box.append(title, detail);
    }
}

// Adds what is new to the top of a table while its button is pressed: each answer says from where to go on.
class Tail {
    #part;
    #cursor;
    #timer = null;

    constructor(part) {
        this.#part = part;
        this.#cursor = part.dataset.cursor;
        const button = part.querySelector("[data-tail-button]");
        button.addEventListener("click", () => {
            const isOn = button.getAttribute("aria-pressed") !== "true";
            button.setAttribute("aria-pressed", String(isOn));
            clearTimeout(this.#timer);
            if (isOn) {
                this.#follow();
            }
        });
        if ("tailStarts" in part.dataset) {
            button.click();
        }
    }

    async #follow() {
        if (!this.#part.isConnected) {
            return;
        }
        if (isSeen()) {
            const answer = await ask(`${this.#part.dataset.tail}&cursor=${encodeURIComponent(this.#cursor)}`);
            if (this.#part.querySelector("[data-tail-button]").getAttribute("aria-pressed") !== "true") {
                return;
            }
            this.#add(answer);
            if (answer.isFinal) {
                return;
            }
        }
        this.#timer = setTimeout(() => this.#follow(), 1000 * Math.min(everySeconds, 2));
    }

    #add({ error, html, cursor, skipped }) {
        showError(this.#part.querySelector(".console-error"), error);
        if (error) {
            return;
        }
        this.#cursor = cursor;
        this.#part.querySelector("[data-tail-note]").textContent = skipped ? say("Skipped", { n: skipped }) : "";
        const rows = this.#part.querySelector("tbody");
        if (html.trim()) {
            this.#part.querySelector("[data-tail-empty]")?.remove();
            rows.insertAdjacentHTML("afterbegin", html);
            while (rows.rows.length > Number(this.#part.dataset.most)) {
                rows.rows[rows.rows.length - 1].remove();
            }
        }
    }
}

// A checkbox that checks all others of its form.
document.addEventListener("change", (event) => {
    if (event.target.matches("[data-check-all]")) {
        event.target.form.querySelectorAll(`[name="${event.target.dataset.checkAll}"]`).forEach((box) => {
            box.checked = event.target.checked;
        });
    }
});

// A select that chooses what else of its form is of use.
function showFitting(select) {
    for (const part of select.form.querySelectorAll("[data-for]")) {
        part.hidden = !part.dataset.for.split(" ").includes(select.value);
    }
}
for (const select of root.querySelectorAll("select[data-chooses]")) {
    select.addEventListener("change", () => showFitting(select));
    showFitting(select);
}

for (const section of root.querySelectorAll("section[data-url]")) {
    new Panel(section).read();
}
