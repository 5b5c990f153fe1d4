// The panels of a page: each address is read, and its panels show what came or why it did not; none waits for another.
// Their HTML is made by this site's templates, which escape everything that a record, a file or a document says.

const TIMEOUT_SECONDS = 30;
const LATE_SECONDS = 0.5;
const BUSY_SECONDS = 1;
const root = document.getElementById("console");
const everySeconds = Number(root.dataset.refreshSeconds);

const say = (key, values = {}) => root.dataset[`text${key}`].replace(/\{(\w+)\}/g, (_, name) => String(values[name]));

const failure = (title, isFinal = false) => ({ error: { title, detail: "" }, isFinal });

// Resolves to the answer's object, with {error: {title, detail}} when there is none to show; never rejects. `isFinal`:
// asking again is of no use; `again`: after so many seconds the page should, for the answer is not there yet;
// `isAway`: the server that it needs is.
async function ask(url) {
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
        return readable(await answer.json());
    } catch {
        return failure(say("Lost"));
    }
}

// An answer with the error as it is shown.
function readable(data) {
    if (data.error) {
        const { server, text } = data.error;
        const error = server ? { title: say("Away", { server }), detail: text } : { title: text, detail: "" };
        // All tabs that were refused at once must not come again at once.
        if (data.is_busy) {
            return { error, isBusy: true, again: BUSY_SECONDS * (1 + Math.random()) };
        }
        return { error, isAway: Boolean(server) };
    }
    return data.late ? { ...data, again: LATE_SECONDS } : data;
}

const isSeen = () => document.visibilityState === "visible";

// A part of the page: its answer is shown, or why there is none.
class Panel {
    #section;
    #shown = null;

    constructor(section) {
        this.#section = section;
    }

    get id() {
        return this.#section.dataset.panel;
    }

    show({ html, error, mistake, isBusy }) {
        if (mistake) {
            showMistake(mistake);
        }
        const [body, box] = [".console-body", ".console-error"].map((part) => this.#section.querySelector(part));
        if (box && !body.hidden) {
            showError(box, isBusy ? error : null); // what is shown stays, with a note
        }
        if (html === undefined && !error) {
            body.setAttribute("aria-busy", "true"); // what is shown stays, marked
        } else if (!isBusy) {
            body.removeAttribute("aria-busy");
        }
        const shown = error ? JSON.stringify(error) : html;
        if (shown === undefined || shown === this.#shown || (isBusy && !body.hidden)) {
            return; // it is late; or a reader may be selecting text in it
        }
        this.#shown = shown;
        if (error) {
            this.#showError(body, box, error);
        } else {
            body.hidden = false;
            body.removeAttribute("title");
            if (box) {
                showError(box, null);
            }
            replaceContent(body, html);
            body.querySelectorAll("[data-tail]").forEach((part) => new Tail(part));
            body.dispatchEvent(new Event("panel-shown", { bubbles: true }));
        }
    }

    // What the panel told elsewhere on the page is not known now. A panel without room for an error has it as its title.
    #showError(body, box, error) {
        body.replaceChildren();
        document.querySelectorAll(`[data-of="${this.id}"]`).forEach((part) => part.replaceChildren("–"));
        if (box) {
            body.hidden = true;
            showError(box, error);
        } else {
            body.replaceChildren("–");
            body.title = inOneLine(error);
        }
    }
}

const FOCUSABLE = "a, button, input, select, summary, textarea, [tabindex]";

// What a part that can have the focus leads to or says, by which it is found again in newer HTML.
const identity = (part) => `${part.tagName} ${part.getAttribute("href") ?? part.ariaLabel ?? part.textContent}`;
const partsLike = (body, name) => [...body.querySelectorAll(FOCUSABLE)].filter((part) => identity(part) === name);

