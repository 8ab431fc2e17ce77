// What stands where the table of findings would be, as long as it has no row to show. Pure.

import { counted } from "./format.js";
import { empty, loading } from "./states.js";

export function instead({ status, trigger, counts, fingerprint }, store, filters) {
  const uncounted = trigger === "schedule" ? counts.findings.aligned : 0;
  if (["queued", "planning"].includes(status))
    return loading(status === "queued" ? "Waiting for a worker" : "Reading Prism and Citrix");
  if (store.loading || (!store.complete && !store.problem)) return loading("Loading the findings");
  if (store.rows.length && !store.shown.length && uncounted && filters.finding === "aligned")
    return empty("Not listed", "A scheduled run counts the aligned machines and keeps no row of them.");
  if (store.rows.length && !store.shown.length)
    return empty("Nothing like that", "No finding of this run fits search and filters.");
  if (store.problem) return null;
  if (fingerprint === null) return empty("No plan", "The run ended before it had compared any machine.");
  if (uncounted)
    return empty(
      "No drift",
      `${counted(uncounted, "machine")} in scope, all aligned. A scheduled run counts those and keeps no row of them.`,
    );
  return empty("No findings", "No machine of the site is in the scope of this run.");
}
