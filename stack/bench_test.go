package stack

import (
	"path/filepath"
	"testing"
	"time"

	"github.com/parley-im/parley/account/key"
	"github.com/parley-im/parley/app/chat"
	"github.com/parley-im/parley/app/contact"
	storagepb "github.com/parley-im/parley/pb/storage"
	"github.com/parley-im/parley/storage"
	wakumessage "github.com/parley-im/parley/waku/message"
	"github.com/parley-im/parley/waku/topic"
)

// The floor is what a message cannot do without: signing application message
// and Waku payload on the way out, recovering both signers on the way in.
// Everything else is reported as a multiple of it, measured in the same run.

// correspondent is a stack that a benchmark drives by hand.
type correspondent struct {
	*Stack
	key key.Private
	db  *storage.DB
	now time.Time
}

func newCorrespondent(b *testing.B, number byte, name string, keys *topic.Keys, db *storage.DB) *correspondent {
	b.Helper()
	// What settles happens before now.
	c := &correspondent{key: identity(b, number), db: db, now: time.Now().Add(-time.Hour)}
	var err error
	c.Stack, err = New(Config{
		Identity:       c.key,
		InstallationID: name + "-installation",
		Network:        Network{Name: "bench", Cluster: statusCluster, Shards: deployed()},
		DB:             db,
		Keys:           keys,
		Profile:        contact.Profile{DisplayName: name},
		Now:            func() time.Time { return c.now },
	})
	if err != nil {
		b.Fatal(err)
	}
	// Nothing is sent twice: the benchmarks publish what they measure, not
	// what nobody has answered.
	c.mvds.FirstGap, c.mvds.MaxGap = 1000*time.Hour, 1000*time.Hour
	return c
}

// epoch lets one pass, so that the reliability layer may send to everybody.
func (c *correspondent) epoch() { c.now = c.now.Add(c.mvds.Epoch) }

// published empties the outbox.
func (c *correspondent) published(b *testing.B) (out []Envelope) {
	b.Helper()
	err := c.db.Update(func(tx *storage.Tx) error {
		var done []uint64
		err := tx.Outbox(func(n uint64, r *storagepb.OutboxRecord) error {
			m, err := wakumessage.Unmarshal(r.WakuMessage)
			out = append(out, Envelope{PubsubTopic: r.PubsubTopic, Message: m, Hash: wakumessage.HashOf(r.PubsubTopic, m)})
			done = append(done, n)
			return err
		})
		for _, n := range done {
			if err := tx.DeleteOutbox(n); err != nil {
				return err
			}
		}
		return err
	})
	if err != nil {
		b.Fatal(err)
	}
	return out
}

// exchange lets both hear each other until neither has anything to say.
func exchange(b *testing.B, all ...*correspondent) {
	b.Helper()
	for quiet := 0; quiet < 3; {
		quiet++
		for i, from := range all {
			from.epoch()
			if _, err := from.tick(); err != nil {
				b.Fatal(err)
			}
			for _, e := range from.published(b) {
				quiet = 0
				if err := all[1-i].Receive(e); err != nil {
					b.Fatal(err)
				}
			}
		}
	}
}

// settled returns two contacts whose sessions and negotiated topic are settled.
func settled(b *testing.B, writer, reader *storage.DB) (alice, bobby *correspondent) {
	b.Helper()
	keys := topic.NewKeys(0)
	alice = newCorrespondent(b, 0, "Alice", keys, writer)
	bobby = newCorrespondent(b, 1, "Bobby", keys, reader)
	if _, err := alice.AddContact(bobby.key.Public(), "hello"); err != nil {
		b.Fatal(err)
	}
	exchange(b, alice, bobby)
	if _, err := bobby.AcceptContact(alice.key.Public()); err != nil {
		b.Fatal(err)
	}
	exchange(b, alice, bobby)
	alice.write(b, bobby)
	exchange(b, alice, bobby)
	bobby.write(b, alice)
	exchange(b, alice, bobby)
	return alice, bobby
}

const benchText = "What is said in an ordinary message is about as long as this line is."

func (c *correspondent) write(b *testing.B, to *correspondent) {
	b.Helper()
	c.epoch()
	if _, err := c.SendText(to.key.Public(), benchText, ""); err != nil {
		b.Fatal(err)
	}
}

// batch is how many envelopes are prepared or thrown away at a time, outside of
// what is measured.
const batch = 256

