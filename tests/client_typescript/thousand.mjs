// A thousand clients with their defaults, in one process. Says when all are connected, then, once all have lost their
// connection and are back, what they waited, and then what each of them hears.
import { createInterface } from "node:readline";
import { Connected, Disconnected, ReconnectAttempt, SocketClient } from "wigwag-client";
import WebSocket from "ws";

const [, , url, count] = process.argv;
const say = (said) => process.stdout.write(`${JSON.stringify(said)}\n`);
/** Of each attempt after the loss: which it was, what pause was drawn, and what it came to, in ms. */
const pauses = [];
/** When each client was back after it, in ms. */
const back = [];
let joined = 0;
let heard = 0;

for (let number = 0; number < Number(count); number++) {
  let lost;
  let planned;
  class Watched extends WebSocket {
    constructor(...args) {
      super(...args);
      if (planned) pauses.push([planned.attempt, planned.delay, performance.now() - planned.at]);
      planned = undefined;
    }
  }
  const client = new SocketClient(url, { WebSocket: Watched });
  client.on(Disconnected, () => {
    lost = performance.now();
  });
  client.on(ReconnectAttempt, ({ attempt, delay }) => {
    planned = { attempt, delay, at: performance.now() };
  });
  client.on(Connected, async ({ reconnected }) => {
    if (reconnected) back.push(performance.now() - lost);
    await client.joinRoom("all");
    joined++;
    if (joined === Number(count)) say("connected");
    if (joined === 2 * Number(count)) say({ pauses, back });
  });
  client.on("said", () => {
    heard++;
  });
  client.connect();
}

for await (const _ of createInterface({ input: process.stdin })) {
  await new Promise((resolve) => setTimeout(resolve, 300)); // for one too many
  say(heard);
}
process.exit();
