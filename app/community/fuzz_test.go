package community

import (
	"bytes"
	"math"
	"testing"

	"github.com/parley-im/parley/account/key"
	"github.com/parley-im/parley/internal/vectors"
)

// Whatever comes in: no panic, an order of everything that does not depend on
// how it was written, and a community that its owner can go on with.
func FuzzParse(f *testing.F) {
	for _, c := range vectors.Cases[descriptionCase](f, "community_description") {
		f.Add([]byte(c.Description))
	}
	f.Add(create(f, people(4)[2:]...).Description.Encode())
	p := people(3)
	f.Fuzz(func(t *testing.T, raw []byte) {
		k := p[0].Public()
		d, err := Parse(k, raw)
		if err != nil {
			return
		}
		if !bytes.Equal(d.Encode(), raw) || d.Clock == 0 || d.Name == "" || d.Access == "" {
			t.Fatalf("read as %+v", d)
		}
		for i := 1; i < len(d.Members); i++ {
			if d.Members[i-1].ID >= d.Members[i].ID {
				t.Fatal("members are not sorted")
			}
		}
		for i := 1; i < len(d.Banned); i++ {
			if d.Banned[i-1].ID >= d.Banned[i].ID {
				t.Fatal("banned are not sorted")
			}
		}
		c := Community{Key: k}.with(k, d, nil)
		for _, ch := range d.Channels {
			c.CanPost(p[2].Public(), ch.UUID)
			if _, uuid, err := SplitChannelID(ChannelID(k, ch.UUID)); err != nil || uuid != ch.UUID {
				t.Fatalf("channel %q: %v", ch.UUID, err)
			}
		}
		after, err := c.SetActiveMembers(by(0), 1)
		if err != nil {
			return // gated, or with texts that cannot be published
		}
		if after.Description.Clock <= d.Clock || len(after.Description.Members) != len(d.Members) ||
			len(after.Description.Channels) != len(d.Channels) || len(after.Description.Banned) != len(d.Banned) {
			t.Fatalf("%+v became %+v", d, after.Description)
		}
		if changes := Changes(c, after, p[2].Public()); len(changes) > 0 {
			t.Fatalf("nothing changed, and yet %+v", changes)
		}
		roundTrip(t, after)
	})
}

// Each message that is read is encoded to what is read the same.
func FuzzParseMessages(f *testing.F) {
	for _, c := range vectors.Cases[conversation](f, "conversation") {
		for _, d := range c.Decoded {
			switch d.Type {
			case "COMMUNITY_REQUEST_TO_JOIN":
				f.Add(byte(0), []byte(d.Payload))
			case "COMMUNITY_REQUEST_TO_JOIN_RESPONSE":
				f.Add(byte(4), []byte(d.Payload))
			}
		}
	}
	c := create(f)
	k, me := c.Key, people(3)[2].Public()
	for i, m := range []interface{ Encode() ([]byte, error) }{
		Request{Community: k, Clock: 1}, Cancel{Community: k, Clock: 1}, Leaving{Community: k, Clock: 1}, Addresses{Community: k, Clock: 1},
		Response{Community: k, Clock: 1, Wrapped: c.Wrapped}, Kicked{Community: k, Clock: 1}, ArchiveLink{Clock: 1, URI: "magnet:"},
		Deletion{Community: k, Member: me, Messages: []Deleted{{ChatID: ChannelID(k, "a")}}},
	} {
		raw, err := m.Encode()
		if err != nil {
			f.Fatal(err)
		}
		f.Add(byte(i), raw)
	}
	for _, clock := range []uint64{firstMilliseconds, math.MaxUint64} {
		raw, err := Request{Community: k, Clock: clock}.Encode()
		if err != nil {
			f.Fatal(err)
		}
		f.Add(byte(0), raw)
	}
	f.Fuzz(func(t *testing.T, which byte, raw []byte) {
		switch which % 8 {
		case 0:
			again(t, raw, func(raw []byte) (Request, error) { return ParseRequest(me, raw) })
		case 1:
			again(t, raw, func(raw []byte) (Cancel, error) { return ParseCancel(me, raw) })
		case 2:
			again(t, raw, func(raw []byte) (Leaving, error) { return ParseLeaving(me, raw) })
		case 3:
			again(t, raw, func(raw []byte) (Addresses, error) { return ParseAddresses(me, raw) })
		case 4:
			r, err := ParseResponse(raw)
			if err != nil {
				return
			}
			// What is inside may be anything: taking it in does not fall over.
			mine := Community{Key: r.Community, Request: OwnRequest{State: Pending}}
			mine.Answered(r, Incoming{Author: r.Community, Self: me, At: now})
			if _, _, err := Unwrap(r.Wrapped); err == nil || len(r.Wrapped) == 0 {
				again(t, raw, ParseResponse)
			}
		case 5:
			again(t, raw, ParseKicked)
		case 6:
			again(t, raw, ParseArchiveLink)
		case 7:
			again(t, raw, ParseDeletion)
		}
	})
}

func again[T interface{ Encode() ([]byte, error) }](t *testing.T, raw []byte, parse func([]byte) (T, error)) {
	t.Helper()
	m, err := parse(raw)
	if err != nil {
		return
	}
	out, err := m.Encode()
	if err != nil {
		return // a description inside that cannot be put beside its signed form
	}
	back, err := parse(out)
	if err != nil {
		t.Fatalf("%x: %v", out, err)
	}
	if twice, err := back.Encode(); err != nil || !bytes.Equal(twice, out) {
		t.Fatalf("%x came back as %x, %v", out, twice, err)
	}
}

// A chat id that is taken apart is put together again.
func FuzzSplitChannelID(f *testing.F) {
	f.Add(ChannelID(people(1)[0].Public(), "49584664-59c5-42bf-8c72-6b559361ec19"))
	f.Fuzz(func(t *testing.T, chatID string) {
		k, uuid, err := SplitChannelID(chatID)
		if err == nil && (ChannelID(k, uuid) != chatID || k == (key.Public{})) {
			t.Fatalf("%q is %s and %q", chatID, k.Hex(), uuid)
		}
	})
}
