// One contact's WebSocket: opens it, resumes from the last frame seen, comes back after every kind of cut.
// Owns backoff and liveness; it does not look into frames.

const BACKOFF_MS = [250, 500, 1000, 2000, 4000, 8000];
const RESTART_MS = 2000; // a gateway that restarts is not stormed by all its pages at once
const SILENCE_MS = 45000; // the server says something every 20 s

export function connect(contactId, { position, onFrame, onState }) {
  const scheme = location.protocol === "https:" ? "wss:" : "ws:";
  const url = `${scheme}//${location.host}/socket?contact=${encodeURIComponent(contactId)}`;
  let socket = null;
  let failures = 0;
  let retry = 0;
  let silence = 0;

  function open() {
    clearTimeout(retry);
    socket = new WebSocket(url);
    socket.onopen = () => {
      send({ resume: position() });
      listen();
    };
    socket.onmessage = ({ data }) => {
      failures = 0;
      listen();
      onState("live");
      onFrame(JSON.parse(data));
    };
    socket.onclose = ({ code }) => again(code);
  }

  function again(code) {
    clearTimeout(silence);
    onState("reconnecting");
    const longest = code === 1012 ? RESTART_MS : BACKOFF_MS[Math.min(failures, BACKOFF_MS.length - 1)];
    failures += 1;
    retry = setTimeout(open, longest * (0.5 + Math.random() / 2));
  }

  function listen() {
    clearTimeout(silence);
    silence = setTimeout(abandon, SILENCE_MS);
  }

  // A half-open connection never answers a close either: leave it to its fate.
  function abandon() {
    socket.onclose = socket.onmessage = null;
    socket.close();
    again(0);
  }

  function send(message) {
    if (socket.readyState === WebSocket.OPEN) socket.send(JSON.stringify(message));
  }

  addEventListener("online", () => {
    if (socket.readyState === WebSocket.CLOSED) open();
  });
  open();
  return { send };
}
