// Bun's own topics. `j` and a topic: join; `h`, a name and a count: join so many; `p` and a text: publish it;
// anything else comes back.
const server = Bun.serve({
  hostname: "127.0.0.1",
  port: 0,
  fetch(request, server) {
    return server.upgrade(request) ? undefined : new Response("WebSockets only", { status: 426 });
  },
  websocket: {
    perMessageDeflate: false,
    message(socket, text) {
      const verb = text[0];
      if (verb === "p") {
        server.publish("room", text.slice(1));
      } else if (verb === "j") {
        socket.subscribe(text.slice(1));
        socket.send("j");
      } else if (verb === "h") {
        const [name, count] = text.slice(1).split(" ");
        for (let number = 0; number < Number(count); number++) socket.subscribe(`${name}:${number}`);
        socket.send("h");
      } else {
        socket.send(text);
      }
    },
  },
});
console.log(`ready ${server.port}`);
