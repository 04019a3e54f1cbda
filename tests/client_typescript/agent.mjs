// Runs the JavaScript that comes on standard input, a line of JSON each, and says what came of it. With the argument
// "ws", the WebSocket is that of the package ws.
import { createInterface } from "node:readline";
import * as wigwag from "wigwag-client";

globalThis.wigwag = wigwag;
if (process.argv[2] === "ws") globalThis.WebSocket = (await import("ws")).default;

const say = (said) => process.stdout.write(`${JSON.stringify(said)}\n`);
for await (const line of createInterface({ input: process.stdin })) {
  const { id, js } = JSON.parse(line);
  (async () => (0, eval)(`(async () => { ${js} })()`))().then(
    (value) => say({ id, value: value ?? null }),
    (error) => say({ id, error: String(error?.stack ?? error) }),
  );
}
process.exit();
