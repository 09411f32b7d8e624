package stack

import (
	"testing"

	"github.com/parley-im/parley/account/key"
	"github.com/parley-im/parley/app/contact"
	"github.com/parley-im/parley/storage"
	"github.com/parley-im/parley/waku/topic"
)

// The keys of topics are derived once: a start takes those that were kept.
func TestTopicKeysAreKept(t *testing.T) {
	t.Parallel()
	s, clock := still(t, 0)
	friend := contact.Contact{Key: identity(t, 1).Public(), Local: contact.Sent, LocalClock: 1}
	if err := s.update(func(t *step) error { t.resubscribe = true; return t.PutContact(friend) }); err != nil {
		t.Fatal(err)
	}
	own, theirs := topic.ContactCodeName(s.Self()), topic.ContactCodeName(identity(t, 1).Public())
	marked := [32]byte{1, 2, 3}
	err := s.db.Update(func(tx *storage.Tx) error {
		for _, name := range []string{own, theirs} {
			kept, ok, err := tx.TopicKey(key.Keccak256([]byte(name)))
			if err != nil || !ok || kept != topic.Key(name) {
				t.Errorf("%s: %x is kept, %v, %v", name, kept, ok, err)
			}
		}
		return tx.PutTopicKey(key.Keccak256([]byte(theirs)), marked)
	})
	if err != nil {
		t.Fatal(err)
	}
	again, err := New(Config{Identity: s.identity, InstallationID: "still-0", Network: s.network, DB: s.db, Now: clock.now})
	if err != nil {
		t.Fatal(err)
	}
	if got := again.topicKey(theirs); got != marked {
		t.Errorf("a start derived %x", got)
	}
	if got := again.topicKey(own); got != topic.Key(own) {
		t.Errorf("a start took %x", got)
	}
	for _, f := range (*again.filters.Load())[topic.Content(theirs)] {
		if f.symmetric != marked {
			t.Errorf("the filter has %x", f.symmetric)
		}
	}
}
