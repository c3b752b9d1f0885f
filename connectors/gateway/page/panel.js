// A scrolling panel that stays at its end while it grows, unless the reader has scrolled up.

import { byId } from "./dom.js";

const NEAR_PX = 32;

export class Panel {
  constructor(name) {
    this.box = byId(`${name}-scroll`);
    this.latest = byId(`${name}-latest`);
    this.isAtEnd = true;
    this.box.addEventListener("scroll", () => this.look(), { passive: true });
    this.latest.addEventListener("click", () => this.toEnd());
    new ResizeObserver(() => this.settle()).observe(this.box);
  }

  // After the content has changed.
  settle() {
    if (this.isAtEnd) this.toEnd();
    else this.look();
  }

  look() {
    const below = this.box.scrollHeight - this.box.clientHeight - this.box.scrollTop;
    this.isAtEnd = below <= NEAR_PX;
    this.latest.hidden = this.isAtEnd;
  }

  toEnd() {
    this.box.scrollTop = this.box.scrollHeight;
    this.look();
  }
}
