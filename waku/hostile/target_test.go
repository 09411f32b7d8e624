package hostile

import (
	"fmt"
	"math/rand/v2"
	"time"

	pubsubpb "github.com/libp2p/go-libp2p-pubsub/pb"
	"github.com/libp2p/go-libp2p/core/protocol"
	"google.golang.org/protobuf/proto"

	wakupb "github.com/parley-im/parley/pb/waku"
	"github.com/parley-im/parley/waku/filter"
	"github.com/parley-im/parley/waku/lightpush"
	"github.com/parley-im/parley/waku/message"
	"github.com/parley-im/parley/waku/metadata"
	"github.com/parley-im/parley/waku/peerexchange"
	"github.com/parley-im/parley/waku/relay"
	"github.com/parley-im/parley/waku/store"
	"github.com/parley-im/parley/waku/storesync"
)

// target is a protocol as attackers see it.
type target struct {
	name string
	id   protocol.ID
	// request is a frame that the victim takes, each one another.
	request func(i int) []byte
	// answers tells that the victim answers a request and ends the stream.
	answers bool
	// limit is the largest frame read, in bytes.
	limit int
	// light tells that the victim is a light node at which the attacker is
	// subscribed, and not the service node.
	light bool
}

// targets are the protocols that nodes serve. Those of a service node are
// checked to be complete.
var targets = []target{
	{name: "relay", id: relay.ProtocolID, request: relayFrame, limit: 4 << 20},
	{name: "filter subscribe", id: filter.SubscribeID, request: filterRequest, answers: true, limit: filter.MaxRequest},
	{name: "filter push", id: filter.PushID, request: filterPush, limit: filter.MaxPush, light: true},
	{name: "lightpush 2", id: lightpush.ProtocolV2, request: lightpushV2, answers: true, limit: lightpush.MaxRequest},
	{name: "lightpush 3", id: lightpush.ProtocolV3, request: lightpushV3, answers: true, limit: lightpush.MaxRequest},
	{name: "store query", id: store.ProtocolID, request: storeQuery, answers: true, limit: store.MaxRequest},
	{name: "metadata", id: metadata.ProtocolID, request: metadataRequest, answers: true, limit: metadata.MaxSize},
	{name: "peer exchange", id: peerexchange.ProtocolID, request: peerQuery, answers: true, limit: peerexchange.MaxRequest},
	{name: "reconciliation", id: storesync.ReconcileID, request: reconcileRequest, limit: storesync.MaxPayload},
	{name: "transfer", id: storesync.TransferID, request: transferred, limit: storesync.MaxFrame},
}

// encode is m as a frame.
func encode(m proto.Message) []byte {
	b, err := proto.Marshal(m)
	if err != nil {
		panic(err) // it is of this file
	}
	return framed(b)
}

// spam is a message like no other.
func spam(i int) *wakupb.WakuMessage {
	return message.New(fmt.Appendf(nil, "spam %d %d", i, rand.Uint64()), "/spam/1/content/proto", time.Now(), false)
}

func subscription(kind wakupb.FilterSubscribeRequest_FilterSubscribeType, contents ...string) *wakupb.FilterSubscribeRequest {
	return &wakupb.FilterSubscribeRequest{RequestId: "1", FilterSubscribeType: kind, PubsubTopic: &pubsub, ContentTopics: contents}
}

// filterRequest subscribes to ever more topics, the honest client's and those
// of spam among them: the pushes are not read.
func filterRequest(i int) []byte {
	contents := []string{content, "/spam/1/content/proto"}
	for j := len(contents); j < filter.MaxContentTopics; j++ {
		contents = append(contents, fmt.Sprintf("/topic/1/%d-%d/proto", i, j))
	}
	return encode(subscription(wakupb.FilterSubscribeRequest_SUBSCRIBE, contents...))
}

func filterPush(i int) []byte {
	return encode(&wakupb.MessagePush{PubsubTopic: &pubsub, WakuMessage: spam(i)})
}

