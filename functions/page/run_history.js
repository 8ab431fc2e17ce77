// What happened in a run: its steps, the clusters that it read, what was asked, and who did what.

import { get, query } from "./api.js";
import { el, mono, name, replace } from "./dom.js";
import { FOLLOWED, findingsOf } from "./findings.js";
import { number, refreshAges, time } from "./format.js";
import { address } from "./router.js";
import { runHead } from "./run_head.js";
import { title } from "./shell.js";
import { failure } from "./states.js";
import { spoken } from "./words.js";

const PAGE = 200;
const MOST_NAMED = 8;

export class RunHistory {
  #signal;
  #store;
  #box;
  #events = el("div", {});
  #known = []; // the events that are here
  #reading = 0;

  constructor(box, runId, signal) {
    this.#box = box;
    this.#signal = signal;
    this.#store = findingsOf(runId);
    replace(this.#events, eventsLoad());
    this.#store.addEventListener("change", () => this.#known.length && this.#draw(), { signal });
  }

  draw(run) {
    title(`${run.profile} ${spoken(run.status)}`);
    replace(
      this.#box,
      runHead(run, "history", []),
      el(
        "div",
        { class: "history" },
        el("section", {}, el("h2", {}, "Steps"), steps(run)),
        el("section", {}, el("h2", {}, "Clusters"), clusters(run)),
        el("section", {}, el("h2", {}, "What was asked"), asked(run)),
        Object.values(run.unmatched ?? {}).some((names) => names.length) &&
          el("section", {}, el("h2", {}, "Names that match nothing"), unmatched(run)),
        el("section", { class: "wide" }, el("h2", {}, "Events"), this.#events),
      ),
    );
    // the names of the machines; of a very large run the ids have to do where nobody loaded them
    const findings = Object.values(run.counts.findings).reduce((sum, count) => sum + count, 0);
    if (findings <= FOLLOWED) this.#store.bring(run);
    this.#read(Math.max(PAGE, this.#known.length));
  }

  same() {
    refreshAges(this.#box);
  }

  /** Reads the first `most` events; what an older reading brings after this one is left aside. */
  async #read(most) {
    const reading = (this.#reading += 1);
    const found = [];
    let cursor = null;
    try {
      do {
        const path = `/runs/${encodeURIComponent(this.#store.runId)}/events`;
        const page = await get(path + query({ limit: PAGE, cursor }), { signal: this.#signal });
        found.push(...page.items);
        cursor = page.cursor;
      } while (cursor !== null && found.length < most);
    } catch (problem) {
      if (this.#signal.aborted || reading !== this.#reading) return;
      return replace(
        this.#events,
        failure(problem, () => this.#read(most)),
      );
    }
    if (reading !== this.#reading) return;
    this.#known = found;
    this.#draw(cursor !== null);
  }

  #draw(more = this.#events.querySelector("#more-events") !== null) {
    const { byId } = this.#store;
    const link = (id) =>
      el(
        "a",
        { href: byId.has(id) ? this.#store.machine(byId.get(id)) : address("runs", this.#store.runId, "machines", id) },
        name(byId.get(id)?.finding.machine.name ?? `machine ${id.slice(0, 8)}`),
      );
    const button = el(
      "button",
      { type: "button", id: "more-events", onclick: () => this.#read(this.#known.length + PAGE) },
      "More",
    );
    replace(
      this.#events,
      el(
        "ol",
        { class: "events" },
        grouped(this.#known).map((group) => eventLine(group, link)),
      ),
      more && el("p", { class: "actions" }, button),
    );
  }
}

function steps(run) {
  if (!run.steps.length) return el("p", { class: "quiet" }, "None yet.");
  const lines = run.steps.map((step) =>
    el(
      "li",
      { class: `step step-${step.status}` },
      el(
        "div",
        {},
        el("strong", {}, spoken(step.name)),
        " ",
        el("span", { class: "small" }, step.status),
        " ",
        time(step.at),
      ),
      step.detail && el("p", {}, name(step.detail)),
    ),
  );
  return el("ol", { class: "steps" }, lines);
}

function clusters(run) {
  if (!run.clusters.length) return el("p", { class: "quiet" }, "None was read yet.");
  const lines = run.clusters.map((cluster) =>
    el(
      "li",
      { class: `step step-${cluster.error ? "failed" : "done"}` },
      el(
        "div",
        {},
        el("strong", {}, name(cluster.name)),
        " ",
        el("span", { class: "small" }, `${cluster.status} · ${cluster.api} · ${number(cluster.vms)} VMs`),
      ),
      cluster.error && el("p", {}, name(cluster.error)),
    ),
  );
  return el("ul", { class: "steps" }, lines);
}

function asked(run) {
  const facts = [
    ["Run", mono(run.id)],
    ["Plan", run.fingerprint && mono(run.fingerprint)],
    ["Target", run.target && name(run.target)],
    ["Limits", `${number(run.limits.maxChanges)} remaps, ${run.limits.maxChangePercent}\u00a0% of the machines in scope`],
    ["Out of scope", run.counts.outOfScope > 0 && `${number(run.counts.outOfScope)} machines`],
    ["Settles for", run.settleSeconds > 0 && `${number(run.settleSeconds)} s`],
    ["Incident began", run.incidentStart && time(run.incidentStart)],
    ["Approved by", run.approvedBy && name(run.approvedBy)],
    ["Cancelled by", run.cancelledBy && name(run.cancelledBy)],
  ].filter(([, value]) => value);
  return el(
    "dl",
    { class: "facts" },
    facts.map(([key, value]) => [el("dt", {}, key), el("dd", {}, value)]),
  );
}

function unmatched(run) {
  return Object.entries(run.unmatched)
    .filter(([, names]) => names.length)
    .map(([key, names]) =>
      el(
        "p",
        {},
        el("strong", {}, `${key}: `),
        names.map((each, index) => [index > 0 && ", ", name(each)]),
      ),
    );
}

// what was done to several machines in one go is told once, and then of each: here that is one line
function grouped(events) {
  const groups = new Map();
  for (const event of events) {
    const key = JSON.stringify([event.at, event.actor, event.action, event.detail]);
    if (!groups.has(key)) groups.set(key, { ...event, machines: [] });
    if (event.machine) groups.get(key).machines.push(event.machine);
  }
  return [...groups.values()];
}

export function eventsLoad() {
  return el("p", { class: "quiet", "aria-busy": "true" }, "Loading the events …");
}

/** One event as a line; `link(id)` leads to one of the `machines` that it is about. */
export function eventLine(event, link = null) {
  const machines = (link && event.machines) || [];
  return el(
    "li",
    {},
    el("span", { class: "when" }, time(event.at)),
    el("span", {}, el("strong", {}, name(event.actor)), " ", spoken(event.action)),
    el(
      "span",
      { class: "detail" },
      name(event.detail),
      machines.length > 0 &&
        el(
          "span",
          { class: "machines" },
          machines.slice(0, MOST_NAMED).map(link),
          machines.length > MOST_NAMED && el("span", {}, `and ${number(machines.length - MOST_NAMED)} more`),
        ),
    ),
  );
}
