// Events over time: the stacked chart, its legend, the same numbers as a table, and the tiles above.
import { el, number, table } from "./dom.js";
import { counted, formatCount, formatInterval, formatRate, formatShare, formatTime, formatTimes, text } from "./format.js";
import { seriesStyle } from "./colors.js";

const DAY = 86400000;

// What a sink's state is when starting it may help.
const NOT_RUNNING = ["never heard", "stopped", "silent"];

// goTo(newest): shows the event of that time; stateOf(sink): its state, undefined where it is not known.
export function chartPanel({ goTo, stateOf }) {
    let chart = null;
    let last = null;

    function draw(part, data) {
        last = { part, data };
        drawTiles(data);
        if (data === null) {
            return;
        }
        const series = allSeries(data);
        part("range").textContent = formatTimes(data.start, data.end);
        part("interval").textContent = text("perBar", { interval: formatInterval(data.interval) });
        drawLegend(part("legend"), series, data.total);
        drawEmpty(part("empty"), data, goTo, stateOf(data.sink));
        part("canvas").setAttribute("aria-label", counted("chartLabel", data.total, { field: data.field }));
        part("canvas").classList.toggle("stats-blank", data.total === 0);
        chart ??= newChart(part("canvas"));
        updateChart(chart, data, series);
        part("details").hidden = data.total === 0;
        part("table").replaceChildren(data.total ? chartTable(data, series) : "");
    }

    onThemeChange(() => {
        if (last?.data) {
            draw(last.part, last.data);
        }
    });
    return draw;
}

// The series of the data and one for what they leave out: [{name, label, counts, total, style}].
function allSeries(data) {
    const series = data.series.map(({ name, counts }) => ({ name, label: name, counts }));
    if (data.others.some((count) => count > 0)) {
        series.push({ name: null, label: text("other"), counts: data.others });
    }
    return series.map((one, place) => ({
        ...one,
        total: one.counts.reduce((sum, count) => sum + count, 0),
        style: seriesStyle(one.name, place),
    }));
}

function drawTiles(data) {
    const tile = (id, ...shown) => document.getElementById(id).replaceChildren(...shown);
    tile("tile-total", data ? formatCount(data.total) : "–");
    tile("tile-per-minute", data ? formatRate(data.per_minute) : "–");
    if (data?.newest) {
        tile("tile-newest", formatTime(data.newest, "clock"), el("small", { class: "stats-mark" }, formatTime(data.newest, "date")));
    } else {
        tile("tile-newest", "–");
    }
}

function drawLegend(list, series, total) {
    list.replaceChildren(...series.map(({ label, total: count, style }) => {
        const sample = el("canvas", { width: 16, height: 16, class: "stats-sample", "aria-hidden": "true" });
        const draw = sample.getContext("2d");
        draw.fillStyle = style.fill;
        draw.strokeStyle = style.border;
        draw.fillRect(0, 0, 16, 16);
        draw.strokeRect(0.5, 0.5, 15, 15);
        const share = `${formatCount(count)} (${formatShare(count, total)})`;
        return el("li", {}, sample, el("bdi", {}, label), " ", el("span", { class: "stats-quiet" }, share));
    }));
}

function drawEmpty(box, data, goTo, sinkState) {
    box.hidden = data.total > 0;
    if (data.total > 0) {
        box.replaceChildren();
    } else if (data.newest === null) {
        box.replaceChildren(el("strong", {}, text("emptyIndex", { index: data.index })), emptyHint(data.sink, sinkState));
    } else {
        const button = el("button", { type: "button" }, text("goToNewest"));
        button.addEventListener("click", () => goTo(data.newest));
        box.replaceChildren(
            el("strong", {}, text("emptyRange")),
            el("span", {}, text("newestIs", { time: formatTime(data.newest) })),
            button,
        );
    }
}

// Why nothing is stored; of a sink that is paused or fails the table of sinks tells more.
function emptyHint(sink, state) {
    if (state === "running") {
        return el("span", {}, text("emptyYet", { sink }));
    }
    if (state !== undefined && !NOT_RUNNING.includes(state)) {
        return "";
    }
    const [before, after] = text("emptyIndexHint").split("{command}");
    return el("span", {}, before, el("code", {}, "python manage.py run_es_sink"), after ?? "");
}

function chartTable(data, series) {
    const columns = [
        { label: text("time") },
        ...series.map(({ name, label }) => ({ label, isNumber: true, isName: name !== null })),
        { label: text("total"), isNumber: true },
    ];
    const rows = data.starts.map((start, bar) => el(
        "tr",
        {},
        el("th", { scope: "row", class: "stats-time" }, formatTime(start)),
        ...series.map(({ counts }) => number(formatCount(counts[bar]))),
        number(formatCount(data.counts[bar])),
    ));
    return table(columns, rows);
}

function newChart(canvas) {
    window.Chart.defaults.font.family = getComputedStyle(document.body).fontFamily;
    return new window.Chart(canvas, {
        type: "bar",
        data: { labels: [], datasets: [] },
        options: {
            animation: false,
            maintainAspectRatio: false,
            interaction: { mode: "index", intersect: false },
            plugins: {
                legend: { display: false },
                tooltip: {
                    backgroundColor: "rgba(16, 18, 22, 0.94)",
                    itemSort: (a, b) => b.datasetIndex - a.datasetIndex,
                    filter: (item) => item.raw > 0,
                },
            },
            scales: {
                x: { stacked: true, grid: { display: false }, ticks: { maxRotation: 0, autoSkipPadding: 16 } },
                y: { stacked: true, beginAtZero: true, border: { display: false }, ticks: { precision: 0 } },
            },
        },
    });
}

function updateChart(chart, data, series) {
    const variable = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();
    const { x, y } = chart.options.scales;
    x.ticks.color = y.ticks.color = variable("--body-quiet-color");
    x.border = { color: variable("--border-color") };
    y.grid = { color: variable("--hairline-color") };
    y.suggestedMax = data.total === 0 ? 4 : undefined;
    y.ticks.callback = formatCount;
    x.ticks.callback = (index) => formatTime(data.starts[index], tickFormat(data));
    const { tooltip } = chart.options.plugins;
    tooltip.callbacks = {
        title: (items) => (items.length ? barTime(data, items[0].dataIndex) : ""),
        label: (item) => `${item.dataset.label}: ${formatCount(item.raw)}`,
        footer: (items) => (items.length ? `${text("total")}: ${formatCount(data.counts[items[0].dataIndex])}` : ""),
    };
    chart.data.labels = data.starts;
    chart.data.datasets = series.map(({ label, counts, style }) => ({
        label,
        data: counts,
        backgroundColor: style.fill,
        borderColor: style.border,
        borderWidth: { top: 1 },
        barPercentage: 0.96,
        categoryPercentage: 0.94,
    }));
    chart.update();
}

// The first and the last bar are cut off where the range begins and ends.
function barTime(data, bar) {
    const from = Math.max(data.starts[bar], data.start);
    const to = Math.min(data.starts[bar] + data.interval, data.end);
    return formatTimes(from, to);
}

function tickFormat(data) {
    if (data.interval < 60000) {
        return "clock";
    }
    if (data.interval < 3600000) {
        return data.end - data.start < DAY ? "minute" : "dayMinute";
    }
    return data.interval < DAY / 2 ? "dayMinute" : "day";
}

function onThemeChange(react) {
    new MutationObserver(react).observe(document.documentElement, { attributeFilter: ["data-theme"] });
    matchMedia("(prefers-color-scheme: dark)").addEventListener("change", react);
}
