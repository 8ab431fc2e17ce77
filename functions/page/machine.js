// One machine of a run: from and to side by side, the evidence in sentences, every candidate, its events, a decision.

import { get, query } from "./api.js";
import * as decide from "./decide.js";
import { el, mono, name, replace } from "./dom.js";
import { findingsOf } from "./findings.js";
import { followRun } from "./follow_run.js";
import { canApprove, canResolve, canReview, canRollBack, isOpen, isProposed, isWritten } from "./possible.js";
import { address } from "./router.js";
import { eventLine } from "./run_history.js";
import { runTitle } from "./run_head.js";
import { title } from "./shell.js";
import { callout, empty, failure, loading } from "./states.js";
import { confidence, evidenceWord, findingTag, spoken, stateTag, statusTag } from "./words.js";

const EVENTS_PAGE = 1000;

export function showMachine(outlet, [runId, machineId], signal) {
  const store = findingsOf(runId);
  const box = el("div", { class: "machine" });
  const events = el("div", {});
  let run = null;
  let drawn = "";
  title("Machine");
  outlet.append(box);
  replace(box, loading("Loading the machine", "h1"));

  function draw() {
    const row = store.byId.get(machineId);
    if (signal.aborted || !run) return;
    const text = JSON.stringify([
      run.status,
      run.fingerprint,
      run.counts,
      run.closed ?? String(run.closed),
      row?.finding,
      store.complete,
    ]);
    if (text === drawn) return;
    drawn = text;
    if (row) {
      title(row.finding.machine.name);
      replace(box, drawMachine(run, store, row, changed), section("Events", events));
      drawEvents(events, runId, machineId, signal);
    } else if (store.problem)
      replace(
        box,
        failure(store.problem, () => store.bring(run, { anew: true }), "h1"),
      );
    else if (store.complete) {
      const back = el("a", { class: "button", href: address("runs", runId) }, "To the run");
      replace(
        box,
        empty(
          "Not in this run",
          "The run has no finding for a machine with this id. A scheduled run keeps none for aligned machines.",
          back,
        ),
      );
    }
  }

  function looked(next) {
    run = next;
    store.bring(run);
    draw();
  }

  function failed(problem, look) {
    if (!run || problem.signedOut) replace(box, failure(problem, look, "h1"));
  }

  store.addEventListener("change", draw, { signal });
  const changed = followRun(runId, signal, looked, failed);
}

function drawMachine(run, store, row, changed) {
  const { machine, finding, state, confidence: sure, explanation, error, from, to, reason } = row.finding;
  const where = [machine.dnsName, machine.catalog, machine.deliveryGroup].filter(Boolean);
  return [
    el(
      "p",
      { class: "back" },
      el("a", { href: back(store) }, "Run ", runTitle(run)),
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
    fromTo(from, to),
    section("Evidence", evidence(row.finding)),
    section(row.finding.candidates.length === 1 ? "The one candidate" : "Candidates", candidates(run, row, changed)),
  ];
}

function back(store) {
  return address("runs", store.runId);
}

// the one before and the one after, in the order of the table that somebody came from
function neighbours(store, row) {
  const rows = store.shown.length ? store.shown : store.rows;
  const at = rows.findIndex((each) => each.id === row.id);
  if (at < 0) return null;
  const link = (text, other) => other && el("a", { href: address("runs", store.runId, "machines", other.id) }, text);
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

function fromTo(from, to) {
  return el(
    "div",
    { class: "from-to" },
    side("Citrix has", from, to),
    to && el("span", { class: "arrow", "aria-hidden": "true" }, "→"),
    to && side("It will have", to, from),
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
      columns.map(([, cell]) => el("td", { role: "cell" }, cell(candidate, index))),
    ),
  );
  return el(
    "table",
    { class: "plain", role: "table", "aria-label": "Candidates" },
    el("thead", { role: "rowgroup" }, el("tr", { role: "row" }, head)),
    el("tbody", { role: "rowgroup" }, lines),
  );
}

async function drawEvents(box, runId, machineId, signal) {
  const found = [];
  let cursor = null;
  try {
    do {
      const page = await get(`/runs/${encodeURIComponent(runId)}/events${query({ limit: EVENTS_PAGE, cursor })}`, {
        signal,
      });
      found.push(...page.items.filter((event) => event.machine === machineId));
      cursor = page.cursor;
    } while (cursor !== null);
  } catch (problem) {
    if (!signal.aborted) replace(box, el("p", { class: "callout bad" }, problem.message));
    return;
  }
  const quiet = el(
    "p",
    { class: "quiet" },
    "None of this machine alone. What was done to many at once stands under What happened of the run.",
  );
  replace(
    box,
    found.length
      ? el(
          "ol",
          { class: "events" },
          found.map((event) => eventLine(event, null)),
        )
      : quiet,
  );
}

function section(heading, content) {
  return el("section", { class: "block" }, el("h2", {}, heading), content);
}
