// The table of findings: a grid whose rows are in the document only while they are in sight. Arrow keys go from row to
// row.

import { el, mono, name, replace } from "./dom.js";
import { canSelect } from "./possible.js";
import { VirtualList } from "./virtual_list.js";
import { confidence, findingTag, stateTag } from "./words.js";

const COLUMNS = [
  ["name", "Machine"],
  ["finding", "Finding"],
  ["state", "State"],
  ["from", "From"],
  ["to", "To"],
  ["sure", "Confidence"],
];
const PAGE_ROWS = 12;

export class FindingsTable {
  #store;
  #run = null;
  #selects = false;
  #active = 0;
  #column = "link";
  #last = null; // where a selection with Shift begins
  #head = el("div", { class: "row heads", role: "row", "aria-rowindex": 1 });
  #body = el("div", { class: "rows", role: "rowgroup" });
  #list;

  /** `onsort(sort)` and `onselect()` tell what somebody did; `sort()` gives the present order. */
  constructor(store, { sort, onsort, onselect, signal }) {
    this.#store = store;
    this.sort = sort;
    this.onsort = onsort;
    this.onselect = onselect;
    this.element = el(
      "div",
      {
        class: "findings",
        role: "grid",
        "aria-label": "Findings",
        "aria-describedby": "findings-keys",
        "aria-multiselectable": "true",
      },
      el("div", { role: "rowgroup", class: "rows-head" }, this.#head),
      this.#body,
    );
    this.#list = new VirtualList(
      this.#body,
      (index) => this.#draw(index),
      (index) => this.#says(index),
      signal,
    );
    this.#body.addEventListener("keydown", (event) => this.#key(event));
    this.#body.addEventListener("focusin", (event) => this.#entered(event));
  }