// Puts new HTML in the place of the old. Details stay open, tables stay scrolled, what has the focus keeps it, and the
// parts with `data-keep` stay the same elements. A <template data-place="id"> is shown in the element of that id,
// wherever on the page that is.
function replaceContent(body, html) {
    const kept = body.querySelectorAll("[data-keep]");
    const open = [...body.querySelectorAll("details")].map((part) => part.open);
    const scrolled = [...body.querySelectorAll(".console-scroll")].map((part) => [part.scrollLeft, part.scrollTop]);
    const focused = body.contains(document.activeElement) ? document.activeElement : null;
    const name = focused && identity(focused);
    const place = focused && partsLike(body, name).indexOf(focused);
    body.innerHTML = html;
    kept.forEach((part) => document.getElementById(part.id)?.replaceWith(part));
    if (open.length) {
        body.querySelectorAll("details").forEach((part, place) => (part.open = open[place] ?? part.open));
    }
    body.querySelectorAll(".console-scroll").forEach((part, place) => part.scrollTo(...(scrolled[place] ?? [0, 0])));
    if (focused) {
        partsLike(body, name)[place]?.focus({ preventScroll: true });
    }
    root.querySelectorAll("template[data-place]").forEach((part) => {
        document.getElementById(part.dataset.place)?.replaceChildren(part.content.cloneNode(true));
    });
}

let isPaused = false;

// One address, which is asked for all panels that it answers: one that is alone gets the whole answer, others the part
// of their id, which is null while their server is being asked, and left out when the reader may not see it any more.
class Source {
    #url;
    #panels;
    #isLive;
    #timer = null;
    #isWaiting = false;

    constructor(url, sections) {
        this.#url = url;
        this.#panels = sections.map((section) => new Panel(section));
        this.#isLive = "every" in sections[0].dataset;
        document.addEventListener("visibilitychange", () => this.#isWaiting && isSeen() && this.read());
    }

    async read() {
        clearTimeout(this.#timer);
        this.#isWaiting = false;
        const answer = await ask(this.#url);
        const isRepeated = (this.#isLive || answer.isAway) && !answer.isFinal && !isPaused;
        const again = this.#show(answer) ?? (isRepeated ? everySeconds : null);
        if (again !== null) {
            clearTimeout(this.#timer);
            this.#timer = setTimeout(() => (isSeen() ? this.read() : (this.#isWaiting = true)), again * 1000);
        }
    }

    pause() {
        clearTimeout(this.#timer);
    }

    // Shows the answer; returns after how many seconds the page should ask again, because something is not there yet.
    #show(answer) {
        if (this.#panels[0].id === undefined) {
            this.#panels[0].show(answer);
            return answer.again;
        }
        const problem = document.querySelector("[data-problem]");
        problem.hidden = !answer.error;
        problem.textContent = answer.error ? inOneLine(answer.error) : "";
        if (answer.error) {
            return answer.again;
        }
        const partOf = ({ id }) => (id in answer ? readable(answer[id] ?? { late: true }) : failure(say("Forbidden")));
        const parts = this.#panels.map((panel) => [panel, partOf(panel)]);
        parts.forEach(([panel, part]) => panel.show(part));
        showUpdated();
        return parts.map(([, { again }]) => again).find(Boolean);
    }
}

// On a page that can be paused. A tab stays paused when another time range is chosen.
const updated = document.getElementById("stats-updated");
const clock = new Intl.DateTimeFormat(document.documentElement.lang || "en", {
    timeStyle: "medium",
    hourCycle: "h23",
    timeZone: updated?.dataset.timeZone,
});

function showUpdated() {
    updated.textContent = isPaused ? say("Paused") : say("Updated", { time: clock.format(Date.now()) });
}

function pauseBy(button, sources) {
    const pause = (isWanted) => {
        isPaused = isWanted;
        sessionStorage.setItem("paused", isPaused ? "yes" : "");
        button.textContent = say(isPaused ? "Resume" : "Pause");
        showUpdated();
    };
    if (sessionStorage.getItem("paused")) {
        pause(true);
    }
    button.addEventListener("click", () => {
        pause(!isPaused);
        sources.forEach((source) => (isPaused ? source.pause() : source.read()));
    });
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

const inOneLine = ({ title, detail }) => (detail ? `${title}: ${detail}` : title);

const element = (name, text) => Object.assign(document.createElement(name), { textContent: text });

function showError(box, error) {
    box.hidden = !error;
    box.replaceChildren(...(error ? [element("strong", error.title), element("p", error.detail)] : []));
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

const sections = Map.groupBy(root.querySelectorAll("[data-url]"), (section) => section.dataset.url);
const sources = [...sections].map(([url, parts]) => new Source(url, parts));
root.querySelectorAll("[data-pause]").forEach((button) => pauseBy(button, sources));
sources.forEach((source) => source.read());
