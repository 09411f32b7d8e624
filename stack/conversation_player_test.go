package stack

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"maps"
	mathrand "math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"google.golang.org/protobuf/proto"

	"github.com/parley-im/parley/account/key"
	"github.com/parley-im/parley/encryption/x3dh"
	"github.com/parley-im/parley/reliability/mvds"
	"github.com/parley-im/parley/storage"
	"github.com/parley-im/parley/waku/topic"
)

// player is our stack in the role of a recorded party.
//
// What is received is handled as late as the recording allows: only when
// something that the party sent shows, by its ratchet header or its
// acknowledgements, that the recorded client had handled it by then. That is
// the one order that can be read from a recording, for the clients fetch what
// their nodes received from time to time. Parties do not influence each other's
// sessions, so it is found for each pair alone.
type player struct {
	*Stack
	*recordedParty
	r    *recording
	db   *storage.DB
	rand *script
	now  time.Time

	// pending is what was received and not handled yet, by sender; heard is
	// what was handled.
	pending map[*recordedParty][]*recordedEnvelope
	heard   []*recordedEnvelope
	// decoded is what came out, by envelope.
	decoded map[string][]Decoded

	// listens is to whose contact code the recorded client listens by now.
	listens map[*recordedParty]bool
	// turned are the ratchet keys of others that were met, by session, and
	// groupKeys who has handed a group key to us.
	turned    map[string]bool
	groupKeys map[*recordedParty]bool
	progress
}

// progress is how far the party's own messages are. It is put back with the
// transaction when one does not come out as recorded.
type progress struct {
	// used are the keys that the party generated and has used.
	used map[string]bool
	// held is what the reliability layer has handed out for each peer and the
	// recording has not sent yet.
	held map[key.Public]mvds.Payload
	// appended are the MVDS messages sent, acked the ids of those
	// received and acknowledged.
	appended, acked map[mvds.MessageID]bool
}

func (p progress) clone() progress {
	return progress{maps.Clone(p.used), maps.Clone(p.held), maps.Clone(p.appended), maps.Clone(p.acked)}
}

// script is a source of randomness that yields what is queued and after that
// anything.
type script struct {
	queue []byte
	rest  io.Reader
}

func (s *script) Read(b []byte) (int, error) {
	if len(s.queue) == 0 {
		return s.rest.Read(b)
	}
	n := copy(b, s.queue)
	s.queue = s.queue[n:]
	return n, nil
}

