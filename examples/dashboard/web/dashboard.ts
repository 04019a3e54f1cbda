// The page: static/dashboard.js is made of it. What comes from the network is only ever set as text.
import { Connected, Dropped, ReconnectAttempt, Resync, SocketClient } from "wigwag-client";
import {
  type Events,
  type Incident,
  IncidentOpened,
  IncidentResolved,
  type Requests,
  Watch,
} from "./messages";

const page = {
  project: find("project"),
  state: find("state"),
  list: find("list"),
  said: find("said"),
  problem: find("problem"),
  curl: find("curl"),
  report: find("report", HTMLFormElement),
  title: find("title", HTMLInputElement),
  severity: find("severity", HTMLSelectElement),
};
const project = new URLSearchParams(location.search).get("project") || "web";
const incidents = new Map<Incident["id"], Incident>();

// Messages

const client = new SocketClient<Events, Requests>("/ws");

client.onStateChange((state) => {
  page.state.dataset["state"] = state;
  page.state.textContent = state === "connected" ? "live" : state;
});

client.on(ReconnectAttempt, ({ delay }) => {
  page.state.textContent = `connecting again in ${Math.ceil(delay / 1000)} s`;
});

// First watch, then fetch: what happens between comes as an event, and is not missed.
client.on(Connected, async () => {
  await client.request(Watch, { project });
  await load();
});

client.on(IncidentOpened, (incident) => {
  take([incident]);
  page.said.textContent = `${incident.severity}: ${incident.title}`;
});

client.on(IncidentResolved, (incident) => {
  take([incident]);
  page.said.textContent = `Resolved: ${incident.title}`;
});

// The server itself may have missed something, or dropped it because we were slow.
client.on(Resync, ({ spreadMs }) => setTimeout(load, Math.random() * spreadMs));
client.on(Dropped, load);

// What a handler threw, such as a server's refusal; the state tells of the link.
client.onError((error) => {
  if (client.isConnected) page.problem.textContent = error.message;
});

// HTTP

async function load(): Promise<void> {
  try {
    const answer = await fetch(`/incidents?${new URLSearchParams({ project })}`);
    if (answer.ok) take(await answer.json());
    else page.problem.textContent = `The incidents can't be fetched: ${answer.status}`;
  } catch {
    // The server is away, and so is the connection: when that is back, they are fetched.
  }
}

async function post(
  path: string,
  content?: Pick<Incident, "project" | "title" | "severity">,
): Promise<boolean> {
  try {
    const answer = await fetch(path, { method: "POST", body: JSON.stringify(content) });
    page.problem.textContent = answer.ok ? "" : (await answer.json()).error;
    return answer.ok;
  } catch {
    page.problem.textContent = "The server does not answer";
    return false;
  }
}

// The page

function take(found: readonly Incident[]): void {
  for (const incident of found) {
    const isResolved = incident.isResolved || (incidents.get(incident.id)?.isResolved ?? false);
    incidents.set(incident.id, { ...incident, isResolved }); // a fetch may be older than an event
  }
  const latest = [...incidents.values()].sort((a, b) => b.id - a.id);
  showCounts(latest);
  showList(latest);
}

function showCounts(latest: readonly Incident[]): void {
  const count = (is: (one: Incident) => boolean) => String(latest.filter(is).length);
  for (const severity of ["critical", "major", "minor"] satisfies Incident["severity"][]) {
    find(severity).textContent = count((one) => one.severity === severity && !one.isResolved);
  }
  find("resolved").textContent = count((one) => one.isResolved);
}

const items = new Map<Incident["id"], HTMLElement>();

function showList(latest: readonly Incident[]): void {
  latest.forEach((incident, index) => {
    const item = items.get(incident.id) ?? line(incident);
    items.set(incident.id, item);
    const resolve = item.querySelector("button");
    if (resolve && incident.isResolved && !resolve.disabled) {
      item.dataset["resolved"] = "";
      resolve.disabled = true;
      resolve.textContent = "Resolved";
      resolve.setAttribute("aria-label", `Resolved: ${incident.title}`);
    }
    if (page.list.children[index] !== item) page.list.insertBefore(item, page.list.children[index] ?? null);
  });
}

function line({ id, severity, title, openedMs }: Incident): HTMLElement {
  const opened = new Date(openedMs);
  const time = make("time", opened.toLocaleTimeString());
  time.dateTime = opened.toISOString();
  const resolve = make("button", "Resolve");
  resolve.type = "button";
  resolve.setAttribute("aria-label", `Resolve: ${title}`);
  resolve.onclick = () => post(`/incidents/${id}/resolve`);
  const item = make("li", "");
  item.dataset["severity"] = severity;
  item.append(make("span", severity, "severity"), make("strong", title), time, resolve);
  return item;
}

page.report.onsubmit = async (submitted) => {
  submitted.preventDefault();
  const severity = page.severity.value as Incident["severity"];
  if (await post("/incidents", { project, title: page.title.value, severity })) page.title.value = "";
};

function find<Kind extends HTMLElement = HTMLElement>(id: string, kind?: new () => Kind): Kind {
  const found = document.getElementById(id);
  if (!(found instanceof (kind ?? HTMLElement))) throw new Error(`the page has no such #${id}`);
  return found as Kind;
}

function make<Tag extends keyof HTMLElementTagNameMap>(
  tag: Tag,
  text: string,
  className = "",
): HTMLElementTagNameMap[Tag] {
  const element = document.createElement(tag);
  element.textContent = text;
  element.className = className;
  return element;
}

page.project.textContent = project;
page.curl.textContent = `curl -d '{"project":"${project}","title":"Disk full","severity":"critical"}' ${location.origin}/incidents`;
client.connect();
