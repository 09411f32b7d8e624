package store_test

import (
	"context"
	"errors"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/libp2p/go-libp2p/core/network"
	"google.golang.org/protobuf/proto"

	"github.com/parley-im/parley/internal/wire"
	wakupb "github.com/parley-im/parley/pb/waku"
	"github.com/parley-im/parley/waku/message"
	"github.com/parley-im/parley/waku/rpc/rpctest"
	"github.com/parley-im/parley/waku/store"
)

// TestClientAll follows the cursors of a node to the end in both directions.
func TestClientAll(t *testing.T) {
	t.Parallel()
	kept := history(45, 10)
	a, p := serving(t, store.ServiceConfig{}, kept...)
	for _, forward := range []bool{true, false} {
		var pages, got int
		err := store.NewClient(a).All(context.Background(), p, &store.Query{Forward: forward, Limit: 20}, func(page *store.Page) error {
			first := kept[20*pages].Hash
			if !forward {
				first = kept[max(0, 45-20*(pages+1))].Hash
			}
			if page.Messages[0].Hash != first {
				t.Errorf("forward %v, page %d begins elsewhere", forward, pages)
			}
			pages, got = pages+1, got+len(page.Messages)
			return nil
		})
		if err != nil || pages != 3 || got != 45 {
			t.Errorf("forward %v: %d pages, %d messages, %v", forward, pages, got, err)
		}
	}
	stop := errors.New("stop")
	if err := store.NewClient(a).All(context.Background(), p, &store.Query{}, func(*store.Page) error { return stop }); !errors.Is(err, stop) {
		t.Error(err)
	}
}

// ask has a client query a node that answers as told. The request id of the
// response is filled in when it is empty.
func ask(t *testing.T, q *store.Query, respond func(*wakupb.StoreQueryRequest) *wakupb.StoreQueryResponse) (*store.Page, error) {
	t.Helper()
	a, b := rpctest.Pair(t)
	b.SetStreamHandler(store.ProtocolID, func(s network.Stream) {
		var req wakupb.StoreQueryRequest
		if err := wire.Read(s, store.MaxRequest, &req); err != nil {
			_ = s.Reset()
			return
		}
		resp := respond(&req)
		if resp.RequestId == "" {
			resp.RequestId = req.RequestId
		}
		_ = wire.Write(s, resp)
		_ = s.Close()
	})
	return store.NewClient(a).Query(context.Background(), b.ID(), q)
}

