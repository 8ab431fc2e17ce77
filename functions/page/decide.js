// The questions before a decision: how many machines, from where to where, and what speaks against it.

import { send } from "./api.js";
import { ask, commentField } from "./dialog.js";
import { el, name, tell } from "./dom.js";
import { counted, number } from "./format.js";
import { isApproved, isOpen, isProposed, isWritten } from "./possible.js";
import { callout } from "./states.js";
import { CONFIDENCES, spoken } from "./words.js";

/** `done(run)` gets the run as it is afterwards, here and below: null where it was refused, or nobody knows. */
export function approve(run, store, rows, done) {
  const chosen = rows.filter(isProposed);
  const before = run.counts.states.approved ?? 0;
  const plan = store.fingerprint; // what this question shows: the one that is known when it is answered may be another
  ask({
    title: `Approve ${counted(chosen.length, "remap")}`,
    body: [
      el("p", {}, `${counted(chosen.length, "machine record")} in Citrix will be changed:`),
      ways(chosen, (finding) => [finding.from, finding.to]),
      certainty(chosen),
      run.guards.map((guard) => callout("warning", spoken(guard.name), name(guard.explanation))),
      before > 0 &&
        callout("note", "Approved before.", `Whoever applies now applies ${counted(before, "other remap")} as well.`),
      commentField(),
      el(
        "label",
        { class: "choice" },
        el("input", { type: "checkbox", name: "apply", checked: true }),
        el("span", {}, "Apply at once. Without it they are only approved."),
      ),
    ],
    confirm: `Approve ${number(chosen.length)}`,
    send: (form) => decided(run, plan, "approve", chosen, form, { apply: form.has("apply") }),
    ...ends(`${counted(chosen.length, "remap")} approved.`, done),
  });
}

export function reject(run, store, rows, done) {
  const chosen = rows.filter(isOpen);
  const plan = store.fingerprint;
  ask({
    title: `Reject ${counted(chosen.length, "remap")}`,
    body: [
      el("p", {}, "They will not be applied, and in this run that is for good. Citrix keeps what it has:"),
      ways(chosen, (finding) => [finding.from, finding.to]),
      commentField(),
    ],
    confirm: `Reject ${number(chosen.length)}`,
    tone: "danger",
    send: (form) => decided(run, plan, "reject", chosen, form),
    ...ends(`${counted(chosen.length, "remap")} rejected.`, done),
  });
}

/** Applies what is approved, as far as it is here: what somebody approves meanwhile was not asked about. */
export function apply(run, store, done) {
  const chosen = store.rows.filter(isApproved);
  ask({
    title: `Apply ${counted(chosen.length, "approved remap")}`,
    body: [
      el("p", {}, "Citrix is read again right before; what no longer fits is left as it is."),
      ways(chosen, (finding) => [finding.from, finding.to]),
      commentField(),
    ],
    confirm: `Apply ${number(chosen.length)}`,
    send: (form) => ordered(run, "apply", chosen, form),
    ...ends(`Applying ${counted(chosen.length, "remap")}.`, done),
  });
}

/** Rolls back what the run wrote: `rows`, or with null all of it, of which the API knows more than is here. */
export function rollBack(run, store, rows, done) {
  const chosen = (rows ?? store.rows).filter(isWritten);
  const unsure = chosen.filter((row) => row.finding.state === "failed").length;
  ask({
    title: `Roll back ${counted(chosen.length, "machine")}`,
    body: [
      el(
        "p",
        {},
        "They get again what Citrix held before, right or wrong, where they still have what this run gave them:",
      ),
      ways(chosen, (finding) => [finding.to, finding.from]),
      unsure > 0 &&
        callout(
          "note",
          "Failed remaps.",
          `${counted(unsure, "of them", "of them")} may never have been written; those stay as they are.`,
        ),
      commentField(),
    ],
    confirm: `Roll back ${number(chosen.length)}`,
    tone: "danger",
    send: (form) => ordered(run, "rollback", rows && chosen, form),
    ...ends(`Rolling back ${counted(chosen.length, "machine")}.`, done),
  });
}

export function cancel(run, done) {
  const writes = run.status === "applying";
  ask({
    title: "Cancel this run",
    body: [
      el(
        "p",
        {},
        writes
          ? "It stops between two batches. What was applied stays, and can be rolled back."
          : "Nothing was written by it yet, and nothing will be. Its proposals can no longer be approved.",
      ),
      commentField(),
    ],
    confirm: "Cancel the run",
    tone: "danger",
    send: (form) => ordered(run, "cancel", null, form),
    ...ends(writes ? "The run stops between two batches." : "The run is cancelled.", done),
  });
}

