package store_test

import (
	"bufio"
	"bytes"
	"context"
	"sync"
	"testing"

	"google.golang.org/protobuf/proto"

	"github.com/parley-im/parley/internal/vectors"
	"github.com/parley-im/parley/internal/wire"
	wakupb "github.com/parley-im/parley/pb/waku"
	"github.com/parley-im/parley/waku/message"
	"github.com/parley-im/parley/waku/store"
	"github.com/parley-im/parley/waku/store/sqlite"
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
	archive := sync.OnceValue(func() store.Archive {
		a, err := sqlite.Open("")
		if err == nil {
			err = a.Insert(context.Background(), kept...)
		}
		if err != nil {
			panic(err)
		}
		return a
	})
	for _, q := range []store.Query{
		{}, {Hashes: []message.Hash{kept[1].Hash}, IncludeData: true},
		{PubsubTopic: testPubsub, ContentTopics: []string{"/a/1/1/proto"}, TimeStart: 3, TimeEnd: 9, Cursor: &kept[4].Hash, Forward: true, Limit: 2},
	} {
		f.Add(frame(q.Request("id")))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		var req wakupb.StoreQueryRequest
		err := wire.Read(bufio.NewReader(bytes.NewReader(data)), store.MaxRequest, &req)
		resp := store.Answer(t.Context(), archive(), &req, err)
		if resp.RequestId != req.RequestId || proto.Size(resp) > store.MaxResponse || len(resp.Messages) > store.MaxPage {
			t.Fatalf("response %v", resp)
		}
		if err != nil {
			return
		}
		q, err := store.QueryOf(&req)
		switch code := resp.GetStatusCode(); {
		case code == store.StatusOK && err == nil:
		case code == store.StatusBadRequest && (err != nil || q.Cursor != nil):
			return
		default:
			t.Fatalf("status %d for %v", code, &req)
		}
		if again, err := store.QueryOf(q.Request(req.RequestId)); err != nil || !proto.Equal(again.Request("1"), q.Request("1")) {
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
		page, err := store.PageOf(q, req.RequestId, resp)
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
		code := uint32(store.StatusOK)
		f.Add(frame(&wakupb.StoreQueryResponse{RequestId: "id", StatusCode: &code, PaginationCursor: c.Hash,
			Messages: []*wakupb.WakuMessageKeyValue{{MessageHash: c.Hash, Message: m, PubsubTopic: &c.PubsubTopic}}}), m.ContentTopic, true, false)
	}
	f.Fuzz(func(t *testing.T, data []byte, content string, withData, lookup bool) {
		var resp wakupb.StoreQueryResponse
		if wire.Read(bufio.NewReader(bytes.NewReader(data)), store.MaxAnswer, &resp) != nil {
			return
		}
		q := &store.Query{IncludeData: withData, PubsubTopic: testPubsub, ContentTopics: []string{content}}
		if lookup {
			q = &store.Query{IncludeData: withData, Hashes: []message.Hash{{1}}}
		}
		page, err := store.PageOf(q, "id", &resp)
		if err != nil {
			return
		}
		for i := range page.Messages {
			e := &page.Messages[i]
			switch {
			case lookup && e.Hash != q.Hashes[0]:
				t.Fatalf("%v was not asked for", e)
			case !withData && e.Message == nil:
			case !withData, message.HashOf(e.PubsubTopic, e.Message) != e.Hash, !q.Selects(e), message.Validate(e.Message) != nil:
				t.Fatalf("%v let through", e)
			}
		}
	})
}
