package reaction

import (
	"bytes"
	"encoding/hex"
	"errors"
	"fmt"
	"math/rand/v2"
	"reflect"
	"strings"
	"testing"
	"time"

	"google.golang.org/protobuf/proto"

	"github.com/parley-im/parley/account/key"
	"github.com/parley-im/parley/app/chat"
	"github.com/parley-im/parley/app/message"
	"github.com/parley-im/parley/internal/vectors"
	apppb "github.com/parley-im/parley/pb/app"
)

var now = time.Unix(1_700_000_000, 0)

// someone returns a key that depends on nothing but the seed.
func someone(t testing.TB, seed byte) key.Public {
	t.Helper()
	k, err := key.Generate(rand.NewChaCha8([32]byte{seed}))
	if err != nil {
		t.Fatal(err)
	}
	return k.Public()
}

// reacted returns a valid reaction in the old form.
func reacted() *apppb.EmojiReaction {
	return &apppb.EmojiReaction{
		Clock: 1_700_000_000_000, ChatId: "group", MessageId: message.ID{5}.String(),
		MessageType: apppb.MessageType_PRIVATE_GROUP, Type: apppb.EmojiReaction_THUMBS_UP,
	}
}

// An emoji and its code points are the same, in both ways to write it.
func TestParseEmoji(t *testing.T) {
	t.Parallel()
	for s, want := range map[string]Emoji{
		"👍": ThumbsUp, "1f44d": ThumbsUp, "1F44D": ThumbsUp, "01f44d": ThumbsUp, "👍🏽": "1f44d-1f3fd", "1f44d-1f3fd": "1f44d-1f3fd",
		"❤️": Love, "❤": Love, "2764": Love, "2764-fe0f": Love, "👎": ThumbsDown, "😂": Laugh, "😢": Sad, "😠": Angry,
		"☺️": "263a-fe0f", "263a-fe0f": "263a-fe0f", "☺": "263a", "1️⃣": "31-fe0f-20e3", "31-fe0f-20e3": "31-fe0f-20e3",
		"🇫🇷": "1f1eb-1f1f7", "👨‍👩‍👧": "1f468-200d-1f469-200d-1f467",
	} {
		got, err := ParseEmoji(s)
		if err != nil || got != want {
			t.Errorf("%q: %s, %v; want %s", s, got, err, want)
		}
		if again, err := ParseEmoji(got.String()); err != nil || again.Same() != got.Same() {
			t.Errorf("%q: shown as %q, which is %s, %v", s, got.String(), again, err)
		}
	}
	for _, s := range []string{
		"", " ", "a", "xD", "👍👍", "👍 ", ":+1:", "1f44d-", "-1f44d", "1f44d-1f44d", "1f44d 1f44d", "110000", "d800", "fffd", "0041",
		"0000001f44d", "\xff", strings.Repeat("1f44d-200d-", 8) + "1f44d",
	} {
		if got, err := ParseEmoji(s); !errors.Is(err, ErrEmoji) || got != "" {
			t.Errorf("%q: %s, %v", s, got, err)
		}
	}
	longest := strings.Repeat("01f44d-00200d-", chat.MaxEmojiRunes/2-1) + "01f44d-01f3fd"
	if _, err := ParseEmoji(longest); len(longest) != MaxEmoji || err != nil {
		t.Errorf("%d bytes: %v", len(longest), err)
	}
	if _, err := ParseEmoji("0" + longest); !errors.Is(err, ErrEmoji) {
		t.Errorf("past the limit: %v", err)
	}
}

func TestTypes(t *testing.T) {
	t.Parallel()
	// The order of the enumeration, and the code points that newer clients
	// write for it.
	for i, want := range []Emoji{"2764", "1f44d", "1f44e", "1f602", "1f622", "1f620"} {
		number := apppb.EmojiReaction_Type(i + 1)
		if got := numbered[number]; got != want || got.Type() != number {
			t.Errorf("number %d is %s, which is number %d", number, got, got.Type())
		}
	}
	if len(numbered) != len(apppb.EmojiReaction_Type_name)-1 {
		t.Error("a number without an emoji")
	}
	if got := Emoji("2764-fe0f"); got.Type() != apppb.EmojiReaction_LOVE || got.Same() != Love {
		t.Errorf("%s is number %d", got, got.Type())
	}
	if Emoji("1f525").Type() != 0 || Emoji("1f44d-1f3fd").Type() != 0 {
		t.Error("an emoji that older clients do not know has a number")
	}
}

