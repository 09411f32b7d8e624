package stack

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"google.golang.org/protobuf/proto"

	"github.com/parley-im/parley/account/key"
	"github.com/parley-im/parley/app/chat"
	"github.com/parley-im/parley/app/contact"
	"github.com/parley-im/parley/app/message"
	"github.com/parley-im/parley/encryption/session"
	"github.com/parley-im/parley/internal/kv"
	apppb "github.com/parley-im/parley/pb/app"
	storagepb "github.com/parley-im/parley/pb/storage"
	"github.com/parley-im/parley/reliability/mvds"
	"github.com/parley-im/parley/stack/view"
	"github.com/parley-im/parley/storage"
	wakumessage "github.com/parley-im/parley/waku/message"
	"github.com/parley-im/parley/waku/payload"
	"github.com/parley-im/parley/waku/topic"
)

// sharedKeys serves the tests without a bubble: channels of one must not be
// seen in another.
var sharedKeys = topic.NewKeys(0)

// clockwork is a clock that goes only when it is told to.
type clockwork struct{ at time.Time }

func (c *clockwork) now() time.Time          { return c.at }
func (c *clockwork) advance(d time.Duration) { c.at = c.at.Add(d) }

// still returns a stack that nothing runs: the test hands it envelopes and
// looks into its outbox.
func still(t testing.TB, number byte) (*Stack, *clockwork) {
	t.Helper()
	clock := &clockwork{time.Date(2026, 1, 2, 3, 4, 5, 678, time.UTC)}
	s, err := New(Config{
		Identity:       identity(t, number),
		InstallationID: fmt.Sprint("still-", number),
		Network:        Network{Name: "test", Cluster: 16, Shards: specified()},
		DB:             storage.NewMemory(),
		Keys:           sharedKeys,
		Now:            clock.now,
		Profile:        contact.Profile{DisplayName: "Still"},
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { shaped(t, s) })
	return s, clock
}

// records returns what is in the outbox.
func records(t testing.TB, s *Stack) (all []*storagepb.OutboxRecord) {
	t.Helper()
	err := s.db.View(func(tx *storage.Tx) error {
		return tx.Outbox(func(_ uint64, r *storagepb.OutboxRecord) error {
			all = append(all, r)
			return nil
		})
	})
	if err != nil {
		t.Fatal(err)
	}
	return all
}

// drain empties the outbox into envelopes.
func drain(t testing.TB, s *Stack) (all []Envelope) {
	t.Helper()
	err := s.db.Update(func(tx *storage.Tx) error {
		var numbers []uint64
		err := tx.Outbox(func(n uint64, r *storagepb.OutboxRecord) error {
			m, err := wakumessage.Unmarshal(r.WakuMessage)
			if err != nil {
				return err
			}
			numbers = append(numbers, n)
			all = append(all, Envelope{PubsubTopic: r.PubsubTopic, Message: m, Hash: wakumessage.HashOf(r.PubsubTopic, m)})
			return nil
		})
		for _, n := range numbers {
			if err := tx.DeleteOutbox(n); err != nil {
				return err
			}
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return all
}

// hand gives a stack envelopes, one by one.
func hand(t testing.TB, s *Stack, envelopes ...Envelope) {
	t.Helper()
	for _, e := range envelopes {
		if err := s.Receive(e); err != nil {
			t.Fatal(err)
		}
	}
}

// content is everything in a database, without the families named.
func content(t testing.TB, db *storage.DB, without ...string) map[string]string {
	t.Helper()
	all := map[string]string{}
	err := db.View(func(tx *storage.Tx) error {
		return tx.Scan("", func(k string, v []byte) error {
			if !slices.ContainsFunc(without, func(prefix string) bool { return strings.HasPrefix(k, prefix) }) {
				all[k] = string(v)
			}
			return nil
		})
	})
	if err != nil {
		t.Fatal(err)
	}
	return all
}

// difference names the keys that are not the same in two contents.
func difference(a, b map[string]string) (keys []string) {
	for k, v := range a {
		if other, ok := b[k]; !ok || other != v {
			keys = append(keys, fmt.Sprintf("%.40q", k))
		}
	}
	for k := range b {
		if _, ok := a[k]; !ok {
			keys = append(keys, fmt.Sprintf("%.40q", k))
		}
	}
	slices.Sort(keys)
	return slices.Compact(keys)
}

// increased names the counters that went up.
func increased(before, after map[string]uint64) []string {
	var names []string
	for _, name := range slices.Sorted(maps.Keys(after)) {
		if after[name] > before[name] {
			names = append(names, name)
		}
	}
	return names
}

// forger makes every layer of a message by hand, right or wrong.
type forger struct {
	t       testing.TB
	key     key.Private
	session *session.Protocol
	st      *kv.Memory
	now     time.Time
	rand    *counterRand
}

// counterRand is a source of bytes that are never the same.
type counterRand struct{ n uint64 }

func (r *counterRand) Read(p []byte) (int, error) {
	for i := 0; i < len(p); i += 32 {
		r.n++
		block := key.Keccak256(fmt.Appendf(nil, "counter %d", r.n))
		copy(p[i:], block[:])
	}
	return len(p), nil
}

func newForger(t testing.TB, number byte, now time.Time) *forger {
	k := identity(t, number)
	return &forger{
		t: t, key: k, now: now, st: kv.NewMemory(), rand: &counterRand{uint64(number) << 32},
		session: &session.Protocol{Identity: k, InstallationID: fmt.Sprint("forger-", number)},
	}
}

func (f *forger) ok(err error) {
	f.t.Helper()
	if err != nil {
		f.t.Fatal(err)
	}
}

// wrap makes an application message of the forger's.
func (f *forger) wrap(typ message.Type, m proto.Message) []byte {
	f.t.Helper()
	body, err := message.Encode(m)
	f.ok(err)
	raw, _, err := message.Wrap(typ, body, f.key)
	f.ok(err)
	return raw
}

// chat makes a chat message to somebody.
func (f *forger) chat(to key.Public, text string, clock time.Time) []byte {
	f.t.Helper()
	return f.wrap(apppb.ApplicationMetadataMessage_CHAT_MESSAGE, &apppb.ChatMessage{
		Clock: uint64(clock.UnixMilli()), Timestamp: uint64(clock.UnixMilli()), Text: text,
		ChatId: chat.OneToOneID(to), MessageType: apppb.MessageType_ONE_TO_ONE, ContentType: apppb.ChatMessage_TEXT_PLAIN,
	})
}

// sync puts bodies into one MVDS payload.
func (f *forger) sync(to key.Public, bodies ...[]byte) []byte {
	p := &mvds.Payload{}
	for _, body := range bodies {
		p.Messages = append(p.Messages, mvds.Message{Group: mvds.OneToOneGroup(f.key.Public(), to), Timestamp: f.now.Unix(), Body: body})
	}
	return p.Encode()
}

// encrypt makes a pairwise message: in DH form at first.
func (f *forger) encrypt(to key.Public, inner []byte) []byte {
	f.t.Helper()
	sealed, err := f.session.Seal(f.st, f.now, f.rand, to, inner)
	f.ok(err)
	return sealed.Bytes
}

// encryptAside does so without going on in the session.
func (f *forger) encryptAside(to key.Public, inner []byte) []byte {
	f.t.Helper()
	sealed, err := f.session.Seal(f.st.Copy(), f.now, f.rand, to, inner)
	f.ok(err)
	return sealed.Bytes
}

// mail seals bytes to somebody's partitioned topic.
func (f *forger) mail(to key.Public, inner []byte) Envelope {
	f.t.Helper()
	sealed, err := payload.SealAsymmetric(inner, to, f.key, f.rand)
	f.ok(err)
	return f.envelope(topic.PartitionedName(to), sealed)
}

// open takes the Waku payload off a message to the forger's partition.
func (f *forger) open(e Envelope) ([]byte, error) {
	opened, err := payload.OpenAsymmetric(e.Message.GetPayload(), f.key)
	if err != nil {
		return nil, err
	}
	return opened.Payload, nil
}

// envelope puts a payload under the content topic of a name.
func (f *forger) envelope(name string, sealed []byte) Envelope {
	m := wakumessage.New(sealed, topic.Content(name), f.now, false)
	pubsub := topic.Pubsub(16, specified().GlobalContent[0])
	return Envelope{PubsubTopic: pubsub, Message: m, Hash: wakumessage.HashOf(pubsub, m)}
}

// eventsOf returns the events of a type.
func eventsOf(t testing.TB, s *Stack, kind string) (all []storage.Event) {
	t.Helper()
	err := s.Events(t.Context(), 0, false, func(e storage.Event) error {
		if e.Type == kind {
			all = append(all, e)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return all
}

// states lists the delivery states that a message went through, by its events.
func states(t testing.TB, s *Stack, id message.ID) (all []string) {
	t.Helper()
	err := s.Events(t.Context(), 0, false, func(e storage.Event) error {
		switch e.Type {
		case EventMessage:
			var m view.Message
			if err := json.Unmarshal(e.Data, &m); err != nil {
				return err
			}
			if m.ID == id {
				all = append(all, string(m.State))
			}
		case EventMessageState:
			var c view.StateChange
			if err := json.Unmarshal(e.Data, &c); err != nil {
				return err
			}
			if c.ID == id {
				all = append(all, fmt.Sprintf("%s(%d)", c.State, c.Peers))
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return all
}

// contains tells whether some text of a list is in another.
func contains(list []string, text string) bool {
	return slices.ContainsFunc(list, func(s string) bool { return strings.Contains(s, text) })
}
