// Draws the stacked chart of events over time, and the samples of its legend, from the data in the panel's HTML.
import { seriesStyle } from "./colors.js";

const format = new Intl.NumberFormat(document.documentElement.lang || "en", { maximumFractionDigits: 0 }).format;

let chart = null;

function draw() {
    const holder = document.getElementById("chart-data");
    if (holder === null) {
        return; // it is not there yet, or there is an error in its place
    }
    const data = JSON.parse(holder.textContent);
    const canvas = document.querySelector("#chart canvas");
    const series = data.series.map((one, place) => ({ ...one, style: seriesStyle(one.name, place) }));
    drawLegend(series);
    canvas.setAttribute("aria-label", data.label);
    document.getElementById("chart").classList.toggle("stats-blank", series.length === 0);
    if (chart?.canvas !== canvas) {
        chart?.destroy();
        chart = newChart(canvas);
    }
    updateChart(data, series);
}

function drawLegend(series) {
    document.querySelectorAll(".stats-sample").forEach((sample, place) => {
        const draw = sample.getContext("2d");
        draw.fillStyle = series[place].style.fill;
        draw.strokeStyle = series[place].style.border;
        draw.fillRect(0, 0, 16, 16);
        draw.strokeRect(0.5, 0.5, 15, 15);
    });
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

function updateChart(data, series) {
    const variable = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();
    const { x, y } = chart.options.scales;
    x.ticks.color = y.ticks.color = variable("--body-quiet-color");
    x.border = { color: variable("--border-color") };
    y.grid = { color: variable("--hairline-color") };
    y.suggestedMax = series.length === 0 ? 4 : undefined;
    y.ticks.callback = format;
    chart.options.plugins.tooltip.callbacks = {
        title: (items) => (items.length ? data.titles[items[0].dataIndex] : ""),
        label: (item) => `${item.dataset.label}: ${format(item.raw)}`,
        footer: (items) => (items.length ? `${data.total}: ${format(data.counts[items[0].dataIndex])}` : ""),
    };
    chart.data.labels = data.ticks;
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

document.addEventListener("panel-shown", ({ target }) => target.querySelector("#chart-data") && draw());
new MutationObserver(draw).observe(document.documentElement, { attributeFilter: ["data-theme"] });
matchMedia("(prefers-color-scheme: dark)").addEventListener("change", draw);
draw();
