// The bar at the top: where one is, and who one is.

import { el, name, replace } from "./dom.js";
import { ROOT, address } from "./router.js";
import { me, role, signOutAddress } from "./session.js";

const ICON = new URL("icon.svg", import.meta.url).pathname;
const PLACES = [
  ["Runs", ROOT, (path) => path === ROOT || path.startsWith(`${ROOT}/runs`)],
  ["Profiles", address("profiles"), (path) => path.startsWith(`${ROOT}/profiles`)],
  ["Health", address("health"), (path) => path.startsWith(`${ROOT}/health`)],
];

export function drawTop() {
  const person = me();
  const path = location.pathname;
  replace(
    document.getElementById("top"),
    el("a", { class: "brand", href: ROOT }, el("img", { src: ICON, alt: "", width: 22, height: 22 }), "Realign"),
    person.name &&
      el(
        "nav",
        { "aria-label": "Main" },
        PLACES.map(([text, href, here]) => el("a", { href, "aria-current": here(path) ? "page" : null }, text)),
      ),
    person.name &&
      el(
        "div",
        { class: "person" },
        el("span", { class: "who" }, name(person.name)),
        el("span", { class: "role" }, role()),
        el("a", { href: signOutAddress }, "Sign out"),
      ),
  );
}

export function title(text) {
  document.title = text ? `${text} · Realign` : "Realign";
}
