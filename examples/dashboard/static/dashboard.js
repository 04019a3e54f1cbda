// What comes from the network is only ever set as text.
import { Live, socketUrl } from "./socket.js";

const at = (id) => document.getElementById(id);
const project = new URLSearchParams(location.search).get("project") || "web";
const incidents = new Map(); // id → incident

const live = new Live(socketUrl(), {
  state(name, text) {
    at("state").dataset.state = name;
    at("state").textContent = name === "connected" ? "live" : text;
  },
  // First watch, then fetch: what happens between comes as an event, and is not missed.
  async open() {
    try {
      await live.ask("watch", { project });
      await load();
    } catch (error) {
      at("problem").textContent = error.message;
    }
  },
  event(name, data) {
    if (name === "incident.opened" || name === "incident.resolved") take([data]);
    // The server itself may have missed something, or dropped it because we were slow.
    else if (name === "wigwag.resync") setTimeout(load, Math.random() * data.spreadMs);
    else if (name === "wigwag.dropped") load();
  },
});

async function load() {
  const answer = await fetch(`/incidents?${new URLSearchParams({ project })}`);
  if (answer.ok) take(await answer.json());
}

function take(found) {
  for (const incident of found) {
    const isResolved = incident.isResolved || (incidents.get(incident.id)?.isResolved ?? false);
    incidents.set(incident.id, { ...incident, isResolved }); // a fetch may be older than an event
  }
  render();
}

function render() {
  const latest = [...incidents.values()].sort((a, b) => b.id - a.id);
  const count = (is) => latest.filter(is).length;
  for (const severity of ["critical", "major", "minor"]) {
    at(severity).textContent = count((one) => one.severity === severity && !one.isResolved);
  }
  at("resolved").textContent = count((one) => one.isResolved);
  const shown = new Map([...at("list").children].map((item) => [Number(item.dataset.id), item]));
  latest.forEach((incident, index) => {
    const item = shown.get(incident.id) ?? line(incident);
    if (incident.isResolved && !("resolved" in item.dataset)) {
      item.dataset.resolved = "";
      item.querySelector("button").disabled = true;
      item.querySelector("button").textContent = "Resolved";
    }
    if (at("list").children[index] !== item) at("list").insertBefore(item, at("list").children[index] ?? null);
  });
}

function line(incident) {
  const item = document.createElement("li");
  item.dataset.id = incident.id;
  item.dataset.severity = incident.severity;
  const time = made("time", new Date(incident.openedMs).toLocaleTimeString());
  time.dateTime = new Date(incident.openedMs).toISOString();
  const resolve = made("button", "Resolve");
  resolve.type = "button";
  resolve.setAttribute("aria-label", `Resolve: ${incident.title}`);
  resolve.onclick = () => post(`/incidents/${incident.id}/resolve`);
  item.append(made("span", incident.severity, "severity"), made("strong", incident.title), time, resolve);
  return item;
}

function made(tag, text, className = "") {
  const element = document.createElement(tag);
  element.textContent = text;
  element.className = className;
  return element;
}

async function post(path, content) {
  try {
    const answer = await fetch(path, { method: "POST", body: JSON.stringify(content) });
    at("problem").textContent = answer.ok ? "" : (await answer.json()).error;
    return answer.ok;
  } catch {
    at("problem").textContent = "The server does not answer";
    return false;
  }
}

at("report").onsubmit = async (submitted) => {
  submitted.preventDefault();
  const content = { project, title: at("title").value, severity: at("severity").value };
  if (await post("/incidents", content)) at("title").value = "";
};

at("project").textContent = project;
at("curl").textContent =
  `curl -d '{"project":"${project}","title":"Disk full","severity":"critical"}' ${location.origin}/incidents`;
live.connect();