// TestClientStatus: each code is an error of its own.
func TestClientStatus(t *testing.T) {
	t.Parallel()
	for code, want := range map[uint32]error{
		300: store.ErrStatus, 400: store.ErrBadRequest, 429: store.ErrTooMany, 503: store.ErrUnavailable, 504: store.ErrStatus, 0: store.ErrStatus,
	} {
		_, err := ask(t, &store.Query{}, func(*wakupb.StoreQueryRequest) *wakupb.StoreQueryResponse {
			return &wakupb.StoreQueryResponse{RequestId: "N/A", StatusCode: &code, StatusDesc: proto.String(strings.Repeat("x", 5000))}
		})
		status, ok := errors.AsType[*store.StatusError](err)
		if !ok || status.Code != code || !errors.Is(err, want) || !errors.Is(err, store.ErrStatus) || len(err.Error()) > 1000 {
			t.Errorf("%d: %v", code, err)
		}
	}
	ok := uint32(store.StatusOK)
	for name, resp := range map[string]*wakupb.StoreQueryResponse{
		"another request": {RequestId: "other", StatusCode: &ok},
		"no hash":         {StatusCode: &ok, Messages: []*wakupb.WakuMessageKeyValue{{}}},
		"short cursor":    {StatusCode: &ok, PaginationCursor: []byte{1}},
	} {
		_, err := ask(t, &store.Query{}, func(*wakupb.StoreQueryRequest) *wakupb.StoreQueryResponse { return resp })
		if !errors.Is(err, store.ErrResponse) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if _, err := ask(t, &store.Query{PubsubTopic: "x"}, nil); !errors.Is(err, store.ErrQuery) {
		t.Errorf("an invalid query is asked: %v", err)
	}
}

// TestClientAnswerSize: at the limit, and one byte above it.
func TestClientAnswerSize(t *testing.T) {
	t.Parallel()
	code := uint32(store.StatusOK)
	for _, over := range []int{0, 1} {
		_, err := ask(t, &store.Query{}, func(req *wakupb.StoreQueryRequest) *wakupb.StoreQueryResponse {
			resp := &wakupb.StoreQueryResponse{RequestId: req.RequestId, StatusCode: &code, StatusDesc: proto.String("")}
			resp.StatusDesc = proto.String(strings.Repeat("x", store.MaxAnswer-proto.Size(resp)-3))
			resp.StatusDesc = proto.String(strings.Repeat("x", len(*resp.StatusDesc)+store.MaxAnswer-proto.Size(resp)+over))
			return resp
		})
		if tooLarge := over > 0; tooLarge != errors.Is(err, store.ErrAnswerSize) || tooLarge != (err != nil) {
			t.Errorf("%d over: %v", over, err)
		}
	}
}

// TestClientVerifies: no message can pass under the hash of another one, and
// none that was not asked for is delivered.
func TestClientVerifies(t *testing.T) {
	t.Parallel()
	asked := store.NewEntry(testPubsub, messageOf("/a/1/b/proto", 10, []byte("asked for")))
	other := store.NewEntry(testPubsub, messageOf("/a/1/other/proto", 10, []byte("other")))
	late := store.NewEntry(testPubsub, messageOf("/a/1/b/proto", 21, []byte("late")))
	early := store.NewEntry(testPubsub, messageOf("/a/1/b/proto", 9, []byte("early")))
	away := store.NewEntry("/waku/2/rs/16/64", asked.Message)
	forged := asked
	forged.Hash[0] ^= 1
	empty := store.Entry{Hash: asked.Hash, PubsubTopic: testPubsub, Message: &wakupb.WakuMessage{}}

	content := &store.Query{IncludeData: true, PubsubTopic: testPubsub, ContentTopics: []string{"/a/1/b/proto"}, TimeStart: 10, TimeEnd: 21}
	lookup := &store.Query{IncludeData: true, Hashes: []message.Hash{asked.Hash}}
	lookupForged := &store.Query{IncludeData: true, Hashes: []message.Hash{forged.Hash}}
	presence := &store.Query{Hashes: []message.Hash{asked.Hash}}
	for name, c := range map[string]struct {
		q    *store.Query
		give store.Entry
		want message.Hash // zero: left out
		err  error
	}{
		"good":               {content, asked, asked.Hash, nil},
		"forged hash":        {content, forged, asked.Hash, store.ErrHashMismatch},
		"content topic":      {content, other, message.Hash{}, store.ErrUnasked},
		"pubsub topic":       {content, away, message.Hash{}, store.ErrUnasked},
		"late":               {content, late, message.Hash{}, store.ErrUnasked},
		"early":              {content, early, message.Hash{}, store.ErrUnasked},
		"invalid":            {content, empty, message.Hash{}, store.ErrInvalid},
		"no message":         {content, store.Entry{Hash: asked.Hash}, message.Hash{}, store.ErrInvalid},
		"lookup good":        {lookup, asked, asked.Hash, nil},
		"lookup other":       {lookup, other, message.Hash{}, store.ErrUnasked},
		"lookup forged hash": {lookupForged, forged, message.Hash{}, store.ErrHashMismatch},
		"presence good":      {presence, store.Entry{Hash: asked.Hash}, asked.Hash, nil},
		"presence data":      {presence, asked, asked.Hash, nil},
		"presence other":     {presence, store.Entry{Hash: other.Hash}, message.Hash{}, store.ErrUnasked},
	} {
		page, err := ask(t, c.q, func(*wakupb.StoreQueryRequest) *wakupb.StoreQueryResponse {
			code := uint32(store.StatusOK)
			return &wakupb.StoreQueryResponse{StatusCode: &code, Messages: []*wakupb.WakuMessageKeyValue{store.Item(&c.give)}}
		})
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		kept := c.want != message.Hash{}
		if kept != (len(page.Messages) == 1) || kept && page.Messages[0].Hash != c.want {
			t.Errorf("%s: %v", name, page.Messages)
		}
		if (c.err != nil) != (len(page.Faults) == 1) {
			t.Errorf("%s: faults %v", name, page.Faults)
			continue
		}
		if c.err != nil && (!errors.Is(page.Faults[0].Err, c.err) || page.Faults[0].Hash != c.give.Hash || page.Faults[0].Kept != kept) {
			t.Errorf("%s: fault %+v", name, page.Faults[0])
		}
	}
}

// TestClientEndless: a node that leads in a circle, and one that ends with an
// empty page although it gives a cursor.
func TestClientEndless(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		period int // of the cursors
		empty  bool
		want   error
	}{
		"same cursor": {1, false, store.ErrEndless},
		"circle":      {7, false, store.ErrEndless},
		"empty page":  {7, true, nil},
	} {
		a, b := rpctest.Pair(t)
		var n int
		b.SetStreamHandler(store.ProtocolID, func(s network.Stream) {
			var req wakupb.StoreQueryRequest
			_ = wire.Read(s, store.MaxRequest, &req)
			cursor := message.Hash{1, byte(n % c.period)}
			n++
			code := uint32(store.StatusOK)
			resp := &wakupb.StoreQueryResponse{RequestId: req.RequestId, StatusCode: &code, PaginationCursor: cursor[:]}
			if !c.empty {
				resp.Messages = []*wakupb.WakuMessageKeyValue{{MessageHash: cursor[:]}}
			}
			_ = wire.Write(s, resp)
			_ = s.Close()
		})
		pages := 0
		err := store.NewClient(a).All(context.Background(), b.ID(), &store.Query{}, func(*store.Page) error { pages++; return nil })
		if !errors.Is(err, c.want) || pages > c.period+1 {
			t.Errorf("%s: %v after %d pages", name, err, pages)
		}
	}
}

