// What happened in a run: its steps, the clusters that it read, what was asked, and who did what.

import { get, query } from "./api.js";
import { el, mono, name, replace } from "./dom.js";
import { findingsOf } from "./findings.js";
import { number, time } from "./format.js";
import { address } from "./router.js";
import { runHead } from "./run_head.js";
import { failure, loading } from "./states.js";
import { spoken } from "./words.js";

const PAGE = 200;
const MOST_NAMED = 8;

export function drawHistory(box, run, changed, signal) {
  const events = box.querySelector("#events") ?? el("div", { id: "events" });
  replace(
    box,
    runHead(run, "history", []),
    el(
      "div",
      { class: "history" },
      el("section", {}, el("h2", {}, "Steps"), steps(run)),
      el("section", {}, el("h2", {}, "Clusters"), clusters(run)),
      el("section", {}, el("h2", {}, "What was asked"), asked(run)),
      Object.values(run.unmatched ?? {}).some((names) => names.length) &&
        el("section", {}, el("h2", {}, "Names that match nothing"), unmatched(run)),
      el("section", { class: "wide" }, el("h2", {}, "Events"), events),
    ),
  );
  drawEvents(events, run.id, signal);
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
    ["Limits", `${number(run.limits.maxChanges)} remaps, ${run.limits.maxChangePercent} % of the machines in scope`],
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

async function drawEvents(box, runId, signal) {
  if (!box.hasChildNodes()) replace(box, loading("Loading the events"));
  const list = el("ol", { class: "events" });
  try {
    await more(box, list, runId, null, signal);
  } catch (problem) {
    if (!signal.aborted)
      replace(
        box,
        failure(problem, () => drawEvents(box, runId, signal)),
      );
  }
}

async function more(box, list, runId, cursor, signal) {
  const page = await get(`/runs/${encodeURIComponent(runId)}/events${query({ limit: PAGE, cursor })}`, { signal });
  list.append(...grouped(page.items).map((group) => eventLine(group, runId)));
  const next =
    page.cursor &&
    el(
      "button",
      { type: "button", id: "more-events", onclick: () => more(box, list, runId, page.cursor, signal) },
      "More",
    );
  replace(box, list, next && el("p", { class: "actions" }, next));
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

/** One event as a line; with `runId` it has links to the `machines` that it is about. */
export function eventLine(event, runId) {
  const known = runId ? findingsOf(runId).byId : new Map();
  const machines = (runId && event.machines) || [];
  const links = machines
    .slice(0, MOST_NAMED)
    .map((id) => [
      " ",
      el(
        "a",
        { href: address("runs", runId, "machines", id) },
        name(known.get(id)?.finding.machine.name ?? `machine ${id.slice(0, 8)}`),
      ),
    ]);
  return el(
    "li",
    {},
    el("span", { class: "when" }, time(event.at)),
    el("span", {}, el("strong", {}, name(event.actor)), " ", spoken(event.action)),
    el(
      "span",
      { class: "detail" },
      name(event.detail),
      links,
      machines.length > MOST_NAMED && ` and ${number(machines.length - MOST_NAMED)} more`,
    ),
  );
}
