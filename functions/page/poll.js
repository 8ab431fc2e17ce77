// Looks again and again for as long as a view is there and somebody can see it.

/**
 * Calls `look` after each pause; `seconds()` says how long the next one is. A look that fails does not end it. The
 * function that is returned ends the present pause: something has happened.
 */
export function poll(seconds, look, signal) {
  let wake = () => {};

  function pause() {
    return new Promise((done) => {
      const timer = setTimeout(done, seconds() * 1000);
      wake = () => (clearTimeout(timer), done());
      signal.addEventListener("abort", wake, { once: true });
    });
  }

  async function loop() {
    while (!signal.aborted) {
      await pause();
      await visible(signal);
      if (!signal.aborted) await look();
    }
  }

  loop();
  return () => wake();
}

function visible(signal) {
  if (!document.hidden) return Promise.resolve();
  return new Promise((done) => {
    document.addEventListener("visibilitychange", () => document.hidden || done(), { signal });
    signal.addEventListener("abort", () => done(), { once: true });
  });
}
