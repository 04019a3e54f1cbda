// A client with its defaults, which wants `rooms` rooms and has sent all that it keeps before it connects. Says what came
// of it, once all of that has come back or anything else has happened.
import { SocketClient } from "wigwag-client";
import WebSocket from "ws";

const [, , url, rooms] = process.argv;
const client = new SocketClient(url, { WebSocket });
const seen = [];
const heard = [];
let kept = 0;
const finish = () => {
  console.log(JSON.stringify({ kept, heard, seen, state: client.connectionState }));
  process.exit();
};

client.onStateChange((state) => seen.push(state));
client.onError((error) => {
  seen.push(String(error));
  finish();
});
client.on("said", (number) => {
  heard.push(number);
  // The answer comes after those to all that was sent before.
  if (heard.length === kept) client.request("heartbeat").then(finish, finish);
});
for (let room = 0; room < Number(rooms); room++) client.joinRoom(`room-${room}`);
try {
  for (;;) {
    client.send("publish", { topic: `room-${kept % Number(rooms)}`, name: "said", data: kept });
    kept++;
  }
} catch (error) {
  if (error.name !== "SendBufferFull") throw error;
}
client.connect();
