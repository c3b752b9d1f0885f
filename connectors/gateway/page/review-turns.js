// The transcript that a reviewer marks: each word can be reached and marked by mouse and keyboard.
// Tab reaches the transcript, arrow keys go from word to word, space or enter marks one or takes the mark back.
// A suspected run is marked as a whole. Words behind a turn stay for as long as the server says and no longer.

import { byId, clockText, el } from "./dom.js";
import { NAMES, words as drawn } from "./words.js";

const SPEAKERS = { agent: "Agent", customer: "Customer", system: "System" };

export class ReviewedTurns {
  constructor({ type, onMarks, reveal }) {
    this.on = { type, marks: onMarks, reveal };
    this.list = byId("turns");
    this.words = []; // {node, turn, at, suspect, mark}
    this.list.addEventListener("click", (event) => this.toggle(this.of(event.target)));
    this.list.addEventListener("keydown", (event) => this.key(event));
    // Who looks away sees it no more.
    document.addEventListener("visibilitychange", () => document.hidden && this.hide());
    addEventListener("pagehide", () => this.hide());
  }

  draw(contact) {
    this.hide();
    this.words = [];
    this.canMark = contact?.outcome === "needs_review";
    this.list.replaceChildren(...(contact?.turns ?? []).map((turn) => this.row(turn, contact.may_reveal)));
    if (this.words.length) this.words[0].node.tabIndex = 0;
    this.on.marks(0);
  }

  row(turn, mayReveal) {
    const text = el("p", "words");
    turn.words.forEach((word, at) => {
      const suspect = turn.suspects.find((one) => one.first <= at && at <= one.last);
      const node = el("span", suspect ? "word suspect" : "word", ...drawn(word));
      node.tabIndex = -1;
      node.setAttribute("role", "checkbox");
      node.ariaChecked = "false";
      if (suspect) node.title = `Suspected: ${NAMES[suspect.type] ?? suspect.type}`;
      this.words.push({ node, turn, at, suspect, mark: null });
      text.append(node, " ");
    });
    const speaker = el("p", "speaker", SPEAKERS[turn.speaker], " ", el("time", "", clockText(turn.start_ms)));
    const row = el("li", `turn ${turn.speaker}`, speaker, text);
    row.dataset.turn = turn.turn_id;
    if (mayReveal) row.append(this.behind(turn, row));
    return row;
  }

  of(target) {
    const node = target.closest(".word");
    return this.words.find((word) => word.node === node);
  }

  toggle(word) {
    if (!word || !this.canMark) return;
    const run = word.suspect ? this.words.filter((one) => one.suspect === word.suspect) : [word];
    const mark = word.mark ? null : (word.suspect?.type ?? this.on.type());
    for (const one of run) this.mark(one, mark, one === run.at(-1));
    this.go(word);
    this.on.marks(this.words.filter((one) => one.mark).length);
  }

  // The last word of a run says as what it is masked.
  mark(word, mark, isLast) {
    word.mark = mark;
    word.node.classList.toggle("masked", Boolean(mark));
    word.node.ariaChecked = String(Boolean(mark));
    word.node.querySelector(".as-type")?.remove();
    if (mark && isLast) word.node.append(el("span", "as-type", NAMES[mark] ?? mark));
  }

  key(event) {
    const word = this.of(event.target);
    if (!word) return;
    const step = { ArrowRight: 1, ArrowLeft: -1 }[event.key];
    if (step) this.go(this.words[this.words.indexOf(word) + step]);
    else if (event.key === "ArrowDown" || event.key === "ArrowUp") this.goTurn(word, event.key === "ArrowDown");
    else if (event.key === " " || event.key === "Enter") this.toggle(word);
    else return;
    event.preventDefault();
  }

  goTurn(word, isDown) {
    const others = this.words.filter((one) => one.at === 0);
    const at = others.findIndex((one) => one.turn === word.turn);
    this.go(others[at + (isDown ? 1 : -1)]);
  }

  go(word) {
    if (!word) return;
    for (const one of this.words) one.node.tabIndex = one === word ? 0 : -1;
    word.node.focus();
    word.node.scrollIntoView({ block: "nearest" });
  }

  suspects() {
    return new Set(this.words.map((one) => one.suspect).filter(Boolean)).size;
  }

  // Goes to the suspected run behind the word that can be reached, round and round.
  next() {
    const here = this.words.findIndex((one) => one.node.tabIndex === 0);
    const begins = this.words.filter((one, at) => one.suspect && one.suspect !== this.words[at - 1]?.suspect);
    this.go(begins.find((one) => this.words.indexOf(one) > here) ?? begins[0]);
  }

  // Neighbours with one type are one run of words.
  marks() {
    const runs = [];
    for (const { turn, at, mark } of this.words) {
      if (!mark) continue;
      const last = runs.at(-1);
      if (last && last.turn_id === turn.turn_id && last.type === mark && last.last === at - 1) last.last = at;
      else runs.push({ turn_id: turn.turn_id, redaction_rev: turn.redaction_rev, first: at, last: at, type: mark });
    }
    return runs;
  }

  // A turn's words as they were said: asked for with a reason, which is logged with the name of who asks.
  behind(turn, row) {
    const button = el("button", "behind", "Show the words behind this turn");
    button.type = "button";
    button.addEventListener("click", () => {
      row.querySelector(".asking")?.remove();
      row.append(this.asking(turn, row));
      row.querySelector(".asking input").focus();
    });
    return button;
  }

  asking(turn, row) {
    const reason = el("input");
    reason.placeholder = "Why? It is logged with your name.";
    reason.setAttribute("aria-label", "Reason");
    Object.assign(reason, { autocomplete: "off", required: true, minLength: 10, maxLength: 200 });
    const problem = el("p", "problem");
    problem.setAttribute("role", "alert");
    const form = el("form", "asking", reason, el("button", "bad", "Log and show"), problem);
    form.addEventListener("submit", async (event) => {
      event.preventDefault();
      const { status, body } = await this.on.reveal(turn.turn_id, reason.value);
      if (status !== 200) problem.textContent = `Not shown: ${body.reason}.`;
      else if (row.isConnected && !document.hidden) this.show(row, form, body);
    });
    return form;
  }

  show(row, form, { text, seconds }) {
    this.hide();
    form.remove();
    const left = el("small", "");
    const box = el("p", "raw", left, text);
    const endsAt = performance.now() + seconds * 1000;
    const tick = () => {
      const leftS = Math.ceil((endsAt - performance.now()) / 1000);
      left.textContent = `Not redacted. Masked again in ${leftS} s`;
      if (leftS <= 0) this.hide();
    };
    row.append(box);
    this.shown = { box, timer: setInterval(tick, 250) };
    tick();
  }

  hide() {
    if (!this.shown) return;
    clearInterval(this.shown.timer);
    this.shown.box.replaceChildren();
    this.shown.box.remove();
    this.shown = null;
  }
}
