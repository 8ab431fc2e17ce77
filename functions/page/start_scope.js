// The scope of a new run: its fields, and the request that they and the rest of the form make up.

import { el } from "./dom.js";

const LISTS = [
  ["machines", "Machines", "One a line: host name, DOMAIN\\host or DNS name"],
  ["catalogs", "Catalogs", "One a line"],
  ["deliveryGroups", "Delivery groups", "One a line"],
  ["hostingConnections", "Hosting connections", "One a line: those that the machines have now"],
  ["exclude", "Never touch", "One a line; names or patterns such as W11-LAB-*"],
];

export function scopeFields() {
  const text = (id, label) =>
    el(
      "div",
      { class: "field" },
      el("label", { for: id }, label),
      el("input", { id, name: id, autocomplete: "off", spellcheck: "false" }),
    );
  const list = ([id, label, hint]) =>
    el(
      "div",
      { class: "field" },
      el("label", { for: id }, label),
      el("textarea", { id, name: id, rows: 3, spellcheck: "false", "aria-describedby": `${id}-hint` }),
      el("p", { class: "hint", id: `${id}-hint` }, hint),
    );
  return el(
    "div",
    { class: "grid" },
    LISTS.map(list),
    text("protectionDomain", "Protection domain"),
    text("categoryKey", "Prism category"),
    text("categoryValue", "Value of the category"),
  );
}

/** The body of `POST profiles/{name}/runs`: what was left empty is left out. */
export function requestOf(form, csv) {
  const text = (key) => (form.get(key) ?? "").trim();
  const whole = (key) => (text(key) === "" ? undefined : Number(text(key)));
  const lines = (key) =>
    text(key)
      .split(/\r?\n/)
      .map((line) => line.trim())
      .filter(Boolean);
  const scope = {};
  for (const [key] of LISTS) if (lines(key).length) scope[key] = lines(key);
  if (text("protectionDomain")) scope.protectionDomain = text("protectionDomain");
  if (text("categoryKey") || text("categoryValue"))
    scope.prismCategory = { key: text("categoryKey"), value: text("categoryValue") };
  const began = text("incidentStart");
  return (
    given({
      mode: text("mode"),
      target: text("target"),
      reason: text("reason"),
      scope: given(scope),
      machinesCsv: csv,
      limits: given({ maxChanges: whole("maxChanges"), maxChangePercent: whole("maxChangePercent") }),
      settleSeconds: whole("settleSeconds"),
      incidentStart: began && new Date(began).toISOString(),
    }) ?? {}
  );
}

function given(object) {
  const there = Object.entries(object).filter(([, value]) => value !== undefined && value !== "" && value !== null);
  return there.length ? Object.fromEntries(there) : undefined;
}
