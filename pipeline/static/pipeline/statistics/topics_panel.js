// Topics and partitions with their offsets, and how far each sink is.
import { el } from "./dom.js";
import { counted, formatCount, text } from "./format.js";

export function topicsPanel(part, data) {
    drawLagTile(data);
    if (data === null) {
        return;
    }
    const bodies = data.topics.map((topic) => el("tbody", {}, ...topicRows(topic, data)));
    part("table").replaceChildren(el("table", { class: "stats-table stats-topics" }, head(data.sinks), ...bodies));
}

// Two columns for each sink, under its name.
function head(sinks) {
    const column = (key, kind) => el("th", { scope: "col", rowspan: 2, class: kind }, label(text(key)));
    const under = (key, kind, title) => el("th", { scope: "col", class: `stats-number ${kind}`, title }, label(text(key)));
    return el(
        "thead",
        {},
        el("tr", {}, column("partition"), column("first", "stats-number"), column("end", "stats-number"), ...sinks.map(({ name, group }) => el(
            "th",
            { scope: "colgroup", colspan: 2, class: "stats-sink stats-edge", title: text("group", { group }) },
            label(el("bdi", { class: "stats-as-is" }, name)),
        ))),
        el("tr", {}, ...sinks.flatMap(() => [under("committed", "stats-edge"), under("lag", "", text("lagHelp"))])),
    );
}

function topicRows(topic, data) {
    const marks = [
        topic.is_dead_letters ? text("deadLetters") : null,
        data.several_clusters ? text("cluster", { cluster: topic.cluster }) : null,
    ].filter(Boolean).join(", ");
    const name = el(
        "th",
        { scope: "rowgroup", colspan: 3 },
        el("bdi", {}, topic.name),
        " ",
        el("small", { class: "stats-mark" }, marks),
    );
    const width = 2 * data.sinks.length;
    if (!topic.exists) {
        return [el("tr", { class: "stats-topic" }, name, el("td", { colspan: width }, missing(topic)))];
    }
    const total = el(
        "tr",
        { class: "stats-topic" },
        name,
        ...data.sinks.flatMap(({ name: sink }) => [edge(), cell(sinkTotal(topic.sinks[sink]))]),
    );
    const rows = topic.partitions.map((partition) => partitionRow(topic, partition, data.sinks));
    const left = topic.partition_count - topic.partitions.length;
    if (left > 0) {
        const more = counted("morePartitions", left);
        rows.push(el("tr", {}, el("td", { colspan: 3 + width, class: "stats-quiet" }, more)));
    }
    return [total, ...rows];
}

function missing(topic) {
    if (topic.error) {
        return el("span", { class: "stats-warning" }, topic.error);
    }
    if (topic.is_dead_letters) {
        return el("span", { class: "stats-quiet" }, text("noDeadLetters"));
    }
    const [before, after] = text("noTopic").split("{command}");
    return el("span", {}, before, el("code", {}, "python manage.py setup_pipeline"), after ?? "");
}

function partitionRow(topic, partition, sinks) {
    const offsets = partition.error
        ? [el("td", { colspan: 2, class: "stats-warning" }, partition.error)]
        : [cell(formatCount(partition.first)), cell(formatCount(partition.end))];
    return el(
        "tr",
        {},
        el("th", { scope: "row" }, String(partition.partition)),
        ...offsets,
        ...sinks.flatMap(({ name }) => progressCells(topic.sinks[name], partition.sinks[name], partition)),
    );
}

function progressCells(sink, progress, partition) {
    if (sink === undefined || progress === undefined) {
        return [edge(none(sink)), cell(none(sink))]; // not read by this sink, or its group can't be read
    }
    if (progress.state === "none") {
        return [edge(el("em", { class: "stats-quiet" }, text("noCommit"))), cell(lag(progress.lag))];
    }
    const warning = {
        expired: () => text("expired", { first: formatCount(partition.first) }),
        ahead: () => text("ahead"),
    }[progress.state]?.();
    return [
        edge(formatCount(progress.committed), warning && el("small", { class: "stats-warning" }, warning)),
        cell(lag(progress.lag)),
    ];
}

function sinkTotal(sink) {
    if (sink === undefined) {
        return null;
    }
    if (sink.error) {
        return el("span", { class: "stats-warning" }, sink.error);
    }
    const without = sink.uncommitted
        ? el("small", { class: "stats-mark" }, text("noCommits", { n: formatCount(sink.uncommitted) }))
        : null;
    return el("span", {}, sink.lag === null ? "" : lag(sink.lag), without);
}

const label = (shown) => el("span", { class: "text" }, shown);
const cell = (...children) => el("td", { class: "stats-number" }, ...children);
const edge = (...children) => el("td", { class: "stats-number stats-edge" }, ...children);
const lag = (count) => (count === null ? "–" : el(count > 0 ? "strong" : "span", {}, formatCount(count)));
const none = (sink) => el("span", { class: "stats-quiet", title: sink === undefined ? text("notRead") : null }, "–");

// The sum over all sinks of what is known.
function drawLagTile(data) {
    const tile = document.getElementById("tile-lag");
    const sinks = data?.topics.flatMap((topic) => Object.values(topic.sinks)) ?? [];
    const known = sinks.map(({ lag: count }) => count).filter((count) => count !== null);
    const uncommitted = sinks.reduce((sum, sink) => sum + sink.uncommitted, 0);
    tile.textContent = known.length ? formatCount(known.reduce((sum, count) => sum + count, 0)) : "–";
    if (uncommitted) {
        tile.append(el("small", { class: "stats-mark" }, text("noCommits", { n: formatCount(uncommitted) })));
    }
}
