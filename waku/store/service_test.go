package store_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"testing"
	"time"

	"github.com/libp2p/go-libp2p/core/peer"
	"google.golang.org/protobuf/encoding/protodelim"
	"google.golang.org/protobuf/proto"

	"github.com/parley-im/parley/internal/wire"
	wakupb "github.com/parley-im/parley/pb/waku"
	"github.com/parley-im/parley/waku/message"
	"github.com/parley-im/parley/waku/rpc"
	"github.com/parley-im/parley/waku/rpc/rpctest"
	"github.com/parley-im/parley/waku/store"
)

// history returns n entries on two content topics, in order.
func history(n, size int) []store.Entry {
	out := make([]store.Entry, n)
	for i := range out {
		out[i] = store.NewEntry(testPubsub, messageOf(fmt.Sprintf("/a/1/%d/proto", i%2), int64(i+1), payload(i, size)))
	}
	return out
}

// TestServiceAnswers queries of all kinds over a socket: filtered by content
// and time with and without data, lookup, presence.
//
// Proves: SP-66, SP-70.
func TestServiceAnswers(t *testing.T) {
	t.Parallel()
	a, b := rpctest.Sockets(t)
	kept := history(40, 10)
	serve(t, b, store.ServiceConfig{}, kept...)
	c, ctx := store.NewClient(a), context.Background()

	filter := store.Query{PubsubTopic: testPubsub, ContentTopics: []string{"/a/1/1/proto"}, TimeStart: 11, TimeEnd: 21, IncludeData: true}
	page, err := c.Query(ctx, b.ID(), &filter)
	if err != nil || len(page.Messages) != 5 || page.Cursor != nil || len(page.Faults) != 0 {
		t.Fatalf("content filter: %+v, %v", page, err)
	}
	for i, e := range page.Messages {
		if want := kept[11+2*i]; e.Hash != want.Hash || e.PubsubTopic != testPubsub || !proto.Equal(e.Message, want.Message) {
			t.Errorf("message %d: %v, want %v", i, e, want)
		}
	}
	filter.IncludeData = false
	if page, err = c.Query(ctx, b.ID(), &filter); err != nil || len(page.Messages) != 5 || page.Messages[0].Message != nil {
		t.Fatalf("without data: %+v, %v", page, err)
	}
	hashes := []message.Hash{kept[3].Hash, kept[30].Hash, {1}}
	if page, err = c.Query(ctx, b.ID(), &store.Query{Hashes: hashes, IncludeData: true, PubsubTopic: testPubsub}); err != nil ||
		len(page.Messages) != 2 || !proto.Equal(page.Messages[1].Message, kept[30].Message) {
		t.Fatalf("lookup: %+v, %v", page, err)
	}
	if page, err = c.Query(ctx, b.ID(), &store.Query{Hashes: hashes}); err != nil || len(page.Messages) != 2 || page.Messages[1].Hash != kept[30].Hash {
		t.Fatalf("presence: %+v, %v", page, err)
	}
}

// TestPresence: a publisher finds out by a presence query that its message is
// kept, and that an ephemeral one is not.
//
// Proves: SP-21, SP-71.
func TestPresence(t *testing.T) {
	t.Parallel()
	a, b := rpctest.Pair(t)
	archive := archiveOf(t)
	s := store.NewService(b, archive, store.ServiceConfig{})
	t.Cleanup(func() { _ = s.Close() })
	now := time.Now()
	ctx := context.Background()
	heard := messageOf("/a/1/b/proto", now.UnixNano(), []byte("kept"))
	passing := messageOf("/a/1/b/proto", now.UnixNano(), []byte("not kept"))
	passing.Ephemeral = proto.Bool(true)
	own := []message.Hash{message.HashOf(testPubsub, heard), message.HashOf(testPubsub, passing)}
	present := func() []store.Entry {
		t.Helper()
		page, err := store.NewClient(a).Query(ctx, b.ID(), &store.Query{Hashes: own})
		if err != nil {
			t.Fatal(err)
		}
		return page.Messages
	}
	if got := present(); len(got) != 0 {
		t.Fatalf("present before it is kept: %v", got)
	}
	if err := archive.Insert(ctx, store.NewEntry(testPubsub, heard)); err != nil {
		t.Fatal(err)
	}
	if err := archive.Insert(ctx, store.NewEntry(testPubsub, passing)); !errors.Is(err, store.ErrEphemeral) {
		t.Fatal(err)
	}
	if got := present(); len(got) != 1 || got[0].Hash != own[0] {
		t.Fatalf("present: %v", got)
	}
	page, err := store.NewClient(a).Query(ctx, b.ID(), &store.Query{IncludeData: true})
	if err != nil || len(page.Messages) != 1 || !proto.Equal(page.Messages[0].Message, heard) {
		t.Fatalf("%+v, %v", page, err)
	}
}

