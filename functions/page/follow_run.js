// Looks at one run for as long as a view of it is there, and knows why its plan can no longer be approved, if so.

import { get, query } from "./api.js";
import { tell } from "./dom.js";
import { poll } from "./poll.js";
import { REVIEWABLE } from "./possible.js";
import { me } from "./session.js";
import { spoken, WORKING } from "./words.js";

const AT_WORK_SECONDS = 1.5;
const AT_REST_SECONDS = 15;
const NEWEST = 20;
const HOUR_MS = 3_600_000;

/**
 * `onrun(run, same)` gets each look, `same` where nothing changed; `onproblem(problem)` what was refused. The function
 * that is returned takes the run that an action answered with, null where it was refused. `run.closed` says why nothing
 * may be approved: null if it may be, undefined as long as nobody knows.
 */
export function followRun(runId, signal, onrun, onproblem) {
  const path = `/runs/${encodeURIComponent(runId)}`;
  let run = null;
  let actions = 0; // what a look has asked for before one of them may be older than its answer

  function changed(next) {
    if (signal.aborted) return;
    const before = run;
    run = { closed: run?.closed, ...next };
    if (before && before.status !== run.status) tell(`The run is ${spoken(run.status)} now.`);
    onrun(run, before !== null && JSON.stringify(before) === JSON.stringify(run));
  }

  async function look() {
    const before = actions;
    try {
      const next = await get(path, { signal });
      if (before !== actions) return;
      changed(next);
      if (!REVIEWABLE.includes(run.status)) return;
      const closed = await closedBy(run, signal);
      if (JSON.stringify(closed) !== JSON.stringify(run.closed)) changed({ ...run, closed });
    } catch (problem) {
      if (!signal.aborted) onproblem(problem, look);
    }
  }

  const wake = poll(() => (run && WORKING.includes(run.status) ? AT_WORK_SECONDS : AT_REST_SECONDS), look, signal);
  return (next) => {
    actions += 1;
    if (next) changed(next);
    wake();
  };
}

// the API refuses these itself; the page asks in time, so as not to offer them
async function closedBy(run, signal) {
  const [newer, policy] = await Promise.all([newerPlan(run, signal), policyOf(run, signal)]);
  if (newer) return { text: "A newer run has a newer plan of this profile: decide on that one.", run: newer.id };
  if (Date.now() - Date.parse(run.plannedAt ?? run.createdAt) > (policy?.planMaxAgeHours ?? Infinity) * HOUR_MS) {
    return { text: `The plan is older than the ${policy.planMaxAgeHours} hours of planMaxAgeHours. Start a new run.` };
  }
  if (policy?.fourEyes && run.requestedBy === me().name) {
    return { text: "You started this run, and the profile's fourEyes wants somebody else to decide on it." };
  }
  return null;
}

async function newerPlan(run, signal) {
  const { items } = await get(`/runs${query({ profile: run.profile, limit: NEWEST })}`, { signal });
  const here = items.findIndex((each) => each.id === run.id);
  return (
    items.slice(0, here < 0 ? items.length : here).find((each) => each.plannedAt && each.createdAt >= run.createdAt) ??
    null
  );
}

async function policyOf(run, signal) {
  try {
    return (await get(`/profiles/${encodeURIComponent(run.profile)}`, { signal })).profile?.policy ?? null;
  } catch (problem) {
    // a profile that was removed since: the API still has the one that the run was planned with
    if (problem.status === 404) return null;
    throw problem;
  }
}
