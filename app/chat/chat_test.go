package chat

import (
	"encoding/json"
	"errors"
	"math"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/parley-im/parley/account/key"
	"github.com/parley-im/parley/app/message"
	apppb "github.com/parley-im/parley/pb/app"
)

// newKey returns a key that depends on nothing but the seed.
func newKey(t testing.TB, seed byte) key.Private {
	t.Helper()
	k, err := key.Generate(rand.NewChaCha8([32]byte{seed}))
	if err != nil {
		t.Fatal(err)
	}
	return k
}

// Proves: AP-153, AP-156.
func TestNextClock(t *testing.T) {
	t.Parallel()
	now := time.UnixMilli(1_700_000_000_123)
	ms := uint64(now.UnixMilli())
	for _, test := range []struct{ last, want uint64 }{
		{0, ms}, {1, ms}, {ms - 1, ms}, {ms, ms + 1}, {ms + 1, ms + 2}, {ms + 500, ms + 501},
		{math.MaxUint64 - 1, math.MaxUint64}, {math.MaxUint64, math.MaxUint64},
	} {
		if got := NextClock(test.last, now); got != test.want {
			t.Errorf("NextClock(%d) = %d, want %d", test.last, got, test.want)
		}
	}
	if got := NextClock(0, time.UnixMilli(-5)); got != 1 {
		t.Errorf("before 1970 the clock is %d", got)
	}
}

func TestChat(t *testing.T) {
	t.Parallel()
	peer := newKey(t, 1).Public()
	c := NewOneToOne(peer)
	if c.ID != peer.Hex() || c.Kind != message.OneToOne || c.Peer != peer || c.Active {
		t.Errorf("%+v", c)
	}
	c = c.Saw(10).Saw(7)
	if c.LastClock != 10 || c.Cleared(1) {
		t.Errorf("%+v", c)
	}
	c = c.MarkRead(8).MarkRead(5)
	if c.ReadClock != 8 {
		t.Errorf("read up to %d", c.ReadClock)
	}
	if c.MarkRead(99).ReadClock != 10 {
		t.Error("read what has not come yet")
	}
	c = c.Clear()
	if !c.Cleared(10) || c.Cleared(11) || c.ReadClock != 10 {
		t.Errorf("%+v", c)
	}
	raw, err := json.Marshal(c)
	var back Chat
	if err != nil || json.Unmarshal(raw, &back) != nil || back != c {
		t.Errorf("%s became %+v, %v", raw, back, err)
	}
}

// Proves: AP-160, AP-162.
func TestMatch(t *testing.T) {
	t.Parallel()
	self, peer, third := newKey(t, 1).Public(), newKey(t, 2).Public(), newKey(t, 3).Public()
	for _, test := range []struct {
		name   string
		typ    apppb.MessageType
		chatID string
		author key.Public
		want   Place
		err    error
	}{
		{"from the other", apppb.MessageType_ONE_TO_ONE, self.Hex(), peer, Place{ID: peer.Hex(), Kind: message.OneToOne, Peer: peer}, nil},
		{"what it says does not count", apppb.MessageType_ONE_TO_ONE, third.Hex(), peer, Place{ID: peer.Hex(), Kind: message.OneToOne, Peer: peer}, nil},
		{"nor that it says nothing", apppb.MessageType_ONE_TO_ONE, "", peer, Place{ID: peer.Hex(), Kind: message.OneToOne, Peer: peer}, nil},
		{"own other device", apppb.MessageType_ONE_TO_ONE, peer.Hex(), self, Place{ID: peer.Hex(), Kind: message.OneToOne, Peer: peer, Own: true}, nil},
		{"own, to nobody", apppb.MessageType_ONE_TO_ONE, "", self, Place{}, ErrChatID},
		{"own, compressed key", apppb.MessageType_ONE_TO_ONE, peer.CompressedHex(), self, Place{}, ErrChatID},
		{"own, no prefix", apppb.MessageType_ONE_TO_ONE, peer.Hex()[2:], self, Place{}, ErrChatID},
		{"own, capitals", apppb.MessageType_ONE_TO_ONE, "0x" + strings.ToUpper(peer.Hex()[2:]), self, Place{}, ErrChatID},
		{"own, no point", apppb.MessageType_ONE_TO_ONE, "0x04" + strings.Repeat("11", 64), self, Place{}, ErrChatID},
		{"public", apppb.MessageType_PUBLIC_GROUP, "status", peer, Place{ID: "status", Kind: message.PublicChat, MustExist: true}, nil},
		{"group", apppb.MessageType_PRIVATE_GROUP, "uuid-0x04", peer, Place{ID: "uuid-0x04", Kind: message.PrivateGroup, MustExist: true}, nil},
		{"community, own", apppb.MessageType_COMMUNITY_CHAT, "0x02uuid", self, Place{ID: "0x02uuid", Kind: message.Community, Own: true, MustExist: true}, nil},
		{"community, nowhere", apppb.MessageType_COMMUNITY_CHAT, "", peer, Place{}, ErrChatID},
		{"no type", apppb.MessageType_UNKNOWN_MESSAGE_TYPE, "x", peer, Place{}, ErrMessageType},
		{"system", apppb.MessageType_SYSTEM_MESSAGE_PRIVATE_GROUP, "x", peer, Place{}, ErrMessageType},
		{"a later type", 99, "x", peer, Place{}, ErrMessageType},
	} {
		got, err := Match(&apppb.ChatMessage{MessageType: test.typ, ChatId: test.chatID}, test.author, self)
		if got != test.want || !errors.Is(err, test.err) {
			t.Errorf("%s: %+v, %v", test.name, got, err)
		}
	}
}

