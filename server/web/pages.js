// The part of a chat's messages that is loaded: a run without gaps, that grows
// at both ends.
import { get } from "./api.js";

const page = 50;
const most = 800; // messages that are held; the other end is let go then

const order = (a, b) => a.clock - b.clock || (a.id < b.id ? -1 : 1);

export class Run {
  constructor(chat) {
    this.chat = chat;
    this.byId = new Map();
    this.sorted = [];
    // before and after are what the API gave for the pages on either side;
    // "": there is none; null: ask for what is about the message at that end.
    this.before = "";
    this.after = "";
  }

  // newest makes the run of the newest messages.
  static async newest(chat, limit = page) {
    const run = new Run(chat);
    const got = await get("/messages/page", { chat, limit: Math.min(Math.max(limit, page), 300) });
    run.add(got.messages);
    run.before = got.next ?? "";
    return run;
  }

  // around makes the run about a message.
  static async around(chat, id) {
    const run = new Run(chat);
    const got = await get("/messages/page", { chat, around: id, limit: page });
    run.add(got.messages);
    run.before = got.older ?? "";
    run.after = got.newer ?? "";
    return run;
  }

  add(messages) {
    for (const m of messages) this.byId.set(m.id, m);
    this.sorted = [...this.byId.values()].sort(order);
  }

  get first() { return this.sorted[0]; }
  get last() { return this.sorted.at(-1); }
  get more() { return this.before !== ""; }
  // whole tells that the newest messages are here.
  get whole() { return this.after === ""; }

  // put keeps a message that is new or has changed, if it belongs here.
  put(m) {
    if (m.chat !== this.chat) return false;
    if (!this.byId.has(m.id) && (!this.whole || this.more && this.first && order(m, this.first) < 0)) return false;
    this.add([m]);
    return true;
  }

  // drop takes a message out that is no more.
  drop(id) {
    this.byId.delete(id);
    this.add([]);
  }

  // earlier and later load the page before and the page behind.
  async earlier() {
    if (this.before === null) return this.about(this.first, "before", "older");
    if (this.before === "") return;
    const got = await get("/messages/page", { chat: this.chat, before: this.before, limit: page });
    this.before = got.next ?? "";
    this.add(got.messages);
    this.trim(true);
  }

  async later() {
    if (this.after === null) return this.about(this.last, "after", "newer");
    if (this.after === "") return;
    const got = await get("/messages/page", { chat: this.chat, after: this.after, oldest: true, limit: page });
    this.after = got.next ?? "";
    this.add(got.messages);
    this.trim(false);
  }

  // about loads what is about the message at an end that was let go before.
  async about(m, end, side) {
    const got = m ? await get("/messages/page", { chat: this.chat, around: m.id, limit: page }) : { messages: [] };
    this[end] = got[side] ?? "";
    this.add(got.messages);
    this.trim(end === "before");
  }

  // trim lets go of the end that is not looked at.
  trim(growsBack) {
    if (this.sorted.length <= most) return;
    const gone = growsBack ? this.sorted.slice(most) : this.sorted.slice(0, -most);
    for (const m of gone) this.byId.delete(m.id);
    this.add([]);
    if (growsBack) this.after = null;
    else this.before = null;
  }
}
