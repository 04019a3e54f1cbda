// What OriJS's providers do: Bun's topics under a table of who wants what; with BENCH_REDIS_URL, each message is one
// JSON object on the Redis channel of its topic, and what comes from Redis is published by Bun.
import { Redis } from "ioredis";

const url = process.env.BENCH_REDIS_URL;
const publisher = url ? new Redis(url) : null;
const subscriber = url ? new Redis(url) : null;
const topics = new Map(); // topic -> its sockets on this node

async function join(socket, topic) {
  let sockets = topics.get(topic);
  if (sockets === undefined) {
    topics.set(topic, (sockets = new Set()));
    await subscriber?.subscribe(`ws:${topic}`);
  }
  sockets.add(socket);
  socket.subscribe(topic);
  socket.send("j");
}

function publish(topic, message) {
  if (publisher === null) {
    server.publish(topic, message);
  } else {
    publisher.publish(`ws:${topic}`, JSON.stringify({ topic, message, isBinary: false }));
  }
}

subscriber?.on("message", (_, data) => {
  const { topic, message, isBinary } = JSON.parse(data);
  server.publish(topic, isBinary ? Buffer.from(message, "base64") : message);
});

const server = Bun.serve({
  hostname: "127.0.0.1",
  port: 0,
  fetch(request, server) {
    return server.upgrade(request) ? undefined : new Response("WebSockets only", { status: 426 });
  },
  websocket: {
    perMessageDeflate: false,
    message(socket, text) {
      if (text[0] === "p") publish("room", text.slice(1));
      else if (text[0] === "j") join(socket, text.slice(1));
      else socket.send(text);
    },
  },
});
console.log(`ready ${server.port}`);
