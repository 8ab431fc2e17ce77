// Numbers and times as people read them.

import { el } from "./dom.js";

const numbers = new Intl.NumberFormat("en-GB");
const clock = new Intl.DateTimeFormat("en-GB", { hour: "2-digit", minute: "2-digit", second: "2-digit" });
const day = new Intl.DateTimeFormat("en-GB", { day: "numeric", month: "short" });
const year = new Intl.DateTimeFormat("en-GB", { day: "numeric", month: "short", year: "numeric" });

export function number(value) {
  return numbers.format(value);
}

export function counted(value, one, many = `${one}s`) {
  return `${number(value)} ${value === 1 ? one : many}`;
}

/** `at` is RFC 3339 in UTC, shown in the reader's zone; the tip has it in UTC. */
export function time(at, now = new Date()) {
  if (!at) return "";
  const moment = new Date(at);
  const today = moment.toDateString() === now.toDateString();
  const date = moment.getFullYear() === now.getFullYear() ? day.format(moment) : year.format(moment);
  const text = today ? clock.format(moment) : `${date}, ${clock.format(moment)}`;
  return el("time", { datetime: at, title: `${at.replace("T", " ").replace(/\.\d+Z|Z$/, "")} UTC` }, text);
}

/** How long ago, to be kept true by `refreshAges`. */
export function age(at) {
  return el("span", { class: "age", "data-at": at }, ago(at));
}

export function refreshAges(box) {
  for (const each of box.querySelectorAll(".age")) each.textContent = ago(each.dataset.at);
}

export function ago(at, now = Date.now()) {
  const seconds = Math.round((now - Date.parse(at)) / 1000);
  if (seconds < 10) return "just now";
  if (seconds < 90) return `${seconds} s ago`;
  if (seconds < 5400) return `${Math.round(seconds / 60)} min ago`;
  if (seconds < 129600) return `${Math.round(seconds / 3600)} h ago`;
  return `${Math.round(seconds / 86400)} days ago`;
}
