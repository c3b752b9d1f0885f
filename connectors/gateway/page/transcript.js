// The conversation: one row a turn, kept for as long as the turn is, so that a final takes the place of its partial.

import { arrange, byId, clockText, el } from "./dom.js";
import { Panel } from "./panel.js";
import { spokenTurns } from "./store.js";
import { words } from "./words.js";

const UNHEARD = "Not heard";
const SPEAKERS = { agent: "Agent", customer: "Customer", system: "System" };

export class TranscriptView {
  constructor() {
    this.list = byId("turns");
    this.empty = byId("transcript-empty");
    this.spoken = byId("spoken-turns");
    this.panel = new Panel("transcript");
    this.rows = new Map(); // turn_id -> {row, turn}
    this.turns = null; // the map that was drawn last
    this.spokenId = null; // the turn that was read out last
  }

  draw(state) {
    if (state.turns === this.turns) return;
    const isFirst = this.turns === null;
    this.turns = state.turns;
    const turns = spokenTurns(state);
    const rows = turns.map((turn, at) => this.row(turn, turns[at - 1], isFirst));
    arrange(this.list, rows);
    this.empty.hidden = turns.length > 0;
    if (!turns.some((turn) => turn.turn_id === this.spokenId)) this.spoken.textContent = "";
    this.panel.settle();
  }

  row(turn, before, isFirst) {
    const known = this.rows.get(turn.turn_id);
    // Who speaks may be told after the words: such a turn moves to the other side.
    const row = known?.turn.speaker === turn.speaker ? known.row : makeRow(turn);
    if (known?.turn !== turn) this.fill(row, turn, isFirst);
    row.classList.toggle("follows", before?.speaker === turn.speaker);
    return row;
  }

  fill(row, turn, isFirst) {
    const was = this.rows.get(turn.turn_id)?.turn;
    row.classList.toggle("partial", !turn.is_final);
    row.classList.toggle("aside", turn.is_backchannel);
    row.classList.toggle("unheard", turn.text === "");
    row.querySelector(".words").replaceChildren(...drawn(turn));
    if (turn.is_final && !was?.is_final && !isFirst) this.speak(turn);
    this.rows.set(turn.turn_id, { row, turn });
  }

  // Only finals are read out: a partial would be said again with every word.
  speak(turn) {
    this.spokenId = turn.turn_id;
    this.spoken.textContent = `${SPEAKERS[turn.speaker]}: ${turn.text || UNHEARD}`;
  }

  // Lifts turns out of the others; none lifts none.
  mark(turnIds) {
    for (const [turnId, { row }] of this.rows) row.classList.toggle("marked", turnIds.includes(turnId));
  }

  goTo(turnId) {
    this.rows.get(turnId)?.row.scrollIntoView({ block: "center" });
  }
}

// A turn that has no words says so; of a partial, what the next one may still change looks apart.
function drawn(turn) {
  if (turn.text === "") return [UNHEARD];
  if (turn.is_final) return words(turn.text);
  return [...words(turn.text.slice(0, turn.stable)), el("span", "tail", ...words(turn.text.slice(turn.stable)))];
}

function makeRow(turn) {
  const row = el(
    "li",
    `turn ${turn.speaker}`,
    el("p", "speaker", SPEAKERS[turn.speaker], " ", el("time", "", clockText(turn.start_ms))),
    el("p", "words"),
  );
  row.dataset.turn = turn.turn_id;
  return row;
}
