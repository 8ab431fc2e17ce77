// The findings of one run: counts that filter when they are picked, the table, and what can be done with what is shown.

import { get } from "./api.js";
import { chart } from "./chart.js";
import * as decide from "./decide.js";
import { el, replace, tell } from "./dom.js";
import { FilterBar, filtersOfAddress, isFiltered, keepFilters, NONE } from "./filters.js";
import { findingsOf } from "./findings.js";
import { FindingsTable } from "./findings_table.js";
import { counted, number, refreshAges } from "./format.js";
import { instead } from "./instead.js";
import { canApply, canApprove, canCancel, canReview, canRollBack, isOpen, isProposed, isWritten } from "./possible.js";
import { runHead } from "./run_head.js";
import { sift } from "./sift.js";
import { title } from "./shell.js";
import { FINDINGS, spoken, STATES } from "./words.js";

const SEARCH_REST_MS = 120;

export class RunFindings {
  #run = null;
  #changed = () => {};
  #signal;
  #store;
  #filters = filtersOfAddress();
  #connections = new Map();
  #timer = 0;
  #placed = false;
  #ready = false;
  #head = el("div", { class: "run-head" });
  #charts = el("div", { class: "charts" });
  #bar;
  #many = el("div", { class: "many" });
  #table;
  #below = el("div", {});
  #chosen = el("div", { class: "chosen", role: "region", "aria-label": "Selection" });