/** A person says which VM a machine has. */
export function resolve(run, row, candidate, done) {
  const { machine, from } = row.finding;
  ask({
    title: "Choose this VM",
    body: [
      el("p", {}, name(machine.name), " becomes a proposed remap. Somebody still has to approve it."),
      el(
        "dl",
        { class: "facts" },
        el("dt", {}, "VM"),
        el("dd", {}, name(candidate.name), " ", el("bdi", { class: "mono" }, candidate.uuid)),
        el("dt", {}, "Cluster"),
        el("dd", {}, name(candidate.cluster)),
        el("dt", {}, "Power"),
        el("dd", {}, candidate.powerState),
        el("dt", {}, "Citrix has now"),
        el(
          "dd",
          {},
          name(from.hostingConnection ?? "no hosting connection"),
          " ",
          el("bdi", { class: "mono" }, from.hostedMachineId ?? ""),
        ),
      ),
      commentField({ required: true }),
    ],
    confirm: "Choose this VM",
    send: (form) =>
      send("POST", `${path(run)}/resolve`, {
        machine: row.id,
        candidate: { cluster: candidate.cluster, uuid: candidate.uuid },
        comment: form.get("comment"),
      }),
    ...ends(`${machine.name}: the VM is chosen. It is a proposed remap now.`, done),
  });
}

// from one hosting connection to another, and how many machines go that way
function ways(rows, ends) {
  const counts = new Map();
  for (const { finding } of rows) {
    const [from, to] = ends(finding);
    const key = JSON.stringify([from?.hostingConnection ?? null, to?.hostingConnection ?? null]);
    counts.set(key, (counts.get(key) ?? 0) + 1);
  }
  const lines = [...counts]
    .sort((a, b) => b[1] - a[1])
    .map(([key, count]) => {
      const [from, to] = JSON.parse(key);
      const there = from === to ? "the same, another VM" : name(to ?? "none");
      return el(
        "tr",
        {},
        el("td", {}, name(from ?? "none")),
        el("td", {}, there),
        el("td", { class: "number" }, number(count)),
      );
    });
  const head = el(
    "tr",
    {},
    el("th", { scope: "col" }, "From"),
    el("th", { scope: "col" }, "To"),
    el("th", { scope: "col", class: "number" }, "Machines"),
  );
  return el(
    "table",
    { class: "ways" },
    el("caption", { class: "unseen" }, "Hosting connections"),
    el("thead", {}, head),
    el("tbody", {}, lines),
  );
}

function certainty(rows) {
  const counts = CONFIDENCES.map((word) => [word, rows.filter((row) => row.finding.confidence === word).length]);
  const there = counts.filter(([, count]) => count > 0).map(([word, count]) => `${number(count)} ${word}`);
  const weak = counts.at(-1)[1];
  return [
    there.length > 0 && el("p", { class: "small" }, `Confidence: ${there.join(", ")}.`),
    weak > 0 &&
      callout(
        "warning",
        "Weak evidence.",
        `${counted(weak, "of them rests", "of them rest")} on name and power state alone.`,
      ),
  ];
}

function decided(run, plan, action, rows, form, more = {}) {
  return ordered(run, action, rows, form, { fingerprint: plan, ...more });
}

async function ordered(run, action, rows, form, more = {}) {
  const machines = rows ? { machines: rows.map((row) => row.id) } : {};
  try {
    return await send("POST", `${path(run)}/${action}`, { ...machines, ...comment(form), ...more });
  } catch (problem) {
    throw inNames(problem, rows ?? []);
  }
}

// the API names machines by their ids
function inNames(problem, rows) {
  const named = rows.filter((row) => problem.document?.machines?.includes(row.id));
  for (const { id, finding } of named) problem.message = problem.message.replaceAll(id, () => finding.machine.name);
  return problem;
}

function comment(form) {
  const text = (form.get("comment") ?? "").trim();
  return text ? { comment: text } : {};
}

function ends(text, done) {
  return {
    done: (run) => {
      tell(text);
      done(run);
    },
    refused: () => done(null),
  };
}

function path(run) {
  return `/runs/${encodeURIComponent(run.id)}`;
}