// databases are what the benchmarks run on.
var databases = []struct {
	name string
	open func(b *testing.B) *storage.DB
}{
	{"memory", func(*testing.B) *storage.DB { return storage.NewMemory() }},
	// Each commit is durable.
	{"sqlite", func(b *testing.B) *storage.DB {
		b.Helper()
		db, err := storage.Open(filepath.Join(b.TempDir(), "bench.db"), [storage.KeySize]byte{1})
		if err != nil {
			b.Fatal(err)
		}
		b.Cleanup(func() { db.Close() })
		return db
	}},
}

// overFloor reports how often the floor fits into one iteration. The floor is
// timed right after, on the same machine under the same load.
func overFloor(b *testing.B, floor func() error) {
	b.Helper()
	b.StopTimer()
	perMessage := b.Elapsed() / time.Duration(b.N)
	n, begin := 0, time.Now()
	for time.Since(begin) < 200*time.Millisecond {
		if err := floor(); err != nil {
			b.Fatal(err)
		}
		n++
	}
	least := time.Since(begin) / time.Duration(n)
	b.ReportMetric(float64(perMessage)/float64(least), "x-floor")
	b.ReportMetric(float64(least.Nanoseconds()), "floor-ns")
}

// One iteration is SendText in a settled one-to-one chat, down to the sealed
// envelope in the outbox and the commit.
func BenchmarkOutbound(b *testing.B) {
	for _, on := range databases {
		b.Run(on.name, func(b *testing.B) {
			alice, bobby := settled(b, on.open(b), storage.NewMemory())
			to := bobby.key.Public()
			i := 0
			b.ReportAllocs()
			for b.Loop() {
				if i++; i%batch == 0 {
					b.StopTimer()
					if n := len(alice.published(b)); n < batch-1 {
						b.Fatalf("%d envelopes in the outbox after %d messages", n, batch)
					}
					b.StartTimer()
				}
				alice.epoch()
				if _, err := alice.SendText(to, benchText, ""); err != nil {
					b.Fatal(err)
				}
			}
			overFloor(b, func() error {
				_, first := alice.key.Sign([32]byte{1})
				_, second := alice.key.Sign([32]byte{2})
				return firstOf(first, second)
			})
		})
	}
}

// One iteration is Receive of an envelope with one chat message on the
// negotiated topic of a settled session, each another one, up to the event and
// the commit. Acknowledgements go out as they do in operation, one payload for
// all that came in an epoch.
func BenchmarkInbound(b *testing.B) {
	for _, on := range databases {
		b.Run(on.name, func(b *testing.B) {
			alice, bobby := settled(b, storage.NewMemory(), on.open(b))
			secret, err := alice.key.ECDH(bobby.key.Public())
			if err != nil {
				b.Fatal(err)
			}
			negotiated := topic.Content(topic.NegotiatedName(secret))
			before := received(b, bobby)
			var prepared []Envelope
			i := 0
			b.ReportAllocs()
			for b.Loop() {
				if len(prepared) == 0 {
					b.StopTimer()
					for range batch {
						alice.write(b, bobby)
					}
					for _, e := range alice.published(b) {
						if e.Message.GetContentTopic() == negotiated {
							prepared = append(prepared, e)
						}
					}
					bobby.published(b)
					b.StartTimer()
				}
				bobby.now = time.Now()
				if err := bobby.Receive(prepared[0]); err != nil {
					b.Fatal(err)
				}
				prepared = prepared[1:]
				i++
			}
			b.StopTimer()
			if n := received(b, bobby) - before; n != i {
				b.Fatalf("%d messages of %d arrived: %v", n, i, bobby.Counters())
			}
			digest := [32]byte{1}
			signature, err := alice.key.Sign(digest)
			if err != nil {
				b.Fatal(err)
			}
			overFloor(b, func() error {
				_, first := key.Recover(digest, signature)
				_, second := key.Recover(digest, signature)
				return firstOf(first, second)
			})
		})
	}
}

func firstOf(a, b error) error {
	if a != nil {
		return a
	}
	return b
}

func received(b *testing.B, c *correspondent) (n int) {
	b.Helper()
	all, err := c.Messages("")
	if err != nil {
		b.Fatal(err)
	}
	for _, m := range all {
		if m.State == chat.Received {
			n++
		}
	}
	return n
}
