package interop

import (
	"bytes"
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"github.com/libp2p/go-libp2p/core/peer"
	"github.com/waku-org/go-waku/waku/v2/protocol"
	"github.com/waku-org/go-waku/waku/v2/protocol/pb"
	"github.com/waku-org/go-waku/waku/v2/protocol/store"
	storepb "github.com/waku-org/go-waku/waku/v2/protocol/store/pb"
	"google.golang.org/protobuf/proto"

	"github.com/parley-im/parley/interop/internal/gowaku"
)

// storeHistory is a node of ours that keeps messages, and a client of go-waku
// that has put them there.
type storeHistory struct {
	t      *testing.T
	n      *gowaku.Node
	p      *parley
	topic  string            // content topic
	hashes []pb.MessageHash  // in the order of the timestamps
	sent   []*pb.WakuMessage // the same
	start  time.Time         // timestamp of the first; the others follow by a millisecond
}

// keep fills a store with messages, by lightpush in no particular order.
func keep(t *testing.T, messages int, args ...string) *storeHistory {
	t.Helper()
	p := startParley(t, args...)
	h := &storeHistory{t: t, p: p, n: lightNode(t, p), topic: content(t, "history"), start: time.Now().Add(-time.Hour)}
	for i := range messages {
		m := wakuMessage(h.topic, noise(i, 200))
		m.Timestamp = proto.Int64(h.start.Add(time.Duration(i) * time.Millisecond).UnixNano())
		h.sent = append(h.sent, m)
		h.hashes = append(h.hashes, m.Hash(topic))
	}
	for i := range messages {
		mustPush(t, h.n, p, h.sent[i*7%messages]) // 7 divides no number of messages used here
	}
	wait(t, "all messages in the store", func() bool { return len(h.page(true, 100, false).Messages()) == min(messages, 100) })
	return h
}

// within is the same for a part of the test.
func (h *storeHistory) within(t *testing.T) *storeHistory {
	part := *h
	part.t = t
	return &part
}

func (h *storeHistory) criteria() store.FilterCriteria {
	return store.FilterCriteria{ContentFilter: protocol.NewContentFilter(topic, h.topic)}
}

// options are those of every query: at ours, and not at go-waku's own pace of
// eight a second.
func (h *storeHistory) options(more ...store.RequestOption) []store.RequestOption {
	return append([]store.RequestOption{store.WithPeer(h.p.id()), store.SkipRateLimit()}, more...)
}

func (h *storeHistory) page(forward bool, limit uint64, data bool) store.Result {
	h.t.Helper()
	return h.query(h.criteria(), store.WithPaging(forward, limit), store.IncludeData(data))
}

func (h *storeHistory) query(c store.Criteria, more ...store.RequestOption) store.Result {
	h.t.Helper()
	r, err := h.n.Store().Request(within(h.t), c, h.options(more...)...)
	if err != nil {
		h.t.Fatal("store query:", err)
	}
	return r
}

// pages follows the cursors of a query to its end.
func (h *storeHistory) pages(r store.Result) (pages [][]*storepb.WakuMessageKeyValue) {
	h.t.Helper()
	for !r.IsComplete() {
		if len(pages) > len(h.sent) {
			h.t.Fatal("a query without end")
		}
		if len(r.Messages()) > 0 {
			pages = append(pages, r.Messages())
		}
		if err := r.Next(within(h.t), store.SkipRateLimit()); err != nil {
			h.t.Fatal("the next page:", err)
		}
	}
	return pages
}

// info is our node's id with its address.
func (h *storeHistory) info() peer.AddrInfo {
	info, err := peer.AddrInfoFromString(h.p.tcp())
	if err != nil {
		h.t.Fatal(err)
	}
	return *info
}

// Pages of our store as go-waku's client reads them: from the oldest on and
// from the newest on, ascending within a page in both directions, every message
// once, with and without data.
func TestStorePaging(t *testing.T) {
	t.Parallel()
	const messages = 45
	h := keep(t, messages, "--data-dir", filepath.Join(t.TempDir(), "data"))
	for _, forward := range []bool{true, false} {
		for _, limit := range []int{1, 10, 15, 45, 100} {
			data := limit != 15
			t.Run(fmt.Sprintf("forward %v, limit %d, data %v", forward, limit, data), func(t *testing.T) {
				h := h.within(t)
				pages := h.pages(h.page(forward, uint64(limit), data))
				if want := (messages + limit - 1) / limit; len(pages) != want {
					t.Errorf("%d pages instead of %d", len(pages), want)
				}
				if !forward {
					slices.Reverse(pages)
				}
				h.check(slices.Concat(pages...), h.hashes, data)
			})
		}
	}
}

