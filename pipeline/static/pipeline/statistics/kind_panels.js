// Panels of any kind of event, drawn by the names of its fields.
import { el, empty, table } from "./dom.js";
import { formatCount, text } from "./format.js";
import { idCell, storedValue, timeCell } from "./newest_panel.js";
import { topTable } from "./top_panels.js";

export function topValuesPanel(part, data) {
    if (data === null) {
        return;
    }
    const shown = data.fields.filter(({ top }) => top.length);
    part("table").replaceChildren(
        ...(shown.length
            ? shown.map(({ field, different, top }) => el(
                "div",
                { class: "stats-field" },
                topTable(el("bdi", { class: "stats-as-is" }, field), top.map(({ value, count }) => ({ name: value, count })), data.total),
                el("p", { class: "stats-caption" }, text("valuesTotal", { n: formatCount(different) })),
            ))
            : [empty(text("emptyRange"))]),
    );
}

export function newestOfKindPanel(part, data) {
    if (data === null) {
        return;
    }
    const columns = [
        { label: text("time") },
        ...data.fields.map((field) => ({ label: field, isName: true })),
        { label: text("record"), title: text("recordHelp") },
    ];
    const rows = data.events.map(({ id, url, timestamp, values }) => el(
        "tr",
        {},
        timeCell(timestamp),
        ...values.map((value) => el("td", { class: "stats-agent" }, storedValue(value))),
        idCell(id, url),
    ));
    part("table").replaceChildren(rows.length ? table(columns, rows) : empty(text("emptyRange")));
}