// TestMissingByHash compares a node's hashes with what is known here and
// fetches what is missing by its hash.
//
// Proves: SP-69.
func TestMissingByHash(t *testing.T) {
	t.Parallel()
	kept := history(60, 10)
	a, p := serving(t, store.ServiceConfig{}, kept...)
	c, ctx := store.NewClient(a), context.Background()
	known := make(map[message.Hash]bool)
	want := make(map[message.Hash]bool)
	for i, e := range kept {
		known[e.Hash] = i%7 != 0
		if i%7 == 0 && i%2 == 1 {
			want[e.Hash] = true
		}
	}
	var missing []message.Hash
	filter := &store.Query{PubsubTopic: testPubsub, ContentTopics: []string{"/a/1/1/proto"}}
	err := c.All(ctx, p, filter, func(page *store.Page) error {
		for _, e := range page.Messages {
			if !known[e.Hash] {
				missing = append(missing, e.Hash)
			}
		}
		return nil
	})
	if err != nil || len(missing) != len(want) {
		t.Fatalf("%d missing, want %d, %v", len(missing), len(want), err)
	}
	page, err := c.Query(ctx, p, &store.Query{Hashes: missing, IncludeData: true})
	if err != nil || len(page.Messages) != len(want) {
		t.Fatalf("%+v, %v", page, err)
	}
	for _, e := range page.Messages {
		if !want[e.Hash] || message.HashOf(e.PubsubTopic, e.Message) != e.Hash {
			t.Errorf("fetched %v", e)
		}
	}
}

// TestStorable at its limits.
func TestStorable(t *testing.T) {
	t.Parallel()
	now := time.Unix(1_700_000_000, 0)
	for at, want := range map[int64]error{
		0: store.ErrNoTimestamp, 1: nil,
		now.Add(store.MaxFuture).UnixNano():     nil,
		now.Add(store.MaxFuture).UnixNano() + 1: store.ErrFuture,
		-1:                                      store.ErrInvalid,
	} {
		if err := store.Storable(messageOf("/a/1/b/proto", at, []byte{1}), now); !errors.Is(err, want) {
			t.Errorf("timestamp %d: %v, want %v", at, err, want)
		}
	}
}

// TestServiceRefuses requests that break a rule, and says which.
func TestServiceRefuses(t *testing.T) {
	t.Parallel()
	a, p := serving(t, store.ServiceConfig{}, history(3, 10)...)
	hash := make([]byte, 32)
	for name, req := range map[string]*wakupb.StoreQueryRequest{
		"no request id":       {},
		"pubsub topic alone":  {RequestId: "1", PubsubTopic: proto.String(testPubsub)},
		"content topic alone": {RequestId: "1", ContentTopics: []string{"/a/1/b/proto"}},
		"hash and content":    {RequestId: "1", PubsubTopic: proto.String(testPubsub), ContentTopics: []string{"/a/1/b/proto"}, MessageHashes: [][]byte{hash}},
		"hash and time":       {RequestId: "1", MessageHashes: [][]byte{hash}, TimeStart: proto.Int64(1)},
		"short hash":          {RequestId: "1", MessageHashes: [][]byte{hash[1:]}},
		"long cursor":         {RequestId: "1", PaginationCursor: append(hash, 1)},
		"unknown cursor":      {RequestId: "1", PaginationCursor: hash},
		"negative time":       {RequestId: "1", TimeStart: proto.Int64(-1)},
		"backward time":       {RequestId: "1", TimeStart: proto.Int64(2), TimeEnd: proto.Int64(1)},
		"empty content topic": {RequestId: "1", PubsubTopic: proto.String(testPubsub), ContentTopics: []string{""}},
	} {
		resp, err := store.NewClient(a).Exchange(context.Background(), p, req)
		if err != nil || resp.GetStatusCode() != store.StatusBadRequest || resp.GetStatusDesc() == "" || resp.GetRequestId() != req.GetRequestId() {
			t.Errorf("%s: %v, %v", name, resp, err)
		}
	}
	// An empty pubsub topic is an unset one.
	resp, err := store.NewClient(a).Exchange(context.Background(), p, &wakupb.StoreQueryRequest{RequestId: "1", PubsubTopic: proto.String("")})
	if err != nil || resp.GetStatusCode() != store.StatusOK || len(resp.GetMessages()) != 3 {
		t.Errorf("empty pubsub topic: %v, %v", resp, err)
	}
}

