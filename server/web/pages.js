// The part of a chat's messages that is loaded: a run without gaps, that grows
// at both ends.
import { get } from "./api.js";

const page = 50;
const most = 800; // messages that are held; the other end is let go then
const day = 86400000;

const order = (a, b) => a.clock - b.clock || (a.id < b.id ? -1 : 1);

export class Run {
  constructor(chat) {
    this.chat = chat;
    this.byId = new Map();
    this.sorted = [];
    // before is what the API gave for the page before; null: ask by clock;
    // "": there is none. whole tells that the newest messages are here.
    this.before = "";
    this.whole = true;
  }

  // newest makes the run of the newest messages.
  static async newest(chat, limit = page) {
    const run = new Run(chat);
    const got = await get("/messages/page", { chat, limit: Math.min(Math.max(limit, page), 300) });
    run.add(got.messages);
    run.before = got.next ?? "";
    return run;
  }

  // around makes the run about a clock.
  static async around(chat, clock) {
    const run = new Run(chat);
    run.whole = false;
    run.before = null;
    await run.later(clock - 1);
    await run.earlier();
    return run;
  }

  add(messages) {
    for (const m of messages) this.byId.set(m.id, m);
    this.sorted = [...this.byId.values()].sort(order);
  }

  get first() { return this.sorted[0]; }
  get last() { return this.sorted.at(-1); }
  get more() { return this.before !== ""; }

  // put keeps a message that is new or has changed, if it belongs here.
  put(m) {
    if (m.chat !== this.chat) return false;
    if (!this.byId.has(m.id) && (!this.whole || this.more && this.first && order(m, this.first) < 0)) return false;
    this.add([m]);
    return true;
  }

  // earlier loads the page before.
  async earlier() {
    if (this.before === "") return;
    if (this.before === null) return this.searchEarlier();
    const got = await get("/messages/page", { chat: this.chat, before: this.before, limit: page });
    this.before = got.next ?? "";
    this.add(got.messages);
    this.trim(true);
  }

  // searchEarlier loads what is before the first message without a place to go
  // on from, which the API gives at the newest messages only: it looks at a
  // time before it, longer or shorter until there is about a page.
  async searchEarlier() {
    const end = this.first?.clock ?? Date.now();
    let span = day, enough = false;
    for (let tries = 0; tries < 40; tries++) {
      const since = Math.max(0, end - 1 - Math.round(span));
      const got = await get("/messages/page", { chat: this.chat, since: since || undefined, oldest: true, limit: 4 * page });
      const older = got.messages.filter((m) => m.clock < end);
      const reaches = older.length < got.messages.length || !got.next;
      if (!reaches && span > 1) { // too long: the page ends before
        span /= 4;
        enough = true;
        continue;
      }
      if (reaches && older.length < page && since > 0 && !(enough && older.length > 0)) {
        span *= 8;
        continue;
      }
      if (since === 0) this.before = "";
      this.add(older);
      return this.trim(true);
    }
    this.before = "";
  }

  // later loads the page after the last message, or after a clock.
  async later(clock = this.last.clock - 1) {
    const got = await get("/messages/page", { chat: this.chat, since: Math.max(clock, 0) || undefined, oldest: true, limit: page });
    this.whole = !got.next;
    this.add(got.messages);
    this.trim(false);
  }

  // trim lets go of the end that is not looked at.
  trim(growsBack) {
    if (this.sorted.length <= most) return;
    const gone = growsBack ? this.sorted.slice(most) : this.sorted.slice(0, -most);
    for (const m of gone) this.byId.delete(m.id);
    this.add([]);
    if (growsBack) this.whole = false;
    else this.before = null;
  }
}
