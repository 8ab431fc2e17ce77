// One run: its findings, or what happened in it, looked at anew for as long as somebody is there.

import { el, replace } from "./dom.js";
import { followRun } from "./follow_run.js";
import { drawHistory } from "./run_history.js";
import { title } from "./shell.js";
import { failure, loading } from "./states.js";
import { spoken } from "./words.js";
import { RunFindings } from "./run_findings.js";

export function showRun(outlet, [runId], signal) {
  watch(outlet, runId, signal, (box) => new RunFindings(box, runId, signal));
}

export function showHistory(outlet, [runId], signal) {
  watch(outlet, runId, signal, (box) => ({ draw: (run, changed) => drawHistory(box, run, changed, signal) }));
}

/** Draws the view that `make(box)` gives, at each look at the run that brings something new. */
function watch(outlet, runId, signal, make) {
  const alarm = el("div", { role: "alert" });
  const box = el("div", { class: "run" });
  let view = null;
  title("Run");
  outlet.append(alarm, box);
  replace(box, loading("Loading the run", "h1"));

  function looked(run, same) {
    replace(alarm);
    title(`${run.profile} ${spoken(run.status)}`);
    if (!view) {
      box.replaceChildren();
      view = make(box);
    }
    if (same) view.same?.(run);
    else view.draw(run, (next) => changed(next));
  }

  function failed(problem, look) {
    // what is there stays readable while the network is away; a sign-in that ended takes its place
    if (view && !problem.signedOut) return replace(alarm, el("p", { class: "callout bad" }, problem.message));
    view = null;
    const again = () => (replace(box, loading("Loading the run", "h1")), look());
    replace(box, failure(problem, again, "h1"));
  }

  const changed = followRun(runId, signal, looked, failed);
}
