package parley

import (
	"fmt"
	"testing"

	"github.com/parley-im/parley/app/contact"
	"github.com/parley-im/parley/storage"
)

// BenchmarkChatList opens the list of 1,000 chats with contacts, and a page of one of them.
func BenchmarkChatList(b *testing.B) {
	c, ctx := memoryClient(b), b.Context()
	var last string
	for i := range 1000 {
		bob := strangerKey(b)
		last = bob.String()
		if err := c.db.Update(func(tx *storage.Tx) error {
			return tx.PutContact(contact.Contact{Key: bob, DisplayName: fmt.Sprint("Bob ", i), Local: contact.Sent, Remote: contact.Received})
		}); err != nil {
			b.Fatal(err)
		}
		receive(b, c, bob, fmt.Sprint("message ", i))
	}
	b.Run("list", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			if all, err := c.Chats(ctx, true); err != nil || len(all) != 1000 {
				b.Fatal(len(all), err)
			}
		}
	})
	b.Run("page", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			if _, err := c.Page(ctx, PageQuery{Chat: last}); err != nil {
				b.Fatal(err)
			}
		}
	})
	b.Run("page of all", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			if p, err := c.Page(ctx, PageQuery{}); err != nil || len(p.Messages) != 50 {
				b.Fatal(err)
			}
		}
	})
}
