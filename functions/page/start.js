// Starts a run: which profile, how far alone, where the machines are now, and which of them.

import { get, send } from "./api.js";
import { ask } from "./dialog.js";
import { el, name, replace } from "./dom.js";
import { counted } from "./format.js";
import { address, go } from "./router.js";
import { may } from "./session.js";
import { title } from "./shell.js";
import { callout, empty, failure, loading } from "./states.js";
import { requestOf, scopeFields } from "./start_scope.js";

const MODES = {
  report: "Report: find and tell, change nothing",
  review: "Review: propose, and wait for a person",
  auto: "Auto: apply what is safe without a person",
};
const LARGEST_CSV = 10_485_760;

export async function showStart(outlet, _, signal) {
  title("Start a run");
  const box = el("div", {});
  outlet.append(el("div", { class: "head" }, el("h1", {}, "Start a run")), box);
  if (!may.operate())
    return replace(box, empty("Not for your role", "To start runs needs the app role Realign.Operator."));
  replace(box, loading("Loading the profiles"));
  try {
    const { items } = await get("/profiles", { signal });
    const valid = items.filter((item) => item.valid);
    if (!valid.length)
      replace(
        box,
        empty(
          "No profile can be used",
          "Look at the profiles for what is wrong.",
          el("a", { class: "button", href: address("profiles") }, "Profiles"),
        ),
      );
    else replace(box, new StartForm(valid).element);
  } catch (problem) {
    if (!signal.aborted)
      replace(
        box,
        failure(problem, () => (outlet.replaceChildren(), showStart(outlet, _, signal))),
      );
  }
}

