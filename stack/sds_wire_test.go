package stack

import (
	"bytes"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/parley-im/parley/account/key"
	"github.com/parley-im/parley/app/chat"
	"github.com/parley-im/parley/app/message"
	apppb "github.com/parley-im/parley/pb/app"
	"github.com/parley-im/parley/reliability/sds"
	wakumessage "github.com/parley-im/parley/waku/message"
	"github.com/parley-im/parley/waku/topic"
)

// townOf is a community of the first two identities and a still stack that is
// the first of them, and owns it; the second is a forger.
func townOf(t *testing.T, mode SDSMode) (*town, *Stack, *clockwork, *forger) {
	t.Helper()
	now := time.Date(2026, 1, 2, 3, 4, 5, 678, time.UTC)
	f := newForger(t, 1, now)
	w := newTown(t, 202, identity(t, 0).Public(), now, f.key.Public())
	s, clock := resident(t, 0, mode, w)
	return w, s, clock, f
}

// sentBy is what a still stack has sent to a community since.
func (w *town) sentBy(s *Stack) (all []*sds.Message) {
	w.t.Helper()
	for _, e := range drain(w.t, s) {
		if m, _, ours := w.inTown(e); ours {
			all = append(all, m)
		}
	}
	return all
}

// A channel message is its author's, whatever it says: in the name of somebody
// else it changes nothing.
func TestForgedSender(t *testing.T) {
	t.Parallel()
	w, s, _, f := townOf(t, SDSStandard)
	other := newForger(t, 2, f.now)
	w.admit(other.key.Public())
	w.settle(s, true)
	wrapped := func(mode sds.Config, sender string, content []byte) []byte {
		ch := &sds.Channel{ID: w.ID(), Self: sender, Config: mode}
		out, err := ch.Send(f.st.Copy(), f.now, f.rand, content)
		f.ok(err)
		return out.Data
	}
	idle := func(sender string) []byte {
		m := sds.Message{Kind: sds.Sync, Sender: sender, ID: "sync-1", Channel: w.ID(), Lamport: uint64(f.now.UnixMilli())}
		raw, err := m.Encode(sds.Standard)
		f.ok(err)
		return raw
	}
	someone := other.key.Public().CompressedHex()
	unsigned, err := message.Encode(&apppb.ApplicationMetadataMessage{Payload: []byte{1}, Type: apppb.ApplicationMetadataMessage_CHAT_MESSAGE})
	f.ok(err)
	stranger := newForger(t, 9, f.now)
	own := wrapped(sds.Default(), f.key.Public().CompressedHex(), f.inChannel(w, 0, "hello"))
	first, _, err := sds.Decode(own)
	f.ok(err)
	second, _, err := sds.Decode(wrapped(sds.Default(), f.key.Public().CompressedHex(), f.inChannel(w, 0, "goodbye")))
	f.ok(err)
	for name, c := range map[string]struct {
		by    *forger
		inner []byte
		cause error
	}{
		"content of another":      {f, wrapped(sds.Default(), someone, f.inChannel(w, 0, "hello")), errSender},
		"content of nobody known": {f, wrapped(sds.Default(), "somebody", f.inChannel(w, 0, "hello")), errSender},
		"content of us":           {f, wrapped(sds.Default(), s.Self().CompressedHex(), f.inChannel(w, 0, "hello")), errSender},
		"nim content of another":  {f, wrapped(sds.InteropNim(), other.key.Public().Hex(), f.inChannel(w, 0, "hello")), errSender},
		"periodic of another":     {f, idle(someone), errSender},
		"periodic of a stranger":  {stranger, idle(stranger.key.Public().CompressedHex()), errNoVoice},
		"unsigned content":        {f, wrapped(sds.Default(), f.key.Public().CompressedHex(), unsigned), message.ErrNoAuthor},
		"content that is none":    {f, wrapped(sds.Default(), f.key.Public().CompressedHex(), []byte{0xff}), nil},
		"of another community":    {f, bytes.ReplaceAll(own, []byte(w.ID()), []byte(someone)), errChannel},
		"with the id of another":  {f, bytes.ReplaceAll(own, []byte(first.ID), []byte(second.ID)), sds.ErrID},
	} {
		t.Run(name, func(t *testing.T) {
			before, counters := content(t, s.db, "seen/", "core/session/"), s.Counters()
			hand(t, s, c.by.toTown(w, c.inner))
			names := increased(counters, s.Counters())
			if len(names) != 1 || !strings.HasPrefix(names[0], "channel: ") || c.cause != nil && !strings.Contains(names[0], c.cause.Error()) {
				t.Errorf("counted %v", names)
			}
			if changed := difference(before, content(t, s.db, "seen/", "core/session/")); len(changed) != 0 {
				t.Errorf("it changes %v", changed)
			}
		})
	}
	// What they are forged from is taken.
	hand(t, s, f.toTown(w, f.speak(w, sds.Default(), f.inChannel(w, 0, "it is me"))))
	if got := textsOf(t, s, w.channel(0)); !slices.Equal(got, []string{"it is me"}) {
		t.Errorf("%q, %v", got, s.Counters())
	}
}