// TestServiceCutsPages: 100 large messages do not fit a response, and come
// complete over several in both directions.
func TestServiceCutsPages(t *testing.T) {
	t.Parallel()
	kept := history(store.MaxPage, 140_000)
	a, p := serving(t, store.ServiceConfig{}, kept...)
	for _, forward := range []bool{true, false} {
		q := &store.Query{IncludeData: true, Forward: forward, Limit: store.MaxPage}
		var got []store.Entry
		pages := 0
		err := store.NewClient(a).All(context.Background(), p, q, func(page *store.Page) error {
			pages++
			resp := store.Respond("id", q, page)
			if n := proto.Size(resp) + store.FrameOverhead; n > store.MaxResponse {
				t.Errorf("a response of %d bytes", n)
			}
			if forward {
				got = append(got, page.Messages...)
			} else {
				got = append(append([]store.Entry{}, page.Messages...), got...)
			}
			return nil
		})
		if err != nil || len(got) != len(kept) || pages != 4 {
			t.Fatalf("forward %v: %d messages in %d pages, %v", forward, len(got), pages, err)
		}
		for i := range got {
			if got[i].Hash != kept[i].Hash {
				t.Fatalf("message %d is out of order", i)
			}
		}
	}
}

// TestRespondFits: whatever the sizes, a response fits and takes as much as
// it can.
func TestRespondFits(t *testing.T) {
	t.Parallel()
	for _, size := range []int{149_000, 120_000, 43_000, 41_000} {
		page := &store.Page{Messages: history(store.MaxPage, size)}
		for _, forward := range []bool{true, false} {
			resp := store.Respond("id", &store.Query{Forward: forward}, page)
			n := proto.Size(resp)
			if n+store.FrameOverhead > store.MaxResponse {
				t.Errorf("size %d: %d bytes", size, n)
			}
			cut := len(resp.Messages) < store.MaxPage
			if cut != (resp.PaginationCursor != nil) || cut && n+size+200 < store.MaxResponse-store.FrameOverhead-200 {
				t.Errorf("size %d: %d messages, %d bytes, cursor %x", size, len(resp.Messages), n, resp.PaginationCursor)
			}
			if !cut {
				continue
			}
			edge := resp.Messages[0]
			if forward {
				edge = resp.Messages[len(resp.Messages)-1]
			}
			if !bytes.Equal(edge.MessageHash, resp.PaginationCursor) {
				t.Error("the cursor is not the outermost hash")
			}
		}
	}
}

// TestServiceRateLimit: what is beyond the allowance is refused.
func TestServiceRateLimit(t *testing.T) {
	t.Parallel()
	a, p := serving(t, store.ServiceConfig{Rate: 0.001, Burst: 2})
	c := store.NewClient(a)
	for i, want := range []error{nil, nil, store.ErrTooMany} {
		if _, err := c.Query(context.Background(), p, &store.Query{}); !errors.Is(err, want) {
			t.Errorf("query %d: %v, want %v", i, err, want)
		}
	}
}

// TestServiceObserve: the operator is told of each request, its status and how
// large it was.
func TestServiceObserve(t *testing.T) {
	t.Parallel()
	seen := make(chan rpc.Exchange, 10)
	cfg := store.ServiceConfig{Rate: 0.001, Burst: 2, Observe: func(x rpc.Exchange) { seen <- x }}
	a, p := serving(t, cfg, history(3, 10)...)
	c := store.NewClient(a)
	_, _ = c.Query(context.Background(), p, &store.Query{IncludeData: true})
	_, _ = c.Query(context.Background(), p, &store.Query{Cursor: &message.Hash{1}})
	_, _ = c.Query(context.Background(), p, &store.Query{})
	for _, want := range []uint32{store.StatusOK, store.StatusBadRequest, store.StatusTooMany} {
		x := <-seen
		if x.Status != want || x.Peer != a.ID() || x.Protocol != store.ProtocolID || x.In == 0 || x.Out == 0 || x.Took <= 0 || x.Err != nil {
			t.Errorf("observed %+v, want status %d", x, want)
		}
	}
}

