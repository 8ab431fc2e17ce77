// Builds the document. Every text that comes from outside passes through `plain` into a text node or an attribute:
// nothing here, or anywhere else in the page, parses a text as HTML.

const SVG = "http://www.w3.org/2000/svg";

// Controls that nobody sees, and those that turn the direction of the text around them: with them a name can pretend
// to be another one. Tab and line feed stay.
const UNSEEN = /[\u0000-\u0008\u000b-\u001f\u007f-\u009f\u061c\u200b-\u200f\u202a-\u202e\u2060-\u2069\ufeff]/g;

export function plain(text) {
  return String(text).replace(
    UNSEEN,
    (mark) => `\u27e8U+${mark.codePointAt(0).toString(16).toUpperCase().padStart(4, "0")}\u27e9`,
  );
}

/** An element. `attributes`: `on...` are listeners, true and false are boolean attributes, null is left out. */
export function el(tag, attributes = {}, ...children) {
  return filled(document.createElement(tag), attributes, children);
}

export function svg(tag, attributes = {}, ...children) {
  return filled(document.createElementNS(SVG, tag), attributes, children);
}

/** A name from outside, kept apart from the direction of the text around it. */
export function name(text) {
  return el("bdi", {}, text);
}

export function mono(text) {
  return el("bdi", { class: "mono" }, text);
}

/** Replaces what is in `box`. Whoever had the focus has it afterwards, if there is such an element again. */
export function replace(box, ...children) {
  const focused = box.contains(document.activeElement) ? document.activeElement : null;
  box.replaceChildren();
  append(box, children);
  if (!focused) return;
  const again = [...box.querySelectorAll(focused.localName)].find((each) => alike(each, focused));
  again?.focus({ preventScroll: true });
}

function alike(one, other) {
  return one.id || other.id ? one.id === other.id : one.textContent === other.textContent;
}

/** Says something to whoever listens instead of looking. */
export function tell(text) {
  const box = document.getElementById("told");
  // the same text again would be no change, and so not be read
  box.textContent = box.textContent === plain(text) ? `${plain(text)}\u00a0` : plain(text);
}

function filled(element, attributes, children) {
  for (const [key, value] of Object.entries(attributes)) {
    if (value === null || value === undefined || value === false) continue;
    if (key.startsWith("on")) element.addEventListener(key.slice(2), value);
    else if (value === true) element.setAttribute(key, "");
    else element.setAttribute(key, plain(value));
  }
  append(element, children);
  return element;
}

function append(element, children) {
  for (const child of children.flat(Infinity)) {
    if (child === null || child === undefined || child === false || child === "") continue;
    element.append(child instanceof Node ? child : document.createTextNode(plain(child)));
  }
}
