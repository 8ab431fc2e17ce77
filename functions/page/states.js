// What a view shows instead of its content: loading, nothing there, an error, nobody signed in, no role.

import { el } from "./dom.js";
import { signInAddress, signOutAddress } from "./session.js";

/** `heading` is `h1` where nothing else on the page is one. */
export function loading(text = "Loading", heading = "p") {
  return el(
    "div",
    { class: "blank", "aria-busy": "true" },
    el("span", { class: "spinner" }),
    el(heading, {}, `${text} …`),
  );
}

/** `action` is a link or a button. */
export function empty(title, text, action = null, heading = "h2") {
  return el("div", { class: "blank" }, el(heading, {}, title), el("p", {}, text), buttons([action]));
}

/** An error with its remedy, which is part of the API's sentence, and a way to try again. */
export function failure(problem, retry, heading = "h2") {
  if (problem.signedOut) return signedOut(problem.message);
  if (problem.code === "not-allowed") return noRole(problem);
  const title = { 0: "No connection", 404: "Not there" }[problem.status] ?? "This did not work";
  const trace = problem.status >= 500 && problem.document.traceId;
  return el(
    "div",
    { class: "blank", role: "alert" },
    el(heading, {}, title),
    el("p", {}, problem.message),
    trace && el("p", { class: "small" }, "For the app's log: ", el("span", { class: "mono" }, trace)),
    buttons([retry && el("button", { type: "button", onclick: retry }, "Try again")]),
  );
}

/** What is shown is not what is there now; whoever shows it looks again. */
export function stale(problem) {
  return el("p", { class: "callout bad" }, problem.message, " It is asked again by itself.");
}

export function signedOut(detail = "Sign in to see runs and to decide on them.") {
  return el(
    "div",
    { class: "blank" },
    el("h1", {}, "You are signed out"),
    el("p", {}, detail),
    buttons([el("a", { class: "button primary", href: signInAddress() }, "Sign in")]),
  );
}

function noRole(problem) {
  return el(
    "div",
    { class: "blank" },
    el("h1", {}, "You are signed in, but have no role here"),
    el("p", {}, problem.message),
    buttons([el("a", { class: "button", href: signOutAddress }, "Sign out")]),
  );
}

/** A remark above the content: `kind` is `warning`, `bad` or `note`. */
export function callout(kind, title, ...text) {
  return el("div", { class: `callout ${kind}` }, el("strong", {}, title), " ", ...text);
}

function buttons(actions) {
  const there = actions.filter(Boolean);
  return there.length ? el("p", { class: "actions" }, there) : null;
}
