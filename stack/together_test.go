package stack

import (
	"bytes"
	"encoding/json"
	"fmt"
	"image"
	"image/color"
	"image/png"
	"maps"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/parley-im/parley/account/key"
	"github.com/parley-im/parley/app/activity"
	"github.com/parley-im/parley/app/chat"
	"github.com/parley-im/parley/app/group"
	"github.com/parley-im/parley/app/message"
	"github.com/parley-im/parley/app/pin"
	"github.com/parley-im/parley/app/reaction"
	"github.com/parley-im/parley/storage"
)

// What several people do together is compared afterwards: all must have come to
// the same.

func keysOf(people ...*person) (keys []key.Public) {
	for _, p := range people {
		keys = append(keys, p.key.Public())
	}
	return keys
}

// circle is three people, the first of whom is a contact of both others, who
// are strangers to each other, in a group that they have joined.
func circle(t *testing.T, n *network) (alice, bobby, carol *person, id string) {
	t.Helper()
	alice, bobby, carol = n.person(t, "Alice", 0), n.person(t, "Bobby", 1), n.person(t, "Carol", 2)
	befriend(t, alice, bobby)
	befriend(t, alice, carol)
	g, err := alice.CreateGroup("the circle", "#112233", keysOf(bobby, carol))
	if err != nil {
		t.Fatal(err)
	}
	joined(t, g.ID, alice, bobby, carol)
	return alice, bobby, carol, g.ID
}

// joined waits until everybody knows that all have joined.
func joined(t *testing.T, id string, people ...*person) {
	t.Helper()
	eventually(t, 10*time.Minute, "all have joined", func() bool {
		for _, p := range people {
			g := p.groupIn(id)
			if slices.ContainsFunc(people, func(o *person) bool { return !g.HasJoined(o.key.Public()) }) {
				return false
			}
		}
		return true
	})
}

// groupIn is the group as a person has it, zero if they have not.
func (p *person) groupIn(id string) (g group.Group) {
	p.t.Helper()
	err := p.db.View(func(tx *storage.Tx) (err error) {
		g, _, err = storage.GetRecord[group.Group](tx, storage.Groups, id)
		return err
	})
	if err != nil {
		p.t.Fatal(err)
	}
	return g
}

// says is Say of a text that must be heard.
func (p *person) says(id, text string) *chat.Message {
	p.t.Helper()
	return p.tells(id, Content{Text: text})[0]
}

func (p *person) tells(id string, c Content) []*chat.Message {
	p.t.Helper()
	all, err := p.Say(id, c)
	if err != nil {
		p.t.Fatal(err)
	}
	return all
}

// done fails the test of a person for an error.
func done[T any](p *person) func(T, error) T {
	return func(v T, err error) T {
		p.t.Helper()
		if err != nil {
			p.t.Fatal(err)
		}
		return v
	}
}

// settle waits until everything has arrived everywhere.
func settle(t *testing.T, people ...*person) {
	t.Helper()
	eventually(t, time.Hour, "everything is delivered", func() bool {
		for _, p := range people {
			if !delivered(p) {
				return false
			}
			if n, err := p.Pending(); err != nil || n > 0 {
				return false
			}
		}
		return true
	})
	pass(time.Minute) // the last acknowledgements
}

// told is what one sees of a message, whoever one is.
type told struct {
	ID, From, Text, ContentType, ReplyTo, Edited, Deleted, Content string
	Clock                                                          uint64
	Mentions                                                       int
	Reactions                                                      []string
	Pinned                                                         bool
}

// timeline is what a person sees in a chat.
func (p *person) timeline(id string) []told { p.t.Helper(); return timelineOf(p.t, p.Stack, id) }

func timelineOf(t testing.TB, s *Stack, id string) (all []told) {
	t.Helper()
	messages, err := s.Messages(id)
	if err != nil {
		t.Fatal(err)
	}
	pins, err := s.Pins(id)
	if err != nil {
		t.Fatal(err)
	}
	for _, m := range messages {
		seen := told{
			ID: m.ID.String(), From: m.From.String(), Text: m.Text, ContentType: m.ContentType, ReplyTo: m.ReplyTo,
			Clock: m.Clock, Mentions: len(m.Mentions),
		}
		if m.Edited != nil {
			seen.Edited = fmt.Sprint(*m.Edited)
		}
		if m.Deleted != nil {
			seen.Deleted = fmt.Sprint(m.Deleted.By, m.Deleted.Clock, m.Deleted.ID)
		}
		raw, err := json.Marshal([]any{m.Image, m.Sticker, m.Audio, m.Links, m.Bridge, m.Transaction})
		if err != nil {
			t.Fatal(err)
		}
		digest := key.Keccak256(raw)
		seen.Content = fmt.Sprintf("%x", digest[:8])
		for _, r := range reactionsTo(t, s, m.ID) {
			seen.Reactions = append(seen.Reactions, fmt.Sprint(r.From, r.Emoji, r.Clock, r.Retracted))
		}
		seen.Pinned = slices.ContainsFunc(pins, func(held pin.Pin) bool { return held.Message == m.ID })
		all = append(all, seen)
	}
	return all
}

