// What is done in Node and in a browser alike: each scenario gets the
// WebSocket address of a service node and a name for its content topics, and
// fails with an error.
import { Client, check, hex, pubsub, until } from "./client.mjs";
import { bytesToUtf8, waku } from "@waku/sdk";

// withClients runs a scenario with clients and stops them in any case.
async function withClients(ws, count, scenario) {
  const clients = await Promise.all(Array.from({ length: count }, () => Client.connect(ws)));
  try {
    return await scenario(...clients);
  } finally {
    await Promise.all(clients.map((client) => client.stop()));
  }
}

const contentTopic = (name, part) => `/interop-js/1/${name}-${part}/proto`;

export function metadata(ws) {
  return withClients(ws, 1, async (client) => {
    check("the only muxer that the SDK has", client.connection.multiplexer, "/mplex/6.7.0");
    const service = client.node.libp2p.services.metadata;
    for (const ask of ["query", "confirmOrAttemptHandshake"]) {
      const { error, shardInfo } = await service[ask](client.peer);
      check(`${ask}: error`, error, null);
      check(`${ask}: cluster`, shardInfo.clusterId, 16);
      check(`${ask}: shards`, [...shardInfo.shards].sort((a, b) => a - b), [32, 64, 128]);
    }
  });
}

// lightpush publishes with both versions of the protocol, and with sizes
// around the largest.
export function lightpush(ws, name) {
  return withClients(ws, 2, async (a, b) => {
    const topic = contentTopic(name, "push");
    const box = await b.subscribe([topic]);
    const encoder = a.encoder(topic);
    await a.mustSend(encoder, "version 3");
    await until("the message of version 3", () => box.texts.includes("version 3"));
    await a.mustSend(encoder, "version 2", { useLegacy: true });
    await until("the message of version 2", () => box.texts.includes("version 2"));
    await a.mustSend(encoder, new Uint8Array(149_000));
    await until("the large message", () => box.texts.includes("149000"));
    check("a message of 152,000 bytes", await a.send(encoder, new Uint8Array(152_000)), "Remote peer rejected");
    check("a shard that is not served", await a.send(a.encoder(topic, 77), "nobody"), "No peer available");
    const direct = await a.node.lightPush.protocol.send(a.encoder(topic, 77), { payload: new Uint8Array(1) }, a.peer);
    check("the same when asked all the same", direct.failure?.error, "Remote peer rejected");
    await a.mustSend(encoder, "after all");
    await until("what was sent last", () => box.texts.includes("after all"));
    check("everything that came", box.texts.length, 4);
  });
}

// filter subscribes, gets, pings, unsubscribes and subscribes again.
export function filter(ws, name) {
  return withClients(ws, 2, async (a, b) => {
    const [topic, marker] = [contentTopic(name, "filter"), contentTopic(name, "marker")];
    const box = await b.subscribe([topic]);
    await a.mustSend(a.encoder(topic), "first");
    await until("the first push", () => box.texts.length === 1);
    const ping = () => b.node.filter.protocol.ping(b.peer);
    check("a ping", (await ping()).failure, null);
    check("filter unsubscribe", await b.node.filter.unsubscribe(box.decoders), true);
    // The SDK does not wait for the answer.
    await until("no subscription", async () => (await ping()).failure !== null);
    const behind = await b.subscribe([marker]);
    await a.mustSend(a.encoder(topic), "to nobody");
    await a.mustSend(a.encoder(marker), "behind it");
    await until("the push behind", () => behind.texts.length === 1);
    check("after unsubscribing", box.texts, ["first"]);
    const again = await b.subscribe([topic]);
    await a.mustSend(a.encoder(topic), "again");
    await until("a push after subscribing again", () => again.texts.length === 1);
  });
}

const count = 45;
const name = (i) => `message ${String(i).padStart(3, "0")}`;

