package stack

import (
	"slices"
	"strings"
	"testing"
	"time"

	"google.golang.org/protobuf/proto"

	"github.com/parley-im/parley/account/key"
	encryptionpb "github.com/parley-im/parley/pb/encryption"
	"github.com/parley-im/parley/waku/payload"
	"github.com/parley-im/parley/waku/topic"
)

// Segments change nothing that shows until the last one needed is there, in
// any order, and each time only once.
func TestSegmentedMessage(t *testing.T) {
	t.Parallel()
	s, clock := still(t, 0)
	f := newForger(t, 1, clock.at)
	parts := f.segments(1000)
	if len(parts) < 4 {
		t.Fatalf("%d segments", len(parts))
	}
	slices.Reverse(parts)
	for i, part := range parts {
		before, counters := content(t, s.db, "seen/", "core/segment/"), s.Counters()
		hand(t, s, f.mail(s.Self(), part))
		hand(t, s, f.mail(s.Self(), part)) // in another envelope
		all, err := s.Messages("")
		if err != nil {
			t.Fatal(err)
		}
		if len(all) == 1 {
			if all[0].Text != strings.Repeat("long ", 800) {
				t.Error("put together wrongly")
			}
			break
		}
		if changed := difference(before, content(t, s.db, "seen/", "core/segment/")); len(changed) != 0 {
			t.Errorf("segment %d changed %v", i, changed)
		}
		if names := increased(counters, s.Counters()); len(names) != 0 {
			t.Errorf("segment %d: counters %v", i, names)
		}
	}
	before := content(t, s.db, "seen/", "core/segment/")
	for _, part := range parts {
		hand(t, s, f.mail(s.Self(), part))
	}
	if changed := difference(before, content(t, s.db, "seen/", "core/segment/")); len(changed) != 0 || len(eventsOf(t, s, EventMessage)) != 1 {
		t.Errorf("once more: changed %v, %d events", changed, len(eventsOf(t, s, EventMessage)))
	}
}

// Our own long messages are cut, and put together at the other end; each
// part fits.
//
// Proves: SP-87.
func TestOutgoingSegments(t *testing.T) {
	t.Parallel()
	alice, clock := still(t, 0)
	bobby, _ := still(t, 1)
	alice.segmentSize = 500
	sent, err := alice.SendText(bobby.Self(), strings.Repeat("länger ", 500), "")
	if err != nil {
		t.Fatal(err)
	}
	clock.advance(time.Second)
	parts := drain(t, alice)
	if len(parts) < 9 {
		t.Fatalf("%d envelopes", len(parts))
	}
	for _, e := range parts {
		if n := proto.Size(e.Message); n > 1400 {
			t.Errorf("a part of %d bytes", n)
		}
	}
	hand(t, bobby, parts[1:]...) // parity stands in for the first
	if got, err := bobby.Message(sent.ID); err != nil || got.Text != sent.Text {
		t.Errorf("%+v, %v", got, err)
	}
}

// notForUs makes a message for a device that does not exist.
func (f *forger) notForUs(to key.Public) Envelope {
	f.t.Helper()
	var m encryptionpb.ProtocolMessage
	f.ok(proto.Unmarshal(f.encryptAside(to, []byte("x")), &m))
	for id, entry := range m.EncryptedMessage {
		delete(m.EncryptedMessage, id)
		m.EncryptedMessage["a device long gone"] = entry
	}
	raw, err := proto.Marshal(&m)
	f.ok(err)
	return f.mail(to, raw)
}

// Who writes to other devices of ours only is told of this one, at most every
// two hours, and their bundle is learnt.
func TestIntroduction(t *testing.T) {
	t.Parallel()
	s, clock := still(t, 0)
	f := newForger(t, 1, clock.at)
	answers := func() int {
		f.now = clock.at
		hand(t, s, f.notForUs(s.Self()))
		out := drain(t, s)
		for _, e := range out {
			opened, err := payload.OpenAsymmetric(e.Message.GetPayload(), f.key)
			f.ok(err)
			got, err := f.session.Open(f.st, f.now, f.rand, s.Self(), opened.Payload)
			f.ok(err)
			if len(got.Payload) != 0 {
				t.Errorf("the answer says %q", got.Payload)
			}
			if e.Message.GetContentTopic() != topic.Content(topic.PartitionedName(f.key.Public())) {
				t.Errorf("the answer is on %s", e.Message.GetContentTopic())
			}
		}
		return len(out)
	}
	if got := answers(); got != 1 {
		t.Fatalf("%d answers", got)
	}
	known, err := f.session.Installations(f.st, s.Self())
	if err != nil || len(known) != 1 || known[0].ID != "still-0" {
		t.Errorf("the answer made known %v, %v", known, err)
	}
	clock.advance(2*time.Hour - time.Second)
	if got := answers(); got != 0 {
		t.Errorf("%d answers within two hours", got)
	}
	clock.advance(time.Second)
	if got := answers(); got != 1 {
		t.Errorf("%d answers after two hours", got)
	}
	if names := s.Counters(); names["not for this device: message is for other installations only"] != 3 {
		t.Errorf("counters %v", names)
	}
	// The bundle that came along is used for the next message.
	if _, err := s.SendText(f.key.Public(), "now we know", ""); err != nil {
		t.Fatal(err)
	}
	e := drain(t, s)[0]
	opened, err := payload.OpenAsymmetric(e.Message.GetPayload(), f.key)
	f.ok(err)
	var m encryptionpb.ProtocolMessage
	f.ok(proto.Unmarshal(opened.Payload, &m))
	if m.EncryptedMessage["forger-1"] == nil {
		t.Errorf("encrypted for %v", m.EncryptedMessage)
	}
}

// An introduction that arrives carries nothing, and counts as nothing.
func TestIntroductionReceived(t *testing.T) {
	t.Parallel()
	s, clock := still(t, 0)
	f := newForger(t, 1, clock.at)
	advert, err := f.session.SealAdvertisement(f.st, f.now, f.rand, s.Self())
	f.ok(err)
	before := content(t, s.db, "seen/", "core/session/", "topic-key/")
	hand(t, s, f.mail(s.Self(), advert.Bytes))
	if changed := difference(before, content(t, s.db, "seen/", "core/session/", "topic-key/")); len(changed) != 0 {
		t.Errorf("changed %v", changed)
	}
	if len(s.Counters()) != 0 {
		t.Errorf("counters %v", s.Counters())
	}
	var known int
	err = s.update(func(t *step) error {
		all, err := s.session.Installations(t.Core("session"), f.key.Public())
		known = len(all)
		return err
	})
	if err != nil || known != 1 {
		t.Errorf("%d devices known, %v", known, err)
	}
}
