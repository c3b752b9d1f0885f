// The top of the page: how long the call lasts, whose it is, whether the page keeps up, and the other contacts.

import { arrange, byId, clockText, el } from "./dom.js";
import { audioNow } from "./store.js";

const LINKS = {
  connecting: "Connecting",
  live: "Live",
  reconnecting: "Reconnecting",
  degraded: "Delayed: the call's data is not arriving",
  ended: "Call ended",
};

export class HeaderView {
  constructor() {
    this.clock = byId("clock");
    this.agent = byId("agent");
    this.contact = byId("contact");
    this.link = byId("link");
    this.linkText = byId("link-text");
    this.contacts = byId("contacts");
  }

  name(contactId) {
    this.contact.textContent = contactId;
    this.contact.title = contactId;
    this.agent.textContent = "Waiting for the call";
  }

  draw(state) {
    const link = linkOf(state);
    this.link.dataset.state = link;
    if (this.linkText.textContent !== LINKS[link]) this.linkText.textContent = LINKS[link];
    if (state.contact) this.agent.textContent = state.contact.agent || "Call";
    this.tick(state, performance.now());
  }

  tick(state, nowMs) {
    if (state.seq > 0) this.clock.textContent = clockText(audioNow(state, nowMs));
  }

  // Other contacts, once there is more than one.
  list(contacts, shownId) {
    this.contacts.hidden = contacts.length < 2;
    arrange(this.contacts, contacts.map((contact) => entry(contact, contact.contact_id === shownId)));
  }
}

function linkOf(state) {
  if (state.link !== "live") return state.link;
  if (state.isDegraded) return "degraded";
  return state.end ? "ended" : "live";
}

function entry(contact, isShown) {
  const since = new Date(contact.first_logged_ms).toLocaleTimeString([], { hour: "2-digit", minute: "2-digit" });
  const parts = [el("span", "dot"), contact.agent || "Call", " ", el("time", "", since)];
  const link = el("a", contact.is_live ? "is-live" : "", ...parts);
  link.href = `/?contact=${encodeURIComponent(contact.contact_id)}`;
  link.title = contact.contact_id;
  if (isShown) link.setAttribute("aria-current", "page");
  return link;
}
