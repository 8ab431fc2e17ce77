// The head of one run: what it is, how far it is, what stands in its way, and what can be done with it.

import { el, name } from "./dom.js";
import { findingsOf } from "./findings.js";
import { age, counted, number, time } from "./format.js";
import { ROOT, address } from "./router.js";
import { callout } from "./states.js";
import { spoken, STATUSES, statusTag, WORKING } from "./words.js";

export function runTitle(run) {
  return [
    name(run.profile),
    run.target && [
      el("span", { class: "arrow", "aria-hidden": "true" }, "→"),
      el("span", { class: "unseen" }, " to "),
      name(run.target),
    ],
  ];
}

/** `actions` are buttons; `place` is `findings` or `history`. */
export function runHead(run, place, actions) {
  return [
    el("p", { class: "back" }, el("a", { href: ROOT }, "All runs")),
    el(
      "div",
      { class: "head" },
      el("div", { class: "head-title" }, el("h1", {}, runTitle(run)), statusTag(run.status)),
      el("div", { class: "actions" }, actions),
    ),
    el("p", { class: "about" }, about(run)),
    progress(run),
    remarks(run),
    places(run, place),
  ];
}

function about(run) {
  const parts = [
    `Mode ${run.mode}`,
    ["started by ", name(run.requestedBy), run.trigger === "hook" && " (an orchestrator)"],
    [time(run.createdAt), " (", age(run.createdAt), ")"],
    run.endedAt && ["ended ", time(run.endedAt)],
    run.reason && ["“", name(run.reason), "”"],
  ].filter(Boolean);
  return parts.map((part, index) => [index > 0 && " · ", part]);
}

function progress(run) {
  if (!WORKING.includes(run.status)) return null;
  const text = run.cancelledBy ? "stopping between two batches" : STATUSES[run.status];
  return el(
    "div",
    { class: "progress" },
    el("progress", {
      id: "progress",
      max: 100,
      value: run.progress,
      "aria-label": `${spoken(run.status)}, ${run.progress} %`,
    }),
    el("span", { class: "small" }, `${number(run.progress)} % · ${text}`),
  );
}

function remarks(run) {
  const silent = run.clusters.filter((cluster) => cluster.error);
  return [
    run.error && callout(run.status === "cancelled" ? "note" : "bad", spoken(run.status), name(run.error)),
    run.guards.map((guard) => callout("warning", `Guard ${guard.name}`, name(guard.explanation))),
    silent.map((cluster) =>
      callout("warning", ["Cluster ", name(cluster.name), ` ${cluster.status}`], name(cluster.error)),
    ),
    run.closed &&
      callout(
        "note",
        "Not open for approval.",
        run.closed.text,
        " ",
        run.closed.run && el("a", { href: address("runs", run.closed.run) }, "To the newer run"),
      ),
    run.status === "planned" &&
      run.counts.findings.remap > 0 &&
      callout("note", "A report.", "Nothing of it can be approved. To change something, start a run in mode review."),
    run.notBefore && callout("note", "Waiting", "until ", time(run.notBefore), " before it goes on by itself."),
    run.counts.unmatched > 0 &&
      callout(
        "warning",
        "Names that match nothing",
        `${counted(run.counts.unmatched, "name")} of the scope; they are listed under What happened.`,
      ),
  ];
}

function places(run, place) {
  const here = (which) => (which === place ? "page" : null);
  return el(
    "nav",
    { class: "places", "aria-label": "Run" },
    el("a", { href: findingsOf(run.id).address, "aria-current": here("findings") }, "Findings"),
    el("a", { href: address("runs", run.id, "history"), "aria-current": here("history") }, "What happened"),
    el(
      "span",
      { class: "files" },
      run.links.csv && el("a", { href: run.links.csv, download: true }, "CSV"),
      run.links.report && el("a", { href: run.links.report, target: "_blank", rel: "noopener" }, "Report"),
    ),
  );
}
