// Shows a long list in the page's own scrolling and keeps only the rows in sight in the document, in their order.

const BEYOND = 8;

export class VirtualList {
  #box;
  #draw;
  #says;
  #rows = new Map();
  #said = new Map();
  #count = 0;
  #height = 0;
  #asked = false;

  /**
   * `box` has the CSS variable `--row-height` in px; `draw(index)` makes a row, and `says(index)` is a text that is
   * another one when the row has to be drawn anew.
   */
  constructor(box, draw, says, signal) {
    this.#box = box;
    this.#draw = draw;
    this.#says = says;
    addEventListener("scroll", () => this.#later(), { passive: true, signal });
    addEventListener("resize", () => this.redraw(this.#count), { passive: true, signal });
  }

  /** Draws what is in sight and says something else than before; whoever reads the rest is not disturbed. */
  redraw(count) {
    const before = this.#height;
    this.#count = count;
    this.#height = parseFloat(getComputedStyle(this.#box).getPropertyValue("--row-height"));
    this.#box.style.height = `${count * this.#height}px`;
    for (const index of [...this.#rows.keys()]) {
      const stays = index < count && before === this.#height && this.#said.get(index) === this.#says(index);
      if (!stays) this.#remove(index);
    }
    this.#update();
  }

  #remove(index) {
    this.#rows.get(index).remove();
    this.#rows.delete(index);
    this.#said.delete(index);
  }

  row(index) {
    return this.#rows.get(index) ?? null;
  }

  /** A row was changed in its place, and says what `says` says now. */
  keep(index) {
    if (this.#rows.has(index)) this.#said.set(index, this.#says(index));
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
      else this.#remove(index);
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
    this.#said.set(index, this.#says(index));
    row.style.transform = `translateY(${index * this.#height}px)`;
    return row;
  }
}
