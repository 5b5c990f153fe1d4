// One panel: shows its data or its server's error.
import { text } from "./format.js";

export class Panel {
    #section;
    #draw;
    #shown = null;

    // section: data-panel names it, data-source the panel whose data it shows, if not its own.
    constructor(section, draw) {
        this.#section = section;
        this.#draw = draw;
    }

    get source() {
        return this.#section.dataset.source ?? this.#section.dataset.panel;
    }

    // answer: data, {error: {server, text}}, or null while the server is still being asked: what is shown stays, marked.
    show(answer) {
        const body = this.#section.querySelector(".stats-body");
        if (answer === null) {
            body.setAttribute("aria-busy", "true");
            return;
        }
        body.removeAttribute("aria-busy");
        const shown = JSON.stringify(answer);
        if (shown === this.#shown) {
            return; // a reader may be selecting text in it
        }
        this.#shown = shown;
        const { error } = answer;
        const box = this.#section.querySelector(".stats-error");
        box.hidden = !error;
        body.hidden = Boolean(error);
        box.replaceChildren();
        if (error) {
            const title = document.createElement("strong");
            title.textContent = error.server ? text("notAnswering", { server: error.server }) : error.text;
            const detail = document.createElement("p");
            detail.textContent = error.server ? error.text : "";
            box.append(title, detail);
        }
        this.#draw((name) => this.#section.querySelector(`[data-part="${name}"]`), error ? null : answer);
    }
}
