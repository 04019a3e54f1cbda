// Socket.IO on Node, over WebSocket alone: rooms, events with acknowledgements.
import { createServer } from "node:http";
import { Server } from "socket.io";

const http = createServer();
const io = new Server(http, { transports: ["websocket"], perMessageDeflate: false });

io.on("connection", (socket) => {
  socket.on("join", (answer) => {
    socket.join("room");
    answer("j");
  });
  socket.on("publish", (text) => io.to("room").emit("m", text));
  socket.on("echo", (text, answer) => answer(text));
});
http.listen({ host: "127.0.0.1", port: 0, backlog: 4096 }, () => console.log(`ready ${http.address().port}`));
