// Wires the reviewer's page: login, queue, one contact, the decision about it.
// Owns which contact is open; nothing of it is stored or put into an address.

import { arrange, byId } from "./dom.js";
import { ask } from "./review-ask.js";
import { entry } from "./review-queue.js";
import { ReviewedTurns } from "./review-turns.js";
import { NAMES } from "./words.js";

const LIST_MS = 3000; // between two looks at the queue

let open = null; // the contact as the server told it
let isSent = false; // a decision about it is on its way

const turns = new ReviewedTurns({ type: () => byId("type").value, onMarks: showMarks, reveal });

function showLogin(isIn, name = "") {
  byId("login").hidden = isIn;
  byId("desk").hidden = byId("log-out").hidden = !isIn;
  byId("person").textContent = isIn ? name : "Not logged in";
  if (isIn) return;
  close();
  byId("cases").replaceChildren();
  byId("token").focus();
}

function close(text = "Choose a contact.") {
  open = null;
  turns.draw(null);
  byId("contact").textContent = "";
  byId("decision").hidden = true;
  byId("next-suspect").hidden = true;
  byId("turns-empty").hidden = false;
  byId("turns-empty").textContent = text;
}

async function list() {
  const { status, body } = await ask("GET", "/review/queue");
  if (status === 401) return showLogin(false);
  if (status !== 200) return;
  if (byId("desk").hidden) showLogin(true, body.name);
  arrange(byId("cases"), body.cases.map((one) => entry(one, one.contact_id === open?.contact_id, choose)));
  byId("queue-count").textContent = body.total || "";
  byId("queue-empty").hidden = body.total > 0;
  const still = body.cases.find((one) => one.contact_id === open?.contact_id);
  if (open && !still) close("Decided. It waits for nobody any more.");
  else if (open && still.outcome !== open.outcome) await choose(open.contact_id);
}

async function choose(contactId) {
  byId("turns-empty").textContent = "Reading…";
  const { status, body } = await ask("GET", `/review/contact?id=${encodeURIComponent(contactId)}`);
  if (status === 401) return showLogin(false);
  if (status !== 200) return close(body.reason);
  open = body;
  isSent = false;
  byId("contact").textContent = contactId;
  byId("turns-empty").hidden = body.turns.length > 0;
  byId("turns-empty").textContent = "Kafka holds no turn of this contact any more.";
  byId("decision").hidden = body.outcome !== "needs_review";
  byId("problem").textContent = "";
  turns.draw(body);
  const suspects = turns.suspects();
  byId("next-suspect").hidden = suspects === 0;
  byId("next-suspect").textContent = `Next of ${suspects} suspected`;
  if (suspects) turns.next();
  await list();
}

function showMarks(count) {
  byId("marked").textContent = count ? `${count} ${count === 1 ? "word" : "words"} marked` : "Nothing marked";
  byId("approve").textContent = count ? "Mask these and approve" : "Nothing to mask: approve";
}

async function decide(decision) {
  if (isSent) return;
  const said = { contact_id: open.contact_id, verdict_rev: open.verdict_rev, decision, marks: turns.marks() };
  sending(true);
  const { status, body } = await ask("POST", "/review/decision", said);
  if (status === 401) return showLogin(false);
  byId("problem").textContent = status === 202 ? "" : `Not decided: ${body.reason}.`;
  if (status === 202) byId("marked").textContent = "Sent. It is decided once redaction has done it.";
  else sending(false);
}

function sending(is) {
  isSent = is;
  for (const button of byId("decision").querySelectorAll("button")) button.ariaDisabled = String(is);
}

async function reveal(turnId, reason) {
  const answer = await ask("POST", "/review/reveal", { contact_id: open.contact_id, turn_id: turnId, reason });
  if (answer.status === 401) showLogin(false);
  return answer;
}

byId("login").addEventListener("submit", async (event) => {
  event.preventDefault();
  const token = byId("token").value.trim();
  byId("token").value = "";
  const { status } = await ask("POST", "/review/session", { token });
  byId("login-problem").textContent = status === 200 ? "" : "That token is nobody's.";
  if (status === 200) await list();
});
byId("log-out").addEventListener("click", async () => {
  await ask("DELETE", "/review/session");
  showLogin(false);
});
byId("decision").addEventListener("submit", (event) => {
  event.preventDefault();
  decide("approved");
});
byId("reject").addEventListener("click", () => {
  if (confirm("Erase the audio of this contact for ever?")) decide("rejected");
});
byId("next-suspect").addEventListener("click", () => turns.next());
byId("type").append(...Object.entries(NAMES).map(([type, name]) => new Option(name, type)));
byId("type").value = "NAME";

showMarks(0);
await list();
setInterval(() => {
  if (!document.hidden && !byId("desk").hidden) list();
}, LIST_MS);
