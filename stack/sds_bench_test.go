package stack

import (
	"fmt"
	"path/filepath"
	"testing"
	"time"

	"github.com/parley-im/parley/account/key"
	"github.com/parley-im/parley/app/contact"
	"github.com/parley-im/parley/storage"
	"github.com/parley-im/parley/waku/topic"
)

// townspeople are two members of a community, each with a database on disk, who
// have said something before.
func townspeople(b *testing.B, mode SDSMode) (w *town, all []*correspondent) {
	b.Helper()
	keys := topic.NewKeys(0)
	w = newTown(b, 220, identity(b, 0).Public(), time.Now().Add(-2*time.Hour), identity(b, 1).Public())
	for i := range 2 {
		db, err := storage.Open(filepath.Join(b.TempDir(), "parley.db"), [storage.KeySize]byte{})
		w.ok(err)
		b.Cleanup(func() { db.Close() })
		c := &correspondent{key: identity(b, byte(i)), db: db, now: time.Now().Add(-time.Hour)}
		c.Stack, err = New(Config{
			Identity: c.key, InstallationID: fmt.Sprint("member-", i), DB: db, Keys: keys, Profile: contact.Profile{DisplayName: "Member"},
			Network: Network{Name: "bench", Cluster: statusCluster, Shards: deployed(), SDS: mode},
			Now:     func() time.Time { return c.now },
		})
		w.ok(err)
		w.settle(c.Stack, true)
		all = append(all, c)
	}
	for i := range 60 {
		from, to := all[i%2], all[1-i%2]
		from.pass(time.Second)
		to.pass(time.Second)
		_, err := from.Say(w.channel(0), Content{Text: fmt.Sprint(i)})
		w.ok(err)
		hand(b, to.Stack, from.published(b)...)
	}
	return w, all
}

func (c *correspondent) pass(d time.Duration) { c.now = c.now.Add(d) }

// One message in a channel of a community: signed, wrapped, encrypted, sealed
// and on disk; and opened, unwrapped, checked, delivered and on disk. The floor
// is what both do without SDS.
func BenchmarkCommunityMessage(b *testing.B) {
	for _, mode := range []SDSMode{SDSNone, SDSStandard} {
		b.Run(string(mode)+"/send", func(b *testing.B) {
			w, all := townspeople(b, mode)
			b.ReportAllocs()
			for b.Loop() {
				b.StopTimer()
				// Somebody answers, or nothing would be acknowledged.
				answer(b, w, all[1], all[0])
				b.StartTimer()
				if _, err := all[0].Say(w.channel(0), Content{Text: "a message of a usual length, which is some words"}); err != nil {
					b.Fatal(err)
				}
				b.StopTimer()
				hand(b, all[1].Stack, all[0].published(b)...)
				b.StartTimer()
			}
		})
		b.Run(string(mode)+"/receive", func(b *testing.B) {
			w, all := townspeople(b, mode)
			b.ReportAllocs()
			for b.Loop() {
				b.StopTimer()
				answer(b, w, all[1], all[0])
				all[0].pass(time.Second)
				all[1].pass(time.Second)
				if _, err := all[0].Say(w.channel(0), Content{Text: "a message of a usual length, which is some words"}); err != nil {
					b.Fatal(err)
				}
				envelopes := all[0].published(b)
				b.StartTimer()
				for _, e := range envelopes {
					if err := all[1].Receive(e); err != nil {
						b.Fatal(err)
					}
				}
			}
		})
	}
}

// answer has one member say something that the other hears.
func answer(b *testing.B, w *town, from, to *correspondent) {
	b.Helper()
	from.pass(time.Second)
	to.pass(time.Second)
	if _, err := from.Say(w.channel(0), Content{Text: "yes"}); err != nil {
		b.Fatal(err)
	}
	hand(b, to.Stack, from.published(b)...)
}

// What the stack does about a community that nobody speaks in, when something is
// due: next to nothing, with many communities.
func BenchmarkTend(b *testing.B) {
	s, clock := still(b, 0)
	s.network.SDS = SDSStandard
	all := make([]*followed, 100)
	for i := range all {
		k, err := key.PrivateFromBytes(append(make([]byte, 30), 2, byte(i+1)))
		if err != nil {
			b.Fatal(err)
		}
		all[i] = &followed{key: k.Public(), speaks: true, channel: s.channelOf(k.Public(), 100)}
	}
	s.follows(all)
	b.ReportAllocs()
	for b.Loop() {
		clock.advance(time.Minute)
		s.agenda.touch(all[0].key)
		if _, err := s.tendAll(); err != nil {
			b.Fatal(err)
		}
	}
}
