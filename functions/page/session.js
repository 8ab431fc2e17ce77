// Who is signed in. The API decides what may be done; this only keeps the page from offering what it would refuse.

import { get } from "./api.js";
import { ROOT } from "./router.js";

let person = { name: "", roles: [] };

export async function load() {
  person = await get("/me");
  return person;
}

export function me() {
  return person;
}

export const may = {
  operate: () => person.roles.includes("Realign.Operator"),
  approve: () => person.roles.includes("Realign.Approver"),
};

/** The highest role in a word, such as "Approver". */
export function role() {
  return (person.roles.at(-1) ?? "").replace("Realign.", "");
}

export function signInAddress() {
  const gone = location.pathname === `${ROOT}/signed-out`;
  const back = gone ? ROOT : location.pathname + location.search;
  return `/.auth/login/aad?post_login_redirect_uri=${encodeURIComponent(back)}`;
}

export const signOutAddress = `/.auth/logout?post_logout_redirect_uri=${encodeURIComponent(`${ROOT}/signed-out`)}`;
