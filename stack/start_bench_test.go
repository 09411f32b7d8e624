package stack

import (
	"fmt"
	"path/filepath"
	"testing"
	"time"

	"github.com/parley-im/parley/account/key"
	"github.com/parley-im/parley/app/chat"
	"github.com/parley-im/parley/app/contact"
	"github.com/parley-im/parley/app/group"
	"github.com/parley-im/parley/app/message"
	"github.com/parley-im/parley/storage"
	"github.com/parley-im/parley/waku/topic"
)

// many is an account with 1,000 contacts, a chat and a negotiated secret with
// each, and groups among them, which has run before: the keys of its topics are
// kept.
func many(b *testing.B) Config {
	b.Helper()
	db, err := storage.Open(filepath.Join(b.TempDir(), "many.db"), [storage.KeySize]byte{1})
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { db.Close() })
	now := time.Now()
	config := Config{
		Identity:       identity(b, 0),
		InstallationID: "many",
		Network:        Network{Name: "bench", Cluster: statusCluster, Shards: deployed()},
		DB:             db,
		Now:            func() time.Time { return now },
		Keys:           sharedKeys,
	}
	s, err := New(config)
	if err != nil {
		b.Fatal(err)
	}
	const contacts, groups, members = 1000, 50, 15
	rand := &counterRand{}
	var keys []key.Public
	err = db.Update(func(tx *storage.Tx) error {
		keep := func(name string) error {
			digest := key.Keccak256([]byte(name))
			return tx.PutTopicKey(digest, key.Keccak256(digest[:]))
		}
		for i := range contacts {
			number := key.Keccak256(fmt.Appendf(nil, "contact %d", i))
			private, err := key.PrivateFromBytes(number[:])
			if err != nil {
				return err
			}
			peer := private.Public()
			keys = append(keys, peer)
			c := contact.Contact{Key: peer, Local: contact.Sent, LocalClock: 1, Remote: contact.Received, RemoteClock: 1, DisplayName: fmt.Sprint("Contact ", i)}
			if err := tx.PutContact(c); err != nil {
				return err
			}
			room := chat.NewOneToOne(peer)
			room.Active, room.LastClock = true, uint64(i)+1
			if err := tx.PutChat(room); err != nil {
				return err
			}
			if _, err := s.session.Seal(tx.Core("session"), now, rand, peer, []byte("hello")); err != nil {
				return err
			}
			secret, err := s.identity.ECDH(peer)
			if err != nil {
				return err
			}
			if err := keep(topic.NegotiatedName(secret)); err != nil {
				return err
			}
			if err := keep(topic.ContactCodeName(peer)); err != nil {
				return err
			}
		}
		for i := range groups {
			g, _, err := group.Create(s.identity, fmt.Sprint("group ", i), "", keys[i:i+members], uint64(now.UnixMilli()), rand)
			if err != nil {
				return err
			}
			if err := storage.PutRecord(tx, storage.Groups, g.ID, g); err != nil {
				return err
			}
			if err := tx.PutChat(chat.Chat{ID: g.ID, Kind: message.PrivateGroup, Name: g.Name, Active: true}); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		b.Fatal(err)
	}
	return config
}

// One iteration is the start of an account with 1,000 chats, up to the moment
// where it knows what to listen to. It must take less than a second.
func BenchmarkStart(b *testing.B) {
	if testing.Short() {
		b.Skip("preparing 1,000 sessions takes seconds")
	}
	config := many(b)
	b.ReportAllocs()
	for b.Loop() {
		config.Keys = topic.NewKeys(0)
		s, err := New(config)
		if err != nil {
			b.Fatal(err)
		}
		if n := len(s.contentTopics(func(f filter) bool { return f.live })); n < 2000 {
			b.Fatalf("listens to %d topics", n)
		}
	}
	if perStart := b.Elapsed() / time.Duration(b.N); perStart > time.Second {
		b.Errorf("a start takes %v", perStart)
	}
}
