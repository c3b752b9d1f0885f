// Asks the server: the only use of fetch on the reviewer's page. Answers are never cached.

const AWAY = { status: 503, body: { reason: "the server does not answer" } };

export async function ask(method, path, said) {
  const headers = said ? { "Content-Type": "application/json" } : {};
  try {
    const reply = await fetch(path, { method, headers, body: said && JSON.stringify(said), cache: "no-store" });
    const isJson = reply.headers.get("Content-Type")?.startsWith("application/json");
    return { status: reply.status, body: isJson ? await reply.json() : { reason: await reply.text() } };
  } catch {
    return AWAY;
  }
}
