// The token of who looks at the page: taken from a field, kept in memory alone, and read for display; what it allows is for
// the service to say.
import { at, duration, make, write } from "./elements.js";

const TROUBLES = {
  "token expired": "This token has expired. Put in another one.",
  "token not valid": "The service does not take this token; why, is in its log and metrics.",
};

const time = new Intl.DateTimeFormat(undefined, { dateStyle: "medium", timeStyle: "medium" });

// What a token says. Throws where it is none.
function read(token) {
  const [, payload, signature] = token.split(".");
  if (!signature) throw new Error("not three parts");
  const bytes = Uint8Array.from(atob(payload.replace(/-/g, "+").replace(/_/g, "/")), (c) => c.charCodeAt(0));
  const { sub, exp, topics, publish, stats } = JSON.parse(new TextDecoder().decode(bytes));
  return {
    user: String(sub),
    expiresAt: Number(exp) * 1000,
    topics: texts(topics),
    publish: texts(publish),
    seesStats: stats === true,
  };
}

const texts = (list) => (Array.isArray(list) ? list.map(String) : []);

// Those of the patterns that name one topic.
export const topicsOf = ({ user, topics }) =>
  topics.filter((pattern) => !pattern.includes("*")).map((pattern) => pattern.replaceAll("{sub}", user));

export class Identity {
  // on.token(token, claims) is called with each that is put in.
  constructor(on) {
    this.token = ""; // in use, or offered
    this.claims = null;
    this.isTaken = false;
    this.timer = 0;
    at("authenticate").onsubmit = (event) => {
      event.preventDefault();
      const token = at("token").value.trim();
      let claims;
      try {
        claims = read(token);
      } catch {
        this.tell("That is no token: a JWT has three parts, with dots between.");
        return;
      }
      at("token").value = "";
      this.tell("");
      on.token(token, claims);
    };
  }

  // This one is offered to the service from now on.
  offer(token, claims) {
    this.token = token;
    this.claims = claims;
    this.isTaken = false;
    this.show();
  }

  // The service has taken it; for so many seconds, where it said so.
  taken(seconds = null) {
    if (seconds !== null) this.claims.expiresAt = Date.now() + seconds * 1000;
    this.isTaken = true;
    at("get-token").open = false;
    this.show();
  }

  // It counts no longer, or never did.
  refused(reason) {
    this.token = "";
    this.isTaken = false;
    this.tell(TROUBLES[reason] ?? `The service refuses this page: ${reason || "it does not say why"}.`);
    this.show();
  }

  tell(trouble) {
    write(at("token-problem"), trouble);
  }

  show() {
    clearInterval(this.timer);
    at("claims").hidden = !this.isTaken;
    if (!this.isTaken) return;
    const { user, topics, publish } = this.claims;
    write(at("user"), user);
    at("may-join").replaceChildren(...patterns(topics));
    at("may-publish").replaceChildren(...patterns(publish));
    this.tick();
    this.timer = setInterval(() => this.tick(), 1_000);
  }

  tick() {
    const { expiresAt } = this.claims;
    const left = Math.max(0, (expiresAt - Date.now()) / 1000);
    write(at("until"), `${time.format(expiresAt)}, in ${duration(left)}`);
  }
}

function patterns(list) {
  if (!list.length) return ["nothing that it names"];
  return list.flatMap((pattern, index) => [index ? ", " : "", make("code", { text: pattern })]);
}
