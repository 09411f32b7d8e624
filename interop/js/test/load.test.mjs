// What takes more than one message, client or page.
import { after, before, test } from "node:test";
import { Client, check, hex, pubsub, until } from "../lib/client.mjs";
import { Parley } from "../lib/parley.mjs";

let node, neighbour;
const limit = { timeout: 240_000 };

before(async () => {
  node = await Parley.start();
  neighbour = await Parley.start("--peer", node.ready.multiaddrs.find((address) => !address.includes("/ws")));
}, limit);
after(() => Promise.all([node?.stop(), neighbour?.stop()]), limit);

// withClients runs a test with clients and stops them in any case.
const withClients = (count, run) => async () => {
  const clients = await Promise.all(Array.from({ length: count }, () => Client.connect(node.ws)));
  try {
    await run(...clients);
  } finally {
    await Promise.all(clients.map((client) => client.stop()));
  }
};

const contentTopic = (name, part = 0) => `/interop-js/1/${name}-${part}/proto`;

test("what others publish by relay comes by filter, with the same hash", limit, withClients(1, async (client) => {
  const topic = contentTopic("relay");
  const got = [];
  check("subscribe", await client.node.filter.subscribe([client.decoder(topic)], (message) => got.push(message)), true);
  const relayed = async () => (await neighbour.call("GET", "/admin/v1/peers/stats"))["Mesh peers"]["32"] > 0;
  await until("a mesh of two nodes", relayed);
  const payload = Buffer.from("from afar").toString("base64");
  const timestamp = BigInt(Date.now()) * 1_000_000n;
  // Not JSON.stringify, which has no numbers of this size.
  const body = `{"payload":"${payload}","contentTopic":"${topic}","timestamp":${timestamp}}`;
  const answer = await fetch(`${neighbour.ready.rest}/relay/v1/messages/${encodeURIComponent(pubsub(32))}`, {
    method: "POST", headers: { "content-type": "application/json" }, body,
  });
  check("publish by relay", answer.status, 200);
  await until("the push", () => got.length === 1);
  const query = new URLSearchParams({ pubsubTopic: pubsub(32), contentTopics: topic });
  await until("the message in the store", async () => (await node.call("GET", `/store/v3/messages?${query}`)).messages.length === 1);
  const stored = await node.call("GET", `/store/v3/messages?${query}`);
  check("hash", hex(got[0].hash), stored.messages[0].messageHash);
}));

test("a hundred content topics in one subscription", limit, withClients(2, async (a, b) => {
  const topics = Array.from({ length: 100 }, (_, i) => contentTopic("hundred", i));
  const box = await b.subscribe(topics);
  for (const topic of topics) {
    await a.mustSend(a.encoder(topic), topic);
  }
  await until("a push for each", () => box.texts.length === topics.length);
  check("what came", [...box.texts].sort(), [...topics].sort());
}));

const burst = (size) => withClients(2, async (a, b) => {
  const topic = contentTopic("burst", size);
  const box = await b.subscribe([topic]);
  const encoder = a.encoder(topic);
  await Promise.all(Array.from({ length: size }, (_, i) => a.mustSend(encoder, `burst ${i}`)));
  await until("all pushes", () => new Set(box.texts).size === size);
});

test("twenty-five messages at once", limit, burst(25));

test("sixty messages at once", limit, burst(60));

test("forty messages of 140 kB, pushed and in pages below 4 MiB", limit, withClients(2, async (a, b) => {
  const topic = contentTopic("large");
  const box = await b.subscribe([topic]);
  const encoder = a.encoder(topic);
  const base = Date.now() - 60_000;
  for (const start of [0, 20]) {
    await Promise.all(Array.from({ length: 20 }, (_, i) => {
      const payload = new Uint8Array(140_000);
      payload[0] = start + i;
      return a.mustSend(encoder, payload, { timestamp: new Date(base + start + i) });
    }));
  }
  await until("all pushes", () => box.texts.length >= 40);
  // The SDK reads no frame above 4 MiB, and asks until a page is empty.
  for (const paginationForward of [true, false]) {
    let pages;
    await until("all messages in the store", async () => {
      ({ pages } = await b.query(topic, 32, { paginationForward, paginationLimit: 100 }));
      return pages.reduce((sum, size) => sum + size, 0) === 40;
    });
    check("more than one page", pages.length > 1, true);
  }
}));

test("six clients that come, talk to each other, and go, three times", limit, async () => {
  for (let round = 0; round < 3; round++) {
    await withClients(6, async (...clients) => {
      const topic = contentTopic("clients", round);
      const boxes = await Promise.all(clients.map((client) => client.subscribe([topic], 64)));
      await Promise.all(clients.map((client, i) => client.mustSend(client.encoder(topic, 64), `client ${i}`)));
      await until("everybody's messages at everybody", () => boxes.every((box) => new Set(box.texts).size === clients.length));
    })();
  }
});

test("subscribing and unsubscribing forty times on one connection", limit, withClients(1, async (client) => {
  const topic = contentTopic("again");
  const connection = client.connection.id;
  for (let i = 0; i < 40; i++) {
    const { decoders } = await client.subscribe([topic]);
    check("unsubscribe", await client.node.filter.unsubscribe(decoders), true);
  }
  const box = await client.subscribe([topic]);
  await client.mustSend(client.encoder(topic), "after all");
  await until("the push", () => box.texts.length === 1);
  check("the connection", client.connection.id, connection);
}));