func newPlayer(t *testing.T, r *recording, p *recordedParty) *player {
	t.Helper()
	pl := &player{
		recordedParty: p,
		r:             r,
		db:            storage.NewMemory(),
		rand:          &script{rest: mathrand.NewChaCha8([32]byte{1})},
		now:           r.Envelopes[0].sent(),
		pending:       map[*recordedParty][]*recordedEnvelope{},
		decoded:       map[string][]Decoded{},
		listens:       map[*recordedParty]bool{p: true},
		turned:        map[string]bool{},
		groupKeys:     map[*recordedParty]bool{},
		progress: progress{
			used:     map[string]bool{},
			held:     map[key.Public]mvds.Payload{},
			appended: map[mvds.MessageID]bool{},
			acked:    map[mvds.MessageID]bool{},
		},
	}
	cluster, _, err := topic.ParsePubsub(r.Envelopes[0].PubsubTopic)
	if err != nil {
		t.Fatal(err)
	}
	pl.Stack, err = New(Config{
		Identity:       p.key,
		InstallationID: p.InstallationID,
		Network:        Network{Name: "recorded", Cluster: cluster, Shards: deployed()},
		DB:             pl.db,
		Keys:           r.keys,
		Rand:           pl.rand,
		Now:            func() time.Time { return pl.now },
		OnDecoded: func(d Decoded) {
			h := string(d.Envelope.Hash[:])
			pl.decoded[h] = append(pl.decoded[h], d)
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	// Deployed clients sign their bundle for each message.
	pl.session.BundleRefresh = 0
	pl.listen(t)
	return pl
}

// listen adds to the topics that the stack listens to the contact codes of
// all others; who of them is heard is up to the recording.
func (pl *player) listen(t *testing.T) {
	t.Helper()
	if err := pl.loadFilters(); err != nil {
		t.Fatal(err)
	}
	filters := maps.Clone(*pl.filters.Load())
	for _, q := range pl.r.Parties {
		if q == pl.recordedParty {
			continue
		}
		f := pl.namedFilter(topic.ContactCodeName(q.key.Public()))
		if len(filters[f.contentTopic]) == 0 {
			filters[f.contentTopic] = []filter{f}
		}
	}
	pl.filters.Store(&filters)
}

// until lets time pass; it never goes back.
func (pl *player) until(now time.Time) {
	if now.After(pl.now) {
		pl.now = now
	}
}

var errScratch = errors.New("dropped on purpose")

// step runs f in a transaction of the stack, without sending anything.
func (pl *player) step(t *testing.T, f func(s *step) error) error {
	t.Helper()
	resubscribe := false
	err := pl.Stack.db.Update(func(tx *storage.Tx) error {
		s := &step{tx, stepResult{now: pl.now}}
		err := f(s)
		resubscribe = s.resubscribe
		return err
	})
	if err == nil && resubscribe {
		pl.listen(t)
	}
	return err
}

// take queues the private half of a key that the party generated, the first
// time that the key is met, and reports whether it was.
func (pl *player) take(t *testing.T, public []byte) bool {
	t.Helper()
	if len(public) == 0 || pl.used[string(public)] {
		return false
	}
	pl.used[string(public)] = true
	pl.rand.queue = append(pl.rand.queue, pl.generated(t, public)...)
	return true
}

// left tells of queued randomness that nobody read.
func (pl *player) left() error {
	if n := len(pl.rand.queue); n > 0 {
		pl.rand.queue = nil
		return fmt.Errorf("%d bytes of the recorded randomness were not used", n)
	}
	return nil
}

// receive takes an envelope up the inbound road, as Receive does, without
// answering.
func (pl *player) receive(t *testing.T, e *recordedEnvelope) {
	t.Helper()
	pl.until(time.UnixMilli(e.SeenBy[pl.Name]))
	opened, community, err := pl.unseal(e.envelope)
	if err != nil {
		t.Fatalf("%s: envelope %s: Waku payload: %v", pl.Name, e.envelope.Hash, err)
	}
	e.envelope.community = community
	pl.queueTurn(t, e)
	keys := slices.Clone(pl.rand.queue)
	before := pl.Counters()
	err = pl.step(t, func(s *step) error {
		if fresh, err := s.MarkSeen(e.envelope.Hash, s.now); err != nil || !fresh {
			return errors.Join(err, errors.New("seen before"))
		}
		return pl.open(s, e.envelope, opened)
	})
	if err != nil && !errors.Is(err, errWaiting) {
		pl.rand.queue = keys
		t.Fatalf("%s: envelope %s: %s: %v", pl.Name, e.envelope.Hash, pl.layer(t, e), err)
	}
	if err := pl.left(); err != nil {
		t.Fatalf("%s: envelope %s: encryption: %v", pl.Name, e.envelope.Hash, err)
	}
	if e.hasGroupKeys() {
		pl.groupKeys[e.signer] = true
	}
	for what, n := range pl.Counters() {
		if n > before[what] && !pl.mayCount(e, what) {
			t.Errorf("%s: envelope %s: %s", pl.Name, e.envelope.Hash, what)
		}
	}
}

// mayCount tells whether a message may come to nothing: types that are not
// handled yet, a key exchange with nothing said in it, and what the recorded
// client could not handle either.
func (pl *player) mayCount(e *recordedEnvelope, what string) bool {
	if name, ok := strings.CutPrefix(what, "not handled: "); ok {
		return slices.Contains(notHandled, name)
	}
	decoded := pl.expected(e)
	if slices.ContainsFunc(decoded, func(d recordedMessage) bool { return d.HandlerError != "" || pl.r.ofGated(d) }) {
		return true
	}
	return len(decoded) == 0 && e.hasGroupKeys()
}

// layer finds out at which layer an envelope fails.
func (pl *player) layer(t *testing.T, e *recordedEnvelope) string {
	where := ""
	pl.step(t, func(s *step) error {
		where = "segmentation"
		whole, err := pl.reassemble(s, e.opened)
		if err != nil {
			return err
		}
		where = "encryption"
		inner, public, err := pl.decrypt(s, e.opened.Signer, whole.Payload)
		if err != nil {
			return err
		}
		where = "reliability"
		if _, err = pl.reliable(s, e.opened.Signer, inner, public); err != nil {
			return err
		}
		where = "message"
		return errScratch
	})
	return where
}

// queueTurn queues the ratchet key that the party makes when a message of a
// new chain arrives: the one that it uses next in that session. A party that
// does not use the session again makes a key that is in no message.
func (pl *player) queueTurn(t *testing.T, e *recordedEnvelope) {
	t.Helper()
	if e.message == nil {
		return
	}
	entry := e.message.EncryptedMessage[pl.InstallationID]
	if entry.GetDrHeader() == nil {
		return
	}
	session := string(e.opened.Signer.Bytes()) + string(entry.DrHeader.Id) + e.message.InstallationId
	chain := session + string(entry.DrHeader.Key)
	if pl.turned[chain] {
		return
	}
	pl.turned[chain] = true
	for _, own := range pl.r.Envelopes {
		if own.signer != pl.recordedParty || own.to != e.signer || own.message == nil {
			continue
		}
		sent := own.message.EncryptedMessage[e.message.InstallationId].GetDrHeader()
		if sent != nil && bytes.Equal(sent.Id, entry.DrHeader.Id) && pl.take(t, sent.Key) {
			return
		}
	}
}

// handle handles the oldest pending envelope of a sender, if there is one.
func (pl *player) handle(t *testing.T, from *recordedParty) bool {
	t.Helper()
	queue := pl.pending[from]
	if len(queue) == 0 {
		return false
	}
	pl.pending[from] = queue[1:]
	pl.receive(t, queue[0])
	pl.heard = append(pl.heard, queue[0])
	return true
}

// importPreKeys takes over the signed pre keys of our own bundles.
func (pl *player) importPreKeys(t *testing.T, s *step, e *recordedEnvelope) error {
	t.Helper()
	for _, b := range e.message.Bundles {
		spk := b.SignedPreKeys[pl.InstallationID]
		if spk == nil || pl.used[string(spk.SignedPreKey)] {
			continue
		}
		k, err := key.PrivateFromBytes(pl.generated(t, spk.SignedPreKey))
		if err != nil {
			return err
		}
		if err := pl.session.ImportPreKey(s.Core("session"), k, spk.Version, time.Unix(0, b.Timestamp)); err != nil {
			return err
		}
		pl.used[string(spk.SignedPreKey)] = true
	}
	return nil
}

// queueKeys queues what the party generated for a pairwise message: for each
// new session ephemeral and ratchet key, for the DH form key and nonce.
func (pl *player) queueKeys(t *testing.T, s *step, e *recordedEnvelope) error {
	t.Helper()
	if e.to == nil {
		return nil
	}
	known, err := pl.session.Installations(s.Core("session"), e.to.key.Public())
	if err != nil {
		return err
	}
	for _, i := range known {
		if entry := e.message.EncryptedMessage[i.ID]; pl.take(t, entry.GetX3DhHeader().GetKey()) {
			pl.take(t, entry.GetDrHeader().GetKey())
		}
	}
	const nonce = 12
	if entry := e.message.EncryptedMessage[x3dh.ReservedID]; pl.take(t, entry.GetDhHeader().GetKey()) {
		pl.rand.queue = append(pl.rand.queue, entry.Payload[max(0, len(entry.Payload)-nonce):]...)
	}
	return nil
}

// sameMessage is proto.Equal of two messages that says where they differ.
func sameMessage(what string, got, want proto.Message) error {
	if proto.Equal(got, want) {
		return nil
	}
	return fmt.Errorf("%s is\n%v, recorded\n%v", what, got, want)
}
