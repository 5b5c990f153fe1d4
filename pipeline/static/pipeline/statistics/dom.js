// Builds elements. Everything that an event says becomes a text node: nothing of it is ever read as markup.

// el("td", {class: "number", title: "…"}, "text", otherElement)
export function el(tag, attributes = {}, ...children) {
    const element = document.createElement(tag);
    for (const [name, value] of Object.entries(attributes)) {
        if (value !== null && value !== undefined && value !== false) {
            element.setAttribute(name, value === true ? "" : value);
        }
    }
    element.append(...children.filter((child) => child !== null && child !== undefined));
    return element;
}

export const number = (shown, attributes = {}) => el("td", { class: "stats-number", ...attributes }, shown);

// columns: [{label, isNumber, isName, title}], isName: the label is from an event; rows: <tr> elements.
export function table(columns, rows) {
    const head = columns.map(({ label, isNumber, isName, title }) =>
        el("th", { scope: "col", class: isNumber ? "stats-number" : null, title }, el("span", { class: "text" }, isName ? el("bdi", { class: "stats-as-is" }, label) : label)));
    return el(
        "table",
        { class: "stats-table" },
        el("thead", {}, el("tr", {}, ...head)),
        el("tbody", {}, ...rows),
    );
}

export const empty = (shown) => el("p", { class: "stats-empty" }, shown);
