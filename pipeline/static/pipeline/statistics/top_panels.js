// Top users, browsers and systems: tables whose rows carry a bar of their share.
import { el, empty, number, table } from "./dom.js";
import { counted, formatCount, formatShare, text } from "./format.js";

export function topUsersPanel(part, data) {
    if (data === null) {
        return;
    }
    const rows = data.top.map(({ user, count }) => ({ name: user, count }));
    part("table").replaceChildren(rows.length ? topTable(text("user"), rows, data.total) : empty(text("emptyRange")));
    const isCut = data.users > rows.length;
    const note = () => (isCut
        ? text("usersShown", { n: formatCount(data.users), top: formatCount(rows.length) })
        : counted("usersTotal", data.users));
    part("note").textContent = rows.length ? note() : "";
}

export function topBrowsersPanel(part, data) {
    if (data === null) {
        return;
    }
    drawAgents(part, text("browser"), data.browsers, data.total);
    const values = {
        n: formatCount(data.agents),
        read: formatCount(data.agents_read),
        events: formatCount(data.events_read),
        total: formatCount(data.total),
    };
    const isPartial = data.agents > data.agents_read || data.events_read < data.total;
    const note = () => (isPartial ? text("agentsSome", values) : counted("agentsAll", data.agents));
    part("note").textContent = data.total ? note() : "";
}

export function topSystemsPanel(part, data) {
    if (data !== null) {
        drawAgents(part, text("system"), data.systems, data.total);
    }
}

function drawAgents(part, label, rows, total) {
    part("table").replaceChildren(rows.length ? topTable(label, rows, total) : empty(text("emptyRange")));
}

// rows: [{name, count}], a null name is an unknown one.
export function topTable(label, rows, total) {
    const most = Math.max(...rows.map(({ count }) => count));
    const columns = [
        { label },
        { label: text("events"), isNumber: true },
        { label: text("share"), isNumber: true },
    ];
    return table(columns, rows.map(({ name, count }) => {
        const bar = el("span", { class: "stats-bar", "aria-hidden": "true" });
        bar.style.width = `${(100 * count) / most}%`;
        const shown = name === null
            ? el("em", { class: "stats-quiet" }, text("unknown"))
            : el("bdi", { class: "stats-cut", title: name }, name);
        return el(
            "tr",
            {},
            el("th", { scope: "row", class: "stats-barred" }, shown, bar),
            number(formatCount(count)),
            number(formatShare(count, total), { class: "stats-number stats-quiet" }),
        );
    }));
}
