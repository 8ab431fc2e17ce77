// Every dependency, whether it is ready, and what to do where it is not.

import { get, Problem } from "./api.js";
import { el, name, replace, tell } from "./dom.js";
import { counted, number } from "./format.js";
import { title } from "./shell.js";
import { callout, failure, loading } from "./states.js";

const KINDS = {
  storage: "Storage",
  vault: "Key Vault",
  host: "The app's own machine",
  profiles: "Where the profiles are",
  profile: "Profiles that cannot be used",
  site: "Citrix sites",
  cluster: "Prism clusters",
  relay: "Hybrid connections",
  webhook: "Webhooks",
};
const MEANS = {
  ready: "Everything that Realign depends on is ready.",
  degraded: "Realign works. What is not ready concerns the profiles that need it.",
  unavailable: "Realign itself cannot work until storage and vault are ready.",
};

export function showHealth(outlet, _, signal) {
  title("Health");
  const box = el("div", {});
  const again = el("button", { type: "button", id: "again", onclick: look }, "Check again");
  let asking = false; // a button that is disabled would lose the focus
  outlet.append(el("div", { class: "head" }, el("h1", {}, "Health"), el("div", { class: "actions" }, again)), box);

  async function look() {
    if (asking) return;
    asking = true;
    replace(box, loading("Asking every dependency; this takes seconds, and half a minute where something hangs"));
    try {
      const health = await ready(signal);
      replace(box, drawn(health));
      tell(MEANS[health.status]);
    } catch (problem) {
      if (!signal.aborted) replace(box, failure(problem, look));
    } finally {
      asking = false;
    }
  }

  look();
}

// 503 says that storage or vault fails, and which: an answer like the others here
async function ready(signal) {
  try {
    return await get("/health/ready", { signal });
  } catch (problem) {
    if (problem instanceof Problem && problem.status === 503 && problem.document.checks) return problem.document;
    throw problem;
  }
}

function drawn(health) {
  const failed = health.checks.filter((check) => check.state !== "ready").length;
  const kind = { ready: "good", degraded: "warning", unavailable: "bad" }[health.status];
  const head = failed
    ? `${number(failed)} of ${counted(health.checks.length, "dependency", "dependencies")} not ready.`
    : "All ready.";
  const known = new Set([...Object.keys(KINDS), ...health.checks.map((check) => check.kind)]);
  const groups = [...known].map((word) => {
    const text = KINDS[word] ?? word;
    const checks = health.checks.filter((check) => check.kind === word);
    return (
      checks.length > 0 &&
      el("section", { class: "block" }, el("h2", {}, text), el("ul", { class: "checks" }, checks.map(line)))
    );
  });
  return [callout(kind, head, MEANS[health.status]), groups.filter(Boolean)];
}

function line(check) {
  const ok = check.state === "ready";
  return el(
    "li",
    { class: `check ${ok ? "is-ready" : "is-failed"}` },
    el("span", { class: "mark" }, ok ? "ready" : "not ready"),
    el("span", { class: "check-name" }, name(check.name)),
    el("span", { class: "small" }, check.latencyMs ? `${number(check.latencyMs)} ms` : ""),
    check.remedy && el("p", {}, name(check.remedy)),
    check.stages.length > 0 && way(check.stages),
  );
}

/** The way to a dependency, up to where it ends. */
function way(stages) {
  const names = stages.map((stage) => (stage.state === "passed" ? stage.name : `${stage.name} fails`));
  const seen = stages.map((stage) => el("li", {}, `${stage.name}: `, name(stage.detail ?? "")));
  return el("details", { class: "small" }, el("summary", {}, names.join(" → ")), el("ul", {}, seen));
}
