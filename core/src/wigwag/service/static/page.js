// The page of the stock service: a look at the running node, and a client of it like any other.
import { at, onCopy, onPause, write } from "./elements.js";
import { Log } from "./log.js";
import { NodeView } from "./node.js";
import { Identity, topicsOf } from "./token.js";
import { Topics } from "./topics.js";
import {
  AnyEvent,
  Authenticate,
  ClientError,
  Connected,
  Disconnected,
  Raw,
  ReconnectAttempt,
  Reply,
  RequestFailed,
  SocketClient,
} from "./wigwag-client.js";

const STATS = "wigwag.stats";

const EXPIRED = "token expired";

const identity = new Identity({ token: authenticate });
const client = new SocketClient("/ws", { token: () => identity.token });
const node = new NodeView();
const log = new Log();
const topics = new Topics({ join, leave });
let isNodePaused = false;
let command = null;
let needsToken = false;

// The connection

client.onStateChange((state) => {
  const texts = needsToken
    ? { disconnected: "no token", reconnecting: "disconnected", refused: "refused" }
    : { reconnecting: "disconnected", refused: `${client.error?.message}; reload to try again` };
  at("state").dataset.state = state;
  write(at("state"), texts[state] ?? state);
  at("publish").querySelector("button").disabled = state !== "connected";
  if (state === "connected") return;
  if (state === "refused" && needsToken) identity.refused(client.error.reason);
  topics.suspend();
  node.rest();
});

client.on(ReconnectAttempt, ({ delay }) => {
  const when = navigator.onLine ? `in ${Math.ceil(delay / 1000)} s` : "when this device is online";
  write(at("state"), `disconnected; trying again ${when}`);
});

// The client would ask for a fresh token, and there is none but what is put in.
client.on(Disconnected, ({ code, reason }) => {
  if (code !== 1008 || reason !== EXPIRED) return;
  client.disconnect();
  identity.refused(reason);
});

client.on(Connected, () => {
  if (needsToken && !identity.isTaken) identity.taken();
  for (const topic of topics.joined.keys()) join(topic);
  watch();
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

// Who this is

async function authenticate(token, claims) {
  if (!client.isConnected || claims.user !== identity.claims.user) {
    client.disconnect(); // somebody else does not take over a connection
    identity.offer(token, claims);
    for (const topic of topicsOf(claims)) if (!topics.isJoined(topic)) join(topic);
    client.connect();
    return;
  }
  try {
    const { expiresInS, left } = await client.request(Authenticate, { token });
    identity.offer(token, claims);
    identity.taken(expiresInS);
    watch();
    for (const topic of left) leave(topic);
    if (left.length)
      write(at("join-problem"), `Left, since the new token does not allow it: ${left.join(", ")}`);
  } catch (error) {
    identity.tell(`Not taken: ${problem(error)}`);
  }
}

onCopy(at("copy-token-command"), at("token-command"), "The command for a token is copied");

// The node

async function watch() {
  if (isNodePaused) return;
  if (needsToken && !identity.claims.seesStats) {
    node.rest();
    tellNumbers(false);
    return;
  }
  try {
    take(await client.request("stats.subscribe"));
    tellNumbers(true);
  } catch (error) {
    if (!(error instanceof RequestFailed)) return; // the link is gone: asked again when it is back
    tellNumbers(false);
  }
}

function tellNumbers(areTold) {
  at("no-numbers").hidden = areTold;
  const why = needsToken ? "The numbers are for tokens with --stats." : "This service tells no numbers.";
  write(at("no-numbers"), why);
  at("numbers").hidden = at("pause-node").hidden = !areTold;
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

onCopy(at("copy"), at("curl"), "The command is copied");

// Received

onPause(at("pause-log"), (isPaused) => log.pause(isPaused));

at("clear").onclick = () => log.clear();

async function start() {
  const info = await (await fetch("/info")).json();
  const key = info.needsKey ? '-H "Authorization: Bearer $WIGWAG_API_KEY" ' : "";
  command = { url: info.publishUrl, key };
  showCommand();
  needsToken = info.needsToken;
  at("identity").hidden = !needsToken;
  if (needsToken) {
    write(at("state"), "no token");
    write(at("mode"), "Each client may join and publish what its token allows.");
    tellNumbers(false);
  } else {
    write(
      at("mode"),
      "Development mode: anyone who reaches this page may join, publish and see these numbers.",
    );
    join("lobby");
    client.connect();
  }
}

start();
