// A participant of a channel of @waku/sds behind a pipe. It takes one JSON
// object a line and answers each with one line:
//
//   {do: "open", now, channel, self, seed}  a new participant without state
//   {do: "send", now, content}              says something new
//   {do: "receive", now, data, hint}        takes what came from others
//   {do: "tick", now}                       does what is due
//   {do: "history"}                         tells its history and what is unacknowledged
//
// Bytes are in hex. Time is what `now` says, in milliseconds, and chance comes
// from the seed, so that the same lines always have the same answers.
//
// The library is a core that its user drives. This one does so at the periods
// of ReliableChannel in @waku/sdk, and answers repair requests, which that one
// does not.
import { createHash } from "node:crypto";
import { createInterface } from "node:readline";
import { Message, MessageChannel, MessageChannelEvent } from "@waku/sds";

const sweepEvery = 5_000;
const retryEvery = 30_000;
const retries = 10;
const syncWithin = 30_000;

let clock = 0;
Date.now = () => clock;

let drawn = 1;
Math.random = () => {
  drawn = (Math.imul(drawn, 1664525) + 1013904223) >>> 0;
  return drawn / 2 ** 32;
};

const hex = (bytes) => Buffer.from(bytes).toString("hex");
const bytes = (text) => new Uint8Array(Buffer.from(text, "hex"));
const nothing = () => ({ send: [], delivered: [], repeated: 0, acknowledged: [], missing: [], errors: [] });

class Participant {
  out = nothing();
  delivered = new Set(); // the library repeats itself
  retry = new Map(); // of own messages without acknowledgement
  sweepAt = 0;
  syncAt = 0;

  constructor(channel, self) {
    this.channel = new MessageChannel(channel, self);
    const on = (event, f) => this.channel.addEventListener(event, ({ detail }) => f(detail));
    on(MessageChannelEvent.InMessageDelivered, (id) => {
      if (this.delivered.has(id)) {
        this.out.repeated++;
        return;
      }
      this.delivered.add(id);
      this.out.delivered.push(id);
    });
    on(MessageChannelEvent.InMessageReceived, () => this.planSync(0.5));
    on(MessageChannelEvent.OutMessageAcknowledged, (id) => {
      this.retry.delete(id);
      this.out.acknowledged.push(id);
    });
    on(MessageChannelEvent.ErrorTask, ({ command, error }) => this.out.errors.push(`${command}: ${error}`));
    this.planSync(1);
  }

  planSync(factor) {
    this.syncAt = clock + Math.random() * syncWithin * factor;
  }

  // air hands a message to whoever drives us, and returns its hint.
  air(why, message) {
    const data = message.encode();
    this.out.send.push({ why, id: message.messageId, data: hex(data) });
    return new Uint8Array(createHash("sha256").update(data).digest());
  }

  async send(content, why) {
    this.channel.pushOutgoingMessage(content, async (message) => {
      if (why === "first") {
        this.retry.set(message.messageId, { content, at: clock + retryEvery, left: retries });
      }
      return { success: true, retrievalHint: this.air(why, message) };
    });
    await this.channel.processTasks();
  }

  async receive(data, hint) {
    this.channel.pushIncomingMessage(Message.decode(data), hint);
    await this.channel.processTasks();
  }

  async tick() {
    for (const entry of [...this.retry.values()]) {
      if (entry.at <= clock && entry.left > 0) {
        entry.at = clock + retryEvery;
        entry.left--;
        await this.send(entry.content, "again");
      }
    }
    if (this.sweepAt <= clock) {
      this.sweepAt = clock + sweepEvery;
      this.out.missing = this.channel.sweepIncomingBuffer().map(({ messageId, retrievalHint }) =>
        ({ id: messageId, hint: hex(retrievalHint ?? []) }));
    }
    await this.channel.sweepRepairIncomingBuffer(async (message) => {
      this.air("answer", message);
      return true;
    });
    if (this.syncAt <= clock) {
      this.planSync(2);
      await this.channel.pushOutgoingSyncMessage(async (message) => {
        this.air("sync", message);
        return true;
      });
    }
  }

  history() {
    const { unacknowledged, possiblyAcknowledged } = this.channel.sweepOutgoingBuffer();
    this.out.history = this.channel.localHistory.slice(0).map(({ messageId, lamportTimestamp }) =>
      ({ id: messageId, lamport: Number(lamportTimestamp) }));
    this.out.pending = unacknowledged.length + possiblyAcknowledged.length;
  }
}

let self;

async function answer(line) {
  const ask = JSON.parse(line);
  clock = ask.now ?? clock;
  switch (ask.do) {
    case "open":
      drawn = ask.seed >>> 0;
      self = new Participant(ask.channel, ask.self);
      break;
    case "send":
      await self.send(bytes(ask.content), "first");
      break;
    case "receive":
      await self.receive(bytes(ask.data), bytes(ask.hint));
      break;
    case "tick":
      await self.tick();
      break;
    case "history":
      self.history();
      break;
    default:
      throw new Error(`unknown request ${ask.do}`);
  }
  const out = self.out;
  self.out = nothing();
  return out;
}

for await (const line of createInterface({ input: process.stdin })) {
  let out;
  try {
    out = await answer(line);
  } catch (error) {
    out = { ...nothing(), errors: [String(error)] };
  }
  process.stdout.write(JSON.stringify(out) + "\n");
}
