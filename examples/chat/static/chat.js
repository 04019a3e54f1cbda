// What comes from the network is only ever set as text.
import { Connected, ReconnectAttempt, RequestFailed, SocketClient } from "./wigwag-client.js";

const TYPING_MS = 3000;
const MOST_KEPT = 500;

const at = (id) => document.getElementById(id);
const rooms = new Map(); // name → { log: [[kind, name, text]], typing: Map(name → timer), unread }
let client = null;
let me = "";
let current = "";
let typedAt = 0;

function enter(name, room) {
  me = name;
  sessionStorage.setItem("name", name);
  sessionStorage.setItem("room", room);
  at("enter").hidden = true;
  at("inside").hidden = false;
  client = new SocketClient(`/ws?${new URLSearchParams({ name })}`);
  client.onStateChange(show);
  client.on(ReconnectAttempt, ({ delay }) => {
    at("state").textContent = `connecting again in ${Math.ceil(delay / 1000)} s`;
  });
  client.on(Connected, () => {
    for (const joined of rooms.keys()) ask("join", { room: joined });
  });
  client.on("chat.said", ({ room, name, text }) =>
    said(room, name, [name === me ? "mine" : "said", name, text]),
  );
  client.on("chat.presence", ({ room, name, text }) => said(room, name, ["presence", name, text]));
  client.on("chat.typing", ({ room, name }) => typing(room, name));
  client.connect();
  add(room);
}

async function ask(type, data) {
  try {
    await client.request(type, data);
    at("problem").textContent = "";
  } catch (error) {
    at("problem").textContent = error instanceof RequestFailed ? error.error : error.message;
  }
}

function add(room) {
  if (!rooms.has(room)) {
    rooms.set(room, { log: [], typing: new Map(), unread: false });
    if (client.isConnected) ask("join", { room }); // else when it is
  }
  open(room);
}

function open(room) {
  current = room;
  const found = rooms.get(room);
  if (found) found.unread = false;
  at("lines").replaceChildren(...(found?.log ?? []).map(line));
  at("text").placeholder = found ? `Message to ${room}` : "Join a room first";
  at("text").disabled = !found;
  at("log").scrollTop = at("log").scrollHeight;
  showRooms();
  showTyping();
  at(found ? "text" : "other").focus();
}

function leave(room) {
  rooms.delete(room);
  if (client.isConnected) ask("leave", { room });
  open(room === current ? ([...rooms.keys()].at(-1) ?? "") : current);
}

function said(room, who, entry) {
  const found = rooms.get(room);
  if (!found) return; // left meanwhile
  write(room, entry);
  stopTyping(found, who);
}

function typing(room, who) {
  const found = rooms.get(room);
  if (!found) return;
  clearTimeout(found.typing.get(who));
  const timer = setTimeout(() => stopTyping(found, who), TYPING_MS);
  found.typing.set(who, timer);
  showTyping();
}

function stopTyping(found, who) {
  clearTimeout(found.typing.get(who));
  found.typing.delete(who);
  showTyping();
}

function write(room, entry) {
  const found = rooms.get(room);
  found.log.push(entry);
  found.log.splice(0, found.log.length - MOST_KEPT);
  if (room !== current) {
    found.unread = true;
    showRooms();
    return;
  }
  const log = at("log");
  const atEnd = log.scrollHeight - log.scrollTop - log.clientHeight < 40;
  at("lines").append(line(entry));
  while (at("lines").childElementCount > MOST_KEPT) at("lines").firstElementChild.remove();
  if (atEnd) log.scrollTop = log.scrollHeight;
}

function line([kind, name, text]) {
  const item = document.createElement("li");
  item.dataset.kind = kind;
  if (kind === "presence") {
    item.textContent = `${name} ${text}`;
  } else {
    const who = document.createElement("b");
    who.textContent = name;
    item.append(who, text);
  }
  return item;
}

function showRooms() {
  at("rooms").replaceChildren(
    ...[...rooms].map(([room, { unread }]) => {
      const item = document.createElement("li");
      if (room === current) item.setAttribute("aria-current", "true");
      if (unread) item.dataset.unread = "";
      item.append(
        button(room, unread ? `${room}, new messages` : room, () => open(room)),
        button("×", `Leave ${room}`, () => leave(room)),
      );
      return item;
    }),
  );
}

function button(text, label, onclick) {
  const made = document.createElement("button");
  made.type = "button";
  made.textContent = text;
  made.setAttribute("aria-label", label);
  made.onclick = onclick;
  return made;
}

function showTyping() {
  const names = [...(rooms.get(current)?.typing.keys() ?? [])];
  at("typing").textContent = names.length
    ? `${names.join(", ")} ${names.length > 1 ? "are" : "is"} typing …`
    : "";
}

function show(state) {
  at("state").dataset.state = state;
  at("state").textContent = state === "connected" ? me : state;
  at("say").querySelector("button").disabled = state !== "connected";
  if (state === "refused") {
    at("inside").hidden = true;
    at("enter").hidden = false;
    at("state").textContent = "refused by the server";
    client.destroy();
    rooms.clear();
  }
}

at("enter").querySelector("form").onsubmit = (submitted) => {
  submitted.preventDefault();
  enter(at("name").value.trim(), at("first").value);
};

at("join").onsubmit = (submitted) => {
  submitted.preventDefault();
  add(at("other").value);
  at("other").value = "";
};

at("say").onsubmit = (submitted) => {
  submitted.preventDefault();
  const text = at("text").value;
  at("text").value = "";
  typedAt = 0;
  ask("say", { room: current, text });
};

at("text").oninput = () => {
  if (Date.now() - typedAt < TYPING_MS / 2 || !at("text").value) return;
  typedAt = Date.now();
  if (client.isConnected) client.send("typing", { room: current });
};

const name = sessionStorage.getItem("name");
if (name) enter(name, sessionStorage.getItem("room") ?? "lobby");
else at("name").focus();
