// What the API's words mean to people, in the order in which they matter to somebody who decides.

import { el } from "./dom.js";

export const FINDINGS = {
  remap: "The right VM is known and the record differs",
  ambiguous: "Several VMs could be it; a person decides",
  conflict: "The VM is, or would become, another machine's",
  missing: "Every cluster answered, and none has the VM",
  unknown: "What decides did not answer",
  excluded: "Out of reach by rule",
  aligned: "Citrix already names the live VM",
};

export const STATES = {
  proposed: "Waits for a decision",
  approved: "Will be applied",
  applying: "A write may have reached Citrix",
  applied: "Citrix says that it was done",
  verified: "Read back from Citrix after the write",
  failed: "Citrix is not as planned; the error says why",
  superseded: "The world changed before it was written; untouched",
  rejected: "Will not be applied",
  "rolled-back": "Citrix has again what it had before",
  "rollback-failed": "Not taken back; the error says why",
};

export const STATUSES = {
  queued: "Waits for a worker, or for another run of the profile",
  planning: "Reads Prism and Citrix, and plans",
  planned: "Report only: nothing will be changed",
  "awaiting-review": "A person decides",
  applying: "Writes to Citrix and reads back",
  completed: "What was approved is through",
  "completed-with-errors": "Through, but not everything went well",
  failed: "It ended early; the error says why",
  cancelled: "Stopped; what was applied stays",
  "rolling-back": "Takes back what it wrote",
  "rolled-back": "What it wrote was taken back",
};

export const CONFIDENCES = ["chosen", "proven", "strong", "weak"];
const CONFIDENCE_MEANS = {
  chosen: "A person chose this VM",
  proven: "A finished job or the UUID itself proves it",
  strong: "One live VM, and nothing speaks against it",
  weak: "It rests on name and power state alone",
};

const EVIDENCE = {
  lineage: "Lineage",
  name: "Name",
  "power-state": "Power",
  "protection-domain": "Protection domain",
  category: "Category",
  address: "Address",
  created: "Created",
  machine: "Other machine",
  departed: "Left before",
};

export const WORKING = ["queued", "planning", "applying", "rolling-back"];

export function spoken(word) {
  return word.replaceAll("-", " ");
}

export function evidenceWord(kind) {
  const text = spoken(kind);
  return EVIDENCE[kind] ?? text.charAt(0).toUpperCase() + text.slice(1);
}

/** A word of the API as a small label; colour repeats what the word says and never says it alone. */
export function tag(kind, word, meanings) {
  return el(
    "span",
    { class: `tag ${kind}-${word}`, title: meanings[word] },
    el("span", { class: "dot" }),
    spoken(word),
  );
}

export const findingTag = (word) => tag("finding", word, FINDINGS);
export const stateTag = (word) => tag("state", word, STATES);
export const statusTag = (word) => tag("status", word, STATUSES);

export function confidence(word) {
  if (!word) return null;
  return el("span", { class: `confidence confidence-${word}`, title: CONFIDENCE_MEANS[word] }, word);
}
