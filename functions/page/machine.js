// One machine of a run: from and to side by side, the evidence in sentences, every candidate, its events, a decision.

import { get, query } from "./api.js";
import * as decide from "./decide.js";
import { el, mono, name, replace } from "./dom.js";
import { findingsOf } from "./findings.js";
import { canApprove, canResolve, canReview, canRollBack, isOpen, isProposed, isWritten } from "./possible.js";
import { eventLine, eventsLoad } from "./run_history.js";
import { runTitle } from "./run_head.js";
import { title } from "./shell.js";
import { callout, empty, failure, loading } from "./states.js";
import { watchRun } from "./watch_run.js";
import { confidence, evidenceWord, findingTag, spoken, stateTag, statusTag } from "./words.js";

const EVENTS_PAGE = 1000;

// what stands on the two sides, by how far the remap is
const SIDES = {
  proposed: ["Citrix has", "It would have"],
  approved: ["Citrix has", "It will have"],
  applying: ["Citrix had", "It is to have"],
  applied: ["Citrix had", "It was given"],
  verified: ["Citrix had", "It has now"],
  failed: ["Citrix had", "It was to have"],
  superseded: ["Citrix had", "It was to have"],
  rejected: ["Citrix has", "It would have had"],
  "rolled-back": ["Citrix has again", "The run had given it"],
  "rollback-failed": ["Citrix had", "The run gave it"],
};

export function showMachine(outlet, [runId, machineId], signal) {
  title("Machine");
  watchRun(outlet, runId, signal, "the machine", (box, during) => new Machine(box, runId, machineId, during));
}

class Machine {
  #box;
  #id;
  #signal;
  #store;
  #run = null;
  #changed = null;
  #early = null; // the page that the address names
  #drawn = "";
  #events = el("div", {});
  #reading = 0;

  constructor(box, runId, machineId, signal) {
    box.className = "machine";
    this.#box = box;
    this.#id = machineId;
    this.#signal = signal;
    this.#store = findingsOf(runId);
    replace(box, loading("Loading the machine", "h1"));
    replace(this.#events, eventsLoad());
    this.#store.addEventListener("change", () => this.#draw(), { signal });
  }

  draw(run, changed) {
    this.#run = run;
    this.#changed = changed;
    this.#bring();
    this.#draw();
  }

  same() {
    this.#bring();
  }

  async #bring() {
    this.#early ??= this.#store.bringPage(this.#run, new URLSearchParams(location.search).get("page"));
    await this.#early;
    this.#store.bring(this.#run);
  }

