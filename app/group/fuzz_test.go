package group

import (
	"bytes"
	"testing"

	"github.com/parley-im/parley/internal/vectors"
)

// Whatever comes in: no panic, events as they were, and a group that comes out
// the same whatever is sent twice, that deployed clients take, and that
// survives its JSON.
func FuzzParseUpdate(f *testing.F) {
	for _, c := range vectors.Cases[updateCase](f, "membership_update") {
		f.Add([]byte(c.MembershipUpdateMessage))
	}
	f.Fuzz(func(t *testing.T, raw []byte) {
		u, err := ParseUpdate(raw)
		if err != nil {
			return
		}
		again, err := u.Encode()
		if err != nil {
			t.Fatal(err)
		}
		back, err := ParseUpdate(again)
		if err != nil || back.ID != u.ID || len(back.Events) != len(u.Events) {
			t.Fatalf("read again as %+v, %v", back, err)
		}
		g, dropped, err := Group{}.Merge(u.ID, u.Events, now)
		if err != nil || len(g.Events)+len(g.Refused)+len(dropped) > len(u.Events) {
			t.Fatalf("%d events became %d, %d and %d: %v", len(u.Events), len(g.Events), len(g.Refused), len(dropped), err)
		}
		twice, _, err := g.Merge(u.ID, u.Events, now)
		if err != nil {
			t.Fatal(err)
		}
		same(t, twice, g)
		roundTrip(t, g)
		if g.Created != 0 {
			deployed(t, g)
		}
	})
}

// An event that is read is kept byte for byte and says the same when signed.
func FuzzParseEvent(f *testing.F) {
	for _, c := range vectors.Cases[updateCase](f, "membership_update") {
		for _, e := range c.Events {
			f.Add(c.ChatID, append(bytes.Clone(e.Signature), e.RawPayload...))
		}
	}
	me := people(1)[0]
	f.Fuzz(func(t *testing.T, id string, raw []byte) {
		e, err := ParseEvent(id, raw)
		if err != nil {
			return
		}
		if !bytes.Equal(e.Raw, raw) || e.Author.IsZero() || e.Clock == 0 {
			t.Fatalf("%+v of %x", e, raw)
		}
		mine, err := Sign(id, e, me)
		if err != nil {
			t.Fatalf("cannot be signed: %v", err)
		}
		back, err := ParseEvent(id, mine.Raw)
		if err != nil || back.Author != me.Public() || back.Type != e.Type || back.Clock != e.Clock ||
			back.Name != e.Name || back.Color != e.Color || !bytes.Equal(back.Image, e.Image) || len(back.Members) != len(e.Members) {
			t.Fatalf("%+v came back as %+v, %v", e, back, err)
		}
	})
}
