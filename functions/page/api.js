// Calls the API. What it refuses becomes a `Problem` with the API's own sentence.

const PREFIX = "/api";
const KEPT = 40;
const NO_ANSWER = "The app does not answer. Check the network.";
const NOBODY_KNOWS = "The app did not answer, so this may have been done or not. Look at what is there before you try again.";

/** `status` 0: no answer came at all. `code`, `field` and the rest are those of the problem document. */
export class Problem extends Error {
  constructor(status, detail, document = {}) {
    super(detail);
    this.status = status;
    this.code = document.code ?? "";
    this.field = document.field ?? null;
    this.document = document;
  }

  get signedOut() {
    return this.status === 401;
  }
}

// what the server named with an ETag, to ask again without a body
const known = new Map();

// asked for before anybody needed it
const ahead = new Map();

/** Asks for something that the next view is going to `get`, while other things are waited for. */
export function askAhead(path) {
  const asked = fetched(path, {});
  asked.catch(() => {}); // whoever takes it sees the error
  ahead.set(path, asked);
}

export async function get(path, options = {}) {
  const asked = ahead.get(path);
  ahead.delete(path);
  return asked ?? fetched(path, options);
}

async function fetched(path, { signal }) {
  const before = known.get(path);
  const headers = before ? { "If-None-Match": before.etag } : {};
  const { answer, text } = await call("GET", path, NO_ANSWER, { signal, headers });
  if (answer.status === 304 && before) return before.value;
  const value = read(answer, text, NO_ANSWER);
  const etag = answer.headers.get("ETag");
  known.delete(path);
  if (etag) known.set(path, { etag, value });
  if (known.size > KEPT) known.delete(known.keys().next().value);
  return value;
}

export async function send(method, path, body, { headers = {} } = {}) {
  const content = body === undefined ? {} : { "Content-Type": "application/json" };
  const { answer, text } = await call(method, path, NOBODY_KNOWS, {
    headers: { ...content, ...headers },
    body: body === undefined ? undefined : JSON.stringify(body),
  });
  return read(answer, text, NOBODY_KNOWS);
}

export function query(parameters) {
  const given = Object.entries(parameters).filter(([, value]) => value !== null && value !== undefined && value !== "");
  return given.length ? `?${new URLSearchParams(given)}` : "";
}

async function call(method, path, silence, options) {
  let answer;
  let text;
  try {
    // a redirect can only lead to the sign-in, and that is no answer
    answer = await fetch(PREFIX + path, { method, redirect: "manual", ...options });
    text = await answer.text();
  } catch (error) {
    if (error.name === "AbortError") throw error;
    throw new Problem(0, silence);
  }
  if (answer.type === "opaqueredirect") throw new Problem(401, "Sign in first: this address needs a Realign role.");
  return { answer, text };
}

function read(answer, text, silence) {
  let document = null;
  try {
    document = text ? JSON.parse(text) : null;
  } catch {
    // whatever stands in front of the app may answer with a page of its own
  }
  if (answer.ok && document !== null) return document;
  // whoever stands in front of the app says so without a document
  if (document === null && [502, 503, 504].includes(answer.status)) throw new Problem(0, silence);
  const detail = document?.detail ?? `The app answered with status ${answer.status} and no explanation. Try again.`;
  throw new Problem(answer.status, detail, document ?? {});
}
