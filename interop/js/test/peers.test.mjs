// Nodes that a node knows of, and those that do not fit.
import { test } from "node:test";
import { PeerExchangeDiscovery } from "@waku/discovery";
import { Client, check, until } from "../lib/client.mjs";
import { Parley } from "../lib/parley.mjs";

const limit = { timeout: 240_000 };

test("peer exchange: a client is told of a node that ours has found", limit, async () => {
  const found = await Parley.start("--discv5", "127.0.0.1:0");
  const node = await Parley.start("--discv5", "127.0.0.1:0", "--bootstrap", found.ready.enr);
  let client;
  try {
    client = await Client.connect(node.ws);
    const { peerExchange } = new PeerExchangeDiscovery(client.node.libp2p.components);
    let asked = 0, infos;
    await until("the peer that ours knows", async () => {
      if (Date.now() - asked < 1100) { // ours answers once a second
        return false;
      }
      asked = Date.now();
      const answer = await peerExchange.query({ numPeers: 10, peerId: client.peer });
      infos = answer.peerInfos?.filter((info) => info.ENR?.peerInfo?.id.toString() === found.ready.peer_id);
      return infos?.length > 0;
    });
    const record = infos[0].ENR;
    check("cluster", record.shardInfo.clusterId, 16);
    check("shards", [...record.shardInfo.shards].sort((a, b) => a - b), [32, 64, 128]);
    check("capabilities", record.waku2, { relay: true, store: true, filter: true, lightPush: true });
    const addresses = record.getFullMultiaddrs().map(String);
    check("the address for WebSocket", addresses.includes(found.ws), true);
  } finally {
    await client?.stop();
    await node.stop();
    await found.stop();
  }
});

test("a client of another cluster does not use the node", limit, async () => {
  const node = await Parley.start();
  let stranger;
  try {
    // It does not get as far as a message, or finds nobody who takes it.
    const failure = await Client.connect(node.ws, { networkConfig: { clusterId: 17 } }).then((client) => {
      stranger = client;
      return client.send(client.encoder("/interop-js/1/stranger/proto"), "to nobody");
    }, String);
    check("a message to another cluster is published", failure === undefined, false);
    await until("no client of another cluster", async () =>
      (await node.call("GET", "/admin/v1/peers/connected")).length === 0);
  } finally {
    await stranger?.stop();
    await node.stop();
  }
});
