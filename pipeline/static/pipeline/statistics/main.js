// The statistics page: which time range is shown, and when its panels are read.
import { chartPanel } from "./chart_panel.js";
import { config, formatTime, text } from "./format.js";
import { Panel } from "./panel.js";
import { newestPanel } from "./newest_panel.js";
import { topBrowsersPanel, topUsersPanel } from "./top_panels.js";
import { topicsPanel } from "./topics_panel.js";

const state = { range: config.range, end: config.end, isPaused: false };

const draw = {
    "events-over-time": chartPanel({ goTo: (end) => choose(state.range, end) }),
    "top-users": topUsersPanel,
    "top-browsers": topBrowsersPanel,
    "newest": newestPanel,
    "topics": topicsPanel,
};

const panels = Array.from(document.querySelectorAll("[data-panel]"), (section) => new Panel(section, {
    draw: draw[section.dataset.panel],
    query,
    everySeconds: config.refreshSeconds,
    onUpdate: showUpdated,
}));

function query() {
    const parameters = new URLSearchParams({ range: state.range });
    if (state.end !== null) {
        parameters.set("end", state.end);
    }
    return parameters;
}

function choose(range, end = null) {
    state.range = range;
    state.end = end;
    history.replaceState(null, "", `?${query()}`);
    showChoice();
    panels.forEach((panel) => panel.restart());
}

function showChoice() {
    for (const link of document.querySelectorAll("[data-range]")) {
        if (link.dataset.range === state.range) {
            link.setAttribute("aria-current", "true");
        } else {
            link.removeAttribute("aria-current");
        }
    }
    const fixed = document.getElementById("stats-fixed");
    fixed.hidden = state.end === null;
    if (state.end !== null) {
        const back = document.createElement("button");
        back.type = "button";
        back.textContent = text("backToNow");
        back.addEventListener("click", () => choose(state.range));
        fixed.replaceChildren(text("until", { time: formatTime(state.end) }), " ", back);
    }
}

function showUpdated() {
    const shown = text("updated", { time: formatTime(Date.now(), "clock") });
    document.getElementById("stats-updated").textContent = state.isPaused ? text("paused") : shown;
}

function follow() {
    const isLive = !state.isPaused && document.visibilityState === "visible";
    panels.forEach((panel) => (isLive ? panel.start() : panel.stop()));
}

document.querySelector(".stats-spans").addEventListener("click", (event) => {
    const link = event.target.closest("[data-range]");
    if (link && !event.metaKey && !event.ctrlKey && !event.shiftKey) {
        event.preventDefault();
        choose(link.dataset.range);
    }
});

document.getElementById("stats-pause").addEventListener("click", (event) => {
    state.isPaused = !state.isPaused;
    event.currentTarget.textContent = text(state.isPaused ? "resume" : "pause");
    showUpdated();
    follow();
});

document.addEventListener("visibilitychange", follow);
showChoice();
follow();
