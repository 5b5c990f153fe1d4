// A kind of server: its version, or why it does not answer.
import { el } from "./dom.js";
import { text } from "./format.js";

export function servicePanel(part, data) {
    if (data === null) {
        return;
    }
    part("list").replaceChildren(...data.services.map(({ name, server, version, detail, error }) => el(
        "li",
        { class: error ? "stats-service stats-service-away" : "stats-service", title: server },
        el("strong", {}, el("span", { "aria-hidden": "true" }, error ? "✕ " : "● "), name, version ? ` ${version}` : ""),
        " ",
        error
            ? el("span", { class: "stats-warning" }, text("away"), ": ", el("bdi", {}, error))
            : el("span", { class: "stats-quiet" }, detail),
    )));
}
