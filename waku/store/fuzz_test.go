package store

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"sync"
	"testing"

	"google.golang.org/protobuf/proto"

	"github.com/parley-im/parley/internal/vectors"
	"github.com/parley-im/parley/internal/wire"
	wakupb "github.com/parley-im/parley/pb/waku"
	"github.com/parley-im/parley/waku/message"
	"github.com/parley-im/parley/waku/rpc"
)

// frame returns m as a frame.
func frame(m proto.Message) []byte {
	var b bytes.Buffer
	if err := wire.Write(&b, m); err != nil {
		panic(err)
	}
	return b.Bytes()
}

// FuzzRequest gives a service any frame: it answers every one that is whole,
// and a request it accepts survives the way over the client's type.
func FuzzRequest(f *testing.F) {
	kept := history(30, 10)
	archive := sync.OnceValue(func() *SQLite {
		a, err := OpenSQLite("")
		if err == nil {
			err = a.Insert(context.Background(), kept...)
		}
		if err != nil {
			panic(err)
		}
		return a
	})
	for _, q := range []Query{
		{}, {Hashes: []message.Hash{kept[1].Hash}, IncludeData: true},
		{PubsubTopic: testPubsub, ContentTopics: []string{"/a/1/1/proto"}, TimeStart: 3, TimeEnd: 9, Cursor: &kept[4].Hash, Forward: true, Limit: 2},
	} {
		f.Add(frame(q.request("id")))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		var req wakupb.StoreQueryRequest
		err := wire.Read(bufio.NewReader(bytes.NewReader(data)), MaxRequest, &req)
		s := &Service{archive: archive(), limit: rpc.NewLimiter(rpc.Rate{}), slots: make(chan struct{}, 1)}
		resp := s.answer(t.Context(), "peer", &req, err)
		if resp.RequestId != req.RequestId || proto.Size(resp) > MaxResponse || len(resp.Messages) > MaxPage {
			t.Fatalf("response %v", resp)
		}
		if err != nil {
			return
		}
		q, err := queryOf(&req)
		switch code := resp.GetStatusCode(); {
		case code == StatusOK && err == nil:
		case code == StatusBadRequest && (err != nil || q.Cursor != nil):
			return
		default:
			t.Fatalf("status %d for %v", code, &req)
		}
		if again, err := queryOf(q.request(req.RequestId)); err != nil || !proto.Equal(again.request("1"), q.request("1")) {
			t.Fatalf("%v is %v after a round trip, %v", q, again, err)
		}
		raw, err := proto.Marshal(resp)
		if err != nil {
			t.Fatal(err)
		}
		resp = new(wakupb.StoreQueryResponse)
		if err := proto.Unmarshal(raw, resp); err != nil {
			t.Fatal(err)
		}
		page, err := pageOf(q, req.RequestId, resp)
		if err != nil || len(page.Faults) != 0 || len(page.Messages) != len(resp.Messages) {
			t.Fatalf("client reads %v, %v", page, err)
		}
	})
}

// FuzzResponse gives a client any response: what it lets through is selected
// by the query and carries its own hash.
func FuzzResponse(f *testing.F) {
	for _, c := range vectors.Cases[struct {
		PubsubTopic, Name   string
		Hash                vectors.Hex
		WakuMessageProtobuf vectors.Hex
	}](f, "waku_message_hash") {
		m := new(wakupb.WakuMessage)
		if err := proto.Unmarshal(c.WakuMessageProtobuf, m); err != nil {
			f.Fatal(err)
		}
		code := uint32(StatusOK)
		f.Add(frame(&wakupb.StoreQueryResponse{RequestId: "id", StatusCode: &code, PaginationCursor: c.Hash,
			Messages: []*wakupb.WakuMessageKeyValue{{MessageHash: c.Hash, Message: m, PubsubTopic: &c.PubsubTopic}}}), m.ContentTopic, true, false)
	}
	f.Fuzz(func(t *testing.T, data []byte, content string, withData, lookup bool) {
		var resp wakupb.StoreQueryResponse
		if wire.Read(bufio.NewReader(bytes.NewReader(data)), MaxAnswer, &resp) != nil {
			return
		}
		q := &Query{IncludeData: withData, PubsubTopic: testPubsub, ContentTopics: []string{content}}
		if lookup {
			q = &Query{IncludeData: withData, Hashes: []message.Hash{{1}}}
		}
		page, err := pageOf(q, "id", &resp)
		if err != nil {
			return
		}
		for i := range page.Messages {
			e := &page.Messages[i]
			switch {
			case lookup && e.Hash != q.Hashes[0]:
				t.Fatalf("%v was not asked for", e)
			case !withData && e.Message == nil:
			case !withData, message.HashOf(e.PubsubTopic, e.Message) != e.Hash, !q.selects(e), message.Validate(e.Message) != nil:
				t.Fatalf("%v let through", e)
			}
		}
	})
}

// FuzzArchiveQuery asks an archive any query: it answers in order and within
// the page, or says that the query is wrong.
func FuzzArchiveQuery(f *testing.F) {
	kept := history(150, 10)
	archive := sync.OnceValue(func() *SQLite {
		a, err := OpenSQLite("")
		if err == nil {
			err = a.Insert(context.Background(), kept...)
		}
		if err != nil {
			panic(err)
		}
		return a
	})
	f.Add(true, testPubsub, "/a/1/1/proto", int64(0), int64(0), -1, -1, true, uint64(0))
	f.Add(false, "", "", int64(5), int64(50), -1, 20, false, uint64(200))
	f.Add(true, "", "", int64(0), int64(0), 7, -1, false, uint64(1))
	f.Fuzz(func(t *testing.T, data bool, pubsub, content string, start, end int64, hash, cursor int, forward bool, limit uint64) {
		q := &Query{IncludeData: data, PubsubTopic: pubsub, TimeStart: start, TimeEnd: end, Forward: forward, Limit: limit}
		if content != "" {
			q.ContentTopics = []string{content, "/a/1/0/proto"}
		}
		if hash >= 0 {
			q.Hashes = []message.Hash{kept[hash%len(kept)].Hash}
		}
		if cursor >= 0 {
			q.Cursor = &kept[cursor%len(kept)].Hash
		}
		page, err := archive().Query(context.Background(), q)
		if err != nil {
			if !errors.Is(err, ErrQuery) {
				t.Fatal(err)
			}
			return
		}
		if len(page.Messages) > q.PageSize() || (page.Cursor != nil && len(page.Messages) == 0) {
			t.Fatalf("%d messages, cursor %v", len(page.Messages), page.Cursor)
		}
		for i := range page.Messages {
			e := &page.Messages[i]
			if !data && (e.Message != nil || e.PubsubTopic != "") {
				t.Fatal("data not asked for")
			}
			if data && !q.selects(e) {
				t.Fatalf("%v does not match %v", e, q)
			}
			if data && i > 0 && page.Messages[i-1].Message.GetTimestamp() > e.Message.GetTimestamp() {
				t.Fatal("out of order")
			}
		}
	})
}
