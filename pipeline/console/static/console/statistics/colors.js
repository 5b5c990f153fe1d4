// The colour and pattern of a series: an event's colour name may be any text, and colour never stands alone.

const NAME_OR_NUMBER = /^(#[0-9a-f]{3,8}|[a-z]{3,30}|(rgb|hsl)a?\([\d\s.,%/]+\))$/i;
const NO_COLOR = new Set(["transparent", "currentcolor", "inherit", "initial", "unset", "revert"]);
const FALLBACKS = ["#7e6bb0", "#c9803f", "#4b98a8", "#a3596f", "#7d8f3c", "#5d7fb8", "#9a7b5c", "#b065a0"];

const probe = document.createElement("canvas").getContext("2d", { willReadFrequently: true });

const known = new Map();

// [red, green, blue] of a colour name, null when CSS knows no such colour.
function parse(name) {
    if (!known.has(name)) {
        known.set(name, read(name));
    }
    return known.get(name);
}

function read(name) {
    if (!NAME_OR_NUMBER.test(name) || NO_COLOR.has(name.toLowerCase()) || !CSS.supports("color", name)) {
        return null;
    }
    probe.clearRect(0, 0, 1, 1);
    probe.fillStyle = name;
    probe.fillRect(0, 0, 1, 1);
    const [red, green, blue, alpha] = probe.getImageData(0, 0, 1, 1).data;
    return alpha === 255 ? [red, green, blue] : null;
}

function isDark() {
    const theme = document.documentElement.dataset.theme;
    return theme === "dark" || (theme !== "light" && matchMedia("(prefers-color-scheme: dark)").matches);
}

// Pure red or yellow glares on a page: a little of the theme's own tone is mixed in.
const soften = (rgb) => mix(rgb, isDark() ? [235, 235, 245] : [70, 75, 90], isDark() ? 0.22 : 0.16);
const mix = (from, to, part) => from.map((value, index) => Math.round(value + (to[index] - value) * part));
const css = (rgb) => `rgb(${rgb.join(", ")})`;
const brightness = ([red, green, blue]) => (red * 299 + green * 587 + blue * 114) / 255000;

// The colour for a name: its own where it is one, else a fallback chosen by `place`.
function colorOf(name, place = 0) {
    const rgb = parse(name);
    if (rgb === null) {
        return parse(FALLBACKS[place % FALLBACKS.length]);
    }
    return soften(rgb);
}

// {fill, border} for the series at `place`; name null: the events of all other colours.
export function seriesStyle(name, place) {
    const rgb = name === null ? (isDark() ? [110, 115, 122] : [170, 175, 182]) : colorOf(name, place);
    const isBright = brightness(rgb) > 0.55;
    return {
        fill: pattern(rgb, isBright ? "rgba(0, 0, 0, 0.30)" : "rgba(255, 255, 255, 0.42)", place),
        border: css(mix(rgb, isDark() ? [255, 255, 255] : [0, 0, 0], 0.28)),
    };
}

const SIZE = 8;
const PATTERNS = [
    () => {},
    (draw) => line(draw, [[-2, 2], [2, -2]], [[0, 8], [8, 0]], [[6, 10], [10, 6]]),
    (draw) => { dot(draw, 2, 2); dot(draw, 6, 6); },
    (draw) => line(draw, [[0, 4], [8, 4]]),
    (draw) => line(draw, [[-2, 6], [2, 10]], [[0, 0], [8, 8]], [[6, -2], [10, 2]]),
    (draw) => line(draw, [[4, 0], [4, 8]]),
    (draw) => line(draw, [[0, 4], [8, 4]], [[4, 0], [4, 8]]),
    (draw) => line(draw, [[0, 0], [8, 8]], [[0, 8], [8, 0]]),
];

function pattern(rgb, ink, place) {
    const tile = document.createElement("canvas");
    tile.width = tile.height = SIZE;
    const draw = tile.getContext("2d");
    draw.fillStyle = css(rgb);
    draw.fillRect(0, 0, SIZE, SIZE);
    draw.strokeStyle = draw.fillStyle = ink;
    draw.lineWidth = 1.4;
    PATTERNS[place % PATTERNS.length](draw);
    return draw.createPattern(tile, "repeat");
}

function line(draw, ...segments) {
    draw.beginPath();
    for (const [[fromX, fromY], [toX, toY]] of segments) {
        draw.moveTo(fromX, fromY);
        draw.lineTo(toX, toY);
    }
    draw.stroke();
}

function dot(draw, x, y) {
    draw.beginPath();
    draw.arc(x, y, 1.3, 0, 2 * Math.PI);
    draw.fill();
}