// Any member may bring what another said to all of the community, and nothing
// else that another said.
func TestPassedOnInACommunity(t *testing.T) {
	t.Parallel()
	w, s, _, f := townOf(t, SDSStandard)
	other := newForger(t, 2, f.now)
	w.admit(other.key.Public())
	w.settle(s, true)

	wrapped := f.speak(w, sds.Default(), f.inChannel(w, 0, "by f"))
	plain := f.inChannel(w, 0, "also by f")
	hand(t, s, other.toTown(w, wrapped), other.toTown(w, plain))
	for _, text := range []string{"by f", "also by f"} {
		if !slices.Contains(textsOf(t, s, w.channel(0)), text) {
			t.Errorf("%q is not there: %v", text, s.Counters())
		}
	}
	all, err := s.Messages(w.channel(0))
	f.ok(err)
	for _, m := range all {
		if m.From != f.key.Public() {
			t.Errorf("%q is of %v", m.Text, m.From)
		}
	}
	// What f has written to somebody else, and to another community.
	elsewhere := newTown(t, 203, f.key.Public(), f.now)
	for name, said := range map[string][]byte{
		"to a person":     f.chat(s.Self(), "between us", f.now),
		"of a contact":    f.wrap(apppb.ApplicationMetadataMessage_CONTACT_UPDATE, &apppb.ContactUpdate{Clock: uint64(f.now.UnixMilli()), ContactRequestClock: 1, DisplayName: "F"}),
		"another channel": f.inChannel(elsewhere, 0, "elsewhere"),
	} {
		for _, e := range []Envelope{other.toTown(w, said), other.toTown(w, f.speak(w, sds.Default(), said))} {
			before, counters := content(t, s.db, append(slices.Clone(lowerFamilies), "app/", "mark/")...), s.Counters()
			hand(t, s, e)
			if names := increased(counters, s.Counters()); len(names) != 1 || !strings.Contains(names[0], errPassedOn.Error()) {
				t.Errorf("%s: counted %v", name, names)
			}
			if changed := difference(before, content(t, s.db, append(slices.Clone(lowerFamilies), "app/", "mark/")...)); len(changed) != 0 {
				t.Errorf("%s: changed %v", name, changed)
			}
		}
	}
	// What the community itself says may come from anybody, on its topics alone.
	m := &message.Message{Type: apppb.ApplicationMetadataMessage_COMMUNITY_DESCRIPTION, Author: w.Key, Signed: true}
	if !mayBePassedOn(w.Key, m) || mayBePassedOn(key.Public{}, m) {
		t.Error("a description")
	}
	m.Type = apppb.ApplicationMetadataMessage_COMMUNITY_REQUEST_TO_JOIN_RESPONSE
	if !mayBePassedOn(key.Public{}, m) {
		t.Error("an answer to a request comes from the owner")
	}
	if m.Signed = false; mayBePassedOn(key.Public{}, m) || mayBePassedOn(w.Key, m) {
		t.Error("an unsigned message")
	}
	m = &message.Message{Type: apppb.ApplicationMetadataMessage_COMMUNITY_REQUEST_TO_JOIN, Signed: true}
	if mayBePassedOn(w.Key, m) || mayBePassedOn(key.Public{}, m) {
		t.Error("a request of somebody else")
	}
}