class StartForm {
  #profiles;
  #profile = el("select", { id: "profile", name: "profile", onchange: () => this.#drawProfile() });
  #target = el("input", {
    id: "target",
    name: "target",
    list: "targets",
    autocomplete: "off",
    spellcheck: "false",
    "aria-describedby": "target-hint",
    oninput: () => this.#drawModes(),
  });
  #targets = el("datalist", { id: "targets" });
  #mode = el("select", { id: "mode", name: "mode", "aria-describedby": "mode-hint" });
  #modeHint = el("p", { class: "hint", id: "mode-hint" });
  #settles = el("div", {});
  #csv = Promise.resolve("");
  #csvSaid = el(
    "p",
    { class: "hint", id: "csv-hint", role: "status" },
    "A CSV with a column Name. It narrows the scope.",
  );
  #refused = el("div", { role: "alert" });
  #go = el("button", { type: "submit", class: "primary", id: "go" }, "Start the run");
  // one key for this form: pressing twice, or trying again after a lost answer, starts one run
  #key = crypto.randomUUID();

  constructor(profiles) {
    this.#profiles = new Map(profiles.map((item) => [item.name, item.profile]));
    this.#profile.append(...profiles.map((item) => el("option", { value: item.name }, item.name)));
    const asked = new URLSearchParams(location.search).get("profile");
    if (this.#profiles.has(asked)) this.#profile.value = asked;
    this.element = el(
      "form",
      { class: "start", onsubmit: (event) => this.#submit(event), oninput: () => (this.#key = crypto.randomUUID()) },
      el(
        "fieldset",
        {},
        el("legend", {}, "What"),
        field("Profile", this.#profile),
        field(
          "Target (for a failover)",
          this.#target,
          "The cluster that the machines live on now; cluster/registered cluster for one of a Prism Central. Empty: no failover.",
          "target-hint",
        ),
        this.#targets,
        field("Mode", this.#mode, this.#modeHint),
        this.#settles,
        field(
          "Reason",
          el("input", { id: "reason", name: "reason", maxlength: 1000, placeholder: "Change 4711, failover drill" }),
        ),
      ),
      el("details", { class: "more" }, el("summary", {}, "Only some machines"), scopeFields(), this.#csvField()),
      el("details", { class: "more" }, el("summary", {}, "Limits"), this.#limits()),
      this.#refused,
      el("p", { class: "actions" }, this.#go),
    );
    // a field that is wrong is pointed at by the browser, which cannot see into what is closed
    this.element.addEventListener("invalid", (event) => unfold(event.target), { capture: true });
    this.#drawProfile();
  }

  get #policy() {
    return this.#profiles.get(this.#profile.value).policy;
  }

  #drawProfile() {
    const { clusters } = this.#profiles.get(this.#profile.value);
    const places = clusters.flatMap((cluster) => [
      cluster.name,
      ...(cluster.prismClusters ?? []).map((each) => `${cluster.name}/${each}`),
    ]);
    replace(
      this.#targets,
      places.map((place) => el("option", { value: place })),
    );
    this.#drawModes();
  }

  #drawModes() {
    const policy = this.#policy;
    const failover = this.#target.value.trim() !== "";
    const own = (failover && policy.dr.mode) || policy.mode;
    const words = Object.keys(MODES);
    // looser than the policy needs an approver
    const open = may.approve() ? words : words.slice(0, words.indexOf(own) + 1);
    const before = this.#mode.value;
    replace(
      this.#mode,
      el("option", { value: "" }, `As the profile says (${own})`),
      open.map((word) => el("option", { value: word }, MODES[word])),
    );
    this.#mode.value = open.includes(before) ? before : "";
    this.#drawMost(policy, failover);
    replace(
      this.#modeHint,
      own === "auto"
        ? "This profile goes on alone from its plan to writing, unless a guard speaks."
        : "Nothing is written before somebody approves it.",
    );
    const settle = el("input", {
      id: "settleSeconds",
      name: "settleSeconds",
      type: "number",
      min: 0,
      max: 1800,
      placeholder: "0",
    });
    if (!failover) replace(this.#settles);
    else if (!this.#settles.hasChildNodes())
      replace(
        this.#settles,
        field("Settle (seconds)", settle, "Reads the target again until every machine has turned up.", "settle-hint"),
      );
  }

  #limits() {
    const limit = (id, text, most) =>
      field(text, el("input", { id, name: id, type: "number", min: 0, max: most, placeholder: "as the profile says" }));
    return el(
      "div",
      { class: "grid" },
      limit("maxChanges", "Most remaps without a person", 1_000_000),
      limit("maxChangePercent", "Most, in percent of the machines in scope", 100),
      field(
        "Incident began",
        el("input", { id: "incidentStart", name: "incidentStart", type: "datetime-local" }),
        "Recovery jobs that ended before it are no proof. Empty: 72 hours ago.",
        "incident-hint",
      ),
    );
  }

  // more than the policy allows needs an approver, too
  #drawMost(policy, failover) {
    if (may.approve()) return;
    for (const name of ["maxChanges", "maxChangePercent"]) {
      this.element.elements.namedItem(name).max = (failover ? policy.dr[name] : null) ?? policy[name];
    }
  }

  #csvField() {
    const file = el("input", {
      id: "csv",
      type: "file",
      accept: ".csv,text/csv,text/plain",
      "aria-describedby": "csv-hint",
      onchange: () => this.#read(file),
    });
    return el("div", { class: "field" }, el("label", { for: "csv" }, "Machines from a CSV file"), file, this.#csvSaid);
  }

  // whoever starts the run while the file is still being read waits for it: without it the scope would be another
  async #read(file) {
    this.#csv = Promise.resolve("");
    const [chosen] = file.files;
    if (!chosen) return replace(this.#csvSaid, "A CSV with a column Name. It narrows the scope.");
    if (chosen.size > LARGEST_CSV) {
      file.value = "";
      return replace(this.#csvSaid, "That file is larger than 10 MB. Split it.");
    }
    const reading = (this.#csv = chosen.text());
    const text = await reading.catch(() => "");
    if (reading !== this.#csv) return;
    const lines = text.split(/\r?\n/).filter((line) => line.trim()).length;
    replace(this.#csvSaid, name(chosen.name), `: ${counted(Math.max(0, lines - 1), "line")} below the head.`);
  }

  async #submit(event) {
    event.preventDefault();
    const form = new FormData(event.target);
    const mode = form.get("mode") || (form.get("target").trim() && this.#policy.dr.mode) || this.#policy.mode;
    if (mode !== "auto") return this.#send(form).catch((problem) => this.#refuse(problem));
    ask({
      title: `Start ${this.#profile.value} in mode auto`,
      body: callout(
        "warning",
        "It may write to Citrix without asking again.",
        "What is sure enough is applied, unless a guard speaks. It can be cancelled and rolled back.",
      ),
      confirm: "Start the run",
      send: () => this.#send(form),
    });
  }

  async #send(form) {
    this.#go.disabled = true;
    replace(this.#refused);
    try {
      const body = requestOf(form, await this.#csv);
      const path = `/profiles/${encodeURIComponent(this.#profile.value)}/runs`;
      const run = await send("POST", path, body, { headers: { "Idempotency-Key": this.#key } });
      go(address("runs", run.id));
    } finally {
      this.#go.disabled = false;
    }
  }

  #refuse(problem) {
    replace(this.#refused, callout("bad", "The run was not started.", problem.message));
    const named = (problem.field ?? "")
      .split(".")
      .at(-1)
      .replace(/\[\d+\]$/, "");
    const control = this.element.elements.namedItem(named) ?? this.#go;
    unfold(control);
    control.focus();
  }
}

function unfold(control) {
  const around = control.closest("details");
  if (around) around.open = true;
}

function field(label, control, hint = null, hintId = null) {
  const said = typeof hint === "string" ? el("p", { class: "hint", id: hintId }, hint) : hint;
  if (hintId) control.setAttribute("aria-describedby", hintId);
  return el("div", { class: "field" }, el("label", { for: control.id }, label), control, said);
}
