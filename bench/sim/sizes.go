package sim

import (
	"google.golang.org/protobuf/proto"

	wakupb "github.com/parley-im/parley/pb/waku"
	"github.com/parley-im/parley/stack"
	"github.com/parley-im/parley/waku/store"
)

// Protocol is a protocol on the wire.
type Protocol string

// The protocols that are simulated.
const (
	Relay     Protocol = "relay"
	Lightpush Protocol = "lightpush"
	Filter    Protocol = "filter"
	Store     Protocol = "store"
)

// requestID stands for one in sizes: as long as those in use.
const requestID = "0123456789abcdef0123456789abcdef"

// sizeOfRelay is a message in a GossipSub frame with its topic.
func sizeOfRelay(e stack.Envelope) int {
	const frame = 8 // tags and lengths
	return proto.Size(e.Message) + len(e.PubsubTopic) + frame
}

func sizeOfPush(e stack.Envelope) int {
	return proto.Size(&wakupb.MessagePush{WakuMessage: e.Message, PubsubTopic: &e.PubsubTopic})
}

func sizeOfLightpush(e stack.Envelope) (request, answer int) {
	peers := uint32(2)
	return proto.Size(&wakupb.LightPushRequest{RequestId: requestID, PubsubTopic: &e.PubsubTopic, Message: e.Message}),
		proto.Size(&wakupb.LightPushResponse{RequestId: requestID, StatusCode: 200, RelayPeerCount: &peers})
}

func sizeOfSubscribe(want map[string][]string) (request, answer int) {
	for pubsub, topics := range want {
		request += proto.Size(&wakupb.FilterSubscribeRequest{RequestId: requestID, FilterSubscribeType: wakupb.FilterSubscribeRequest_SUBSCRIBE, PubsubTopic: &pubsub, ContentTopics: topics})
		answer += sizeOfPing
	}
	return request, answer
}

var sizeOfPing = proto.Size(&wakupb.FilterSubscribeResponse{RequestId: requestID, StatusCode: 200})

func sizeOfQuery(q *store.Query) int {
	r := &wakupb.StoreQueryRequest{RequestId: requestID, IncludeData: q.IncludeData, ContentTopics: q.ContentTopics, PaginationForward: q.Forward, PaginationLimit: &q.Limit}
	if q.PubsubTopic != "" {
		r.PubsubTopic = &q.PubsubTopic
	}
	if q.TimeStart != 0 {
		r.TimeStart = &q.TimeStart
	}
	if q.TimeEnd != 0 {
		r.TimeEnd = &q.TimeEnd
	}
	for _, h := range q.Hashes {
		r.MessageHashes = append(r.MessageHashes, h[:])
	}
	if q.Cursor != nil {
		r.PaginationCursor = q.Cursor[:]
	}
	return proto.Size(r)
}

func sizeOfPage(p *store.Page) int {
	ok := uint32(200)
	r := &wakupb.StoreQueryResponse{RequestId: requestID, StatusCode: &ok}
	if p != nil {
		for _, e := range p.Messages {
			item := &wakupb.WakuMessageKeyValue{MessageHash: e.Hash[:], Message: e.Message}
			if e.PubsubTopic != "" {
				item.PubsubTopic = &e.PubsubTopic
			}
			r.Messages = append(r.Messages, item)
		}
		if p.Cursor != nil {
			r.PaginationCursor = p.Cursor[:]
		}
	}
	return proto.Size(r)
}