// The id of a reaction is that of deployed clients, and one for all forms.
func TestID(t *testing.T) {
	t.Parallel()
	from := someone(t, 1)
	r := Reaction{Message: message.ID{5}, From: from, Emoji: ThumbsUp}
	digest := key.Keccak256([]byte(from.Hex() + message.ID{5}.String() + "2"))
	if got, want := r.ID(), "0x"+hex.EncodeToString(digest[:]); got != want {
		t.Errorf("id %s, want %s", got, want)
	}
	ids := map[string]bool{r.ID(): true}
	for _, other := range []Reaction{
		{Message: message.ID{6}, From: from, Emoji: ThumbsUp}, {Message: message.ID{5}, From: someone(t, 2), Emoji: ThumbsUp},
		{Message: message.ID{5}, From: from, Emoji: Love}, {Message: message.ID{5}, From: from, Emoji: "1f44d-1f3fd"},
		{Message: message.ID{5}, From: from, Emoji: "1f525"},
	} {
		if ids[other.ID()] {
			t.Errorf("%+v has the id of another", other)
		}
		ids[other.ID()] = true
	}
	a, b := Reaction{From: from, Emoji: "263a"}, Reaction{From: from, Emoji: "263a-fe0f", Clock: 9, Chat: "x", Retracted: true}
	if a.ID() != b.ID() {
		t.Error("one emoji has two ids")
	}
}

