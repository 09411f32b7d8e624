package stack

import (
	"bytes"
	"cmp"
	"errors"
	"maps"
	"slices"
	"testing"

	"github.com/parley-im/parley/app/contact"
	"github.com/parley-im/parley/app/message"
	"github.com/parley-im/parley/internal/vectors"
	apppb "github.com/parley-im/parley/pb/app"
	"github.com/parley-im/parley/reliability/mvds"
	"github.com/parley-im/parley/storage"
)

// notHandled are the types that come out of the layers and have no handler yet.
// Whoever writes the handler takes the type off.
var notHandled []string

// notListened are the types that were said on topics to which we do not listen:
// those of communities that deployed clients have given up since, for shards and
// for being there, and of push notification servers. Whoever listens there takes
// the type off.
var notListened = []string{
	"COMMUNITY_PUBLIC_SHARD_INFO",
	"PUSH_NOTIFICATION_QUERY",
	"STATUS_UPDATE",
}

// The recorded run is played as each of its parties in turn. Given the keys
// that the party generated, all that it said to people comes out of our road
// out as the same WakuMessage, byte by byte from the application's payload on,
// with the acknowledgements that were due; and all that the others said comes
// out of our road in with the recorded type, id, author and payload. Of what is
// sealed to a key, whose ephemeral key is not recorded, the sealed content is
// compared; of what hands out group keys, the encryption without them.
//
// Proves: SP-30, SP-31, SP-32, SP-33, SP-34, SP-35.
func TestVectorsConversation(t *testing.T) {
	t.Parallel()
	for _, r := range vectors.Cases[*recording](t, "conversation") {
		r.open(t)
		var players []*player
		for _, p := range r.Parties {
			t.Run(p.Name, func(t *testing.T) {
				pl := newPlayer(t, r, p)
				pl.play(t)
				t.Run("decoded", pl.compareDecoded)
				t.Run("again", pl.hearAgain)
				t.Run("contacts", pl.compareContacts)
				players = append(players, pl)
			})
		}
		if len(players) == len(r.Parties) {
			t.Run("delivered", func(t *testing.T) { compareDelivered(t, players) })
			t.Run("timelines", func(t *testing.T) { compareTimelines(t, players) })
			t.Run("communities", func(t *testing.T) { compareCommunities(t, players) })
		}
	}
}

// The lists of what is left to do name real types, and none that is handled.
func TestConversationLists(t *testing.T) {
	t.Parallel()
	s := new(Stack)
	for _, name := range slices.Concat(notHandled, notListened) {
		if _, ok := apppb.ApplicationMetadataMessage_Type_value[name]; !ok {
			t.Errorf("there is no type %s", name)
		}
	}
	for _, name := range notHandled {
		if typ := apppb.ApplicationMetadataMessage_Type_value[name]; s.handler(message.Type(typ)) != nil {
			t.Errorf("%s is handled now: take it off the list", name)
		}
	}
}

// play takes the party through the recording: what it sent in the order in
// which it was encrypted, and what it heard when the recording shows it.
func (pl *player) play(t *testing.T) {
	t.Helper()
	own, others := pl.encryptionOrder(), 0
	for _, e := range pl.r.Envelopes {
		switch {
		case e.community != nil:
			pl.playCommunity(t, e)
		case e.signer == pl.recordedParty && e.message == nil:
			others++
		case e.signer == pl.recordedParty:
			next := own[0]
			own = own[1:]
			what := "sent/" + next.envelope.Hash.String()
			if !t.Run(what, func(t *testing.T) { pl.send(t, next) }) {
				t.FailNow()
			}
			pl.hearOwn(t, next)
		case pl.hears(e):
			pl.pending[e.signer] = append(pl.pending[e.signer], e)
		}
	}
	for from := range pl.pending {
		for pl.handle(t, from) {
		}
	}
	for peer, held := range pl.held {
		for _, id := range held.Acks {
			t.Errorf("%s: message %s of %s is acknowledged, which is not recorded", pl.Name, id, pl.r.party(peer).Name)
		}
		for _, m := range held.Messages {
			if !pl.appended[m.ID()] {
				t.Errorf("%s: message %s to %s is sent, which is not recorded", pl.Name, m.ID(), pl.r.party(peer).Name)
			}
		}
	}
	t.Logf("not yet: %d envelopes sent to people without encryption layer", others)
}

