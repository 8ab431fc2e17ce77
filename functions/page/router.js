// Which view an address shows. Addresses are real paths, so that a link survives the sign-in.

export const ROOT = "/api/review";

let routes = [];
let leave = new AbortController();
let outlet = null;

/** `table`: pairs of a pattern and a view `(outlet, parameters, signal) => void`; `signal` ends with the view. */
export function start(box, table) {
  outlet = box;
  routes = table;
  history.scrollRestoration = "manual";
  addEventListener("popstate", () => render());
  document.addEventListener("click", follow);
  render({ first: true });
}

export function go(address, { replace = false } = {}) {
  history[replace ? "replaceState" : "pushState"](null, "", address);
  render();
}

export function address(...parts) {
  return [ROOT, ...parts.map(encodeURIComponent)].join("/");
}

/** The parameters behind the `?`, without a new entry in the history. */
export function keepQuery(parameters) {
  const text = new URLSearchParams(Object.entries(parameters).filter(([, value]) => value)).toString();
  history.replaceState(history.state, "", location.pathname + (text ? `?${text}` : ""));
}

function follow(event) {
  const link = event.target.closest("a[href]");
  const plain = event.button === 0 && !event.metaKey && !event.ctrlKey && !event.shiftKey && !event.altKey;
  if (!link || !plain || event.defaultPrevented || link.target || link.hasAttribute("download")) return;
  if (link.getAttribute("href").startsWith("#")) {
    // another fragment would be another address, and the view made anew
    event.preventDefault();
    return outlet.focus();
  }
  if (link.origin !== location.origin || !matched(link.pathname)) return;
  event.preventDefault();
  go(link.pathname + link.search);
}

function matched(path) {
  if (path !== ROOT && !path.startsWith(`${ROOT}/`)) return null;
  const below = path.slice(ROOT.length).replace(/\/$/, "");
  for (const [pattern, view] of routes) {
    const found = pattern.exec(below);
    if (found) return [view, found.slice(1).map(decodeURIComponent)];
  }
  return null;
}

function render({ first = false } = {}) {
  leave.abort();
  leave = new AbortController();
  for (const dialog of document.querySelectorAll("dialog")) dialog.close();
  const [view, parameters] = matched(location.pathname) ?? [null, []];
  outlet.replaceChildren();
  scrollTo(0, 0);
  document.dispatchEvent(new CustomEvent("realign:view", { detail: { path: location.pathname } }));
  if (view) view(outlet, parameters, leave.signal);
  // somebody who does not see the page has to be taken to what is new
  if (!first) outlet.focus({ preventScroll: true });
}