// Both layouts and what is not wrapped are read in all modes, and each mode
// sends its own.
func TestLayoutsOfCommunityMessages(t *testing.T) {
	t.Parallel()
	for _, mode := range []SDSMode{SDSNone, SDSStandard, SDSNim} {
		t.Run(string(mode), func(t *testing.T) {
			t.Parallel()
			w, s, clock, f := townOf(t, mode)
			nim := sds.InteropNim()
			old := &sds.Channel{ID: w.ID() + oldChannel + "/waku/1/0x00000000/rfc26", Self: "node", Config: nim}
			older, err := old.Send(f.st.Copy(), f.now, f.rand, f.inChannel(w, 0, "nim with a topic"))
			f.ok(err)
			nameless := sds.Message{Kind: sds.Content, ID: "an id", Channel: w.ID(), Lamport: uint64(f.now.Unix()), Content: f.inChannel(w, 0, "nim without sender")}
			bare, err := nameless.Encode(sds.Nim)
			f.ok(err)
			hand(t, s,
				f.toTown(w, f.inChannel(w, 0, "plain")),
				f.onTopic(w, topic.ChannelName(w.Key, w.Description.Channels[0].UUID), f.inChannel(w, 0, "raw, on the channel's own topic")),
				f.toTown(w, f.speak(w, sds.Default(), f.inChannel(w, 0, "standard"))),
				f.toTown(w, f.speak(w, nim, f.inChannel(w, 0, "nim"))),
				f.toTown(w, older.Data), f.toTown(w, bare),
			)
			want := []string{"nim", "nim with a topic", "nim without sender", "plain", "raw, on the channel's own topic", "standard"}
			if got := textsOf(t, s, w.channel(0)); !slices.Equal(got, want) {
				t.Errorf("%q, counters %v", got, s.Counters())
			}
			drain(t, s)
			clock.advance(time.Second)
			_, err = s.Say(w.channel(0), Content{Text: "ours"})
			f.ok(err)
			sent := drain(t, s)
			if len(sent) != 1 {
				t.Fatalf("%d envelopes", len(sent))
			}
			m, _, _ := w.inTown(sent[0])
			if mode == SDSNone {
				if m != nil {
					t.Error("it is wrapped")
				}
				return
			}
			raw, err := m.Encode(sds.Nim)
			f.ok(err)
			if mode == SDSNim {
				if m.Lamport > 1e10 || m.Filter != nil {
					t.Errorf("nim counts seconds and has no filter: %d, %x", m.Lamport, m.Filter)
				}
				// Others learn by which hash store nodes have it.
				_, err = s.Say(w.channel(0), Content{Text: "ours, too"})
				f.ok(err)
				next, _, _ := w.inTown(drain(t, s)[0])
				at := slices.IndexFunc(next.History, func(e sds.Entry) bool { return e.ID == m.ID })
				if at < 0 || !slices.Equal(decodeHint(next.History[at].Hint), []wakumessage.Hash{sent[0].Hash}) || len(next.History[at].Hint) != 34 {
					t.Errorf("history %+v", next.History)
				}
				if _, layout, err := sds.Decode(raw); err != nil || layout != sds.Nim {
					t.Error(layout, err)
				}
			}
		})
	}
}

// What SDS does not take goes without it, and is read.
func TestTooLargeForSDS(t *testing.T) {
	t.Parallel()
	w, alice, _, f := townOf(t, SDSStandard)
	var typ message.Type
	bobby, err := New(Config{
		Identity: identity(t, 1), InstallationID: "bobby", Network: alice.network, DB: keysKept(t, identity(t, 1)), Keys: sharedKeys,
		Now: alice.now, OnDecoded: func(d Decoded) { typ = d.Type },
	})
	f.ok(err)
	w.settle(bobby, true)
	drain(t, alice)
	err = alice.update(func(s *step) error {
		_, err := alice.send(s, outgoing{
			kind: message.Community, typ: apppb.ApplicationMetadataMessage_CHAT_MESSAGE, community: w.Key, body: bytes.Repeat([]byte{0x0a, 0}, sds.MaxContent/2),
		})
		return err
	})
	f.ok(err)
	if got := alice.Counters()["sent without reliability: "+sds.ErrContent.Error()]; got != 1 {
		t.Errorf("%v", alice.Counters())
	}
	segments := drain(t, alice)
	hand(t, bobby, segments...)
	if typ != apppb.ApplicationMetadataMessage_CHAT_MESSAGE || len(segments) < 8 {
		t.Errorf("of %d segments came %s", len(segments), message.Name(typ))
	}
	if next, err := alice.tendAll(); err != nil || !next.IsZero() {
		t.Errorf("the channel has something to do at %v, %v", next, err)
	}
}

