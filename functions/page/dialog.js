// Asks before something is done, says what was refused, and gives the focus back.

import { el, replace } from "./dom.js";
import { signInAddress } from "./session.js";

/**
 * `body` are nodes, `confirm` the words on the button, `tone` `primary` or `danger`. `send(form)` does it and gives a
 * promise: what it rejects with is shown, the dialog stays, and `refused()` is called. `done(result)` comes after the
 * dialog has gone.
 */
export function ask({ title, body, confirm, tone = "primary", send, done, refused }) {
  const opener = document.activeElement;
  const alarm = el("div", { role: "alert" });
  const yes = el("button", { type: "submit", class: tone }, confirm);
  const no = el("button", { type: "button", onclick: () => dialog.close() }, "Keep as it is");
  const form = el(
    "form",
    { method: "dialog", onsubmit: submit },
    el("h2", { id: "dialog-title" }, title),
    el("div", { class: "dialog-body" }, body),
    alarm,
    el("div", { class: "dialog-actions" }, no, yes),
  );
  const dialog = el("dialog", { "aria-labelledby": "dialog-title", onclose: closed, oncancel: cancelled }, form);
  open();

  function open() {
    document.body.append(dialog);
    dialog.showModal();
  }

  async function submit(event) {
    event.preventDefault();
    replace(alarm);
    yes.disabled = no.disabled = true;
    form.setAttribute("aria-busy", "true");
    try {
      const result = await send(new FormData(form));
      dialog.close();
      done?.(result);
    } catch (problem) {
      // a browser lets somebody who insists leave a dialog that is busy: what was refused is told all the same
      if (!dialog.isConnected) open();
      replace(alarm, el("p", { class: "callout bad" }, problem.message, " ", problem.signedOut && signInElsewhere()));
      refused?.();
    } finally {
      yes.disabled = no.disabled = false;
      form.removeAttribute("aria-busy");
      if (dialog.open) yes.focus();
    }
  }

  function cancelled(event) {
    if (form.hasAttribute("aria-busy")) event.preventDefault();
  }

  function closed() {
    dialog.remove();
    // the button may have been drawn anew meanwhile
    const back = opener?.isConnected ? opener : opener?.id && document.getElementById(opener.id);
    (back || document.getElementById("main")).focus({ preventScroll: true });
  }
}

// in another tab, so that the question and what was selected for it stay
function signInElsewhere() {
  return el("a", { href: signInAddress(), target: "_blank", rel: "noopener" }, "Sign in, then try again here");
}

/** A field for a comment, which ends up in the run's history. */
export function commentField({ required = false } = {}) {
  return el(
    "div",
    { class: "field" },
    el("label", { for: "comment" }, required ? "Comment" : "Comment (optional)"),
    el("textarea", {
      id: "comment",
      name: "comment",
      rows: 2,
      maxlength: 1000,
      required,
      "aria-describedby": "comment-hint",
    }),
    el("p", { class: "hint", id: "comment-hint" }, "It stands in the run's history beside your name."),
  );
}
