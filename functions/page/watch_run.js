// What every view of one run does: loading first, a look at the run for as long as somebody is there, and what went wrong.

import { el, replace } from "./dom.js";
import { followRun } from "./follow_run.js";
import { failure, loading, stale } from "./states.js";

/**
 * `make(box, signal)` gives the view once the run is known: `draw(run, changed)` gets each look that brings something new,
 * and `same(run)`, where a view has it, the others. `what` is what loads, in words.
 */
export function watchRun(outlet, runId, signal, what, make) {
  const alarm = el("div", { class: "alarm", role: "alert" });
  const box = el("div", {});
  let view = null;
  let leave = null;
  outlet.append(alarm, box);
  replace(box, loading(`Loading ${what}`, "h1"));

  function looked(run, same) {
    replace(alarm);
    if (!view) {
      leave = new AbortController();
      box.replaceChildren();
      view = make(box, AbortSignal.any([signal, leave.signal]));
    }
    if (same) view.same?.(run);
    else view.draw(run, changed);
  }

  function failed(problem, look) {
    // what is there stays readable while the network is away; a sign-in that ended takes its place
    if (view && !problem.signedOut) return replace(alarm, stale(problem));
    leave?.abort();
    view = null;
    replace(alarm);
    const again = () => (replace(box, loading(`Loading ${what}`, "h1")), look());
    replace(box, failure(problem, again, "h1"));
  }

  const changed = followRun(runId, signal, looked, failed);
}
