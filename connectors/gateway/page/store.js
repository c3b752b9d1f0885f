// What the page knows, as a value: `reduce(state, frame, nowMs)` returns the next state and changes nothing.
// Frames may come twice, late, or as a snapshot: identity and revision decide, as on the server's board.
// Owns no DOM and no clock; `nowMs` is performance.now() at the arrival of the frame.

const ON_HOLD = "on hold"; // a turn's `gap` (topics/records.py)
const AHEAD_LIMIT_MS = 30000; // how far the call's clock runs on without news

export function emptyState() {
  return {
    epoch: null,
    seq: 0,
    link: "connecting", // of the socket: connecting, live, reconnecting
    isDegraded: false, // the gateway itself is cut off from the call
    contact: null,
    end: null,
    turns: new Map(), // by turn_id
    guidance: new Map(), // by cause_id
    feedback: new Map(), // by guidance_id
    clicked: new Map(), // guidance_id -> action that the gateway has not confirmed
    refused: new Set(), // guidance_ids whose click was not saved
    timeMs: 0, // of audio, the latest heard of
    aheadMs: -Infinity, // audio time less nowMs, by the promptest report
  };
}

export function reduce(state, frame, nowMs) {
  const change = CHANGES[frame.type];
  if (!change) return state;
  const next = change(state, frame, nowMs);
  return frame.seq > next.seq ? { ...next, seq: frame.seq } : next;
}

const CHANGES = {
  turn(state, frame, nowMs) {
    const isNews = isNewerTurn(state.turns.get(frame.turn_id), frame);
    return heard(isNews ? put(state, "turns", frame.turn_id, frame) : state, frame.end_ms, nowMs);
  },
  guidance: (state, frame) =>
    isNewer(state.guidance.get(frame.cause_id), frame) ? put(state, "guidance", frame.cause_id, frame) : state,
  feedback: (state, frame) =>
    state.feedback.has(frame.guidance_id)
      ? state
      : put(forget(state, frame.guidance_id), "feedback", frame.guidance_id, frame),
  contact: (state, frame, nowMs) =>
    heard({ ...state, contact: state.contact?.agent ? state.contact : frame }, frame.at_ms, nowMs),
  end: (state, frame, nowMs) => heard({ ...state, end: state.end ?? frame }, frame.at_ms, nowMs),
  clock: (state, frame, nowMs) => heard(state, frame.time_ms, nowMs),
  status: (state, frame) => ({ ...state, isDegraded: frame.state === "degraded" }),
  snapshot,
  link(state, { link }) {
    if (state.link === link) return state;
    return { ...state, link, clicked: link === "live" ? state.clicked : new Map() };
  },
  clicked: (state, frame) => put(forget(state, frame.guidance_id), "clicked", frame.guidance_id, frame.action),
  error: (state, frame) =>
    frame.guidance_id && state.clicked.has(frame.guidance_id)
      ? { ...forget(state, frame.guidance_id), refused: new Set([...state.refused, frame.guidance_id]) }
      : state,
};

// A snapshot says everything that its board knows, which may be less than the page does: so it is applied like frames.
function snapshot(state, frame, nowMs) {
  const parts = [frame.contact, frame.end, ...frame.turns, ...frame.guidance, ...frame.feedback];
  const next = parts.filter(Boolean).reduce((before, part) => reduce(before, part, nowMs), state);
  return { ...next, epoch: frame.epoch, seq: frame.epoch === state.epoch ? Math.max(state.seq, frame.seq) : frame.seq };
}

// A final beats every partial; among equals the later revision wins.
function isNewerTurn(shown, frame) {
  if (!shown || shown.is_final === frame.is_final) return isNewer(shown, frame);
  return frame.is_final;
}

function isNewer(shown, frame) {
  return !shown || frame.rev > shown.rev;
}

function heard(state, timeMs, nowMs) {
  return { ...state, timeMs: Math.max(state.timeMs, timeMs), aheadMs: Math.max(state.aheadMs, timeMs - nowMs) };
}

function forget(state, guidanceId) {
  const clicked = new Map(state.clicked);
  const refused = new Set(state.refused);
  clicked.delete(guidanceId);
  refused.delete(guidanceId);
  return { ...state, clicked, refused };
}

function put(state, field, key, value) {
  return { ...state, [field]: new Map(state[field]).set(key, value) };
}

// The contact's audio time at this moment, in ms.
export function audioNow(state, nowMs) {
  if (state.end) return state.end.at_ms;
  return Math.min(Math.max(state.timeMs, nowMs + state.aheadMs), state.timeMs + AHEAD_LIMIT_MS);
}

// Turns that have something to show, as they were spoken; what is said on hold is nobody's business.
export function spokenTurns(state) {
  const turns = [...state.turns.values()].filter((turn) => turn.text !== "" || (turn.gap && turn.gap !== ON_HOLD));
  return turns.sort((a, b) => a.start_ms - b.start_ms || compare(a.turn_id, b.turn_id));
}

// Cards and summaries, as they were called for; the summary comes last.
export function shownHints(state) {
  const hints = [...state.guidance.values()].flatMap((cause) => cause.hints);
  const rank = (hint) => (hint.kind === "summary" ? 1 : 0);
  return hints.sort((a, b) => rank(a) - rank(b) || a.at_ms - b.at_ms || compare(a.guidance_id, b.guidance_id));
}

function compare(a, b) {
  return a < b ? -1 : a > b ? 1 : 0;
}