// Every rule, at its limit and past it.
//
// Proves: AP-170.
func TestValidate(t *testing.T) {
	t.Parallel()
	limit := uint64(now.UnixMilli()) + 120_000
	for name, test := range map[string]struct {
		change func(m *apppb.EmojiReaction)
		want   error
	}{
		"as it is":         {func(m *apppb.EmojiReaction) {}, nil},
		"no clock":         {func(m *apppb.EmojiReaction) { m.Clock = 0 }, message.ErrClockZero},
		"clock at limit":   {func(m *apppb.EmojiReaction) { m.Clock = limit }, nil},
		"clock over limit": {func(m *apppb.EmojiReaction) { m.Clock = limit + 1 }, message.ErrClockAhead},
		"long ago":         {func(m *apppb.EmojiReaction) { m.Clock = 1 }, nil},
		"no chat":          {func(m *apppb.EmojiReaction) { m.ChatId = "" }, chat.ErrChatID},
		"no message":       {func(m *apppb.EmojiReaction) { m.MessageId = "" }, chat.ErrTarget},
		"bad message":      {func(m *apppb.EmojiReaction) { m.MessageId = "0x05" }, chat.ErrTarget},
		"no chat type":     {func(m *apppb.EmojiReaction) { m.MessageType = 0 }, chat.ErrMessageType},
		"system chat type": {func(m *apppb.EmojiReaction) { m.MessageType = 4 }, chat.ErrMessageType},
		"no emoji":         {func(m *apppb.EmojiReaction) { m.Type = 0 }, ErrType},
		"unknown number":   {func(m *apppb.EmojiReaction) { m.Type = 7 }, ErrType},
		"new form":         {func(m *apppb.EmojiReaction) { m.Type, m.Emoji = 0, "1f525" }, nil},
		"new form, itself": {func(m *apppb.EmojiReaction) { m.Type, m.Emoji = 0, "🔥" }, nil},
		"both forms":       {func(m *apppb.EmojiReaction) { m.Emoji = "1f44d" }, nil},
		"no emoji at all":  {func(m *apppb.EmojiReaction) { m.Type, m.Emoji = 0, "xD" }, ErrType},
		"number will do":   {func(m *apppb.EmojiReaction) { m.Emoji = "xD" }, nil},
	} {
		m := reacted()
		test.change(m)
		if err := Validate(m, now); !errors.Is(err, test.want) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if Validate(nil, now) == nil {
		t.Error("no reaction is one")
	}
}

// Proves: AP-170, AP-172.
func TestRead(t *testing.T) {
	t.Parallel()
	self, author := someone(t, 1), someone(t, 2)
	m := reacted()
	m.Retracted, m.Emoji = true, "1f525"
	r, place, err := Read(m, author, self, now)
	want := Reaction{Message: message.ID{5}, Chat: "group", From: author, Emoji: "1f525", Clock: m.Clock, Retracted: true}
	if err != nil || r != want || place.Kind != message.PrivateGroup {
		t.Errorf("%+v in %+v, %v", r, place, err)
	}
	// In a 1:1 chat it counts who reacted, not what they say.
	m.MessageType = apppb.MessageType_ONE_TO_ONE
	if r, _, err = Read(m, author, self, now); err != nil || r.Chat != author.Hex() {
		t.Errorf("%+v, %v", r, err)
	}
	if _, _, err = Read(m, self, self, now); !errors.Is(err, chat.ErrChatID) {
		t.Errorf("our own, to nobody: %v", err)
	}
	m.Clock = 0
	if r, _, err = Read(m, author, self, now); !errors.Is(err, message.ErrClockZero) || r != (Reaction{}) {
		t.Errorf("%+v, %v", r, err)
	}
}

// In whatever order reactions arrive, and however often, what they add up to is
// the same.
//
// Proves: AP-172.
func TestConverges(t *testing.T) {
	t.Parallel()
	people := []key.Public{someone(t, 1), someone(t, 2), someone(t, 3)}
	var all []Reaction
	r := rand.New(rand.NewPCG(1, 1))
	emoji := []Emoji{ThumbsUp, Love, "2764-fe0f", "1f525", "263a", "263a-fe0f"}
	for i := range 60 {
		all = append(all, Reaction{
			Message: message.ID{5}, From: people[i%3], Emoji: emoji[r.IntN(len(emoji))],
			Clock: 1 + r.Uint64N(6), Retracted: r.IntN(3) == 0,
		})
	}
	var want map[string]Reaction
	var shown []Summary
	for seed := range uint64(200) {
		r := rand.New(rand.NewPCG(seed, 2))
		state := map[string]Reaction{}
		for range 2 {
			for _, i := range r.Perm(len(all)) {
				id := all[i].ID()
				if before, ok := state[id]; ok {
					state[id] = before.Merge(all[i])
				} else {
					state[id] = all[i]
				}
			}
		}
		var list []Reaction
		for _, r := range state { // in no order
			list = append(list, r)
		}
		summary := Summarize(list, people[0])
		if want == nil {
			want, shown = state, summary
		}
		if !reflect.DeepEqual(state, want) || !reflect.DeepEqual(summary, shown) {
			t.Fatalf("seed %d: %+v, want %+v", seed, state, want)
		}
	}
	for id, held := range want {
		for _, r := range all {
			if r.ID() == id && r.Clock > held.Clock {
				t.Errorf("%+v holds over %+v", held, r)
			}
		}
	}
	if len(shown) < 2 {
		t.Errorf("shown %+v", shown)
	}
}

func TestSummarize(t *testing.T) {
	t.Parallel()
	self, a, b := someone(t, 1), someone(t, 2), someone(t, 3)
	got := Summarize([]Reaction{
		{From: b, Emoji: "1f525", Clock: 7}, {From: a, Emoji: ThumbsUp, Clock: 2, Retracted: true},
		{From: self, Emoji: "2764-fe0f", Clock: 5}, {From: a, Emoji: Love, Clock: 3}, {From: a, Emoji: "1f525", Clock: 6},
	}, self)
	want := []Summary{
		{Emoji: "❤️", Code: Love, Count: 2, Who: []key.Public{a, self}, Self: true},
		{Emoji: "🔥", Code: "1f525", Count: 2, Who: []key.Public{a, b}},
	}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("%+v", got)
	}
	if Summarize(nil, self) != nil {
		t.Error("something out of nothing")
	}
	var many []Reaction
	for i := range MaxDistinct + 1 {
		many = append(many, Reaction{From: a, Emoji: Emoji(fmt.Sprintf("%x", 0x1f600+i)), Clock: uint64(100 - i)})
	}
	many = append(many, Reaction{From: self, Emoji: many[0].Emoji, Clock: 200}, Reaction{From: self, Emoji: many[5].Emoji, Clock: 201})
	if got := Summarize(many, self); len(got) != MaxDistinct || got[0].Code != many[MaxDistinct].Emoji || got[MaxDistinct-1].Code != many[1].Emoji {
		t.Errorf("%d: %+v", len(got), got)
	}
}

// Which are kept when there are very many.
func TestKeep(t *testing.T) {
	t.Parallel()
	a := someone(t, 2)
	var stored []Reaction
	for i := range MaxKept {
		r := Reaction{From: a, Emoji: Emoji(fmt.Sprintf("%x", 0x1f400+i)), Retracted: i%2 == 0}
		if err := Keep(stored, r); err != nil {
			t.Fatalf("reaction %d: %v", i, err)
		}
		stored = append(stored, r)
	}
	if err := Keep(stored, Reaction{Emoji: "1f680"}); !errors.Is(err, ErrTooMany) {
		t.Errorf("one more: %v", err)
	}
	if err := Keep(stored, Reaction{From: a, Emoji: stored[0].Emoji}); err != nil {
		t.Errorf("one that is there: %v", err)
	}
}