  constructor(box, runId, signal) {
    this.#signal = signal;
    this.#store = findingsOf(runId);
    this.#bar = new FilterBar(this.#filters, (changes) => this.#filter(changes));
    this.#table = new FindingsTable(this.#store, {
      sort: () => this.#filters.sort,
      onsort: (sort) => this.#filter({ sort }),
      onselect: () => this.#drawChosen(),
      signal,
    });
    const keys = el(
      "p",
      { id: "findings-keys", class: "unseen" },
      "Arrow keys go from row to row, Space selects, Enter opens a machine.",
    );
    this.#store.query = location.search;
    box.append(
      this.#head,
      this.#charts,
      this.#bar.element,
      this.#many,
      keys,
      this.#table.element,
      this.#below,
      this.#chosen,
    );
    this.#store.addEventListener("change", () => this.#came(), { signal });
    addEventListener("scroll", () => this.#placed && (this.#store.place = scrollY), { passive: true, signal });
  }

  draw(run, changed) {
    const first = this.#run === null;
    this.#run = run;
    this.#changed = changed;
    title(`${run.profile} ${spoken(run.status)}`);
    if (first) this.#askConnections();
    this.#drawHead();
    this.#drawRows();
    this.#store.bring(run);
    if (first) {
      scrollTo(0, this.#store.place);
      this.#placed = true;
    }
  }

  same(run) {
    refreshAges(this.#head);
    this.#store.bring(run); // only where what is here is another, or did not come through
  }

  #came() {
    if (this.#run && this.#ready !== this.#store.complete) this.#drawHead();
    this.#drawRows();
  }

  // what is done to all of them is offered once all of them are here
  #drawHead() {
    this.#ready = this.#store.complete;
    replace(this.#head, runHead(this.#run, "findings", this.#actions()));
  }

  // which cluster a hosting connection belongs to, as the profile says today
  async #askConnections() {
    try {
      const { profile } = await get(`/profiles/${encodeURIComponent(this.#run.profile)}`, { signal: this.#signal });
      for (const { name, hostingConnection } of profile?.clusters ?? []) {
        const key = hostingConnection.toLowerCase();
        this.#connections.set(key, [...(this.#connections.get(key) ?? []), name]);
      }
      this.#drawRows();
    } catch {
      // a profile that was removed since: candidates still name their clusters
    }
  }

  #clustersOf = (finding) => {
    const named = finding.candidates.map((candidate) => candidate.cluster);
    for (const hosting of [finding.from, finding.to]) {
      named.push(...(this.#connections.get(hosting?.hostingConnection?.toLowerCase()) ?? []));
    }
    return named;
  };

  #filter(changes) {
    this.#filters = { ...this.#filters, ...changes };
    keepFilters(this.#filters);
    this.#store.query = location.search;
    this.#table.reset();
    clearTimeout(this.#timer);
    // whoever types does not wait for 20,000 rows at each letter
    this.#timer = setTimeout(
      () => {
        if (this.#signal.aborted) return;
        this.#drawRows();
        tell(`${counted(this.#store.shown.length, "finding")} shown.`);
      },
      "q" in changes ? SEARCH_REST_MS : 0,
    );
  }

  #drawRows() {
    const { rows } = this.#store;
    const run = this.#run;
    if (!run) return;
    this.#store.shown = sift(rows, this.#filters, this.#clustersOf);
    const catalogs = new Set(rows.map((row) => row.finding.machine.catalog).filter(Boolean));
    const clusters = new Set(rows.flatMap((row) => this.#clustersOf(row.finding)));
    this.#bar.show(this.#filters, catalogs, clusters);
    this.#drawCharts();
    this.#drawMany();
    const there = this.#store.shown.length > 0;
    this.#table.element.hidden = !there;
    this.#bar.element.hidden = !rows.length;
    if (there) this.#table.show(run);
    replace(this.#below, there ? null : instead(run, this.#store, this.#filters));
    this.#drawChosen();
  }

  #drawCharts() {
    const { findings } = this.#run.counts;
    const states = this.#store.states() ?? this.#run.counts.states;
    const charts = [
      ["Findings", findings, FINDINGS, "finding"],
      ["States of the remaps", states, STATES, "state"],
    ];
    replace(
      this.#charts,
      charts
        .filter(([, counts]) => Object.keys(counts).length)
        .map(([label, counts, meanings, kind]) =>
          chart({
            label,
            counts,
            meanings,
            kind,
            picked: this.#filters[kind],
            onpick: (word) => this.#filter({ [kind]: word }),
          }),
        ),
    );
  }

  #drawMany() {
    const { shown, rows, complete, problem } = this.#store;
    const total = Object.values(this.#run.counts.findings).reduce((sum, count) => sum + count, 0);
    const proposed = complete && canApprove(this.#run) ? shown.filter(isProposed) : [];
    const open = complete && canReview(this.#run) ? shown.filter(isOpen) : [];
    const text = isFiltered(this.#filters)
      ? `${number(shown.length)} of ${counted(rows.length, "finding")} shown`
      : counted(rows.length, "finding");
    replace(
      this.#many,
      rows.length > 0 &&
        el(
          "p",
          { class: "small" },
          text,
          !complete && !problem && ` · loading ${number(rows.length)} of ${number(total)} …`,
        ),
      problem &&
        el(
          "p",
          { class: "callout bad" },
          problem.message,
          " ",
          el("button", { type: "button", onclick: () => this.#store.bring(this.#run, { anew: true }) }, "Try again"),
        ),
      isFiltered(this.#filters) &&
        el(
          "button",
          {
            type: "button",
            id: "clear",
            class: "quiet",
            onclick: () => this.#filter({ ...NONE, sort: this.#filters.sort }),
          },
          "Show all",
        ),
      this.#button("approve-shown", "Approve", decide.approve, proposed, "primary", " shown"),
      this.#button("reject-shown", "Reject", decide.reject, open, null, " shown"),
    );
  }

  #actions() {
    const run = this.#run;
    const button = (id, text, action, tone = null) =>
      el("button", { type: "button", id, class: tone, onclick: action }, text);
    return [
      this.#ready &&
        canApply(run) &&
        button(
          "apply",
          `Apply ${number(run.counts.states.approved)} approved …`,
          () => decide.apply(run, this.#store, this.#changed),
          "primary",
        ),
      this.#ready && canRollBack(run) && button("rollback", "Roll back …", () => this.#decide(decide.rollBack, null)),
      canCancel(run) && button("cancel", "Cancel …", () => decide.cancel(run, this.#changed)),
    ];
  }

  #drawChosen() {
    const { selection, byId } = this.#store;
    const rows = [...selection].map((id) => byId.get(id)).filter(Boolean);
    const proposed = canApprove(this.#run) ? rows.filter(isProposed) : [];
    const open = canReview(this.#run) ? rows.filter(isOpen) : [];
    const written = canRollBack(this.#run) ? rows.filter(isWritten) : [];
    const shown = rows.length ? new Set(this.#store.shown) : null;
    const hidden = rows.filter((row) => !shown.has(row)).length;
    this.#chosen.hidden = !(open.length || written.length);
    replace(
      this.#chosen,
      el("span", { role: "status" }, `${number(rows.length)} selected`, hidden > 0 && `, ${number(hidden)} not shown`),
      this.#button("approve-selected", "Approve", decide.approve, proposed, "primary"),
      this.#button("reject-selected", "Reject", decide.reject, open),
      this.#button("rollback-selected", "Roll back", decide.rollBack, written),
      el("button", { type: "button", id: "unselect", class: "quiet", onclick: () => this.#unselect() }, "Select none"),
    );
  }

  // nothing where there is nothing to do it to
  #button(id, text, action, rows, tone = null, which = "") {
    if (!rows.length) return null;
    return el(
      "button",
      { type: "button", id, class: tone, onclick: () => this.#decide(action, rows) },
      `${text} ${number(rows.length)}${which} …`,
    );
  }

  #unselect() {
    this.#store.selection.clear();
    this.#table.show(this.#run);
    this.#drawChosen();
    document.getElementById("select-shown")?.focus();
  }

  #decide(action, rows) {
    action(this.#run, this.#store, rows, (run) => {
      for (const row of (run && rows) ?? []) this.#store.selection.delete(row.id);
      this.#changed(run);
    });
  }
}
