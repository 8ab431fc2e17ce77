// What may be done with a run and its remaps, as the API would answer: by state and by role. Pure.

import { may } from "./session.js";

export const REVIEWABLE = ["awaiting-review", "completed", "completed-with-errors"];
const ROLLABLE = ["awaiting-review", "completed", "completed-with-errors", "failed", "cancelled", "rolled-back"];
const CANCELLABLE = ["queued", "planning", "awaiting-review", "applying"];

const OPEN = ["proposed", "approved"];
const WRITTEN = ["applying", "applied", "verified", "failed", "rollback-failed"];

export const isOpen = ({ finding }) => OPEN.includes(finding.state);
export const isProposed = ({ finding }) => finding.state === "proposed";
export const isApproved = ({ finding }) => finding.state === "approved";
/** What a run wrote. Of a remap that failed the API knows whether anything was sent; the page does not. */
export const isWritten = ({ finding }) => WRITTEN.includes(finding.state);

export const canReview = (run) => may.approve() && REVIEWABLE.includes(run.status) && run.fingerprint !== null;
/** Whether the plan still counts, too: `closed` comes from `follow_run.js`. */
export const canApprove = (run) => canReview(run) && run.closed === null;
export const canApply = (run) => canApprove(run) && (run.counts.states.approved ?? 0) > 0;
export const canRollBack = (run) =>
  may.approve() && ROLLABLE.includes(run.status) && WRITTEN.some((state) => run.counts.states[state] > 0);
export const canCancel = (run) => may.operate() && CANCELLABLE.includes(run.status) && !run.cancelledBy;

export function canResolve(run, { finding }) {
  if (!canApprove(run) || !finding.candidates.length) return false;
  const chosen = finding.state === "proposed" && finding.reason === "chosen";
  return chosen || ["ambiguous", "conflict"].includes(finding.finding);
}

/** Whether anything can be done with a row, so that it is worth selecting. */
export const canSelect = (run, row) => (canReview(run) && isOpen(row)) || (canRollBack(run) && isWritten(row));