func reactionsTo(t testing.TB, s *Stack, id message.ID) (all []reaction.Reaction) {
	t.Helper()
	err := s.db.View(func(tx *storage.Tx) (err error) {
		all, err = storage.Reactions[reaction.Reaction](tx, id)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return all
}

// agree fails unless all see the same group and the same timeline in it.
func agree(t *testing.T, id string, people ...*person) {
	t.Helper()
	first := people[0]
	for _, p := range people[1:] {
		want, err := json.Marshal(first.groupIn(id))
		if err != nil {
			t.Fatal(err)
		}
		got, err := json.Marshal(p.groupIn(id))
		if err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(got, want) {
			t.Errorf("%s and %s have different groups:\n%s\n%s", first.name, p.name, want, got)
		}
		sameTimeline(t, first.name+" and "+p.name, first.timeline(id), p.timeline(id))
		if a, b := first.history(id), p.history(id); !slices.Equal(a, b) {
			t.Errorf("%s and %s have different histories:\n%s\n%s", first.name, p.name, strings.Join(a, "\n"), strings.Join(b, "\n"))
		}
	}
}

// history is what a person's chat tells of a group, entry by entry.
func (p *person) history(id string) (all []string) {
	p.t.Helper()
	page, err := p.Page(storage.PageQuery{Chat: id, Limit: storage.MaxPage})
	if err != nil {
		p.t.Fatal(err)
	}
	for _, m := range slices.Backward(page.Messages) {
		if m.IsSystem() {
			all = append(all, fmt.Sprintf("%s %d %s %s %q", m.ID, m.Clock, m.From, m.GroupChange.Kind, fmt.Sprint(m.GroupChange.Members, m.GroupChange.Text)))
		}
	}
	return all
}

// agreeAlone is agree of a 1:1 chat.
func agreeAlone(t *testing.T, a, b *person) {
	t.Helper()
	sameTimeline(t, a.name+" and "+b.name, a.timeline(chat.OneToOneID(b.key.Public())), b.timeline(chat.OneToOneID(a.key.Public())))
}

func sameTimeline(t *testing.T, who string, a, b []told) {
	t.Helper()
	if len(a) != len(b) {
		t.Errorf("%s: %d and %d messages", who, len(a), len(b))
		return
	}
	for i := range a {
		if !slices.Equal(a[i].Reactions, b[i].Reactions) || fmt.Sprint(a[i]) != fmt.Sprint(b[i]) {
			t.Errorf("%s: message %d is\n%+v\n%+v", who, i, a[i], b[i])
		}
	}
}

// counts are unread messages and mentions of a chat.
func (p *person) counts(id string) [2]int {
	p.t.Helper()
	c, err := p.Chat(id)
	if err != nil {
		p.t.Fatal(err)
	}
	return [2]int{c.UnreadCount, c.MentionCount}
}

// entries are the entries of the activity centre as "kind state text", the
// newest first.
func (p *person) entries() (all []string) {
	p.t.Helper()
	page, err := p.Activities(storage.ActivityQuery{})
	if err != nil {
		p.t.Fatal(err)
	}
	for _, e := range page.Entries {
		all = append(all, fmt.Sprintf("%s %s %s", e.Kind, e.State, e.Text))
	}
	return all
}

// noted are the entries of some kinds.
func (p *person) noted(kinds ...activity.Kind) (all []string) {
	return slices.DeleteFunc(p.entries(), func(e string) bool {
		return !slices.ContainsFunc(kinds, func(k activity.Kind) bool { return len(e) > len(k) && e[:len(k)+1] == string(k)+" " })
	})
}

// in returns a person's copy of a message.
func (p *person) in(id message.ID) *chat.Message {
	p.t.Helper()
	m, err := p.Message(id)
	if err != nil {
		p.t.Fatalf("%s: %v", p.name, err)
	}
	return m
}

// painting is a PNG that differs by number.
func painting(t testing.TB, number byte) []byte {
	t.Helper()
	img := image.NewNRGBA(image.Rect(0, 0, 64, 48))
	for i := range 64 * 48 {
		img.Set(i%64, i/64, color.NRGBA{number * 16, byte(i), byte(i >> 4), 255})
	}
	var out bytes.Buffer
	if err := png.Encode(&out, img); err != nil {
		t.Fatal(err)
	}
	return out.Bytes()
}

// refused fails unless an action of a person was refused and changed nothing.
func refused(p *person, what string, do func() error) {
	p.t.Helper()
	synctest.Wait() // for what is on its way
	before := content(p.t, p.db)
	if err := do(); err == nil {
		p.t.Errorf("%s: %s is possible", p.name, what)
	}
	if changed := difference(before, content(p.t, p.db)); len(changed) != 0 {
		p.t.Errorf("%s: %s was refused and changed %v", p.name, what, changed)
	}
}

// refusals are how often messages were dropped by a person, by cause.
func (p *person) refusals() map[string]uint64 {
	all := p.Counters()
	maps.DeleteFunc(all, func(name string, _ uint64) bool { return len(name) < 8 || name[:8] != "message:" })
	return all
}

// payload is a picture or a recording of a message.
func (p *person) payload(id message.ID, name string) []byte {
	p.t.Helper()
	data, err := p.Payload(id, name)
	if err != nil {
		p.t.Fatalf("%s: %v", p.name, err)
	}
	return data
}