// encryptionOrder is what the party sent through the encryption layer. Two
// messages at once may be published the other way round than they were
// encrypted, as their ratchet headers show.
func (pl *player) encryptionOrder() []*recordedEnvelope {
	type position struct {
		chain int
		n     uint32
	}
	var own []*recordedEnvelope
	sessions, chains, positions := map[string][]int{}, map[string]int{}, map[*recordedEnvelope]position{}
	for _, e := range pl.r.Envelopes {
		if e.message == nil || e.signer != pl.recordedParty || e.community != nil {
			continue
		}
		for id, entry := range e.message.EncryptedMessage {
			if h := entry.DrHeader; h != nil && len(e.message.EncryptedMessage) == 1 {
				session := id + string(h.Id)
				sessions[session] = append(sessions[session], len(own))
				if _, ok := chains[session+string(h.Key)]; !ok {
					chains[session+string(h.Key)] = len(own)
				}
				positions[e] = position{chains[session+string(h.Key)], h.N}
			}
		}
		own = append(own, e)
	}
	for _, places := range sessions {
		var all []*recordedEnvelope
		for _, at := range places {
			all = append(all, own[at])
		}
		slices.SortStableFunc(all, func(a, b *recordedEnvelope) int {
			return cmp.Or(cmp.Compare(positions[a].chain, positions[b].chain), cmp.Compare(positions[a].n, positions[b].n))
		})
		for i, at := range places {
			own[at] = all[i]
		}
	}
	return own
}

// hears tells whether the recorded client took an envelope: what is for it, and
// contact codes of others from when it began to listen to them. That shows by
// the first that it decoded; what it had not heard by then must not be known
// here either.
func (pl *player) hears(e *recordedEnvelope) bool {
	if _, ok := e.SeenBy[pl.Name]; !ok || e.opened == nil {
		return false
	}
	if e.contactCode == nil {
		return e.to == pl.recordedParty
	}
	return pl.listens[e.contactCode] || pl.tookPublic(e)
}

// tookPublic tells whether the recorded client decoded a public message, out of
// this envelope or of another that carries it, too, and notes that it listens to
// the topic.
func (pl *player) tookPublic(e *recordedEnvelope) bool {
	if e.message == nil {
		return false
	}
	m, err := message.Open(e.message.PublicMessage, e.opened.Signer)
	if err != nil {
		return false
	}
	pl.listens[e.contactCode] = slices.ContainsFunc(pl.r.Decoded, func(d recordedMessage) bool {
		return d.By == pl.Name && d.ID == m.ID.String()
	})
	return pl.listens[e.contactCode]
}

// expected is what the recorded client decoded from an envelope.
func (pl *player) expected(e *recordedEnvelope) (all []recordedMessage) {
	for _, d := range pl.r.Decoded {
		if d.By == pl.Name && string(d.EnvelopeHash) == string(e.Hash) {
			all = append(all, d)
		}
	}
	return all
}

// hearOwn gives the party its own envelope. Deployed clients decode what comes
// back to them on public topics; ours marks it when it posts it, so that it is
// no news. As another device of the account would hear it, it is decoded.
func (pl *player) hearOwn(t *testing.T, e *recordedEnvelope) {
	t.Helper()
	if err := pl.Receive(e.envelope); err != nil {
		t.Fatal(err)
	}
	if n := len(pl.decoded[string(e.envelope.Hash[:])]); n != 0 {
		t.Errorf("%s: envelope %s: %d messages decoded from what it sent itself", pl.Name, e.envelope.Hash, n)
	}
	if len(pl.expected(e)) == 0 {
		return
	}
	opened, _, err := pl.unseal(e.envelope)
	if err == nil {
		err = pl.step(t, func(s *step) error {
			if err := pl.open(s, e.envelope, opened); err != nil {
				return err
			}
			return errScratch
		})
	}
	if err != errScratch {
		t.Errorf("%s: envelope %s: %v", pl.Name, e.envelope.Hash, err)
	}
}

// hearAgain gives the party everything a second time: envelopes, which it has
// seen, and messages out of other envelopes, which it knows. Nothing comes of it.
func (pl *player) hearAgain(t *testing.T) {
	decoded := maps.Clone(pl.decoded)
	for _, e := range pl.heard {
		if err := pl.Receive(e.envelope); err != nil {
			t.Fatal(err)
		}
		if slices.ContainsFunc(pl.expected(e), func(d recordedMessage) bool { return d.HandlerError != "" || pl.r.ofGated(d) }) {
			continue // what was dropped is not known
		}
		for _, d := range decoded[string(e.envelope.Hash[:])] {
			err := pl.step(t, func(s *step) error { return pl.deliver(s, e.envelope, e.opened.Signer, d.Raw) })
			if !errors.Is(err, errKnown) {
				t.Errorf("envelope %s: %s again: %v", e.envelope.Hash, message.Name(d.Type), err)
			}
		}
	}
	for hash, all := range pl.decoded {
		if len(all) != len(decoded[hash]) {
			t.Errorf("envelope %x: decoded once more", hash)
		}
	}
}

