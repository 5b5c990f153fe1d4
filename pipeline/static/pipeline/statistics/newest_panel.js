// The newest events as they are stored, the newest first.
import { el, empty, table } from "./dom.js";
import { formatTime, text } from "./format.js";
import { swatch } from "./colors.js";

// A stored value for people, or that there is none.
export const storedValue = (shown) => (shown === null
    ? el("em", { class: "stats-quiet" }, text("missing"))
    : el("bdi", { class: "stats-cut", title: shown }, shown));

export const timeCell = (timestamp) => el(
    "td",
    { class: "stats-time" },
    timestamp === null ? storedValue(null) : formatTime(timestamp, "millis"),
);

// The id of a stored event, which leads to its page.
export const idCell = (id, url) => el(
    "td",
    { class: "stats-id" },
    el("a", { href: url }, el("code", { class: "stats-cut", title: id }, id)),
);

export function newestPanel(part, data) {
    if (data === null) {
        return;
    }
    const columns = [
        { label: text("time") },
        { label: text("color") },
        { label: text("user") },
        { label: text("userAgent") },
        { label: text("record"), title: text("recordHelp") },
    ];
    part("table").replaceChildren(
        data.events.length ? table(columns, data.events.map(row)) : empty(text("emptyRange")),
    );
}

function row({ id, url, timestamp, color, user, user_agent: userAgent }) {
    return el(
        "tr",
        {},
        timeCell(timestamp),
        el("td", { class: "stats-color" }, color === null ? null : swatch(color), storedValue(color)),
        el("td", { class: "stats-name" }, storedValue(user)),
        el("td", { class: "stats-agent" }, storedValue(userAgent)),
        idCell(id, url),
    );
}