// TestClientHostilePeer: frames that are too large, garbage, cut short, and a
// stream that is never answered end in an error, in time.
func TestClientHostilePeer(t *testing.T) {
	t.Parallel()
	for name, frame := range map[string][]byte{
		"too large":   {0xff, 0xff, 0xff, 0xff, 0x0f},
		"limit + 1":   {0x81, 0x80, 0x80, 0x0a}, // 20 MiB and one byte
		"garbage":     {3, 0xff, 0xff, 0xff},
		"cut short":   {100, 1},
		"no response": {},
	} {
		a, b := rpctest.Pair(t)
		b.SetStreamHandler(store.ProtocolID, func(s network.Stream) {
			_, _ = s.Write(frame)
			_ = s.Close()
		})
		if page, err := store.NewClient(a).Query(context.Background(), b.ID(), &store.Query{}); err == nil {
			t.Errorf("%s: %v", name, page)
		}
	}
	a, b := rpctest.Sockets(t)
	b.SetStreamHandler(store.ProtocolID, func(s network.Stream) {}) // keeps it open
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { _, err := store.NewClient(a).Query(ctx, b.ID(), &store.Query{}); done <- err }()
	cancel()
	if err := <-done; !errors.Is(err, context.Canceled) {
		t.Errorf("silent peer: %v", err)
	}
}

// TestClientTimeout: a peer that keeps silent is given up after QueryTimeout.
func TestClientTimeout(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		a, b := rpctest.Pair(t)
		b.SetStreamHandler(store.ProtocolID, func(s network.Stream) {})
		start := time.Now()
		_, err := store.NewClient(a).Query(context.Background(), b.ID(), &store.Query{})
		if !errors.Is(err, context.DeadlineExceeded) || time.Since(start) != store.QueryTimeout {
			t.Errorf("%v after %v", err, time.Since(start))
		}
	})
}
