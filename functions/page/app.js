// Begins: finds out who is signed in, then shows the view of the address.

import { askAhead, Problem } from "./api.js";
import { showHealth } from "./health.js";
import { showMachine } from "./machine.js";
import { showProfiles } from "./profiles.js";
import * as router from "./router.js";
import { showHistory, showRun } from "./run.js";
import { showRuns } from "./runs.js";
import * as session from "./session.js";
import { drawTop, title } from "./shell.js";
import { showStart } from "./start.js";
import { failure, loading, signedOut } from "./states.js";

const VIEWS = [
  [/^(?:\/runs)?$/, showRuns],
  [/^\/runs\/([^/]+)$/, showRun],
  [/^\/runs\/([^/]+)\/history$/, showHistory],
  [/^\/runs\/([^/]+)\/machines\/([^/]+)$/, showMachine],
  [/^\/profiles$/, showProfiles],
  [/^\/health$/, showHealth],
  [/^\/start$/, showStart],
  [/^\/signed-out$/, showSignedOut],
];

const main = document.getElementById("main");

function showSignedOut(outlet) {
  title("Signed out");
  outlet.append(signedOut());
}

async function begin() {
  drawTop();
  if (location.pathname === `${router.ROOT}/signed-out`) return showSignedOut(main);
  main.replaceChildren(loading("Loading", "h1"));
  const run = /\/runs\/[^/]+(?=\/machines\/|$)/.exec(location.pathname);
  if (run) askAhead(run[0]);
  try {
    await session.load();
  } catch (error) {
    if (!(error instanceof Problem)) throw error;
    title(error.signedOut ? "Signed out" : "Realign");
    main.replaceChildren(failure(error, begin, "h1"));
    return;
  }
  document.addEventListener("realign:view", drawTop);
  router.start(main, VIEWS);
}

begin();