// Control of a community is applied when it comes, whatever the channel waits
// for; content waits.
func TestControlDoesNotWait(t *testing.T) {
	t.Parallel()
	w, s, clock, f := townOf(t, SDSStandard)
	f.speak(w, sds.Default(), f.inChannel(w, 0, "lost")) // and nobody has it
	clock.advance(2 * time.Second)
	f.now = clock.at
	w.by.Now = clock.at
	before, _, err := descriptionClock(s, w.Key)
	f.ok(err)
	var failed error
	w.Community, failed = w.EditChannel(w.by, w.Description.Channels[0].UUID, w.Description.Channels[0].Params())
	f.ok(failed)
	raw, _, err := message.Wrap(apppb.ApplicationMetadataMessage_COMMUNITY_DESCRIPTION, w.Description.Encode(), w.by.Key)
	f.ok(err)
	hand(t, s,
		f.onTopic(w, topic.CommunityName(w.Key), f.speak(w, sds.Default(), raw)),
		f.toTown(w, f.speak(w, sds.Default(), f.inChannel(w, 0, "after it"))),
	)
	after, _, err := descriptionClock(s, w.Key)
	f.ok(err)
	if before >= after || after != w.Description.Clock {
		t.Errorf("the description of %d, not %d, is known; %v", after, w.Description.Clock, s.Counters())
	}
	if got := textsOf(t, s, w.channel(0)); len(got) != 0 {
		t.Errorf("content does not wait: %q", got)
	}
	// When what it waits for is lost, it is shown, and the description once.
	counters := s.Counters()
	for range 200 {
		clock.advance(5 * time.Second)
		if _, err := s.tendAll(); err != nil {
			t.Fatal(err)
		}
	}
	if got := textsOf(t, s, w.channel(0)); !slices.Equal(got, []string{"after it"}) {
		t.Errorf("%q, %v", got, s.Counters())
	}
	if names := increased(counters, s.Counters()); len(names) != 0 {
		t.Errorf("counted %v", names)
	}
}

// descriptionClock returns the clock of the description that is known.
func descriptionClock(s *Stack, k key.Public) (clock uint64, ok bool, err error) {
	err = s.update(func(t *step) error {
		c, there, err := s.community(t.Tx, k)
		clock, ok = c.Description.Clock, there
		return err
	})
	return clock, ok, err
}

// A message that waited is judged by the time at which it was said, not by that
// of an older one that it waited for.
func TestWaitingMessagesKeepTheirTime(t *testing.T) {
	t.Parallel()
	w, s, clock, f := townOf(t, SDSStandard)
	first := f.toTown(w, f.speak(w, sds.Default(), f.inChannel(w, 0, "first")))
	clock.advance(time.Hour)
	f.now = clock.at
	hand(t, s, f.toTown(w, f.speak(w, sds.Default(), f.inChannel(w, 0, "an hour later"))))
	if got := textsOf(t, s, w.channel(0)); len(got) != 0 {
		t.Fatalf("it did not wait: %q", got)
	}
	hand(t, s, first)
	if got := textsOf(t, s, w.channel(0)); !slices.Equal(got, []string{"an hour later", "first"}) {
		t.Errorf("%q, %v", got, s.Counters())
	}
}

// The header that SDS adds to a message has at most 1 KB, however much has been
// said before. What it takes in a channel of some time is logged.
func TestSDSHeaderBytes(t *testing.T) {
	t.Parallel()
	w, s, clock, f := townOf(t, SDSStandard)
	last := 0
	for i := range 600 {
		clock.advance(time.Second)
		f.now = clock.at
		if i%2 == 0 {
			hand(t, s, f.toTown(w, f.speak(w, sds.Default(), f.inChannel(w, 0, fmt.Sprint(i)))))
			drain(t, s)
			continue
		}
		if _, err := s.Say(w.channel(0), Content{Text: fmt.Sprint(i)}); err != nil {
			t.Fatal(err)
		}
		for _, m := range w.sentBy(s) {
			raw, err := m.Encode(sds.Standard)
			f.ok(err)
			if last = len(raw) - len(m.Content); last > 1024 {
				t.Fatalf("message %d has a header of %d bytes", i, last)
			}
		}
	}
	t.Logf("%d bytes", last)
	if last < 300 {
		t.Errorf("%d bytes are less than the filter takes", last)
	}
}