func lightpushV2(i int) []byte {
	return encode(&wakupb.PushRPC{RequestId: "1", Request: &wakupb.PushRequest{PubsubTopic: pubsub, Message: spam(i)}})
}

func lightpushV3(i int) []byte {
	return encode(&wakupb.LightPushRequest{RequestId: "1", PubsubTopic: &pubsub, Message: spam(i)})
}

// storeQuery asks for the largest page there is.
func storeQuery(int) []byte {
	return encode(&wakupb.StoreQueryRequest{
		RequestId: "1", IncludeData: true, PubsubTopic: &pubsub, ContentTopics: []string{contents},
		PaginationLimit: proto.Uint64(store.MaxPage),
	})
}

func metadataRequest(int) []byte {
	return encode(&wakupb.WakuMetadataRequest{ClusterId: proto.Uint32(cluster), Shards: []uint32{shard}})
}

func peerQuery(int) []byte {
	return encode(&wakupb.PeerExchangeRPC{Query: &wakupb.PeerExchangeQuery{NumPeers: proto.Uint64(1 << 40)}})
}

// reconcileRequest claims to have, of the last hour, messages like no other.
func reconcileRequest(int) []byte {
	now := time.Now().UnixNano()
	r := storesync.Range{Bounds: storesync.Between(now-int64(time.Hour), now), Kind: storesync.Print}
	for i := range r.Print {
		r.Print[i] = byte(rand.Uint32())
	}
	p := storesync.Payload{Scope: storesync.Scope{Form: storesync.Shards, Cluster: cluster, Shards: []uint16{shard}}, Ranges: []storesync.Range{r}}
	b, err := p.Append(nil)
	if err != nil {
		panic(err)
	}
	return framed(b)
}

// transferred is a message that nobody asked for.
func transferred(i int) []byte {
	return encode(&wakupb.SyncMessage{PubsubTopic: &pubsub, Message: spam(i)})
}

// relayFrame is each time another way to make a relay work or remember.
func relayFrame(i int) []byte {
	yes := true
	ids := make([]string, 100)
	for j := range ids {
		ids[j] = fmt.Sprintf("%032d", rand.Uint64())
	}
	spammed, err := proto.Marshal(spam(i))
	if err != nil {
		panic(err)
	}
	switch i % 8 {
	case 1: // announcements without end
		rpc := new(pubsubpb.RPC)
		for j := range 500 {
			name := fmt.Sprintf("/waku/2/rs/%d/%d", i, j)
			rpc.Subscriptions = append(rpc.Subscriptions, &pubsubpb.RPC_SubOpts{Subscribe: &yes, Topicid: &name})
		}
		return encode(rpc)
	case 2:
		return encode(&pubsubpb.RPC{Control: &pubsubpb.ControlMessage{Ihave: []*pubsubpb.ControlIHave{{TopicID: &pubsub, MessageIDs: ids}}}})
	case 3:
		return encode(&pubsubpb.RPC{Control: &pubsubpb.ControlMessage{Iwant: []*pubsubpb.ControlIWant{{MessageIDs: ids}}}})
	case 4:
		return encode(&pubsubpb.RPC{Control: &pubsubpb.ControlMessage{Idontwant: []*pubsubpb.ControlIDontWant{{MessageIDs: ids}}}})
	case 5: // in and out of the mesh
		return encode(&pubsubpb.RPC{Control: &pubsubpb.ControlMessage{
			Graft: []*pubsubpb.ControlGraft{{TopicID: &pubsub}}, Prune: []*pubsubpb.ControlPrune{{TopicID: &pubsub}},
		}})
	case 6:
		return encode(&pubsubpb.RPC{Publish: []*pubsubpb.Message{{Topic: &pubsub, Data: []byte(ids[0])}}})
	case 7:
		return encode(&pubsubpb.RPC{Publish: []*pubsubpb.Message{{Topic: &pubsub, Data: spammed}}})
	}
	return encode(&pubsubpb.RPC{Subscriptions: []*pubsubpb.RPC_SubOpts{{Subscribe: &yes, Topicid: &pubsub}}})
}
