// One run: its findings, or what happened in it.

import { RunFindings } from "./run_findings.js";
import { RunHistory } from "./run_history.js";
import { title } from "./shell.js";
import { watchRun } from "./watch_run.js";

export function showRun(outlet, [runId], signal) {
  title("Run");
  watchRun(outlet, runId, signal, "the run", (box, during) => new RunFindings(box, runId, during));
}

export function showHistory(outlet, [runId], signal) {
  title("Run");
  watchRun(outlet, runId, signal, "the run", (box, during) => new RunHistory(box, runId, during));
}
