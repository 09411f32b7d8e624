package store_test

import (
	"bytes"
	"context"
	"testing"

	"github.com/libp2p/go-libp2p/core/host"
	"github.com/libp2p/go-libp2p/core/network"
	"github.com/libp2p/go-libp2p/core/peer"
	"google.golang.org/protobuf/proto"

	wakupb "github.com/parley-im/parley/pb/waku"
	"github.com/parley-im/parley/waku/rpc/rpctest"
	"github.com/parley-im/parley/waku/store"
	"github.com/parley-im/parley/waku/store/sqlite"
)

const testPubsub = "/waku/2/rs/16/32"

func messageOf(content string, timestamp int64, payload []byte) *wakupb.WakuMessage {
	return &wakupb.WakuMessage{
		Payload: payload, ContentTopic: content, Version: proto.Uint32(1),
		Timestamp: &timestamp, Ephemeral: proto.Bool(false),
	}
}

// serving returns a client host and the peer id of a node that serves an
// archive with the entries.
func serving(t testing.TB, cfg store.ServiceConfig, entries ...store.Entry) (host.Host, peer.ID) {
	t.Helper()
	a, b := rpctest.Pair(t)
	serve(t, b, cfg, entries...)
	return a, b.ID()
}

func serve(t testing.TB, h host.Host, cfg store.ServiceConfig, entries ...store.Entry) *store.Service {
	t.Helper()
	s := store.NewService(h, archiveOf(t, entries...), cfg)
	t.Cleanup(func() { _ = s.Close() })
	return s
}

// archiveOf returns an archive in memory with the entries.
func archiveOf(t testing.TB, entries ...store.Entry) store.Archive {
	t.Helper()
	a, err := sqlite.Open("")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := a.Close(); err != nil {
			t.Error(err)
		}
	})
	if err := a.Insert(context.Background(), entries...); err != nil {
		t.Fatal(err)
	}
	return a
}

// open opens a store stream to p.
func open(t testing.TB, h host.Host, p peer.ID) network.Stream {
	t.Helper()
	s, err := h.NewStream(context.Background(), p, store.ProtocolID)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// payload is one of a given size that begins with a number.
func payload(n, size int) []byte {
	return append([]byte{byte(n), byte(n >> 8)}, bytes.Repeat([]byte{9}, size)...)
}
