// Wires the page: which contact is shown, its frames into the store, the store into the views.
// Owns the one mutable variable, `state`; everything it calls either is pure or draws.

import { chooseContact, watchContacts } from "./contacts.js";
import { GuidanceView } from "./guidance.js";
import { HeaderView } from "./header.js";
import { connect } from "./socket.js";
import { emptyState, reduce } from "./store.js";
import { TranscriptView } from "./transcript.js";

const TICK_MS = 250; // clocks and deadlines show whole seconds

let state = emptyState();
let isDrawn = true;

const transcript = new TranscriptView();
const header = new HeaderView();

function take(frame) {
  state = reduce(state, frame, performance.now());
  if (!isDrawn) return;
  isDrawn = false;
  requestAnimationFrame(draw);
}

function draw() {
  isDrawn = true;
  transcript.draw(state);
  guidance.draw(state);
  header.draw(state);
}

function tick() {
  guidance.tick(state, performance.now());
  header.tick(state, performance.now());
}

const contactId = await chooseContact(new URLSearchParams(location.search).get("contact"));
header.name(contactId);
watchContacts((contacts) => header.list(contacts, contactId));

const guidance = new GuidanceView({
  onAnswer(guidanceId, action) {
    take({ type: "clicked", guidance_id: guidanceId, action });
    socket.send({ feedback: { guidance_id: guidanceId, action } });
  },
  onPoint: (turnIds) => transcript.mark(turnIds),
  onGoTo: (turnId) => transcript.goTo(turnId),
});
const socket = connect(contactId, {
  position: () => ({ epoch: state.epoch, seq: state.seq }),
  onFrame: take,
  onState: (link) => take({ type: "link", link }),
});

setInterval(tick, TICK_MS);