  #draw() {
    const [store, run] = [this.#store, this.#run];
    const row = store.byId.get(this.#id);
    if (!run) return;
    const text = JSON.stringify([
      run.status,
      run.fingerprint,
      run.counts,
      run.closed ?? String(run.closed),
      row?.finding,
      store.complete,
      store.problem?.message,
    ]);
    if (text === this.#drawn) return;
    this.#drawn = text;
    if (row) {
      title(row.finding.machine.name);
      replace(this.#box, drawMachine(run, store, row, this.#changed), section("Events", this.#events));
      this.#readEvents();
    } else if (store.problem)
      replace(
        this.#box,
        failure(store.problem, () => store.bring(run, { anew: true }), "h1"),
      );
    else if (run.fingerprint === null || store.complete) replace(this.#box, nothing(store));
  }

  async #readEvents() {
    const reading = (this.#reading += 1);
    const found = [];
    let cursor = null;
    let problem = null;
    try {
      do {
        const path = `/runs/${encodeURIComponent(this.#store.runId)}/events`;
        const page = await get(path + query({ limit: EVENTS_PAGE, cursor }), { signal: this.#signal });
        found.push(...page.items.filter((event) => event.machine === this.#id));
        cursor = page.cursor;
      } while (cursor !== null);
    } catch (failed) {
      problem = failed;
    }
    if (this.#signal.aborted || reading !== this.#reading) return;
    replace(this.#events, problem ? el("p", { class: "callout bad" }, problem.message) : eventsOf(found));
  }
}

function nothing(store) {
  const text = store.complete
    ? "The run has no finding for a machine with this id. A scheduled run keeps none for aligned machines."
    : "The run has compared no machine.";
  const back = el("a", { class: "button", href: store.address }, "To the run");
  return empty("Not in this run", text, back, "h1");
}

function eventsOf(found) {
  if (found.length)
    return el(
      "ol",
      { class: "events" },
      found.map((event) => eventLine(event)),
    );
  const text = "None of this machine alone. What was done to many at once stands under What happened of the run.";
  return el("p", { class: "quiet" }, text);
}

function drawMachine(run, store, row, changed) {
  const { machine, finding, state, confidence: sure, explanation, error, from, to, reason } = row.finding;
  const where = [machine.dnsName, machine.catalog, machine.deliveryGroup].filter(Boolean);
  return [
    el(
      "p",
      { class: "back" },
      el("a", { href: store.address }, "Run ", runTitle(run)),
      statusTag(run.status),
      neighbours(store, row),
    ),
    el(
      "div",
      { class: "head" },
      el(
        "div",
        { class: "head-title" },
        el("h1", {}, name(machine.name)),
        findingTag(finding),
        state && stateTag(state),
        confidence(sure),
      ),
      el("div", { class: "actions" }, actions(run, store, row, changed)),
    ),
    el(
      "p",
      { class: "about" },
      where.map((each, index) => [index > 0 && " · ", name(each)]),
    ),
    el("p", { class: "lead" }, name(explanation), " ", el("span", { class: "mono reason" }, reason)),
    error && callout("bad", spoken(state ?? finding), name(error)),
    fromTo(from, to, state),
    section("Evidence", evidence(row.finding)),
    section(row.finding.candidates.length === 1 ? "The one candidate" : "Candidates", candidates(run, row, changed)),
  ];
}

// the one before and the one after, in the order of the table that somebody came from
function neighbours(store, row) {
  const rows = store.shown.length ? store.shown : store.rows;
  const at = rows.findIndex((each) => each.id === row.id);
  if (at < 0) return null;
  const link = (text, other) => other && el("a", { href: store.machine(other) }, text);
  return el("span", { class: "neighbours" }, link("Previous", rows[at - 1]), link("Next", rows[at + 1]));
}

function actions(run, store, row, changed) {
  const button = (id, text, action, tone = null) =>
    el("button", { type: "button", id, class: tone, onclick: () => action(run, store, [row], changed) }, text);
  return [
    canApprove(run) && isProposed(row) && button("approve", "Approve …", decide.approve, "primary"),
    canReview(run) && isOpen(row) && button("reject", "Reject …", decide.reject),
    canRollBack(run) && isWritten(row) && button("rollback", "Roll back …", decide.rollBack),
  ];
}

function fromTo(from, to, state) {
  const [before, after] = SIDES[state ?? "proposed"];
  return el(
    "div",
    { class: "from-to" },
    side(before, from, to),
    to && el("span", { class: "arrow", "aria-hidden": "true" }, "→"),
    to && side(after, to, from),
  );
}

function side(label, here, other) {
  const line = (text, value, field, show) => [
    el("dt", {}, text),
    el("dd", { class: other && here[field] !== other[field] ? "changes" : null }, value ? show(value) : "none"),
  ];
  return el(
    "section",
    { class: "side" },
    el("h2", {}, label),
    el(
      "dl",
      {},
      line("Hosting connection", here.hostingConnection, "hostingConnection", name),
      line("Hosted machine id", here.hostedMachineId, "hostedMachineId", mono),
    ),
  );
}

function evidence(finding) {
  if (!finding.evidence.length)
    return el("p", { class: "quiet" }, "None: nothing that was read says anything about this machine.");
  const lines = finding.evidence.map((fact) =>
    el(
      "li",
      {},
      el("span", { class: "kind" }, evidenceWord(fact.kind)),
      el("span", {}, name(fact.detail), " ", el("span", { class: "source" }, name(fact.source))),
    ),
  );
  return el("ul", { class: "evidence" }, lines);
}

function candidates(run, row, changed) {
  const { candidates: found, from, to } = row.finding;
  if (!found.length) return el("p", { class: "quiet" }, "None.");
  const same = (a, b) => a && b && a.toLowerCase() === b.toLowerCase();
  const notes = ({ uuid }) => [
    same(uuid, from.hostedMachineId) && "has the id that Citrix holds",
    same(uuid, to?.hostedMachineId) && "the one of the remap",
  ];
  const choice = (candidate, index) =>
    el(
      "button",
      {
        type: "button",
        id: `choose-${index}`,
        "aria-label": `Choose the VM ${candidate.name} on ${candidate.cluster} …`,
        onclick: () => decide.resolve(run, row, candidate, changed),
      },
      "Choose …",
    );
  const columns = [
    ["VM", (candidate) => [name(candidate.name), el("br"), mono(candidate.uuid)]],
    ["Cluster", (candidate) => name(candidate.cluster)],
    ["Power", (candidate) => el("span", { class: `power power-${candidate.powerState}` }, candidate.powerState)],
    ["Note", (candidate) => notes(candidate).filter(Boolean).join(", ")],
    ...(canResolve(run, row) ? [["Decide", choice]] : []),
  ];
  // the roles stand for themselves: on a phone the table is no table to the browser any more
  const head = columns.map(([text]) => el("th", { scope: "col", role: "columnheader" }, text));
  const lines = found.map((candidate, index) =>
    el(
      "tr",
      { role: "row" },
      columns.map(([text, cell]) => el("td", { role: "cell", "data-label": text }, cell(candidate, index))),
    ),
  );
  return el(
    "table",
    { class: "plain", role: "table", "aria-label": "Candidates" },
    el("thead", { role: "rowgroup" }, el("tr", { role: "row" }, head)),
    el("tbody", { role: "rowgroup" }, lines),
  );
}

function section(heading, content) {
  return el("section", { class: "block" }, el("h2", {}, heading), content);
}
