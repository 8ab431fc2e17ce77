// The profiles: what each one covers, what is wrong with it, its schedule, and its last run.

import { get, query, send } from "./api.js";
import { ask } from "./dialog.js";
import { el, name, replace, tell } from "./dom.js";
import { ago, time } from "./format.js";
import { address, ROOT } from "./router.js";
import { may } from "./session.js";
import { title } from "./shell.js";
import { callout, empty, failure, loading } from "./states.js";
import { statusTag } from "./words.js";

const DAY_HOURS = 24;

export function showProfiles(outlet, _, signal) {
  title("Profiles");
  const box = el("div", {});
  outlet.append(el("div", { class: "head" }, el("h1", {}, "Profiles")), box);
  replace(box, loading("Loading the profiles"));

  async function look() {
    try {
      const { items } = await get("/profiles", { signal });
      if (!items.length) {
        return replace(
          box,
          empty(
            "No profiles",
            "A profile is a JSON file in the folder that REALIGN_PROFILES names: one Citrix site, its clusters, a scope and a policy.",
          ),
        );
      }
      replace(
        box,
        el(
          "div",
          { class: "cards" },
          items.map((item) => card(item, look, signal)),
        ),
      );
    } catch (problem) {
      if (!signal.aborted) replace(box, failure(problem, look));
    }
  }

  look();
}

function card(item, look, signal) {
  const last = el("dd", { class: "quiet" }, "…");
  drawLast(last, item.name, signal);
  return el(
    "article",
    { class: "card", "aria-labelledby": `profile-${item.name}` },
    el(
      "div",
      { class: "card-head" },
      el("h2", { id: `profile-${item.name}` }, name(item.name)),
      el("div", { class: "actions" }, actions(item, look)),
    ),
    item.valid ? null : callout("bad", `${item.file} cannot be used.`, "Correct it and deploy again:"),
    item.valid
      ? null
      : el(
          "ul",
          { class: "errors" },
          item.errors.map((error) => el("li", {}, name(error))),
        ),
    el(
      "dl",
      { class: "facts" },
      item.profile && covers(item.profile),
      el("dt", {}, "Schedule"),
      el("dd", {}, schedule(item)),
      el("dt", {}, "Last run"),
      last,
    ),
  );
}

function actions(item, look) {
  if (!may.operate()) return null;
  const { name: profile, hold, valid, schedule: scheduled } = item;
  return [
    hold &&
      el(
        "button",
        { type: "button", id: `unhold-${profile}`, onclick: () => endHold(profile, look) },
        "End the hold …",
      ),
    !hold &&
      scheduled &&
      el(
        "button",
        { type: "button", id: `hold-${profile}`, onclick: () => putHold(item, look) },
        "Hold the schedule …",
      ),
    valid &&
      el(
        "a",
        {
          class: "button",
          href: `${address("start")}${query({ profile })}`,
          "aria-label": `Start a run of ${profile}`,
        },
        "Start a run",
      ),
  ];
}

function covers(profile) {
  const { site, clusters, scope, policy } = profile;
  const narrowed = Object.entries(scope).filter(([, value]) => (Array.isArray(value) ? value.length : value));
  return [
    el("dt", {}, "Site"),
    el(
      "dd",
      {},
      site.kind === "daas"
        ? ["Citrix DaaS, customer ", name(site.customerId)]
        : ["on premises, ", name(site.hosts.map((each) => each.host).join(", "))],
    ),
    el("dt", {}, "Clusters"),
    el(
      "dd",
      {},
      el(
        "ul",
        { class: "pairs" },
        clusters.map((cluster) =>
          el(
            "li",
            {},
            el("strong", {}, name(cluster.name)),
            " ",
            name(cluster.hostingConnection),
            cluster.relay && el("span", { class: "small" }, " by relay"),
          ),
        ),
      ),
    ),
    el("dt", {}, "Scope"),
    el(
      "dd",
      {},
      narrowed.length
        ? narrowed.map(([key, value]) =>
            el(
              "div",
              {},
              `${key}: `,
              name(
                Array.isArray(value)
                  ? value.join(", ")
                  : typeof value === "object"
                    ? `${value.key}=${value.value}`
                    : value,
              ),
            ),
          )
        : "the whole site",
    ),
    el("dt", {}, "Without a person"),
    el(
      "dd",
      {},
      `mode ${policy.mode}, up to ${policy.maxChanges} remaps or ${policy.maxChangePercent}\u00a0%`,
      policy.dr.mode && `; with a target mode ${policy.dr.mode}`,
      policy.fourEyes && "; four eyes",
    ),
  ];
}

function schedule(item) {
  if (item.schedule === null) return "none: the profile cannot be used";
  const runs = item.schedule ? "runs by schedule" : "not scheduled";
  if (!item.hold) return runs;
  return [
    runs,
    el(
      "div",
      { class: "held" },
      "On hold until ",
      time(item.hold.until),
      ", by ",
      name(item.hold.by),
      item.hold.reason && [": ", name(item.hold.reason)],
    ),
  ];
}

async function drawLast(box, profile, signal) {
  try {
    const { items } = await get(`/runs${query({ profile, limit: 1 })}`, { signal });
    box.classList.remove("quiet");
    if (!items.length) return replace(box, "none yet");
    const [run] = items;
    replace(
      box,
      el("a", { href: address("runs", run.id) }, ago(run.createdAt)),
      " ",
      statusTag(run.status),
      " ",
      el("a", { class: "small", href: `${ROOT}${query({ profile })}` }, "all"),
    );
  } catch (problem) {
    if (!signal.aborted) replace(box, problem.message);
  }
}

function putHold(item, look) {
  const hours = item.profile?.policy.holdHours || DAY_HOURS;
  ask({
    title: `Hold the schedule of ${item.name}`,
    body: [
      el("p", {}, "The timer starts no run of it meanwhile. Runs that somebody starts are not affected."),
      el(
        "div",
        { class: "field" },
        el("label", { for: "hours" }, "Hours"),
        el("input", { id: "hours", name: "hours", type: "number", min: 1, max: 720, value: hours, required: true }),
      ),
      el(
        "div",
        { class: "field" },
        el("label", { for: "reason" }, "Reason (optional)"),
        el("input", { id: "reason", name: "reason", maxlength: 1000 }),
      ),
    ],
    confirm: "Hold the schedule",
    send: (form) => {
      const reason = form.get("reason").trim();
      return send("POST", `/profiles/${encodeURIComponent(item.name)}/hold`, {
        hours: Number(form.get("hours")),
        ...(reason ? { reason } : {}),
      });
    },
    done: () => {
      tell(`The schedule of ${item.name} is on hold.`);
      look();
    },
  });
}

function endHold(profile, look) {
  ask({
    title: `End the hold of ${profile}`,
    body: el("p", {}, "The timer starts runs of it again, the next time it fires."),
    confirm: "End the hold",
    send: () => send("DELETE", `/profiles/${encodeURIComponent(profile)}/hold`),
    done: () => {
      tell(`The schedule of ${profile} runs again.`);
      look();
    },
  });
}
