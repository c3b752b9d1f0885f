// Which contact to show, and which others there are. Owns the only use of /contacts.

const WAIT_MS = 2000; // for the first call
const LIST_MS = 15000; // between two looks at the list

async function fetchContacts() {
  try {
    const reply = await fetch("/contacts");
    return reply.ok ? await reply.json() : [];
  } catch {
    return []; // the connection pill says so
  }
}

const pause = (ms) => new Promise((done) => setTimeout(done, ms));

// The contact of the URL, else the newest live one, else the newest; waits until there is one.
export async function chooseContact(asked) {
  if (asked) return asked;
  for (;;) {
    const contacts = await fetchContacts();
    const chosen = contacts.find((contact) => contact.is_live) ?? contacts[0];
    if (chosen) return chosen.contact_id;
    await pause(WAIT_MS);
  }
}

export async function watchContacts(onList) {
  for (;;) {
    onList(await fetchContacts());
    await pause(LIST_MS);
  }
}
