// The page of the stock service: a look at the running node, and a client of it like any other.
import { at, onPause, say, write } from "./elements.js";
import { Log } from "./log.js";
import { NodeView } from "./node.js";
import { Topics } from "./topics.js";
import {
  AnyEvent,
  ClientError,
  Connected,
  Raw,
  ReconnectAttempt,
  Reply,
  RequestFailed,
  SocketClient,
} from "./wigwag-client.js";

const STATS = "wigwag.stats";

const client = new SocketClient("/ws");
const node = new NodeView();
const log = new Log();
const topics = new Topics({ join, leave });
let isNodePaused = false;
let command = null;

// The connection

client.onStateChange((state) => {
  const texts = { reconnecting: "disconnected", refused: `${client.error?.message}; reload to try again` };
  at("state").dataset.state = state;
  write(at("state"), texts[state] ?? state);
  at("publish").querySelector("button").disabled = state !== "connected";
  if (state === "connected") return;
  topics.suspend();
  node.rest();
});

client.on(ReconnectAttempt, ({ delay }) => {
  const when = navigator.onLine ? `in ${Math.ceil(delay / 1000)} s` : "when this device is online";
  write(at("state"), `disconnected; trying again ${when}`);
});

client.on(Connected, () => {
  for (const topic of topics.joined.keys()) join(topic);
  if (!isNodePaused) watch();
});

client.on(AnyEvent, (data, { name, timestamp }) => {
  if (name === STATS) take(data);
  else log.event(name, data, timestamp);
});

client.on(Raw, (message) => log.raw(message));
client.on(Reply, (message) => log.raw(JSON.stringify(message))); // published so: the page awaits all of its own

// What the client says of the link stands in the state, of a request beside its form.
client.onError((error) => {
  if (!(error instanceof ClientError)) console.error(error);
});

// The node

async function watch() {
  try {
    take(await client.request("stats.subscribe"));
    at("no-numbers").hidden = true;
    at("numbers").hidden = at("pause-node").hidden = false;
  } catch (error) {
    if (!(error instanceof RequestFailed)) return; // the link is gone: asked again when it is back
    at("no-numbers").hidden = false;
    at("numbers").hidden = at("pause-node").hidden = true;
  }
}

function take(stats) {
  if (isNodePaused) return; // what was under way
  node.take(stats);
  topics.take(stats);
}

onPause(at("pause-node"), (isPaused) => {
  isNodePaused = isPaused;
  if (isPaused) {
    node.rest();
    if (client.isConnected) client.request("stats.unsubscribe").catch(() => {}); // gone with the link, if that is gone
  } else if (client.isConnected) {
    watch();
  }
});

// Topics

async function join(topic) {
  topics.set(topic, false);
  try {
    await client.joinRoom(topic);
    if (topics.isJoined(topic)) topics.set(topic, true);
  } catch (error) {
    if (!(error instanceof RequestFailed)) return; // joined when the link is back, or left
    leave(topic);
    write(at("join-problem"), problem(error));
  }
}

function leave(topic) {
  client.leaveRoom(topic);
  topics.delete(topic);
}

at("join").onsubmit = (event) => {
  event.preventDefault();
  const topic = at("topic").value.trim();
  write(at("join-problem"), "");
  if (!topics.isJoined(topic)) join(topic);
  at("topic").value = "";
};

// Publishing

function problem(error) {
  if (error instanceof SyntaxError) return `With an event name the message is JSON: ${error.message}`;
  if (error instanceof RequestFailed)
    return [error.error, ...error.details.map(({ message }) => message)].join(": ");
  return error.message;
}

// What the form says, as the server takes it. Throws SyntaxError.
function message() {
  const topic = at("to").value.trim();
  const name = at("name").value.trim();
  const text = at("message").value;
  return name ? { topic, name, data: JSON.parse(text) } : { topic, text };
}

at("publish").onsubmit = async (event) => {
  event.preventDefault();
  try {
    await client.request("publish", message());
    write(at("publish-problem"), "");
    at("message").value = "";
  } catch (error) {
    write(at("publish-problem"), problem(error));
  }
};

at("publish").oninput = showCommand;

function showCommand() {
  let body;
  if (command === null) return; // not known yet
  try {
    body = message();
  } catch {
    return; // not JSON yet
  }
  if (body.text === "") body.text = "hello";
  // A shell takes what is within single quotes as it is, but for a single quote.
  const quoted = JSON.stringify(body).replaceAll("'", `'\\''`);
  write(at("curl"), `curl ${command.key}-d '${quoted}' ${command.url}`);
}

at("copy").onclick = async () => {
  try {
    await navigator.clipboard.writeText(at("curl").textContent);
    write(at("copy").firstChild, "Copied");
    say(() => "The command is copied");
    setTimeout(() => write(at("copy").firstChild, "Copy"), 2_000);
  } catch {
    getSelection().selectAllChildren(at("curl")); // no clipboard here: ready for Ctrl-C
  }
};

// Received

onPause(at("pause-log"), (isPaused) => log.pause(isPaused));

at("clear").onclick = () => log.clear();

async function start() {
  client.connect();
  join("lobby");
  const { publishUrl, needsKey } = await (await fetch("/info")).json();
  command = { url: publishUrl, key: needsKey ? '-H "Authorization: Bearer $WIGWAG_API_KEY" ' : "" };
  showCommand();
}

start();