// compareDecoded compares what came out of the road in, message by message. A
// client takes a message once: of several envelopes that carry it, the one that
// was handled first is recorded, which may be one that we do not listen to.
func (pl *player) compareDecoded(t *testing.T) {
	recorded, missing := map[string]bool{}, map[string]int{}
	for _, e := range pl.r.Envelopes {
		for _, want := range pl.expected(e) {
			if recorded[want.ID] {
				continue
			}
			recorded[want.ID] = true
			got, from := pl.decodedAs(want.ID)
			_, _, err := pl.unseal(e.envelope)
			switch {
			case got == nil && e.community != nil && e.community.Encrypted && len(e.inner()) == 0:
				missing["encrypted with the key of a gated community: "+want.Type]++
			case err == nil && e.opened == nil:
				t.Errorf("envelope %s: we listen to this topic now: %s is to be played and taken off the list", e.envelope.Hash, want.Type)
			case err != nil && got == nil:
				missing["on topics not listened to: "+want.Type]++
				if !slices.Contains(notListened, want.Type) {
					t.Errorf("envelope %s: %s was decoded from a topic that we do not listen to", e.envelope.Hash, want.Type)
				}
			case got == nil && e.community != nil && e.community.Encrypted && len(e.inner()) == 0:
				missing["encrypted with the key of a gated community: "+want.Type]++
			default:
				t.Run(want.Type+"/"+want.ID, func(t *testing.T) {
					if got != nil && err == nil && from != string(e.Hash) {
						t.Fatalf("decoded from envelope %x, recorded from %s", from, e.envelope.Hash)
					}
					compareMessage(t, got, want)
				})
				if slices.Contains(notHandled, want.Type) {
					missing["not handled: "+want.Type]++
				}
			}
		}
	}
	times := map[string]int{}
	for hash, all := range pl.decoded {
		for _, d := range all {
			id := d.ID.String()
			if times[id]++; times[id] > 1 || !recorded[id] {
				t.Errorf("envelope %x: %s %s decoded %d times, recorded: %v", hash, message.Name(d.Type), id, times[id], recorded[id])
			}
		}
	}
	for _, what := range slices.Sorted(maps.Keys(missing)) {
		t.Logf("not yet: %d %s", missing[what], what)
	}
}

// decodedAs finds what was decoded under an id and the envelope it came in. It
// is decoded at most once.
func (pl *player) decodedAs(id string) (found *Decoded, envelope string) {
	for hash, all := range pl.decoded {
		for _, d := range all {
			if d.ID.String() == id {
				found, envelope = &d, hash
			}
		}
	}
	return found, envelope
}

func compareMessage(t *testing.T, got *Decoded, want recordedMessage) {
	if got == nil {
		t.Fatal("was not decoded")
	}
	if name := message.Name(got.Type); name != want.Type {
		t.Errorf("type %s", name)
	}
	if author := got.Author.Hex(); author != want.From {
		t.Errorf("from %s, want %s", author, want.From)
	}
	if !bytes.Equal(got.Payload, want.Payload) {
		t.Errorf("payload\n%x, want\n%x", got.Payload, []byte(want.Payload))
	}
	if listed := slices.Contains(notHandled, want.Type); got.Handled == listed {
		t.Errorf("handled: %v; on the list of those that are not: %v", got.Handled, listed)
	}
}

// compareContacts compares the relation of the party to everybody with what was
// said: who asked or accepted last said that they are contacts, until a
// retraction.
func (pl *player) compareContacts(t *testing.T) {
	for _, q := range pl.r.Parties {
		if q == pl.recordedParty {
			continue
		}
		c, err := pl.Contact(q.key.Public())
		if err != nil {
			t.Fatal(err)
		}
		if got, want := c.Local == contact.Sent, pl.r.added(t, pl.recordedParty, q); got != want {
			t.Errorf("has added %s: %v, want %v", q.Name, got, want)
		}
		if got, want := c.Remote == contact.Received, pl.r.added(t, q, pl.recordedParty); got != want {
			t.Errorf("was added by %s: %v, want %v", q.Name, got, want)
		}
	}
}

// compareDelivered checks that of what each party sent, those messages that the
// others acknowledged are delivered, and no more.
func compareDelivered(t *testing.T, players []*player) {
	acked, sent := map[mvds.MessageID]bool{}, 0
	for _, pl := range players {
		maps.Copy(acked, pl.acked)
	}
	for _, pl := range players {
		sent += len(pl.appended)
		err := pl.db.View(func(tx *storage.Tx) error {
			for id := range pl.appended {
				_, waiting, err := tx.Ref(id)
				if err != nil {
					return err
				}
				if waiting == acked[id] {
					t.Errorf("%s: message %s: still waits: %v, was acknowledged: %v", pl.Name, id, waiting, acked[id])
				}
			}
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	if sent == 0 || len(acked) == 0 {
		t.Errorf("%d messages sent, %d acknowledged", sent, len(acked))
	}
}
