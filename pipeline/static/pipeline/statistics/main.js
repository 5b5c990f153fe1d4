// The main page: which time range is shown, and when its panels are read.
import { chartPanel } from "./chart_panel.js";
import { showDeadLetters } from "./dead_letters_tile.js";
import { config, formatTime, text } from "./format.js";
import { Panel } from "./panel.js";
import { Poll } from "./poll.js";
import { newestOfKindPanel, topValuesPanel } from "./kind_panels.js";
import { newestPanel } from "./newest_panel.js";
import { servicePanel } from "./services_panel.js";
import { sinksPanel } from "./sinks_panel.js";
import { topBrowsersPanel, topSystemsPanel, topUsersPanel } from "./top_panels.js";
import { topicsPanel } from "./topics_panel.js";

const state = { by: config.by, range: config.range, end: config.end, from: config.from, to: config.to, isPaused: false };

let sinkStates = {};

// Each kind of server has a panel of its own, all of them drawn alike: those that are not named here.
const draw = {
    "events-over-time": chartPanel({ goTo, stateOf: (sink) => sinkStates[sink] }),
    "top-users": topUsersPanel,
    "top-browsers": topBrowsersPanel,
    "top-systems": topSystemsPanel,
    "newest": newestPanel,
    "top-values": topValuesPanel,
    "newest-of-kind": newestOfKindPanel,
    "topics": topicsPanel,
    "sinks": sinksPanel,
};

const panels = Array.from(
    document.querySelectorAll("[data-panel]"),
    (section) => new Panel(section, draw[section.dataset.panel] ?? servicePanel),
);

const poll = new Poll({
    url: config.panelsUrl,
    query,
    everySeconds: config.refreshSeconds,
    onAnswer: ({ answers, problem }) => {
        const box = document.getElementById("stats-problem");
        box.hidden = !problem;
        box.textContent = problem ?? "";
        if (answers) {
            const heard = answers.sinks?.sinks ?? [];
            sinkStates = Object.fromEntries(heard.map(({ name, state: itsState }) => [name, itsState]));
            panels.forEach((panel) => panel.show(answers[panel.source]));
            showDeadLetters(answers["dead-letters"]);
            showUpdated();
        }
    },
});

function query() {
    const kind = config.event === config.firstEvent ? {} : { event: config.event, by: state.by };
    if (state.from) {
        return new URLSearchParams({ ...kind, from: state.from, ...(state.to ? { to: state.to } : {}) });
    }
    return new URLSearchParams({ ...kind, range: state.range, ...(state.end === null ? {} : { end: state.end }) });
}

// choice: {range, end} or {from, to}; an end that is null is now.
function choose({ range = config.range, end = null, from = null, to = null, by = state.by }) {
    Object.assign(state, { range, end, from, to, by });
    history.replaceState(null, "", `?${query()}`);
    showChoice();
    poll.restart();
}

// Shows the newest event: from a range with bounds of its own in the shortest span until now that holds it, else, or
// where none does, in a span that ends with it.
function goTo(newest) {
    const holding = Object.entries(config.spans).find(([, length]) => Date.now() - newest < length);
    if (state.from && holding) {
        choose({ range: holding[0] });
    } else {
        choose({ range: state.range, end: newest + 1 });
    }
}

function mark(link, isChosen) {
    if (isChosen) {
        link.setAttribute("aria-current", "true");
    } else {
        link.removeAttribute("aria-current");
    }
}

function showChoice() {
    for (const link of document.querySelectorAll("[data-range]")) {
        mark(link, !state.from && link.dataset.range === state.range);
    }
    for (const link of document.querySelectorAll("[data-by]")) {
        mark(link, link.dataset.by === state.by);
    }
    const fixed = document.getElementById("stats-fixed");
    fixed.hidden = state.end === null && !state.from;
    if (!fixed.hidden) {
        const back = document.createElement("button");
        back.type = "button";
        back.textContent = text("backToNow");
        back.addEventListener("click", () => choose({ range: state.range }));
        const shown = state.from
            ? text("between", { from: state.from.replace("T", " "), to: state.to?.replace("T", " ") || text("now") })
            : text("until", { time: formatTime(state.end) });
        fixed.replaceChildren(shown, " ", back);
    }
}

function showUpdated() {
    const shown = text("updated", { time: formatTime(Date.now(), "clock") });
    document.getElementById("stats-updated").textContent = state.isPaused ? text("paused") : shown;
}

function follow() {
    if (!state.isPaused && document.visibilityState === "visible") {
        poll.start();
    } else {
        poll.stop();
    }
}

document.getElementById("statistics").addEventListener("click", (event) => {
    const link = event.target.closest("[data-range], [data-by]");
    if (link && !event.metaKey && !event.ctrlKey && !event.shiftKey) {
        event.preventDefault();
        choose("by" in link.dataset ? { ...state, by: link.dataset.by } : { range: link.dataset.range });
    }
});

document.getElementById("stats-custom").addEventListener("submit", (event) => {
    event.preventDefault();
    const { from, to } = Object.fromEntries(new FormData(event.target));
    choose({ range: state.range, from, to });
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
