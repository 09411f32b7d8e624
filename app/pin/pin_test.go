package pin

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"math/rand/v2"
	"reflect"
	"testing"
	"time"

	"google.golang.org/protobuf/proto"

	"github.com/parley-im/parley/account/key"
	"github.com/parley-im/parley/app/chat"
	"github.com/parley-im/parley/app/contact"
	"github.com/parley-im/parley/app/message"
	"github.com/parley-im/parley/internal/vectors"
	apppb "github.com/parley-im/parley/pb/app"
)

var in = contact.Incoming{WakuTime: time.Unix(1_700_000_000, 0)}

// someone returns a key that depends on nothing but the seed.
func someone(t testing.TB, seed byte) key.Public {
	t.Helper()
	k, err := key.Generate(rand.NewChaCha8([32]byte{seed}))
	if err != nil {
		t.Fatal(err)
	}
	return k.Public()
}

func pinned() *apppb.PinMessage {
	return &apppb.PinMessage{
		Clock: 1_700_000_000_000, MessageId: message.ID{5}.String(), ChatId: "group", Pinned: true, MessageType: apppb.MessageType_PRIVATE_GROUP,
	}
}

func group() chat.Place { return chat.Place{ID: "group", Kind: message.PrivateGroup} }

// The id of a pin is the same on both sides of a 1:1 chat, and that of deployed
// clients.
func TestID(t *testing.T) {
	t.Parallel()
	a, b := someone(t, 1), someone(t, 2)
	target := message.ID{5}
	low, high := a.Bytes(), b.Bytes()
	if bytes.Compare(low, high) > 0 {
		low, high = high, low
	}
	sum := func(parts ...[]byte) string {
		digest := sha256.Sum256(bytes.Join(parts, nil))
		return hex.EncodeToString(digest[:])
	}
	want := sum(target[:], low, high)
	toB := chat.Place{ID: b.Hex(), Kind: message.OneToOne, Peer: b}
	toA := chat.Place{ID: a.Hex(), Kind: message.OneToOne, Peer: a}
	if ID(target, toB, a) != want || ID(target, toA, b) != want {
		t.Errorf("%s and %s, want %s", ID(target, toB, a), ID(target, toA, b), want)
	}
	if got, want := ID(target, group(), a), sum(target[:], []byte("group")); got != want {
		t.Errorf("%s, want %s", got, want)
	}
	if ID(message.ID{6}, group(), a) == ID(target, group(), a) {
		t.Error("two messages, one id")
	}
}

