// A client in the way of OriJS's: flat frames with a `type`, events found by their `name`, 2 and 3 as heartbeats. It knows
// nothing of wigwag. Prints what it saw.
import WebSocket from "ws";

class FlatClient {
  handlers = new Map();
  pongs = 0;

  constructor(url) {
    this.socket = new WebSocket(url);
    this.opened = new Promise((resolve) => this.socket.once("open", resolve));
    this.socket.on("message", (message) => this.dispatch(message.toString()));
  }

  dispatch(text) {
    if (text === "3") {
      this.pongs++;
      return;
    }
    const envelope = JSON.parse(text);
    for (const handler of this.handlers.get(envelope.name) ?? []) handler(envelope.data, envelope);
  }

  on({ name }, handler) {
    this.handlers.set(name, [...(this.handlers.get(name) ?? []), handler]);
  }

  emit({ name }, data) {
    this.socket.send(JSON.stringify({ ...data, type: name }));
  }

  ping() {
    this.socket.send("2");
  }
}

const until = async (holds) => {
  while (!holds()) await new Promise((resolve) => setTimeout(resolve, 10));
};

const client = new FlatClient(process.argv[2]);
const heard = [];
client.on({ name: "said" }, (data, { timestamp }) => heard.push({ data, timestamp: typeof timestamp }));
await client.opened;
client.ping();
client.emit({ name: "room.join" }, { room: "flat" });
client.emit({ name: "say" }, { room: "flat", text: "one" });
await until(() => heard.length === 1 && client.pongs === 1);
client.emit({ name: "room.leave" }, { room: "flat" });
client.emit({ name: "say" }, { room: "flat", text: "to nobody" });
client.emit({ name: "room.join" }, { room: "flat" });
client.emit({ name: "say" }, { room: "flat", text: "two" });
client.ping();
await until(() => heard.length === 2 && client.pongs === 2);
console.log(JSON.stringify(heard));
process.exit();
