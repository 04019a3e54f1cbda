// The page of the stock service: joins topics, publishes, and shows what arrives. What comes from the network is
// only ever set as text.

const BASE_MS = 500;
const CAP_MS = 20_000;
const HEARTBEAT_MS = 25_000;
const HEARTBEAT_LIMIT_MS = 5_000;
const LASTED_MS = 5_000;
const MOST_SHOWN = 500;
const NOT_CONNECTED = "not connected";

const at = (id) => document.getElementById(id);
const topics = new Map(); // name → whether the server has let us in
const waiting = new Map(); // correlationId → what to do with the answer
let socket = null;
let attempt = 0;
let lastId = 0;
let heartbeat = 0;
let deadline = 0;

function connect() {
  const scheme = location.protocol === "https:" ? "wss:" : "ws:";
  const opened = new WebSocket(`${scheme}//${location.host}/ws`);
  let openedAt = 0;
  opened.binaryType = "arraybuffer";
  socket = opened;
  show("connecting");
  opened.onopen = () => {
    openedAt = Date.now();
    show("connected");
    heartbeat = setInterval(() => ping(opened), HEARTBEAT_MS);
    for (const topic of topics.keys()) ask("room.join", { room: topic }, (reply) => joined(topic, reply));
  };
  opened.onmessage = ({ data }) => receive(data);
  opened.onclose = ({ code, reason }) => {
    if (opened !== socket) return;
    clearInterval(heartbeat);
    clearTimeout(deadline);
    for (const done of waiting.values()) done({ error: NOT_CONNECTED });
    waiting.clear();
    for (const topic of topics.keys()) topics.set(topic, false);
    showTopics();
    if (code === 1008) {
      show("refused", reason || "refused by the server; reload to try again");
      return;
    }
    // Full jitter; a connection that did not last counts as a failed attempt.
    if (openedAt && Date.now() - openedAt >= LASTED_MS) attempt = 0;
    const wait = Math.min(CAP_MS, BASE_MS + Math.random() * BASE_MS * 2 ** attempt);
    attempt = Math.min(attempt + 1, 16);
    show("disconnected", `disconnected; trying again in ${Math.ceil(wait / 1000)} s`);
    setTimeout(connect, wait);
  };
}

// A link can be dead without the browser knowing.
function ping(opened) {
  opened.send("2");
  deadline = setTimeout(() => {
    opened.close();
    if (opened === socket) opened.onclose({ code: 1006, reason: "" });
    socket = opened === socket ? null : socket;
  }, HEARTBEAT_LIMIT_MS);
}

function receive(data) {
  clearTimeout(deadline);
  if (data === "3") return;
  if (typeof data !== "string") {
    log("", `${data.byteLength} bytes`);
    return;
  }
  const frame = parse(data);
  if (frame && typeof frame.name === "string") {
    log(frame.name, JSON.stringify(frame.data), frame.timestamp);
  } else if (frame && waiting.has(frame.correlationId)) {
    const done = waiting.get(frame.correlationId);
    waiting.delete(frame.correlationId);
    done(frame);
  } else if (frame && typeof frame.type === "string" && typeof frame.error === "string") {
    at("problem").textContent = frame.error;
  } else {
    log("", data);
  }
}

function parse(text) {
  try {
    const value = JSON.parse(text);
    return value && typeof value === "object" ? value : null;
  } catch {
    return null;
  }
}

function ask(type, data, done) {
  if (!socket || socket.readyState !== WebSocket.OPEN) {
    done({ error: NOT_CONNECTED });
    return;
  }
  const correlationId = ++lastId;
  waiting.set(correlationId, done);
  socket.send(JSON.stringify({ type, data, correlationId }));
}

function problemOf(reply) {
  if (!reply.error) return "";
  const details = (reply.details ?? []).map((detail) => detail.message).join("; ");
  return details ? `${reply.error}: ${details}` : reply.error;
}

function join(topic) {
  if (topics.has(topic)) return;
  topics.set(topic, false);
  showTopics();
  ask("room.join", { room: topic }, (reply) => joined(topic, reply));
}

function joined(topic, reply) {
  if (!topics.has(topic)) return;
  if (reply.error === NOT_CONNECTED) return; // joined when connected
  at("problem").textContent = problemOf(reply);
  if (reply.error) topics.delete(topic);
  else topics.set(topic, true);
  showTopics();
}

function leave(topic) {
  topics.delete(topic);
  showTopics();
  ask("room.leave", { room: topic }, () => {});
  at("topic").focus();
}

function showTopics() {
  at("topics").replaceChildren(
    ...[...topics].map(([topic, isLive]) => {
      const item = document.createElement("li");
      const name = document.createElement("span");
      const button = document.createElement("button");
      item.dataset.live = isLive;
      name.textContent = topic;
      button.type = "button";
      button.textContent = "Leave";
      button.setAttribute("aria-label", `Leave ${topic}`);
      button.onclick = () => leave(topic);
      item.append(name, button);
      return item;
    }),
  );
}

function log(name, text, timestamp) {
  const item = document.createElement("li");
  const time = document.createElement("time");
  const date = new Date(typeof timestamp === "number" ? timestamp : Date.now());
  time.dateTime = date.toISOString();
  time.textContent = date.toLocaleTimeString();
  item.append(time, " ");
  if (name) {
    const label = document.createElement("b");
    label.textContent = name;
    item.append(label, " ");
  }
  item.append(text);
  at("log").prepend(item);
  while (at("log").childElementCount > MOST_SHOWN) at("log").lastElementChild.remove();
}

function show(state, text = state) {
  at("state").dataset.state = state;
  at("state").textContent = text;
  at("publish").querySelector("button").disabled = state !== "connected";
}

async function showCurl() {
  const { publishUrl, needsKey } = await (await fetch("/info")).json();
  const key = needsKey ? '-H "Authorization: Bearer $WIGWAG_API_KEY" ' : "";
  at("curl").textContent = `curl ${key}-d '{"topic":"lobby","text":"hello"}' ${publishUrl}`;
}

at("join").onsubmit = (event) => {
  event.preventDefault();
  join(at("topic").value.trim());
  at("topic").value = "";
};

at("publish").onsubmit = (event) => {
  event.preventDefault();
  ask("publish", { topic: at("to").value.trim(), text: at("message").value }, (reply) => {
    at("problem").textContent = problemOf(reply);
    if (!reply.error) at("message").value = "";
  });
};

at("copy").onclick = async () => {
  const text = at("curl").textContent;
  try {
    await navigator.clipboard.writeText(text);
    at("copy").textContent = "Copied";
    setTimeout(() => (at("copy").textContent = "Copy"), 2000);
  } catch {
    getSelection().selectAllChildren(at("curl")); // no clipboard here: ready for Ctrl-C
  }
};

at("clear").onclick = () => at("log").replaceChildren();

join("lobby");
connect();
showCurl();
