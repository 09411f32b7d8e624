package community

import (
	"testing"

	"github.com/parley-im/parley/account/key"
	apppb "github.com/parley-im/parley/pb/app"
)

// fillMembers lists members until there are n. They have the form of keys and
// are none, which is all that reading a description asks for.
func fillMembers(m *apppb.CommunityDescription, n int) {
	for i := 0; len(m.Members) < n; i++ {
		a := key.Keccak256([]byte{byte(i), byte(i >> 8), byte(i >> 16)})
		b := key.Keccak256(a[:])
		m.Members["0x04"+hexOf(a)+hexOf(b)] = &apppb.CommunityMember{LastUpdateClock: uint64(i)}
	}
}

func hexOf(b [32]byte) string { return RequestID(b).String()[2:] }

// large has 5,000 members and 50 channels.
func large(b *testing.B) Community {
	b.Helper()
	c := create(b)
	for i := 1; i < 50; i++ {
		var err error
		if c, _, err = c.CreateChannel(Control{Key: by(0).Key, Now: now, Rand: &counting{uint64(i) << 32}}, ChannelParams{Name: "channel", Text: "about something"}); err != nil {
			b.Fatal(err)
		}
	}
	c = forged(b, c, func(m *apppb.CommunityDescription) { fillMembers(m, 5000) })
	if len(c.Description.Channels) != 50 || len(c.Description.Members) != 5000 {
		b.Fatalf("%d channels, %d members", len(c.Description.Channels), len(c.Description.Members))
	}
	return c
}

func BenchmarkParse(b *testing.B) {
	c := large(b)
	b.SetBytes(int64(len(c.Wrapped)))
	b.ReportAllocs()
	for b.Loop() {
		if _, err := Parse(c.Key, c.Description.Encode()); err != nil {
			b.Fatal(err)
		}
	}
}

// A description that changes one thing, with the signature.
func BenchmarkReceive(b *testing.B) {
	c := large(b)
	next, err := c.SetActiveMembers(by(1), 3)
	if err != nil {
		b.Fatal(err)
	}
	self := people(3)[2].Public()
	b.ReportAllocs()
	for b.Loop() {
		if _, _, err := c.ReceiveWrapped(next.Wrapped, Incoming{Self: self, At: now}); err != nil {
			b.Fatal(err)
		}
	}
}

// The description that is known already, as it comes every day.
func BenchmarkReceiveKnown(b *testing.B) {
	c := large(b)
	in := Incoming{Author: c.Key, Wrapped: c.Wrapped, Payload: c.Description.Encode(), Self: people(3)[2].Public(), At: now}
	b.ReportAllocs()
	for b.Loop() {
		if _, _, err := c.Receive(in); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkLoad(b *testing.B) {
	c := large(b)
	raw, err := c.MarshalJSON()
	if err != nil {
		b.Fatal(err)
	}
	b.ReportAllocs()
	for b.Loop() {
		var back Community
		if err := back.UnmarshalJSON(raw); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkCanPost(b *testing.B) {
	c := large(b)
	k, uuid := people(2)[1].Public(), c.Description.Channels[49].UUID
	b.ReportAllocs()
	for b.Loop() {
		if !c.CanPost(k, uuid) {
			b.Fatal("the owner may not post")
		}
	}
}

func BenchmarkAddMembers(b *testing.B) {
	c := large(b)
	r := Request{Member: people(3)[2].Public(), Community: c.Key, Clock: 1, State: Accepted}
	b.ReportAllocs()
	for b.Loop() {
		if _, err := c.AddMembers(by(2), r); err != nil {
			b.Fatal(err)
		}
	}
}
