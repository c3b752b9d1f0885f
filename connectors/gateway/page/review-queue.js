// One entry of the queue.

import { el } from "./dom.js";
import { NAMES } from "./words.js";

const OUTCOMES = { needs_review: "waits", rejected: "rejected: audio erased" };
const known = new Map(); // contact id -> {item, text}: an entry that is the same stays, and keeps the focus

export function entry(one, isOpen, onChoose) {
  const text = JSON.stringify(one);
  if (known.get(one.contact_id)?.text !== text) known.set(one.contact_id, { text, item: make(one, onChoose) });
  const { item } = known.get(one.contact_id);
  item.firstChild.setAttribute("aria-current", String(isOpen));
  return item;
}

function make(one, onChoose) {
  const since = new Date(one.since_ms).toLocaleString([], { dateStyle: "medium", timeStyle: "short" });
  const about = `${one.tenant} · ${OUTCOMES[one.outcome]} · ${since}`;
  const chips = Object.entries(one.types).map(([type, count]) => el("span", "chip", `${NAMES[type] ?? type} ${count}`));
  const button = el("button", "case", el("span", "name", one.contact_id), el("span", "about", about), ...chips);
  button.type = "button";
  button.title = one.contact_id;
  button.dataset.outcome = one.outcome;
  button.dataset.contact = one.contact_id;
  button.addEventListener("click", () => onChoose(one.contact_id));
  return el("li", "", button);
}