// check compares messages from the store with what was sent.
func (h *storeHistory) check(got []*storepb.WakuMessageKeyValue, want []pb.MessageHash, data bool) {
	h.t.Helper()
	if len(got) != len(want) {
		h.t.Fatalf("%d messages instead of %d", len(got), len(want))
	}
	for i, kv := range got {
		if pb.ToMessageHash(kv.MessageHash) != want[i] {
			h.t.Errorf("%x at place %d instead of %s", kv.MessageHash, i, want[i])
		}
		if !data {
			if kv.Message != nil || kv.PubsubTopic != nil {
				h.t.Error("data that was not asked for")
			}
			continue
		}
		sent := h.sent[slices.Index(h.hashes, want[i])]
		if !proto.Equal(kv.Message, sent) || kv.GetPubsubTopic() != topic {
			h.t.Errorf("a message has changed: %v instead of %v", kv.Message, sent)
		}
		if hash := kv.Message.Hash(kv.GetPubsubTopic()); !bytes.Equal(hash[:], kv.MessageHash) {
			h.t.Errorf("a message with hash %s is called %x", hash, kv.MessageHash)
		}
	}
}

// The page is 20 when nothing is said.
func TestStoreDefaultPage(t *testing.T) {
	t.Parallel()
	h := keep(t, 25)
	r, err := h.n.Store().RequestRaw(within(t), h.info(), &storepb.StoreQueryRequest{
		RequestId: "default", IncludeData: true, PubsubTopic: proto.String(topic),
		ContentTopics: []string{h.topic}, PaginationForward: true,
	})
	if err != nil {
		t.Fatal(err)
	}
	h.check(r.Messages(), h.hashes[:20], true)
	if r.Response().GetRequestId() != "default" {
		t.Errorf("request id %q", r.Response().GetRequestId())
	}
}

// A time range begins with its start and ends before its end.
func TestStoreTimes(t *testing.T) {
	t.Parallel()
	h := keep(t, 30)
	c := h.criteria()
	at := func(i int) *int64 { return h.sent[i].Timestamp }
	for _, r := range []struct {
		start, end *int64
		want       []pb.MessageHash
	}{
		{at(10), at(20), h.hashes[10:20]},
		{at(20), nil, h.hashes[20:]},
		{nil, at(10), h.hashes[:10]},
		{proto.Int64(time.Now().UnixNano()), nil, nil},
	} {
		c.TimeStart, c.TimeEnd = r.start, r.end
		for _, forward := range []bool{true, false} {
			h.check(h.query(c, store.WithPaging(forward, 100)).Messages(), r.want, true)
		}
	}
}

// Messages by their hashes, whether they are there, and the errors of cursors
// that nobody knows.
func TestStoreHashes(t *testing.T) {
	t.Parallel()
	h := keep(t, 30)
	r := h.query(store.MessageHashCriteria{MessageHashes: h.hashes[5:25]}, store.WithPaging(true, 100))
	h.check(slices.Concat(h.pages(r)...), h.hashes[5:25], true)
	r = h.query(store.MessageHashCriteria{MessageHashes: h.hashes[5:25]}, store.WithPaging(true, 100), store.IncludeData(false))
	h.check(slices.Concat(h.pages(r)...), h.hashes[5:25], false)
	for hash, want := range map[pb.MessageHash]bool{h.hashes[3]: true, {1}: false} {
		there, err := h.n.Store().Exists(within(t), hash, h.options()...)
		if err != nil || there != want {
			t.Errorf("%s exists: %v, %v", hash, there, err)
		}
	}
	unknown := make([]byte, 32)
	_, err := h.n.Store().Request(within(t), h.criteria(), h.options(store.WithCursor(unknown))...)
	if refused := (*store.StoreError)(nil); !errors.As(err, &refused) || refused.Code != 400 {
		t.Errorf("a cursor that nobody knows: %v", err)
	}
	// From the middle on, exclusive, both ways.
	for forward, want := range map[bool][]pb.MessageHash{true: h.hashes[11:], false: h.hashes[:10]} {
		r := h.query(h.criteria(), store.WithPaging(forward, 100), store.WithCursor(h.hashes[10].Bytes()))
		h.check(r.Messages(), want, true)
	}
}

// A limited client is told so, with the code of the specification.
func TestStoreRate(t *testing.T) {
	t.Parallel()
	p := startParley(t, "--store-rate", "1")
	n := lightNode(t, p)
	for range 100 {
		_, err := n.Store().Query(within(t), store.FilterCriteria{ContentFilter: protocol.NewContentFilter(topic, content(t, "x"))},
			store.WithPeer(p.id()), store.SkipRateLimit())
		if err == nil {
			continue
		}
		if refused := (*store.StoreError)(nil); !errors.As(err, &refused) || refused.Code != 429 {
			t.Errorf("refused with %v", err)
		}
		return
	}
	t.Error("100 queries at once are answered at a rate of one a second")
}

// What is ephemeral is relayed and not kept.
func TestStoreEphemeral(t *testing.T) {
	t.Parallel()
	h := keep(t, 1)
	m := wakuMessage(h.topic, []byte("gone"))
	m.Ephemeral = proto.Bool(true)
	box := h.p.events("relay", topic, h.topic)
	mustPush(t, h.n, h.p, m)
	box.expect(h.p, 1)
	// One that is kept, behind it.
	last := wakuMessage(h.topic, []byte("kept"))
	h.sent, h.hashes = append(h.sent, last), append(h.hashes, mustPush(t, h.n, h.p, last))
	wait(t, "the last message in the store", func() bool { return len(h.page(true, 100, false).Messages()) > 1 })
	h.check(h.page(true, 100, true).Messages(), h.hashes, true)
}