// Every pair of states: what was delivered never goes back.
func TestStates(t *testing.T) {
	t.Parallel()
	all := []State{Pending, Sent, Delivered, Failed, Received}
	allowed := map[[2]State]bool{
		{Pending, Sent}: true, {Pending, Delivered}: true, {Pending, Failed}: true,
		{Sent, Delivered}: true, {Sent, Failed}: true,
		{Failed, Pending}: true, {Failed, Sent}: true, {Failed, Delivered}: true,
	}
	for _, from := range all {
		for _, to := range append(all, "nonsense") {
			got, changed := from.Advance(to)
			want := from
			if allowed[[2]State{from, to}] {
				want = to
			}
			if got != want || changed != (want != from) {
				t.Errorf("%s to %s: %s, %v", from, to, got, changed)
			}
		}
	}
}

// Messages stand by clock, then by id, whatever their timestamps say and in
// whatever order they arrive.
//
// Proves: AP-155, AP-159.
func TestCompare(t *testing.T) {
	t.Parallel()
	want := []*Message{
		{Clock: 1, Timestamp: 900, ID: message.ID{9}},
		{Clock: 2, Timestamp: 800, ID: message.ID{1}},
		{Clock: 2, Timestamp: 100, ID: message.ID{2}},
		{Clock: 2, Timestamp: 500, ID: message.ID{2, 1}},
		{Clock: math.MaxUint64, Timestamp: 0, ID: message.ID{}},
	}
	if Compare(want[0], want[0]) != 0 {
		t.Error("a message does not stand where it stands")
	}
	for seed := range uint64(50) {
		got := slices.Clone(want)
		rand.New(rand.NewPCG(seed, 0)).Shuffle(len(got), func(i, j int) { got[i], got[j] = got[j], got[i] })
		slices.SortFunc(got, Compare)
		if !slices.Equal(got, want) {
			t.Fatalf("seed %d: other order", seed)
		}
	}
}

// Proves: AP-130, AP-131.
func TestMentions(t *testing.T) {
	t.Parallel()
	a, b := newKey(t, 1).Public(), newKey(t, 2).Public()
	for _, test := range []struct {
		text string
		keys []key.Public
		all  bool
	}{
		{"", nil, false},
		{"nobody", nil, false},
		{"@alice @0x @0x04", nil, false},
		{Mention(a), []key.Public{a}, false},
		{"hi " + Mention(a) + ", " + Mention(b) + " and " + Mention(a) + "!", []key.Public{a, b}, false},
		{Mention(b) + Mention(a), []key.Public{b, a}, false},
		{"@" + a.CompressedHex() + strings.Repeat(" ", 64), nil, false},
		{"@0x04" + strings.Repeat("11", 64) + " " + Mention(a), []key.Public{a}, false},
		{Mention(a)[:131], nil, false},
		{"@0x00001", nil, true},
		{"@0x00001 and " + Mention(a), []key.Public{a}, true},
		{"@0x000012", nil, false},
		{"@0x@0x@0x00001", nil, true},
	} {
		keys, all := Mentions(test.text)
		if !slices.Equal(keys, test.keys) || all != test.all {
			t.Errorf("%q: %v, %v", test.text, keys, all)
		}
	}
	if got, want := Mention(a), "@0x"+a.Hex()[2:]; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
}
