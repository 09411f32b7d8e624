// Light clients of the SDK, in Node and in a browser alike.
import { bytesToUtf8, createLightNode, Protocols, utf8ToBytes } from "@waku/sdk";

export const cluster = 16;

// Every wait ends with this, and is over long before when all is well.
const patience = 60_000;

export const pubsub = (shard) => `/waku/2/rs/${cluster}/${shard}`;
export const hex = (bytes) => "0x" + Array.from(bytes, (b) => b.toString(16).padStart(2, "0")).join("");

// until waits for a condition.
export async function until(what, condition) {
  const end = Date.now() + patience;
  while (!(await condition())) {
    if (Date.now() > end) {
      throw new Error(`not within ${patience / 1000} s: ${what}`);
    }
    await new Promise((resolve) => setTimeout(resolve, 10));
  }
}

// check fails when what was expected is not so.
export function check(what, got, want) {
  const [a, b] = [JSON.stringify(got), JSON.stringify(want)];
  if (a !== b) {
    throw new Error(`${what}: ${a} instead of ${b}`);
  }
}

// Client is a light node with static shards that knows one service node.
export class Client {
  static async connect(ws, more = {}) {
    const client = new Client();
    client.node = await createLightNode({
      networkConfig: { clusterId: cluster },
      defaultBootstrap: false,
      discovery: { dns: false, peerExchange: false, peerCache: false },
      // Plain WebSocket on loopback is not dialled otherwise, the gater being
      // the browser's.
      libp2p: { filterMultiaddrs: false, hideWebSocketInfo: true, connectionGater: { denyDialMultiaddr: () => false } },
      ...more,
    });
    try {
      await client.node.start();
      await client.node.dial(ws);
      await client.node.waitForPeers([Protocols.LightPush, Protocols.Filter, Protocols.Store], patience);
    } catch (error) {
      await client.stop();
      throw error;
    }
    return client;
  }

  get connection() { return this.node.libp2p.getConnections()[0]; }
  get peer() { return this.connection.remotePeer; }

  encoder(contentTopic, shard = 32) { return this.node.createEncoder({ contentTopic, shardId: shard }); }
  decoder(contentTopic, shard = 32) { return this.node.createDecoder({ contentTopic, shardId: shard }); }

  // send publishes by lightpush and returns why that failed, nothing if not.
  async send(encoder, payload, { timestamp = new Date(), ...options } = {}) {
    const bytes = typeof payload === "string" ? utf8ToBytes(payload) : payload;
    const result = await this.node.lightPush.send(encoder, { payload: bytes, timestamp }, { autoRetry: false, ...options });
    return result.successes.length === 1 ? undefined : result.failures[0].error;
  }

  // mustSend publishes what must be accepted.
  async mustSend(...args) { check("lightpush", await this.send(...args), undefined); }

  // subscribe gives the texts that filter brings on content topics; large
  // payloads are shown by their size.
  async subscribe(contentTopics, shard = 32) {
    const box = { texts: [], decoders: contentTopics.map((topic) => this.decoder(topic, shard)) };
    const ok = await this.node.filter.subscribe(box.decoders, (message) => {
      box.texts.push(message.payload.length < 1000 ? bytesToUtf8(message.payload) : String(message.payload.length));
    });
    check("filter subscribe", ok, true);
    return box;
  }

  // query reads all pages of a store query.
  async query(contentTopic, shard, options = {}) {
    const messages = [], pages = [];
    for await (const page of this.node.store.queryGenerator([this.decoder(contentTopic, shard)], options)) {
      const got = await Promise.all(page);
      pages.push(got.length);
      messages.push(got.map((message) => message && bytesToUtf8(message.payload)));
      if (pages.length > 1000) {
        throw new Error("a query without end");
      }
    }
    return { pages, messages };
  }

  async stop() { await this.node.stop(); }
}