// Every rule, at its limit and past it.
func TestValidate(t *testing.T) {
	t.Parallel()
	limit := uint64(in.WakuTime.UnixMilli()) + 120_000
	for name, test := range map[string]struct {
		change func(m *apppb.PinMessage)
		want   error
	}{
		"as it is":         {func(m *apppb.PinMessage) {}, nil},
		"unpin":            {func(m *apppb.PinMessage) { m.Pinned = false }, nil},
		"no clock":         {func(m *apppb.PinMessage) { m.Clock = 0 }, message.ErrClockZero},
		"clock at limit":   {func(m *apppb.PinMessage) { m.Clock = limit }, nil},
		"clock over limit": {func(m *apppb.PinMessage) { m.Clock = limit + 1 }, message.ErrClockAhead},
		"no chat":          {func(m *apppb.PinMessage) { m.ChatId = "" }, chat.ErrChatID},
		"no message":       {func(m *apppb.PinMessage) { m.MessageId = "" }, chat.ErrTarget},
		"bad message":      {func(m *apppb.PinMessage) { m.MessageId = "5" }, chat.ErrTarget},
		"no type":          {func(m *apppb.PinMessage) { m.MessageType = 0 }, chat.ErrMessageType},
		"system type":      {func(m *apppb.PinMessage) { m.MessageType = 4 }, chat.ErrMessageType},
	} {
		m := pinned()
		test.change(m)
		if err := Validate(m, in); !errors.Is(err, test.want) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if Validate(nil, in) == nil {
		t.Error("no pin is one")
	}
}

// Proves: AP-179.
func TestRead(t *testing.T) {
	t.Parallel()
	self, author := someone(t, 1), someone(t, 2)
	for _, on := range []bool{true, false} {
		m := pinned()
		m.Pinned = on
		p, place, err := Read(m, author, self, in)
		want := Pin{ID: ID(message.ID{5}, group(), self), Message: message.ID{5}, Chat: "group", By: author, Clock: m.Clock, Pinned: on}
		if err != nil || p != want || place.ID != "group" {
			t.Errorf("%+v in %+v, %v", p, place, err)
		}
	}
	// In a 1:1 chat it counts who pinned, not what they say; both sides have
	// one id.
	m := pinned()
	m.MessageType = apppb.MessageType_ONE_TO_ONE
	theirs, _, err := Read(m, author, self, in)
	m.ChatId = self.Hex()
	ours, _, err2 := Read(m, author, author, in)
	if err != nil || err2 != nil || theirs.ID != ours.ID || theirs.Chat != author.Hex() || ours.Chat != self.Hex() {
		t.Errorf("%+v, %+v, %v, %v", theirs, ours, err, err2)
	}
	m.ChatId = "nobody"
	if p, _, err := Read(m, self, self, in); !errors.Is(err, chat.ErrChatID) || p != (Pin{}) {
		t.Errorf("our own, to nobody: %+v, %v", p, err)
	}
	m.Clock = 0
	if _, _, err := Read(m, author, self, in); !errors.Is(err, message.ErrClockZero) {
		t.Errorf("got %v", err)
	}
}

// In whatever order pins arrive, and however often, the same messages are
// pinned, in the same order.
//
// Proves: AP-179.
func TestConverges(t *testing.T) {
	t.Parallel()
	r := rand.New(rand.NewPCG(1, 1))
	people := []key.Public{someone(t, 1), someone(t, 2), someone(t, 3)}
	var all []Pin
	for range 80 {
		target := message.ID{byte(r.IntN(8))}
		all = append(all, Pin{
			ID: ID(target, group(), people[0]), Message: target, Chat: "group", By: people[r.IntN(3)],
			Clock: 1 + r.Uint64N(5), Pinned: r.IntN(3) > 0,
		})
	}
	var want map[string]Pin
	var shown []Pin
	for seed := range uint64(200) {
		r := rand.New(rand.NewPCG(seed, 2))
		state := map[string]Pin{}
		for range 2 {
			for _, i := range r.Perm(len(all)) {
				if before, ok := state[all[i].ID]; ok {
					state[all[i].ID] = before.Merge(all[i])
				} else {
					state[all[i].ID] = all[i]
				}
			}
		}
		var list []Pin
		for _, p := range state { // in no order
			list = append(list, p)
		}
		if want == nil {
			want, shown = state, Pinned(list)
		}
		if !reflect.DeepEqual(state, want) || !reflect.DeepEqual(Pinned(list), shown) {
			t.Fatalf("seed %d: %+v, want %+v", seed, state, want)
		}
	}
	for id, held := range want {
		for _, p := range all {
			if p.ID == id && p.Clock > held.Clock {
				t.Errorf("%+v holds over %+v", held, p)
			}
		}
	}
	if len(shown) == 0 || len(shown) == len(want) {
		t.Errorf("%d of %d are pinned: the test shows nothing", len(shown), len(want))
	}
}

// Proves: AP-179.
func TestCompose(t *testing.T) {
	t.Parallel()
	self, other := someone(t, 1), someone(t, 2)
	target := &chat.Message{ID: message.ID{5}, Chat: "group"}
	m, p, err := Compose(Draft{Message: target, Place: group(), Pinned: true, Clock: 9}, self)
	want := pinned()
	want.Clock = 9
	if err != nil || !proto.Equal(m, want) {
		t.Fatalf("%v, %v", m, err)
	}
	if read, _, err := Read(m, other, self, in); err != nil || read.ID != p.ID {
		t.Errorf("%+v, %v", read, err)
	}
	if read, _, err := Read(m, self, self, in); err != nil || read != p {
		t.Errorf("our other device has %+v, %v; here it is %+v", read, err, p)
	}
	// A deleted message can be unpinned, by anybody who may.
	m, back, err := Compose(Draft{Message: target.DeleteForMe(), Place: group(), Clock: 10, Present: []Pin{p}}, other)
	if err != nil || m.Pinned || back.ID != p.ID || p.Merge(back).Pinned || back.By != other {
		t.Errorf("%v, %+v, %v", m, back, err)
	}
}

func TestComposeErrors(t *testing.T) {
	t.Parallel()
	self := someone(t, 1)
	target := &chat.Message{ID: message.ID{5}, Chat: "group"}
	held := func(n int) (all []Pin) {
		for i := range n {
			all = append(all, Pin{Message: message.ID{byte(i), 1}, Pinned: true}, Pin{Message: message.ID{byte(i), 2}})
		}
		return all
	}
	here := append(held(MaxPinned-1), Pin{Message: target.ID, Pinned: true})
	good := Draft{Message: target, Place: group(), Pinned: true, Clock: 9}
	for name, test := range map[string]struct {
		change func(d *Draft)
		want   error
	}{
		"as it is":       {func(d *Draft) {}, nil},
		"at the limit":   {func(d *Draft) { d.Present = held(MaxPinned - 1) }, nil},
		"past the limit": {func(d *Draft) { d.Present = held(MaxPinned) }, ErrTooMany},
		"far past it":    {func(d *Draft) { d.Present = held(MaxPinned + 2) }, ErrTooMany},
		"there already":  {func(d *Draft) { d.Present = here }, ErrPinned},
		"unpin it":       {func(d *Draft) { d.Present, d.Pinned = here, false }, nil},
		"unpin others":   {func(d *Draft) { d.Present, d.Pinned = held(MaxPinned), false }, ErrNoPin},
		"other chat":     {func(d *Draft) { d.Place.ID = "other" }, chat.ErrOtherChat},
		"no chat":        {func(d *Draft) { d.Place.ID, d.Message = "", &chat.Message{} }, chat.ErrChatID},
		"no kind":        {func(d *Draft) { d.Place.Kind = 0 }, chat.ErrMessageType},
		"no clock":       {func(d *Draft) { d.Clock = 0 }, message.ErrClockZero},
		"deleted":        {func(d *Draft) { d.Message = target.DeleteForMe() }, chat.ErrIsDeleted},
	} {
		d := good
		test.change(&d)
		m, p, err := Compose(d, self)
		if !errors.Is(err, test.want) || (m == nil) != (err != nil) || err != nil && p != (Pin{}) {
			t.Errorf("%s: %v, %v", name, m, err)
		}
	}
}

// A recorded pin of a deployed client is valid, and Parley writes the same
// bytes.
//
// Proves: AP-179.
func TestVectorsPins(t *testing.T) {
	t.Parallel()
	type recorded struct {
		Name    string
		Type    message.Type
		Payload vectors.Hex
	}
	self := someone(t, 1)
	var checked int
	for _, r := range vectors.Cases[recorded](t, "application_metadata") {
		if r.Type != apppb.ApplicationMetadataMessage_PIN_MESSAGE {
			continue
		}
		checked++
		t.Run(r.Name, func(t *testing.T) {
			var m apppb.PinMessage
			if err := proto.Unmarshal(r.Payload, &m); err != nil {
				t.Fatal(err)
			}
			read, place, err := Read(&m, self, self, in)
			if err != nil {
				t.Fatal(err)
			}
			var present []Pin
			if !m.Pinned {
				before := read
				before.Pinned = true
				present = append(present, before)
			}
			again, stored, err := Compose(Draft{
				Message: &chat.Message{ID: read.Message, Chat: place.ID}, Place: place, Pinned: m.Pinned, Clock: m.Clock, Present: present,
			}, self)
			if err != nil || stored != read {
				t.Fatalf("stored %+v, %v; recorded %+v", stored, err, read)
			}
			if raw, err := message.Encode(again); err != nil || !bytes.Equal(raw, r.Payload) {
				t.Errorf("composed\n%x, recorded\n%x (%v)", raw, []byte(r.Payload), err)
			}
		})
	}
	if checked == 0 {
		t.Error("no pin in the recording")
	}
}

// Whatever a pin is, it is judged without harm.
func FuzzRead(f *testing.F) {
	type recorded struct{ Payload vectors.Hex }
	for _, r := range vectors.Cases[recorded](f, "application_metadata") {
		f.Add([]byte(r.Payload))
	}
	self, author := someone(f, 1), someone(f, 2)
	late := contact.Incoming{WakuTime: time.Unix(1<<40, 0)}
	f.Fuzz(func(t *testing.T, raw []byte) {
		var m apppb.PinMessage
		if proto.Unmarshal(raw, &m) != nil {
			return
		}
		p, place, err := Read(&m, author, self, late)
		if (err == nil) != (Validate(&m, late) == nil) {
			t.Fatalf("read: %v, valid: %v", err, Validate(&m, late))
		}
		if err == nil && (p.Clock == 0 || len(p.ID) != 64 || p.Chat != place.ID || p.Chat == "") {
			t.Fatalf("%+v", p)
		}
	})
}

func BenchmarkRead(b *testing.B) {
	m := pinned()
	self, author := someone(b, 1), someone(b, 2)
	b.ReportAllocs()
	for b.Loop() {
		if _, _, err := Read(m, author, self, in); err != nil {
			b.Fatal(err)
		}
	}
}