// TestServiceAsJavaScriptAsks: those clients name the pubsub topic beside the
// hashes they look up, take the hash of the outermost entry for the next
// cursor, and go on until a page is empty.
func TestServiceAsJavaScriptAsks(t *testing.T) {
	t.Parallel()
	kept := history(9, 10)
	a, p := serving(t, store.ServiceConfig{}, kept...)
	for _, forward := range []bool{true, false} {
		req := &wakupb.StoreQueryRequest{
			RequestId: "1", IncludeData: true, PubsubTopic: proto.String(testPubsub),
			PaginationForward: forward, PaginationLimit: proto.Uint64(4),
		}
		for _, e := range kept {
			req.MessageHashes = append(req.MessageHashes, e.Hash[:])
		}
		var sizes []int
		got := make(map[message.Hash]bool)
		for range kept {
			resp, err := store.NewClient(a).Exchange(context.Background(), p, req)
			if err != nil || resp.GetStatusCode() != store.StatusOK {
				t.Fatalf("%v, %v", resp, err)
			}
			sizes = append(sizes, len(resp.Messages))
			if len(resp.Messages) == 0 {
				break
			}
			for _, kv := range resp.Messages {
				got[message.Hash(kv.MessageHash)] = true
			}
			edge := resp.Messages[0]
			if forward {
				edge = resp.Messages[len(resp.Messages)-1]
			}
			req.PaginationCursor = edge.MessageHash
		}
		if !slices.Equal(sizes, []int{4, 4, 1, 0}) || len(got) != len(kept) {
			t.Errorf("forward %v: pages of %v, %d entries", forward, sizes, len(got))
		}
	}
}

// TestServiceHostileStreams: garbage is answered or reset, a half-open stream
// holds nobody up, and a peer has MaxStreams of them at most.
func TestServiceHostileStreams(t *testing.T) {
	t.Parallel()
	a, b := rpctest.Sockets(t)
	serve(t, b, store.ServiceConfig{}, history(3, 10)...)
	for name, frame := range map[string][]byte{
		"no protobuf": {3, 0xff, 0xff, 0xff},
		"too large":   {0xff, 0xff, 0xff, 0x7f, 1, 2, 3},
		"limit + 1":   {0x81, 0x80, 0x04}, // 64 KiB and one byte
	} {
		s := open(t, a, b.ID())
		if _, err := s.Write(frame); err != nil {
			t.Fatal(err)
		}
		var resp wakupb.StoreQueryResponse
		if err := wire.Read(s, store.MaxAnswer, &resp); err != nil || resp.GetStatusCode() != store.StatusBadRequest {
			t.Errorf("%s: %v, %v", name, &resp, err)
		}
	}
	for name, frame := range map[string][]byte{
		"endless length": bytes.Repeat([]byte{0xff}, 20),
		"cut short":      {200, 1, 2},
	} {
		s := open(t, a, b.ID())
		_, _ = s.Write(frame)
		_ = s.CloseWrite()
		if rest, err := io.ReadAll(s); err == nil || len(rest) != 0 {
			t.Errorf("%s: answered with %x, %v", name, rest, err)
		}
	}
	s := open(t, a, b.ID())
	_ = s.CloseWrite()
	if rest, err := io.ReadAll(s); err != nil || len(rest) != 0 {
		t.Errorf("no request: answered with %x, %v", rest, err)
	}
	// Idle streams, some with half a request.
	for i := range 2 * store.MaxStreams {
		s, err := a.NewStream(context.Background(), b.ID(), store.ProtocolID)
		if err != nil {
			break // refused by the multiplexer's own bound
		}
		if i%2 == 0 {
			_, _ = s.Write([]byte{20, 1})
		}
		defer func() { _ = s.Reset() }()
	}
	c, _ := rpctest.Sockets(t)
	if err := c.Connect(context.Background(), peer.AddrInfo{ID: b.ID(), Addrs: b.Addrs()}); err != nil {
		t.Fatal(err)
	}
	if page, err := store.NewClient(c).Query(context.Background(), b.ID(), &store.Query{}); err != nil || len(page.Messages) != 3 {
		t.Errorf("another peer: %v, %v", page, err)
	}
}

// TestServiceClosesAfterResponse: clients read until the end of the stream,
// and keep their own side open.
func TestServiceClosesAfterResponse(t *testing.T) {
	t.Parallel()
	a, b := rpctest.Sockets(t)
	s := serve(t, b, store.ServiceConfig{}, history(3, 10)...)
	stream := open(t, a, b.ID())
	if err := wire.Write(stream, &wakupb.StoreQueryRequest{RequestId: "1"}); err != nil {
		t.Fatal(err)
	}
	raw, err := io.ReadAll(stream)
	if err != nil {
		t.Fatal(err)
	}
	var resp wakupb.StoreQueryResponse
	if err := protodelim.UnmarshalFrom(bytes.NewReader(raw), &resp); err != nil || len(resp.Messages) != 3 {
		t.Errorf("%v, %v", &resp, err)
	}
	idle := open(t, a, b.ID())
	if _, err := idle.Write([]byte{20}); err != nil {
		t.Fatal(err)
	}
	_ = s.Close() // ends the idle stream instead of waiting for it
	if _, err := idle.Read(make([]byte, 1)); err == nil {
		t.Error("an idle stream outlives the service")
	}
}
