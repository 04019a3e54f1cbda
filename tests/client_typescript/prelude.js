// What the tests use in each of the places where a client runs. `wigwag` is there.

/** States and events of the client, in order. */
globalThis.log = [];
/** What onError was told. */
globalThis.errors = [];
/** When each attempt was made, in ms. */
globalThis.attempts = [];
/** The WebSocket of each. */
globalThis.sockets = [];

/** Make a client, which is `client`, that comes back quickly. */
globalThis.begin = (url, options = {}) => {
  globalThis.client?.destroy();
  log.length = errors.length = attempts.length = sockets.length = 0;
  class Counted extends WebSocket {
    constructor(url, protocols) {
      super(url, protocols);
      attempts.push(performance.now());
      sockets.push(this);
    }
  }
  const client = new wigwag.SocketClient(url, {
    reconnectDelay: 50,
    maxReconnectDelay: 400,
    heartbeatInterval: 200,
    heartbeatTimeout: 1000,
    WebSocket: Counted,
    ...options,
  });
  client.onStateChange((state) => log.push(state));
  client.onError((error) => errors.push({ name: error.name, message: error.message, code: error.code }));
  client.on(wigwag.Disconnected, (data) => log.push(data));
  client.on("said", (data) => log.push(data.text));
  globalThis.client = client;
};

/** Wait until something holds. */
globalThis.until = async (holds, what) => {
  const limit = performance.now() + 15_000;
  while (!holds()) {
    if (performance.now() > limit) {
      throw new Error(`not within 15 s: ${what ?? holds}; log: ${JSON.stringify(log)}; ${JSON.stringify(errors)}`);
    }
    await new Promise((resolve) => setTimeout(resolve, 10));
  }
};
