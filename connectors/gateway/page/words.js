// How the text of a turn is drawn: redaction tokens as chips, everything else as plain text.

import { el } from "./dom.js";

const TOKEN = /\[([A-Z]{2,16}(?: [0-9a-f]{4,8})?)\]/;
export const NAMES = {
  ADDRESS: "Address",
  BANKACCOUNT: "Bank account",
  CREDITCARD: "Card number",
  CVV: "Security code",
  DOB: "Date of birth",
  EMAIL: "E-mail",
  EXPIRY: "Expiry date",
  NAME: "Name",
  PHONE: "Phone number",
  PII: "Private",
  ROUTING: "Routing number",
  SSN: "Social security number",
};

export function words(text) {
  // Splitting by a group puts the group's matches at the odd places.
  return text.split(TOKEN).map((part, at) => (at % 2 ? chip(part) : part));
}

function chip(token) {
  // Behind the type may stand the last digits of a card or a pseudonym.
  const [type, ...mark] = token.split(" ");
  const element = el("span", "chip", [NAMES[type] ?? type, ...mark].join(" "));
  element.dataset.type = type;
  element.title = "Removed before it reached this screen";
  return element;
}