  /** Shows `store.shown` as it is now. */
  show(run) {
    this.#run = run;
    this.#selects = this.#store.rows.some((row) => canSelect(run, row));
    this.#active = Math.min(this.#active, Math.max(0, this.#store.shown.length - 1));
    const held = this.#body.contains(document.activeElement);
    this.element.classList.toggle("selects", this.#selects);
    this.element.setAttribute("aria-rowcount", this.#store.shown.length + 1);
    this.#drawHead();
    this.#list.redraw(this.#store.shown.length);
    if (held && !this.#body.contains(document.activeElement)) this.#focus(this.#active);
  }

  /** The first row again, for another order or other filters. */
  reset() {
    this.#active = 0;
    this.#last = null;
  }

  selectable() {
    return this.#store.shown.filter((row) => canSelect(this.#run, row));
  }

  #drawHead() {
    const [by, down] = this.sort().startsWith("-") ? [this.sort().slice(1), true] : [this.sort(), false];
    const cells = COLUMNS.map(([key, text]) => {
      const order = key === by ? (down ? "descending" : "ascending") : "none";
      const button = el(
        "button",
        {
          type: "button",
          id: `sort-${key}`,
          class: "sort",
          onclick: () => this.onsort(key === by && !down ? `-${key}` : key),
        },
        text,
      );
      return el("div", { role: "columnheader", class: `cell col-${key}`, "aria-sort": order }, button);
    });
    const box = el("input", {
      type: "checkbox",
      id: "select-shown",
      "aria-label": "Select all that are shown",
      onchange: () => this.#selectShown(box.checked),
    });
    const select = el("div", { role: "columnheader", class: "cell col-check" }, el("label", {}, box));
    replace(this.#head, this.#selects && select, cells);
    this.#drawSelected();
  }

  #drawSelected() {
    const box = this.#head.querySelector("#select-shown");
    if (!box) return;
    const all = this.selectable();
    const chosen = all.filter((row) => this.#store.selection.has(row.id)).length;
    box.checked = all.length > 0 && chosen === all.length;
    box.indeterminate = chosen > 0 && chosen < all.length;
    box.disabled = all.length === 0;
  }

  #draw(index) {
    const row = this.#store.shown[index];
    const { machine, finding, state, from, to, confidence: sure, error, explanation } = row.finding;
    const here = index === this.#active ? 0 : -1;
    const selected = this.#store.selection.has(row.id);
    const link = el(
      "a",
      { href: this.#store.machine(row), tabindex: here, class: "machine-name" },
      name(machine.name),
    );
    const box =
      canSelect(this.#run, row) &&
      el(
        "label",
        {},
        el("input", {
          type: "checkbox",
          checked: selected,
          tabindex: here,
          "aria-label": `Select ${machine.name}`,
          onclick: (event) => this.#select(index, event),
        }),
      );
    const where = [machine.catalog, machine.deliveryGroup].filter(Boolean).join(" · ");
    return el(
      "div",
      {
        role: "row",
        class: `row ${selected ? "selected" : ""}`,
        "aria-rowindex": index + 2,
        "aria-selected": this.#selects ? String(selected) : null,
      },
      this.#selects && el("div", { role: "gridcell", class: "cell col-check" }, box),
      el("div", { role: "gridcell", class: "cell col-name" }, link, el("span", { class: "sub" }, name(where))),
      el("div", { role: "gridcell", class: "cell col-finding" }, findingTag(finding)),
      el("div", { role: "gridcell", class: "cell col-state" }, state && stateTag(state)),
      el("div", { role: "gridcell", class: "cell col-from" }, hosting(from, to)),
      el(
        "div",
        { role: "gridcell", class: "cell col-to" },
        to ? hosting(to, from, error) : el("span", { class: "why", title: explanation }, name(explanation)),
      ),
      el("div", { role: "gridcell", class: "cell col-sure" }, confidence(sure)),
    );
  }

  #says(index) {
    const row = this.#store.shown[index];
    const selected = this.#store.selection.has(row.id);
    return JSON.stringify([row.finding, selected, this.#selects, canSelect(this.#run, row), index === this.#active]);
  }

  #select(index, event) {
    const chosen = event.target.checked;
    const [from, to] =
      event.shiftKey && this.#last !== null ? [this.#last, index].sort((a, b) => a - b) : [index, index];
    for (let at = from; at <= to; at += 1) this.#mark(this.#store.shown[at], chosen, at, at === index);
    this.#last = index;
    this.#drawSelected();
    this.onselect();
  }

  #mark(row, chosen, index, present) {
    if (!row || !canSelect(this.#run, row)) return;
    this.#store.selection[chosen ? "add" : "delete"](row.id);
    const element = this.#list.row(index);
    if (!present) this.#list.renew(index);
    else if (element) {
      element.classList.toggle("selected", chosen);
      element.setAttribute("aria-selected", String(chosen));
      this.#list.keep(index);
    }
  }

  #selectShown(chosen) {
    for (const row of this.selectable()) this.#store.selection[chosen ? "add" : "delete"](row.id);
    this.#list.redraw(this.#store.shown.length);
    this.#drawSelected();
    this.onselect();
  }

  #key(event) {
    const steps = {
      ArrowDown: 1,
      ArrowUp: -1,
      PageDown: PAGE_ROWS,
      PageUp: -PAGE_ROWS,
      Home: -Infinity,
      End: Infinity,
    };
    const step = steps[event.key];
    if (step === undefined || event.altKey || event.ctrlKey || event.metaKey) return;
    event.preventDefault();
    this.#focus(Math.max(0, Math.min(this.#store.shown.length - 1, this.#active + step)));
  }

  #entered(event) {
    const row = event.target.closest("[aria-rowindex]");
    if (!row) return;
    this.#column = event.target.matches("input") ? "check" : "link";
    const before = this.#active;
    this.#active = Number(row.getAttribute("aria-rowindex")) - 2;
    if (before === this.#active) return;
    this.#reach(before, -1);
    this.#reach(this.#active, 0);
  }

  #reach(index, tabindex) {
    for (const control of this.#list.row(index)?.querySelectorAll("a, input") ?? []) control.tabIndex = tabindex;
    this.#list.keep(index);
  }

  #focus(index) {
    const row = this.#list.reveal(index);
    const control = (this.#column === "check" && row?.querySelector("input")) || row?.querySelector("a");
    const column = this.#column;
    control?.focus({ preventScroll: true });
    this.#column = column; // a row without a box is passed on the link, and the next one is on its box again
  }
}

// connection and VM, weaker where the other side says the same
function hosting(here, other, error = null) {
  const same = (field) => other !== null && here[field] === other[field];
  const connection = here.hostingConnection ?? "no hosting connection";
  return [
    el("span", { class: same("hostingConnection") ? "line same" : "line" }, name(connection)),
    error
      ? el("span", { class: "line error", title: error }, name(error))
      : el(
          "span",
          { class: same("hostedMachineId") ? "line id same" : "line id" },
          here.hostedMachineId ? mono(here.hostedMachineId) : "no VM",
        ),
  ];
}
