// The findings of a run as the page holds them: loaded page by page, looked at by several views, selected in.

import { get, query } from "./api.js";
import { address } from "./router.js";
import { rowOf } from "./sift.js";
import { WORKING } from "./words.js";

const FIRST = 100; // so that something is there soon
const PAGE = 1000;
export const FOLLOWED = 2000; // more are not loaded again while the run is at work
const FOLLOW_MS = 3000;
const KEPT_RUNS = 3;

const stores = new Map();

/** The one store of a run. What was loaded stays when a view is left, and so do filters, selection and place. */
export function findingsOf(runId) {
  const store = stores.get(runId) ?? new Findings(runId);
  stores.delete(runId);
  stores.set(runId, store);
  if (stores.size > KEPT_RUNS) stores.delete(stores.keys().next().value);
  return store;
}

class Findings extends EventTarget {
  rows = [];
  byId = new Map();
  complete = false;
  problem = null;
  selection = new Set();
  shown = [];
  place = 0;
  query = ""; // the filters, as they stand in the address
  /** Of the plan that the rows belong to: what a decision names. */
  fingerprint = null;
  #version = "";
  #loading = false;
  #early = []; // rows of a page that was loaded before its turn
  #next = null; // the run as it was seen while another state of it was loaded

  constructor(runId) {
    super();
    this.runId = runId;
  }

  /** Where the findings are, filtered as they were when somebody left them. */
  get address() {
    return address("runs", this.runId) + this.query;
  }

  /** The address of one machine. It names the page that the machine is on, so that it need not wait for all of them. */
  machine(row) {
    return address("runs", this.runId, "machines", row.id) + query({ page: row.page });
  }

  /** Loads the page that an address names, where nothing is loaded yet. Whatever it fails with, `bring` will tell. */
  async bringPage(run, cursor) {
    if (!cursor || run.fingerprint === null || this.byId.size) return;
    const page = await this.#page(PAGE, cursor).catch(() => null);
    if (!page || this.byId.size) return;
    this.fingerprint = run.fingerprint;
    this.#early = page.items.map((finding) => rowOf(finding, cursor));
    this.#hold([]);
    this.#changed();
  }

  /** Loads the findings of `run` unless those that are here are as `run` says. Safe to call at every look. */
  async bring(run, { anew = false } = {}) {
    const working = WORKING.includes(run.status);
    if (["queued", "planning"].includes(run.status)) return;
    if (this.#loading) {
      this.#next = run;
      return;
    }
    // how far each machine of a run at work is stands in the rows alone
    const moment = working ? Math.floor(Date.now() / FOLLOW_MS) : 0;
    const version = `${run.fingerprint} ${run.status} ${JSON.stringify(run.counts)} ${moment}`;
    if (!anew && (version === this.#version || (working && this.complete && this.rows.length > FOLLOWED))) return;
    this.#loading = true;
    this.problem = null;
    try {
      await this.#load(run.fingerprint);
      this.#version = version;
    } catch (problem) {
      this.problem = problem;
    } finally {
      this.#loading = false;
      this.#changed();
    }
    const next = this.#next;
    this.#next = null;
    if (next && !this.problem) await this.bring(next);
  }

  /** The remaps by state, newer than the run's own counts where the rows are followed; null where they are not. */
  states() {
    if (!this.complete || this.rows.length > FOLLOWED) return null;
    const counts = {};
    for (const { finding } of this.rows) if (finding.state) counts[finding.state] = (counts[finding.state] ?? 0) + 1;
    return counts;
  }

  get loading() {
    return this.#loading;
  }

  async #load(fingerprint) {
    const first = !this.complete;
    const rows = [];
    let cursor = null;
    do {
      const page = await this.#page(rows.length ? PAGE : FIRST, cursor);
      for (const finding of page.items) rows.push(rowOf(finding, cursor));
      cursor = page.cursor;
      // the first time each page is shown as it comes; later all is replaced at once, so that nothing jumps
      if (first) {
        // rows of an older plan must not be decided on under the name of a newer one
        if (fingerprint !== this.fingerprint) this.#early = [];
        this.fingerprint = fingerprint;
        this.#hold(rows);
        this.#changed();
      }
    } while (cursor !== null);
    this.fingerprint = fingerprint;
    this.#early = [];
    this.complete = true;
    this.#hold(rows);
  }

  #page(limit, cursor) {
    return get(`/runs/${encodeURIComponent(this.runId)}/remaps${query({ limit, cursor })}`);
  }

  #hold(rows) {
    const before = this.byId;
    this.rows = rows;
    this.byId = new Map([...this.#early, ...rows].map((row) => [row.id, row]));
    // what was selected is what was seen: a machine that is to get another VM by now has to be selected again
    for (const id of this.selection) {
      const now = this.byId.get(id);
      if (now ? now.change !== (before.get(id) ?? now).change : this.complete) this.selection.delete(id);
    }
  }

  #changed() {
    this.dispatchEvent(new Event("change"));
  }
}
