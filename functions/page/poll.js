// Looks again and again for as long as a view is there and somebody can see it.

/** Calls `look` after each pause; `seconds()` says how long the next one is. A look that fails does not end it. */
export async function poll(seconds, look, signal) {
  while (!signal.aborted) {
    await pause(seconds() * 1000, signal);
    await visible(signal);
    if (!signal.aborted) await look();
  }
}

function pause(milliseconds, signal) {
  return new Promise((done) => {
    const timer = setTimeout(done, milliseconds);
    signal.addEventListener("abort", () => (clearTimeout(timer), done()), { once: true });
  });
}

function visible(signal) {
  if (!document.hidden) return Promise.resolve();
  return new Promise((done) => {
    const changed = () => document.hidden || done();
    document.addEventListener("visibilitychange", changed, { signal });
    signal.addEventListener("abort", () => done(), { once: true });
  });
}
