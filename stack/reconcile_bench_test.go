package stack

import (
	"context"
	"encoding/binary"
	"testing"
	"time"

	"github.com/parley-im/parley/storage"
	"github.com/parley-im/parley/waku/message"
	"github.com/parley-im/parley/waku/store"
)

// hashNumber is the n-th of different hashes.
func hashNumber(n int) (h message.Hash) {
	binary.BigEndian.PutUint64(h[:], uint64(n)*0x9e3779b97f4a7c15)
	return h
}

// knownStores answers every listing with hashes that are known.
type knownStores struct {
	Transport
	page store.Page
}

func (k *knownStores) StoreNodes(string) []string { return []string{"one", "two"} }
func (k *knownStores) QueryNode(context.Context, string, *store.Query) (*store.Page, error) {
	return &k.page, nil
}

// What one comparison costs here when two store nodes list a hundred messages of
// a span and none is missing: what is usual.
func BenchmarkReconcileSpan(b *testing.B) {
	db, err := storage.Open(b.TempDir()+"/parley.db", [storage.KeySize]byte{})
	if err != nil {
		b.Fatal(err)
	}
	defer db.Close()
	s, _ := still(b, 0)
	s.db = db
	stores := &knownStores{}
	now := time.Now()
	err = db.Update(func(tx *storage.Tx) error {
		for n := range 20_000 {
			if _, err := tx.MarkSeen(hashNumber(n), now); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		b.Fatal(err)
	}
	for n := range 100 {
		stores.page.Messages = append(stores.page.Messages, store.Entry{Hash: hashNumber(n * 199)})
	}
	r := &reconciler{Stack: s, panel: newPanel(stores, &s.stores, s.now), vain: vain{}}
	sp := span{pubsub: "/waku/2/rs/16/768", topics: []string{"/waku/1/0x00000000/rfc26"}, since: now}
	b.ReportAllocs()
	for b.Loop() {
		if o := r.reconcileSpan(b.Context(), sp, reconcileNodes, lookupMost); o.err != nil || o.listed != 100 {
			b.Fatalf("%+v", o)
		}
	}
}