// What goes out can be read by older and newer clients, and taken back.
//
// Proves: AP-170, AP-172.
func TestCompose(t *testing.T) {
	t.Parallel()
	self, author := someone(t, 1), someone(t, 2)
	target := &chat.Message{ID: message.ID{5}, Chat: "group", From: author}
	for input, want := range map[string]*apppb.EmojiReaction{
		"👍":     {Type: apppb.EmojiReaction_THUMBS_UP, Emoji: "1f44d"},
		"1f44d": {Type: apppb.EmojiReaction_THUMBS_UP, Emoji: "1f44d"},
		"❤️":    {Type: apppb.EmojiReaction_LOVE, Emoji: "2764"},
		"🔥":     {Emoji: "1f525"},
		"☺️":    {Emoji: "263a-fe0f"},
	} {
		d := Draft{Message: target, Kind: message.PrivateGroup, Emoji: input, Clock: 9}
		m, r, err := Compose(d, self)
		want.Clock, want.ChatId, want.MessageId, want.MessageType = 9, "group", target.ID.String(), apppb.MessageType_PRIVATE_GROUP
		if err != nil || !proto.Equal(m, want) {
			t.Errorf("%s: %v, %v", input, m, err)
			continue
		}
		// Another device of ours reads what is stored here.
		if read, _, err := Read(m, self, self, now); err != nil || read != r {
			t.Errorf("%s: read %+v, %v; stored %+v", input, read, err, r)
		}
		d.Retract, d.Clock, d.Present = true, 10, []Reaction{{Message: target.ID, From: author, Emoji: r.Emoji}, r}
		m, back, err := Compose(d, self)
		if err != nil || !m.Retracted || m.Emoji != want.Emoji || m.Type != want.Type || back.ID() != r.ID() || !r.Merge(back).Retracted {
			t.Errorf("%s, retracted: %v, %v", input, m, err)
		}
	}
	// A retraction takes the form that the reaction had.
	there := []Reaction{{Message: target.ID, From: self, Emoji: "263a-fe0f", Clock: 3}}
	m, _, err := Compose(Draft{Message: target, Kind: message.PrivateGroup, Emoji: "☺", Retract: true, Clock: 9, Present: there}, self)
	if err != nil || m.Emoji != "263a-fe0f" {
		t.Errorf("%v, %v", m, err)
	}
}

func TestComposeErrors(t *testing.T) {
	t.Parallel()
	self := someone(t, 1)
	target := &chat.Message{ID: message.ID{5}, Chat: "group"}
	var many []Reaction
	for i := range MaxDistinct {
		many = append(many, Reaction{From: self, Emoji: Emoji(fmt.Sprintf("%x", 0x1f600+i)), Clock: 1})
	}
	gone := append([]Reaction{{From: self, Emoji: "1f680", Retracted: true}}, many[1:]...)
	good := Draft{Message: target, Kind: message.PrivateGroup, Emoji: "🔥", Clock: 9}
	for name, test := range map[string]struct {
		change func(d *Draft)
		want   error
	}{
		"as it is":          {func(d *Draft) {}, nil},
		"at the limit":      {func(d *Draft) { d.Present = many[1:] }, nil},
		"retracted are not": {func(d *Draft) { d.Present = gone }, nil},
		"past the limit":    {func(d *Draft) { d.Present = many }, ErrTooMany},
		"one of those":      {func(d *Draft) { d.Present, d.Emoji = many, "😀" }, nil},
		"not there":         {func(d *Draft) { d.Present, d.Retract = many, true }, ErrNone},
		"retracted already": {func(d *Draft) { d.Present, d.Retract, d.Emoji = gone, true, "🚀" }, ErrNone},
		"retract one":       {func(d *Draft) { d.Present, d.Retract, d.Emoji = many, true, "😀" }, nil},
		"no emoji":          {func(d *Draft) { d.Emoji = "xD" }, ErrEmoji},
		"no clock":          {func(d *Draft) { d.Clock = 0 }, message.ErrClockZero},
		"no kind":           {func(d *Draft) { d.Kind = 0 }, chat.ErrMessageType},
		"no chat":           {func(d *Draft) { d.Message = &chat.Message{ID: message.ID{5}} }, chat.ErrChatID},
		"deleted":           {func(d *Draft) { d.Message = target.DeleteForMe() }, chat.ErrIsDeleted},
	} {
		d := good
		test.change(&d)
		m, r, err := Compose(d, self)
		if !errors.Is(err, test.want) || (m == nil) != (err != nil) || err != nil && r != (Reaction{}) {
			t.Errorf("%s: %v, %v", name, m, err)
		}
	}
}

