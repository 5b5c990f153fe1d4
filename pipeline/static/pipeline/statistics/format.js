// The page's settings and texts, and numbers and times as its reader writes them.

export const config = JSON.parse(document.getElementById("stats-config").textContent);

const locale = document.documentElement.lang || "en";

const fill = (shown, values) => shown.replace(/\{(\w+)\}/g, (whole, name) => (name in values ? String(values[name]) : whole));
const plural = new Intl.PluralRules(locale);

// A text of the page in its language; {name} is filled in with values.name.
export const text = (key, values = {}) => fill(config.texts[key], values);

// A text that counts things, in its form for so many; {n} is filled in with the number.
export const counted = (key, n, values = {}) => fill(config.texts[key][plural.select(n)], { ...values, n: formatCount(n) });

const integer = new Intl.NumberFormat(locale, { maximumFractionDigits: 0 });
const decimal = new Intl.NumberFormat(locale, { maximumFractionDigits: 1 });
const small = new Intl.NumberFormat(locale, { maximumSignificantDigits: 2 });
const percent = new Intl.NumberFormat(locale, { style: "percent", maximumFractionDigits: 1 });

export const formatCount = (count) => integer.format(count);
export const formatRate = (rate) => (rate >= 100 ? integer : rate >= 1 ? decimal : small).format(rate);
export const formatShare = (part, whole) => percent.format(whole ? part / whole : 0);

const time = (options) =>
    new Intl.DateTimeFormat(locale, { timeZone: config.timeZone, hourCycle: "h23", ...options });
const clock = { hour: "2-digit", minute: "2-digit" };
const seconds = { ...clock, second: "2-digit" };
const day = { month: "short", day: "numeric" };
const FORMATS = {
    full: time({ year: "numeric", ...day, ...seconds }),
    date: time({ year: "numeric", ...day }),
    millis: time({ ...day, ...seconds, fractionalSecondDigits: 3 }),
    second: time({ ...day, ...seconds }),
    clock: time(seconds),
    minute: time(clock),
    day: time(day),
    dayMinute: time({ ...day, ...clock }),
};

// milliseconds: since the epoch; kind: a key of FORMATS.
export const formatTime = (milliseconds, kind = "full") => FORMATS[kind].format(milliseconds);

// "from – to" without repeating what both have in common.
export const formatTimes = (from, to) => FORMATS.full.formatRange(from, to);

// A duration in its largest whole unit: "15 s", "2 h".
export function formatInterval(milliseconds) {
    const units = [["days", 86400000], ["hours", 3600000], ["minutes", 60000], ["seconds", 1000]];
    const [name, unit] = units.find(([, length]) => milliseconds % length === 0) ?? units.at(-1);
    return text(name, { n: formatCount(milliseconds / unit) });
}

// Seconds in the largest unit that fits, rounded.
export function formatSeconds(seconds) {
    const units = [["days", 86400], ["hours", 3600], ["minutes", 60], ["seconds", 1]];
    const [name, unit] = units.find(([, length]) => seconds >= length) ?? units.at(-1);
    return text(name, { n: formatCount(seconds / unit) });
}
