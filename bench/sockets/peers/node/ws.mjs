// `ws` on Node: a set of sockets, and a loop over it. `j`: join; `p` and a text: publish it; anything else comes back.
import { WebSocketServer, WebSocket } from "ws";

const room = new Set();
const server = new WebSocketServer({ host: "127.0.0.1", port: 0, perMessageDeflate: false, backlog: 4096 });

server.on("connection", (socket) => {
  socket.on("message", (data) => {
    const text = data.toString();
    if (text[0] === "p") {
      const published = text.slice(1);
      for (const member of room) if (member.readyState === WebSocket.OPEN) member.send(published);
    } else if (text[0] === "j") {
      room.add(socket);
      socket.send("j");
    } else {
      socket.send(text);
    }
  });
  socket.on("close", () => room.delete(socket));
});
server.on("listening", () => console.log(`ready ${server.address().port}`));
