// Counts as one bar. The bar is for the eye; the buttons below it say and do the same for everybody.

import { el, svg } from "./dom.js";
import { number } from "./format.js";
import { spoken } from "./words.js";

const WIDTH = 1000;
const LEAST = 6; // a single machine among 20,000 has to be seen
const GAP = 2;

/** `counts` by word, drawn in the order of `meanings`; `kind` names the colours. */
export function bar(counts, meanings, kind, onpick = null) {
  const words = Object.keys(meanings).filter((word) => counts[word]);
  const total = words.reduce((sum, word) => sum + counts[word], 0);
  const free = WIDTH - LEAST * words.length;
  let x = 0;
  const parts = words.map((word) => {
    const width = LEAST + (free * counts[word]) / total;
    const part = svg(
      "rect",
      {
        x,
        y: 0,
        width: Math.max(width - GAP, 1),
        height: 10,
        class: `${kind}-${word}`,
        onclick: onpick && (() => onpick(word)),
      },
      svg("title", {}, `${spoken(word)}: ${number(counts[word])}`),
    );
    x += width;
    return part;
  });
  const box = { class: onpick ? "bar picks" : "bar", viewBox: `0 0 ${WIDTH} 10`, preserveAspectRatio: "none" };
  return svg("svg", { ...box, "aria-hidden": "true" }, parts);
}

/** The bar with a button for each word; `picked` is the word that is filtered by, "" for none. */
export function chart({ label, counts, meanings, kind, picked, onpick }) {
  const words = Object.keys(meanings).filter((word) => counts[word] || word === picked);
  const pick = (word) => onpick(word === picked ? "" : word);
  const buttons = words.map((word) =>
    el(
      "button",
      {
        type: "button",
        id: `${kind}-is-${word}`,
        class: `count ${kind}-${word}`,
        "aria-pressed": String(word === picked),
        title: meanings[word],
        onclick: () => pick(word),
      },
      el("span", { class: "dot" }),
      el("span", { class: "count-word" }, spoken(word)),
      el("span", { class: "count-number" }, number(counts[word] ?? 0)),
    ),
  );
  return el(
    "div",
    { class: `chart ${picked ? "picked" : ""}` },
    bar(counts, meanings, kind, pick),
    el("div", { class: "counts", role: "group", "aria-label": label }, buttons),
  );
}
