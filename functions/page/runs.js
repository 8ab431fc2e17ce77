// The runs, newest first.

import { get, query } from "./api.js";
import { bar } from "./chart.js";
import { el, name, replace } from "./dom.js";
import { ago, number, time } from "./format.js";
import { poll } from "./poll.js";
import { address, keepQuery } from "./router.js";
import { runTitle } from "./run_head.js";
import { may } from "./session.js";
import { title } from "./shell.js";
import { empty, failure, loading, stale } from "./states.js";
import { FINDINGS, spoken, STATES, STATUSES, statusTag, WORKING } from "./words.js";

const PAGE = 50;
const AT_WORK_SECONDS = 2;
const AT_REST_SECONDS = 15;

export function showRuns(outlet, _, signal) {
  const asked = new URLSearchParams(location.search);
  const filters = { profile: asked.get("profile") ?? "", status: asked.get("status") ?? "" };
  const box = el("div", {});
  const alarm = el("div", { class: "alarm", role: "alert" });
  let runs = null;
  let cursor = null;

  title("Runs");
  const profile = el(
    "select",
    { id: "profile", onchange: () => filter({ profile: profile.value }) },
    el("option", { value: "" }, "All profiles"),
  );
  const status = el(
    "select",
    { id: "status", onchange: () => filter({ status: status.value }) },
    el("option", { value: "" }, "All states"),
    Object.keys(STATUSES).map((word) => el("option", { value: word }, spoken(word))),
  );
  status.value = filters.status;
  outlet.append(
    el("div", { class: "head" }, el("h1", {}, "Runs"), el("div", { class: "actions" }, may.operate() && startLink())),
    el("div", { class: "filters", role: "search" }, field("Profile", profile), field("State", status)),
    alarm,
    box,
  );
  replace(box, loading("Loading the runs"));

  function filter(changes) {
    Object.assign(filters, changes);
    keepQuery(filters);
    runs = cursor = null;
    replace(box, loading("Loading the runs"));
    look();
  }

  async function look(before = null) {
    const asking = JSON.stringify(filters);
    try {
      const page = await get(`/runs${query({ ...filters, limit: PAGE, cursor: before })}`, { signal });
      if (asking !== JSON.stringify(filters)) return;
      const fresh = new Set(page.items.map((run) => run.id));
      if (before) runs = [...runs.filter((run) => !fresh.has(run.id)), ...page.items];
      // of what is there only the runs that are older than this page: one that it no longer has left the filters
      else runs = [...page.items, ...(page.cursor ? older(runs ?? [], fresh) : [])];
      if (before || runs.length === page.items.length) cursor = page.cursor;
      replace(alarm);
      draw();
    } catch (problem) {
      if (signal.aborted || asking !== JSON.stringify(filters)) return;
      if (runs && !problem.signedOut) replace(alarm, stale(problem));
      else
        replace(
          box,
          failure(problem, () => (replace(box, loading("Loading the runs")), look())),
        );
    }
  }

  function draw() {
    if (!runs.length) return replace(box, nothing(filters));
    const more = cursor && el("button", { type: "button", id: "more", onclick: () => look(cursor) }, "Show older runs");
    replace(box, table(runs), more && el("p", { class: "actions" }, more));
  }

  async function fillProfiles() {
    try {
      const { items } = await get("/profiles", { signal });
      profile.append(...items.map((each) => el("option", { value: each.name }, each.name)));
    } catch {
      // the list of runs says what is wrong
    }
    profile.value = filters.profile;
  }

  fillProfiles();
  poll(
    () => (runs?.some((run) => WORKING.includes(run.status)) ? AT_WORK_SECONDS : AT_REST_SECONDS),
    () => look(),
    signal,
  );
}

function older(runs, fresh) {
  return runs.slice(runs.findLastIndex((run) => fresh.has(run.id)) + 1);
}

function startLink() {
  return el("a", { class: "button primary", href: address("start") }, "Start a run");
}

function nothing(filters) {
  if (filters.profile || filters.status) return empty("No such run", "No run fits these filters.");
  return empty(
    "No runs yet",
    "A run compares what Citrix believes with what Prism shows, and proposes what to change. Nothing is written before somebody approves it, unless a profile says otherwise.",
    may.operate() && startLink(),
  );
}

function table(runs) {
  const columns = ["Run", "State", "Found", "Started"];
  return el(
    "table",
    { class: "runs", role: "table" },
    el("caption", { class: "unseen" }, "Runs, newest first"),
    el(
      "thead",
      { role: "rowgroup" },
      el(
        "tr",
        { role: "row" },
        columns.map((text) => el("th", { scope: "col", role: "columnheader" }, text)),
      ),
    ),
    el("tbody", { role: "rowgroup" }, runs.map(line)),
  );
}

function line(run) {
  const working = WORKING.includes(run.status);
  return el(
    "tr",
    { role: "row" },
    el(
      "td",
      { role: "cell", class: "what" },
      el("a", { id: `run-${run.id}`, href: address("runs", run.id) }, runTitle(run)),
      el("span", { class: "sub" }, run.reason ? name(run.reason) : `Mode ${run.mode}`),
    ),
    el(
      "td",
      { role: "cell", class: "how" },
      statusTag(run.status),
      working &&
        el("progress", { max: 100, value: run.progress, "aria-label": `${spoken(run.status)}, ${run.progress} %` }),
      run.guards.length > 0 &&
        el("span", { class: "sub" }, `guard ${run.guards.map((guard) => guard.name).join(", ")}`),
    ),
    el("td", { role: "cell", class: "found" }, found(run)),
    el(
      "td",
      { role: "cell", class: "started" },
      el("span", {}, time(run.createdAt)),
      el("span", { class: "sub" }, `${ago(run.createdAt)} · `, name(run.requestedBy)),
    ),
  );
}

function found(run) {
  const { findings, states } = run.counts;
  if (!Object.keys(findings).length)
    return el("span", { class: "sub" }, WORKING.includes(run.status) ? "not yet" : "nothing");
  const said = (counts, words) =>
    words
      .filter((word) => counts[word])
      .map((word) => `${number(counts[word])} ${spoken(word)}`)
      .join(" · ");
  return [
    bar(findings, FINDINGS, "finding"),
    el(
      "span",
      { class: "sub" },
      said(findings, Object.keys(FINDINGS)),
    ),
    Object.keys(states).length > 0 && el("span", { class: "sub" }, said(states, Object.keys(STATES))),
  ];
}

function field(label, control) {
  return el("div", { class: "field" }, el("label", { for: control.id }, label), control);
}