// Acknowledgement makes a message of ours delivered, and tells by whom.
func TestAcknowledgedByAMember(t *testing.T) {
	t.Parallel()
	w, s, clock, f := townOf(t, SDSStandard)
	sent, err := s.Say(w.channel(0), Content{Text: "hello"})
	f.ok(err)
	ours := w.sentBy(s)[0]
	raw, err := ours.Encode(sds.Standard)
	f.ok(err)
	clock.advance(time.Second)
	f.now = clock.at
	_, err = f.channelOf(w, sds.Default()).Receive(f.st, f.now, f.rand, raw, nil)
	f.ok(err)
	// Passed on by another: it is the author's acknowledgement all the same.
	answer := f.speak(w, sds.Default(), f.inChannel(w, 0, "hello yourself"))
	other := newForger(t, 2, f.now)
	hand(t, s, other.toTown(w, answer))
	var change struct {
		State chat.State `json:"state"`
		By    key.Public `json:"by"`
	}
	events := eventsOf(t, s, EventMessageState)
	if len(events) != 1 {
		t.Fatalf("%d events", len(events))
	}
	f.ok(json.Unmarshal(events[0].Data, &change))
	if change.State != chat.Delivered || change.By != f.key.Public() {
		t.Errorf("%+v", change)
	}
	if m, err := s.Message(sent[0].ID); err != nil || m.State != chat.Delivered {
		t.Errorf("%+v, %v", m, err)
	}
	if got := s.Synced().Communities; len(got) != 1 || got[0].Acknowledged != 1 || got[0].Sent.Messages.Count != 1 || got[0].Received.PassedOn.Count != 1 {
		t.Errorf("counted %+v", got)
	}
}

// Hints of the deployed form and ours are read; nothing else is.
func TestHints(t *testing.T) {
	t.Parallel()
	a, b := hashNumber(1), hashNumber(2)
	nim := Network{SDS: SDSNim}
	for name, c := range map[string]struct {
		raw  []byte
		want []wakumessage.Hash
	}{
		"ours":      {Network{SDS: SDSStandard}.encodeHint(a), []wakumessage.Hash{a}},
		"nim":       {nim.encodeHint(a), []wakumessage.Hash{a}},
		"two":       {slices.Concat(nim.encodeHint(a), nim.encodeHint(b)), []wakumessage.Hash{a, b}},
		"none":      {nil, nil},
		"short":     {a[:31], nil},
		"cut":       {nim.encodeHint(a)[:20], nil},
		"no hashes": {[]byte{0x0a, 1, 1}, nil},
	} {
		if got := decodeHint(c.raw); !slices.Equal(got, c.want) {
			t.Errorf("%s: %v", name, got)
		}
	}
}

func FuzzHint(f *testing.F) {
	h := hashNumber(1)
	f.Add(h[:])
	f.Add(Network{SDS: SDSNim}.encodeHint(h))
	f.Fuzz(func(t *testing.T, raw []byte) {
		if got := decodeHint(raw); len(got)*len(h) > len(raw) {
			t.Errorf("%d hashes of %d bytes", len(got), len(raw))
		}
	})
}

// What waits to be fetched is bounded and named once.
func TestLookupsAreBounded(t *testing.T) {
	t.Parallel()
	q := newLookups()
	k, other := identity(t, 0).Public(), identity(t, 1).Public()
	q.add([]lookup{{other, hashNumber(0)}})
	for range 2 {
		for n := range lookupsMost + 1 {
			q.add([]lookup{{k, hashNumber(n)}})
		}
	}
	got := map[key.Public]int{}
	for {
		of, hashes := q.take()
		if len(hashes) == 0 {
			break
		}
		if len(hashes) > lookupMost {
			t.Fatalf("%d at once", len(hashes))
		}
		got[of] += len(hashes)
	}
	if want := map[key.Public]int{k: lookupsMost - 1, other: 1}; !maps.Equal(got, want) {
		t.Errorf("%v", got)
	}
}

// A hint that names something else than a message of the community makes nothing
// happen twice.
func TestHintOfAnotherMessage(t *testing.T) {
	t.Parallel()
	w, s, _, f := townOf(t, SDSStandard)
	f.meet(s)
	e := f.mail(s.Self(), f.encrypt(s.Self(), f.sync(s.Self(), f.chat(s.Self(), "between us", f.now))))
	e.PubsubTopic = pubsub(specified().CommunityContent[0])[0]
	hand(t, s, e)
	before, counters := content(t, s.db), s.Counters()
	e.Stored, e.lookedUp = true, true
	hand(t, s, e)
	if changed := difference(before, content(t, s.db)); len(changed) != 0 || len(increased(counters, s.Counters())) != 0 {
		t.Errorf("changed %v, counted %v", changed, s.Counters())
	}
	public := f.toTown(w, f.speak(w, sds.Default(), f.inChannel(w, 0, "to all")))
	hand(t, s, public)
	before = content(t, s.db, "core/")
	public.Stored, public.lookedUp = true, true
	hand(t, s, public)
	if changed := difference(before, content(t, s.db, "core/")); len(changed) != 0 {
		t.Errorf("changed %v", changed)
	}
}
