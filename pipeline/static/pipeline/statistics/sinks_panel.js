// The sinks by their heartbeats, and the tile of what fails now.
import { el, empty, number, table } from "./dom.js";
import { counted, formatCount, formatRate, formatSeconds, formatTime, text } from "./format.js";

const SIGNS = { "running": "●", "paused": "❚❚", "backing off": "↻", "failed": "✕" };
const STATES = {
    "running": "running",
    "paused": "isPaused",
    "backing off": "backingOff",
    "failed": "failed",
    "stopped": "stopped",
    "silent": "silent",
    "never heard": "neverHeard",
};

export function sinksPanel(part, data) {
    const tile = document.getElementById("tile-failures");
    if (data === null) {
        tile.textContent = "–";
        return;
    }
    tile.textContent = formatCount(data.sinks.reduce((sum, { troubles }) => sum + troubles, 0));
    const columns = [
        { label: text("sink") },
        { label: text("state") },
        { label: text("threads"), isNumber: true },
        { label: text("partitions"), isNumber: true },
        { label: text("recordsPerSecond"), isNumber: true },
        { label: text("lag"), title: text("lagHelp"), isNumber: true },
        { label: text("behind"), isNumber: true },
        { label: text("lastWrite") },
        { label: text("lastError") },
    ];
    part("table").replaceChildren(data.sinks.length ? table(columns, data.sinks.map(row)) : empty(text("noSinks")));
}

function row(sink) {
    const isAway = sink.state === "silent" || sink.state === "stopped";
    return el(
        "tr",
        {},
        el("th", { scope: "row" }, el("a", { href: sink.url }, sink.name), " ", el("small", { class: "stats-mark" }, sink.kind)),
        el(
            "td",
            { class: "stats-state", "data-state": sink.state },
            el("span", { "aria-hidden": "true" }, `${SIGNS[sink.state] ?? "○"}\u00a0`),
            text(STATES[sink.state], { time: isAway ? formatTime(sink.heard_at) : "" }),
            sink.held && sink.state !== "paused" ? el("small", { class: "stats-mark" }, counted("pausedPartitions", sink.held)) : null,
            sink.awaits_pause ? el("small", { class: "stats-mark" }, text("pauseAsked")) : null,
        ),
        number(formatCount(sink.tasks)),
        number(formatCount(sink.partitions)),
        number(sink.records_per_second === null ? "–" : formatRate(sink.records_per_second)),
        el(
            "td",
            { class: "stats-number" },
            sink.lag === null ? "–" : formatCount(sink.lag),
            sink.uncommitted ? el("small", { class: "stats-mark" }, text("noCommits", { n: formatCount(sink.uncommitted) })) : null,
        ),
        number(sink.delay === null ? "–" : `${sink.delay.bound}${formatSeconds(sink.delay.seconds)}`),
        el("td", { class: "stats-time", title: sink.last_write && formatTime(sink.last_write) }, sink.last_write === null ? "–" : formatTime(sink.last_write, "second")),
        el("td", { class: "stats-agent" }, ...lastError(sink.error)),
    );
}

function lastError(error) {
    return error === null
        ? ["–"]
        : [formatTime(error.moment, "clock"), " ", el("bdi", { class: "stats-cut", title: error.text }, error.text)];
}
