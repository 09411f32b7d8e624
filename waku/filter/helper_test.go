package filter

import (
	"context"
	"fmt"
	"testing"

	"github.com/libp2p/go-libp2p/core/host"
	"github.com/libp2p/go-libp2p/core/peer"
	mocknet "github.com/libp2p/go-libp2p/p2p/net/mock"
	"google.golang.org/protobuf/proto"

	wakupb "github.com/parley-im/parley/pb/waku"
)

const testPubsub = "/waku/2/rs/16/32"

func messageOn(content, text string) *wakupb.WakuMessage {
	return &wakupb.WakuMessage{Payload: []byte(text), ContentTopic: content, Version: proto.Uint32(1), Timestamp: proto.Int64(1)}
}

// network returns n connected hosts in memory.
func networkOf(t testing.TB, n int) (mocknet.Mocknet, []host.Host) {
	t.Helper()
	net, err := mocknet.FullMeshConnected(n)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = net.Close() })
	return net, net.Hosts()
}

func connect(t testing.TB, a, b host.Host) {
	t.Helper()
	if err := a.Connect(context.Background(), peer.AddrInfo{ID: b.ID(), Addrs: b.Addrs()}); err != nil {
		t.Fatal(err)
	}
}

func service(t testing.TB, h host.Host, cfg ServiceConfig) *Service {
	t.Helper()
	s := NewService(h, cfg)
	t.Cleanup(func() { _ = s.Close() })
	return s
}

// request is one of a type with criteria.
func request(kind wakupb.FilterSubscribeRequest_FilterSubscribeType, pubsub string, contents ...string) *wakupb.FilterSubscribeRequest {
	req := &wakupb.FilterSubscribeRequest{RequestId: "1", FilterSubscribeType: kind, ContentTopics: contents}
	if pubsub != "" {
		req.PubsubTopic = &pubsub
	}
	return req
}

// topics returns n content topics from the first on.
func topics(first, n int) []string {
	out := make([]string, n)
	for i := range out {
		out[i] = fmt.Sprintf("/waku/1/0x%08x/rfc26", first+i)
	}
	return out
}
