// The cards beside the conversation: what to do, until when, why, and the agent's answer. The summary is one of them.
// A card stays one element for as long as its hint is the same; clocks and answers change inside it.

import { arrange, byId, clockText, el } from "./dom.js";
import { Panel } from "./panel.js";
import { audioNow, shownHints } from "./store.js";
import { words } from "./words.js";

const KINDS = {
  compliance: "Compliance",
  empathy: "Empathy",
  escalation: "Escalation",
  next_best_action: "Next best action",
  reminder: "Reminder",
  summary: "Summary",
};
const ANSWERS = { accepted: "Accepted", dismissed: "Dismissed" };

export class GuidanceView {
  constructor({ onAnswer, onPoint, onGoTo }) {
    this.on = { answer: onAnswer, point: onPoint, goTo: onGoTo };
    this.list = byId("cards");
    this.empty = byId("guidance-empty");
    this.count = byId("open-cards");
    this.spoken = byId("spoken-cards");
    this.panel = new Panel("guidance");
    this.cards = new Map(); // guidance_id -> {card, hint}
    this.isFirst = true;
  }

  draw(state) {
    const hints = shownHints(state);
    arrange(this.list, hints.map((hint) => this.card(hint, state)));
    this.forgetAllBut(hints);
    this.empty.hidden = hints.length > 0;
    this.isFirst = false;
    this.tick(state, performance.now());
    this.panel.settle();
  }

  card(hint, state) {
    const known = this.cards.get(hint.guidance_id);
    const card = known && isSame(known.hint, hint) ? known.card : this.make(hint);
    this.cards.set(hint.guidance_id, { card, hint });
    if (hint.kind !== "summary") showAnswer(card, hint.guidance_id, state);
    for (const quote of card.querySelectorAll("[data-cites]")) showEvidence(quote, state);
    return card;
  }

  make(hint) {
    if (!this.isFirst) this.spoken.textContent = `${kindText(hint)}: ${hint.body}`;
    return hint.kind === "summary" ? makeSummary(hint, this.on) : makeCard(hint, this.on);
  }

  forgetAllBut(hints) {
    const kept = new Set(hints.map((hint) => hint.guidance_id));
    for (const guidanceId of this.cards.keys()) if (!kept.has(guidanceId)) this.cards.delete(guidanceId);
  }

  // Lets the time to each deadline run down.
  tick(state, nowMs) {
    const audioMs = audioNow(state, nowMs);
    let open = 0;
    for (const { card, hint } of this.cards.values()) {
      if (hint.kind === "summary") continue;
      if (hint.deadline_ms !== null) showTime(card, hint, audioMs);
      if (!card.dataset.answer && !card.classList.contains("past")) open += 1;
    }
    this.count.textContent = open ? `${open} open` : "";
  }
}

function makeCard(hint, on) {
  const card = el(
    "li",
    "card",
    el("p", "kind", kindText(hint), el("span", "left")),
    el("p", "body", hint.body),
    ...evidence(hint.evidence, on),
    answers(hint, on),
    el("p", "answer"),
  );
  if (hint.deadline_ms !== null) card.append(el("span", "bar-left"));
  card.dataset.guidance = hint.guidance_id;
  card.dataset.kind = hint.kind;
  card.tabIndex = -1;
  return card;
}

function makeSummary(hint, on) {
  const cites = (point) => point.turn_ids.map((turnId) => cite(turnId, on));
  const points = hint.points.map((point) => el("li", "", ...words(point.text), " ", ...cites(point)));
  const body = points.length ? el("ul", "points", ...points) : el("p", "body", ...words(hint.body));
  const card = el("li", "card summary", el("p", "kind", "Summary"), body);
  card.dataset.guidance = hint.guidance_id;
  card.dataset.kind = hint.kind;
  return card;
}

function evidence(turnIds, on) {
  return turnIds.map((turnId) => pointer(el("button", "evidence", el("q", "quote")), turnId, on));
}

function cite(turnId, on) {
  return pointer(el("button", "cite", el("span", "when")), turnId, on);
}

// A button that lifts its turn out while pointed at, and goes there when pressed.
function pointer(button, turnId, on) {
  button.type = "button";
  button.dataset.cites = turnId;
  const mark = () => on.point([turnId]);
  const unmark = () => on.point([]);
  button.addEventListener("mouseenter", mark);
  button.addEventListener("focus", mark);
  button.addEventListener("mouseleave", unmark);
  button.addEventListener("blur", unmark);
  button.addEventListener("click", () => on.goTo(turnId));
  return button;
}

function showEvidence(button, state) {
  const turn = state.turns.get(button.dataset.cites);
  const quote = button.querySelector(".quote");
  const when = button.querySelector(".when");
  if (when) when.textContent = turn ? clockText(turn.start_ms) : "–";
  if (quote && quote.dataset.text !== turn?.text) {
    quote.dataset.text = turn?.text ?? "";
    quote.replaceChildren(...words(turn?.text ?? "…"));
  }
  button.setAttribute("aria-label", turn ? `Show in transcript, ${clockText(turn.start_ms)}` : "Show in transcript");
}

function answers(hint, on) {
  const button = (className, text, action) => {
    const made = el("button", className, text);
    made.type = "button";
    made.addEventListener("click", () => {
      if (made.ariaDisabled !== "true") on.answer(hint.guidance_id, action);
    });
    return made;
  };
  const policy = el("span", "policy", hint.policy && `${hint.policy} v${hint.policy_version}`);
  const buttons = [button("accept", "Accept", "accepted"), button("dismiss", "Dismiss", "dismissed")];
  return el("div", "answers", ...buttons, policy);
}

function showAnswer(card, guidanceId, state) {
  const answered = state.feedback.get(guidanceId);
  const clicked = state.clicked.get(guidanceId);
  // Not `disabled`: a button that is would drop the keyboard's focus.
  for (const button of card.querySelectorAll(".answers button")) button.ariaDisabled = String(Boolean(clicked));
  const refused = state.refused.has(guidanceId) ? "Not saved. Try again." : "";
  card.querySelector(".answer").textContent = answered ? ANSWERS[answered.action] : refused;
  if (answered && !card.dataset.answer) {
    if (card.contains(document.activeElement)) card.focus(); // its button is about to go
    card.dataset.answer = answered.action;
  }
}

function showTime(card, hint, audioMs) {
  const leftMs = hint.deadline_ms - audioMs;
  const isPast = leftMs <= 0;
  card.classList.toggle("past", isPast);
  card.querySelector(".left").textContent = isPast ? "time passed" : `${Math.ceil(leftMs / 1000)} s left`;
  const share = Math.min(1, Math.max(0, leftMs / Math.max(1, hint.deadline_ms - hint.at_ms)));
  card.querySelector(".bar-left").style.setProperty("--share", share.toFixed(3));
}

function kindText(hint) {
  return KINDS[hint.kind] ?? hint.kind.replaceAll("_", " ");
}

function isSame(a, b) {
  return JSON.stringify(a) === JSON.stringify(b);
}
