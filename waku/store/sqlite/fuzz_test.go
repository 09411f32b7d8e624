package sqlite

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"

	"github.com/parley-im/parley/waku/message"
	"github.com/parley-im/parley/waku/store"
	"github.com/parley-im/parley/waku/store/storetest"
)

// FuzzArchiveQuery asks an archive any query: it answers as a list without an
// index does, or says that the query is wrong.
func FuzzArchiveQuery(f *testing.F) {
	var kept []store.Entry
	for i := range 150 {
		kept = append(kept, entryAt(fmt.Sprintf("/a/1/%d/proto", i%2), int64(i+1), i, 10))
	}
	archive := sync.OnceValue(func() *Archive {
		a, err := OpenSmall("")
		if err == nil {
			err = a.Insert(context.Background(), kept...)
		}
		if err != nil {
			panic(err)
		}
		return a
	})
	f.Add(true, storetest.Pubsub, "/a/1/1/proto", int64(0), int64(0), -1, -1, true, uint64(0))
	f.Add(false, "", "", int64(5), int64(50), -1, 20, false, uint64(200))
	f.Add(true, "", "", int64(0), int64(0), 7, -1, false, uint64(1))
	f.Fuzz(func(t *testing.T, data bool, pubsub, content string, start, end int64, hash, cursor int, forward bool, limit uint64) {
		q := &store.Query{IncludeData: data, PubsubTopic: pubsub, TimeStart: start, TimeEnd: end, Forward: forward, Limit: limit}
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
		if want := q.Validate(); err != nil || want != nil {
			if want == nil || !errors.Is(err, store.ErrQuery) {
				t.Fatalf("%v, want %v", err, want)
			}
			return
		}
		storetest.Same(t, page, storetest.Answer(kept, q))
	})
}
