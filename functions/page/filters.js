// What is shown of a run's findings: kept in the address, so that a link shows the same.

import { el, replace } from "./dom.js";
import { keepQuery } from "./router.js";

export const NONE = { q: "", finding: "", state: "", catalog: "", cluster: "", sort: "finding" };

export function filtersOfAddress() {
  const asked = new URLSearchParams(location.search);
  return Object.fromEntries(Object.entries(NONE).map(([key, value]) => [key, asked.get(key) ?? value]));
}

export function keepFilters(filters) {
  keepQuery(Object.fromEntries(Object.entries(filters).filter(([key, value]) => value !== NONE[key])));
}

export function isFiltered(filters) {
  return Object.keys(NONE).some((key) => key !== "sort" && filters[key]);
}

/** Search and two choices. `set(changes)` is called with what somebody changed. */
export class FilterBar {
  #set;
  #search;
  #catalog = el("select", { id: "catalog", onchange: (event) => this.#set({ catalog: event.target.value }) });
  #cluster = el("select", { id: "cluster", onchange: (event) => this.#set({ cluster: event.target.value }) });

  constructor(filters, set) {
    this.#set = set;
    this.#search = el("input", {
      id: "search",
      type: "search",
      value: filters.q,
      placeholder: "Machine, VM, id, connection",
      autocomplete: "off",
      spellcheck: "false",
      oninput: () => this.#set({ q: this.#search.value }),
    });
    this.element = el(
      "div",
      { class: "filters", role: "search" },
      field("Search", this.#search),
      field("Catalog", this.#catalog),
      field("Cluster", this.#cluster),
    );
  }

  /** The choices that the rows give, and the filters as they are now. */
  show(filters, catalogs, clusters) {
    if (this.#search.value !== filters.q) this.#search.value = filters.q;
    fill(this.#catalog, "All catalogs", catalogs, filters.catalog);
    fill(this.#cluster, "All clusters", clusters, filters.cluster);
  }
}

function fill(select, all, values, chosen) {
  const wanted = [...new Set([...values, ...(chosen ? [chosen] : [])])].sort();
  const text = JSON.stringify(wanted);
  // drawn anew only for other choices: a list that somebody has open would close
  if (select.dataset.values !== text) {
    select.dataset.values = text;
    replace(
      select,
      el("option", { value: "" }, all),
      wanted.map((value) => option(value)),
    );
  }
  select.value = chosen;
}

// the value stays what the API said; only what is shown passes through `plain`
function option(value) {
  const element = el("option", {}, value);
  element.value = value;
  return element;
}

function field(label, control) {
  return el("div", { class: "field" }, el("label", { for: control.id }, label), control);
}