// store fills a content topic and reads it back in pages, by times, from a
// cursor on, and by hashes.
export function store(ws, run) {
  return withClients(ws, 2, async (a, b) => {
    const topic = contentTopic(run, "store");
    const base = Date.now() - 3_600_000;
    const all = Array.from({ length: count }, (_, i) => name(i));
    for (let i = 0; i < count; i++) {
      // Pairs share a timestamp.
      await a.mustSend(a.encoder(topic, 128), name(i), { timestamp: new Date(base + 10 * Math.floor(i / 2)) });
    }
    const flat = (result) => result.messages.flat().sort();
    await until("all messages in the store", async () => flat(await b.query(topic, 128)).length === count);
    await pages(b, topic, all);
    // Times in between: the SDK rounds them to a quarter of a microsecond.
    const half = await b.query(topic, 128, { timeStart: new Date(base + 95), timeEnd: new Date(base + 195) });
    check("a time range with its start and without its end", flat(half), all.slice(20, 40));
    const long = await b.query(topic, 128, { timeStart: new Date(base - 30 * 3_600_000), timeEnd: new Date(base + 19 * 3_600_000) });
    check("a time range of more than a day", flat(long), all);
    check("a content topic without messages", (await b.query(contentTopic(run, "empty"), 128)).pages, []);
    await hashes(b, topic, all);
  });
}

async function pages(client, topic, all) {
  for (const [options, sizes] of [
    [{}, [20, 20, 5]],
    [{ paginationForward: false }, [20, 20, 5]],
    [{ paginationLimit: 15 }, [15, 15, 15]],
    [{ paginationLimit: 15, paginationForward: false }, [15, 15, 15]],
    [{ paginationLimit: 44, paginationForward: false }, [44, 1]],
    [{ paginationLimit: 1 }, Array(count).fill(1)],
    [{ paginationLimit: 1, paginationForward: false }, Array(count).fill(1)],
    [{ paginationLimit: 1000 }, [count]],
  ]) {
    const what = JSON.stringify(options);
    const got = await client.query(topic, 128, options);
    check(`${what}: pages`, got.pages, sizes);
    check(`${what}: messages`, got.messages.flat().sort(), all);
    // Within a page from old to new; the pages themselves as asked.
    const inOrder = options.paginationForward === false ? got.messages.reverse().flat() : got.messages.flat();
    const moments = inOrder.map((text) => Math.floor(all.indexOf(text) / 2));
    check(`${what}: order`, moments, [...moments].sort((x, y) => x - y));
  }
}

async function hashes(client, topic, all) {
  const messages = [];
  for await (const page of client.node.store.queryGenerator([client.decoder(topic, 128)], {})) {
    messages.push(...await Promise.all(page));
  }
  const cursor = client.node.store.createCursor(messages[9]);
  check("a cursor made by the client", hex(cursor), hex(messages[9].hash));
  const rest = await client.query(topic, 128, { paginationCursor: cursor });
  check("messages behind the cursor", rest.messages.flat(), messages.slice(10).map((m) => bytesToUtf8(m.payload)));
  const wanted = messages.slice(0, 33).map((message) => message.hash);
  for (const options of [{}, { paginationLimit: 10 }, { paginationLimit: 10, paginationForward: false }]) {
    const got = await client.query(topic, 128, { messageHashes: wanted, ...options });
    check(`hash query ${JSON.stringify(options)}`, got.messages.flat().sort(), messages.slice(0, 33).map((m) => bytesToUtf8(m.payload)).sort());
  }
  check("the hash of nothing", (await client.query(topic, 128, { messageHashes: [new Uint8Array(32)] })).pages, []);
  const bare = [];
  const criteria = { pubsubTopic: pubsub(128), contentTopics: [topic], includeData: false, paginationForward: true, paginationLimit: 30 };
  for await (const page of client.node.store.protocol.queryPerPage(criteria, new Map([[topic, client.decoder(topic, 128)]]), client.peer)) {
    bare.push((await Promise.all(page)).filter((message) => message === undefined).length);
  }
  check("pages without data", bare, [30, 15]);
  const refused = await client.query(topic, 128, { paginationCursor: new Uint8Array(32).fill(7) }).catch((error) => String(error));
  check("a cursor that nobody knows", /status code: 400/.test(refused), true);
  check("the hash of a message", messages.every((m) => hex(waku.messageHash(pubsub(128), m)) === hex(m.hash)), true);
}
