// The topics: those that this page has joined, and the others that sockets of the node want.
import { at, make, write } from "./elements.js";

const JOINED = "joined";
const JOINING = "joining";

export class Topics {
  // on.join(topic) and on.leave(topic) are called where the person asks for it.
  constructor(on) {
    this.on = on;
    this.joined = new Map(); // topic → JOINED or JOINING
    this.sockets = new Map(); // topic → how many sockets of the node want it
    this.items = new Map(); // topic → its item
    this.total = 0;
  }

  isJoined(topic) {
    return this.joined.has(topic);
  }

  set(topic, isLive) {
    this.joined.set(topic, isLive ? JOINED : JOINING);
    this.show();
  }

  delete(topic) {
    this.joined.delete(topic);
    this.show();
  }

  // The link is gone, and every room with it until it is back.
  suspend() {
    for (const topic of this.joined.keys()) this.joined.set(topic, JOINING);
    this.sockets.clear();
    this.total = 0;
    this.show();
  }

  // What the node says of its topics.
  take({ topics, someTopics }) {
    this.sockets = new Map(someTopics.map(({ topic, sockets }) => [topic, sockets]));
    this.total = topics;
    this.show();
  }

  show() {
    const shown = new Set([...this.joined.keys(), ...this.sockets.keys()]);
    for (const [topic, item] of this.items) {
      if (shown.has(topic)) continue;
      if (item.contains(document.activeElement)) at("topic").focus();
      item.remove();
      this.items.delete(topic);
    }
    let previous = null;
    for (const topic of shown) {
      const item = this.items.get(topic) ?? this.makeItem(topic);
      // Only who is not in his place is moved: what moves loses the focus.
      if (item.parentElement === null || item.previousElementSibling !== previous) this.place(item, previous);
      this.update(item, topic);
      previous = item;
    }
    const rest = this.total - this.sockets.size;
    at("more-topics").hidden = rest <= 0;
    write(at("more-topics"), `and ${rest} more on this node`);
  }

  place(item, previous) {
    const focused = item.contains(document.activeElement) ? document.activeElement : null;
    if (previous === null) at("topics").prepend(item);
    else previous.after(item);
    focused?.focus();
  }

  makeItem(topic) {
    const button = make("button", { type: "button" });
    const item = make(
      "li",
      {},
      make("span", { className: "topic", text: topic }),
      make("span", { className: "sockets quiet" }),
      button,
    );
    button.onclick = () => (this.isJoined(topic) ? this.on.leave(topic) : this.on.join(topic));
    this.items.set(topic, item);
    return item;
  }

  update(item, topic) {
    const state = this.joined.get(topic);
    const count = this.sockets.get(topic);
    const [name, sockets, button] = item.children;
    item.dataset.joined = state !== undefined;
    item.dataset.live = state === JOINED;
    name.title = state === JOINED ? "joined" : "";
    const counted = count === undefined ? "" : `${count} ${count === 1 ? "socket" : "sockets"}`;
    write(sockets, state === JOINING ? "joining …" : counted);
    const act = state === undefined ? "Join" : "Leave";
    write(button, act);
    button.setAttribute("aria-label", `${act} ${topic}`);
  }
}
