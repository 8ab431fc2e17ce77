// Shows a long list in the page's own scrolling and keeps only the rows in sight in the document, in their order.

const BEYOND = 8;

export class VirtualList {
  #box;
  #draw;
  #rows = new Map();
  #count = 0;
  #height = 0;
  #asked = false;

  /** `box` has the CSS variable `--row-height` in px; `draw(index)` makes a row. */
  constructor(box, draw, signal) {
    this.#box = box;
    this.#draw = draw;
    addEventListener("scroll", () => this.#later(), { passive: true, signal });
    addEventListener("resize", () => this.redraw(this.#count), { passive: true, signal });
  }

  /** Draws everything in sight anew. */
  redraw(count) {
    this.#count = count;
    this.#height = parseFloat(getComputedStyle(this.#box).getPropertyValue("--row-height"));
    this.#box.style.height = `${count * this.#height}px`;
    this.#rows.clear();
    this.#box.replaceChildren();
    this.#update();
  }

  row(index) {
    return this.#rows.get(index) ?? null;
  }

  /** Draws one row anew where it is in sight. */
  renew(index) {
    const old = this.#rows.get(index);
    if (!old) return;
    const row = this.#placed(index);
    old.replaceWith(row);
    this.#rows.set(index, row);
  }

  /** Brings a row into sight, between what sticks at the top and at the bottom, and gives it. */
  reveal(index) {
    const there = this.#box.getBoundingClientRect().top + index * this.#height;
    if (there < 0 || there > innerHeight) scrollBy(0, there - innerHeight / 2);
    this.#update();
    const row = this.#rows.get(index);
    row?.scrollIntoView({ block: "nearest" });
    this.#update();
    return this.#rows.get(index) ?? null;
  }

  #later() {
    if (this.#asked) return;
    this.#asked = true;
    requestAnimationFrame(() => {
      this.#asked = false;
      this.#update();
    });
  }

  #update() {
    const above = -this.#box.getBoundingClientRect().top;
    const first = Math.max(0, Math.floor(above / this.#height) - BEYOND);
    const last = Math.min(this.#count - 1, Math.ceil((above + innerHeight) / this.#height) + BEYOND);
    let before = null;
    for (const [index, row] of this.#rows) {
      if (index >= first && index <= last) continue;
      // whoever is in a row stays in it, however far the page is scrolled
      if (row.contains(document.activeElement)) before = index < first ? row : before;
      else {
        row.remove();
        this.#rows.delete(index);
      }
    }
    let next = before ? before.nextSibling : this.#box.firstChild;
    for (let index = first; index <= last; index += 1) {
      const row = this.#rows.get(index) ?? this.#placed(index);
      this.#rows.set(index, row);
      if (row === next) next = next.nextSibling;
      else this.#box.insertBefore(row, next);
    }
  }

  #placed(index) {
    const row = this.#draw(index);
    row.style.transform = `translateY(${index * this.#height}px)`;
    return row;
  }
}
