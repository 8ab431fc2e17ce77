// Looks again and again for as long as a view is there and somebody can see it.

/**
 * Calls `look` now and after each pause; `seconds()` says how long the next one is. A look that fails does not end it.
 * The function that is returned asks for a look at once: something has happened. So does a tab that is seen again.
 */
export function poll(seconds, look, signal) {
  let woken = false;
  let end = () => {};

  function wake() {
    woken = true;
    end();
  }

  function pause() {
    return new Promise((done) => {
      const timer = setTimeout(done, seconds() * 1000);
      end = () => (clearTimeout(timer), done());
    });
  }

  async function loop() {
    await look();
    while (!signal.aborted) {
      if (!woken) await pause();
      while (document.hidden && !signal.aborted) await new Promise((done) => (end = done));
      woken = false;
      if (!signal.aborted) await look();
    }
  }

  signal.addEventListener("abort", wake, { once: true });
  document.addEventListener("visibilitychange", wake, { signal });
  loop();
  return wake;
}