// A recorded reaction of a deployed client is valid, and Parley writes the same
// bytes, but for the newer form that was not there yet.
//
// Proves: AP-170.
func TestVectorsReactions(t *testing.T) {
	t.Parallel()
	type recorded struct {
		TypeName string
		Payload  vectors.Hex
	}
	all := vectors.Cases[recorded](t, "application_metadata")
	type said struct {
		Type    string
		Payload vectors.Hex
	}
	for _, c := range vectors.Cases[struct{ Decoded []said }](t, "conversation") {
		for _, m := range c.Decoded {
			all = append(all, recorded{m.Type, m.Payload})
		}
	}
	self := someone(t, 1)
	var checked int
	for _, r := range all {
		if r.TypeName != "EMOJI_REACTION" {
			continue
		}
		checked++
		t.Run(r.TypeName, func(t *testing.T) {
			var m apppb.EmojiReaction
			if err := proto.Unmarshal(r.Payload, &m); err != nil {
				t.Fatal(err)
			}
			read, place, err := Read(&m, self, self, time.UnixMilli(int64(m.Clock)))
			if err != nil {
				t.Fatal(err)
			}
			var present []Reaction
			if m.Retracted {
				before := read
				before.Retracted = false
				present = append(present, before)
			}
			again, stored, err := Compose(Draft{
				Message: &chat.Message{ID: read.Message, Chat: place.ID}, Kind: place.Kind, Emoji: read.Emoji.String(),
				Retract: m.Retracted, Clock: m.Clock, Present: present,
			}, self)
			if err != nil || stored != read {
				t.Fatalf("stored %+v, %v; recorded %+v", stored, err, read)
			}
			again.Emoji = m.Emoji
			if raw, err := message.Encode(again); err != nil || !bytes.Equal(raw, r.Payload) {
				t.Errorf("composed\n%x, recorded\n%x (%v)", raw, []byte(r.Payload), err)
			}
		})
	}
	if checked == 0 {
		t.Error("no reaction in the recording")
	}
}

// Whatever a reaction is, it is judged without harm; what is valid can be shown
// and sent again.
func FuzzRead(f *testing.F) {
	type recorded struct{ Payload vectors.Hex }
	for _, r := range vectors.Cases[recorded](f, "application_metadata") {
		f.Add([]byte(r.Payload))
	}
	newer := reacted()
	newer.Type, newer.Emoji = 0, "1f468-200d-1f469-200d-1f467"
	raw, err := proto.Marshal(newer)
	if err != nil {
		f.Fatal(err)
	}
	f.Add(raw)
	self, author := someone(f, 1), someone(f, 2)
	late := time.Unix(1<<40, 0)
	f.Fuzz(func(t *testing.T, raw []byte) {
		var m apppb.EmojiReaction
		if proto.Unmarshal(raw, &m) != nil {
			return
		}
		r, _, err := Read(&m, author, self, late)
		if (err == nil) != (Validate(&m, late) == nil) {
			t.Fatalf("read: %v, valid: %v", err, Validate(&m, late))
		}
		if err != nil {
			return
		}
		again, err := ParseEmoji(string(r.Emoji))
		if err != nil || again != r.Emoji || len(r.Emoji) > MaxEmoji || !chat.IsEmoji(r.Emoji.String()) {
			t.Fatalf("%q: %q, %v", r.Emoji, again, err)
		}
	})
}

// FuzzEmoji: what is an emoji stays the same one, however it is written.
func FuzzEmoji(f *testing.F) {
	for _, s := range []string{"👍", "1f44d", "263a-fe0f", "❤️", "31-fe0f-20e3", "xD", "-"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		e, err := ParseEmoji(s)
		if err != nil {
			return
		}
		shown, err := ParseEmoji(e.String())
		if err != nil || shown.Same() != e.Same() {
			t.Fatalf("%q is %s, shown as %q: %s, %v", s, e, e.String(), shown, err)
		}
	})
}

func BenchmarkSummarize(b *testing.B) {
	var all []Reaction
	for i := range 100 {
		all = append(all, Reaction{From: someone(b, byte(i)), Emoji: Emoji(fmt.Sprintf("%x", 0x1f600+i%10)), Clock: uint64(i)})
	}
	b.ReportAllocs()
	for b.Loop() {
		if len(Summarize(all, all[0].From)) != 10 {
			b.Fatal("not ten")
		}
	}
}

func BenchmarkValidate(b *testing.B) {
	m := reacted()
	m.Emoji = "1f44d"
	b.ReportAllocs()
	for b.Loop() {
		if err := Validate(m, now); err != nil {
			b.Fatal(err)
		}
	}
}
