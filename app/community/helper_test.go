package community

import (
	"encoding/binary"
	"encoding/json"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"google.golang.org/protobuf/proto"

	"github.com/parley-im/parley/account/key"
	"github.com/parley-im/parley/app/message"
	apppb "github.com/parley-im/parley/pb/app"
)

// now is the local time of all tests.
var now = time.UnixMilli(1_700_000_000_000)

// people returns n private keys, the same ones for every test. The first is
// the community's, the second the owner's.
var people = func() func(n int) []key.Private {
	var mu sync.Mutex
	var made []key.Private
	return func(n int) []key.Private {
		mu.Lock()
		defer mu.Unlock()
		for len(made) < n {
			seed := key.Keccak256([]byte("community test"), []byte{byte(len(made)), byte(len(made) >> 8)})
			k, err := key.PrivateFromBytes(seed[:])
			if err != nil {
				panic(err)
			}
			made = append(made, k)
		}
		return made[:n:n]
	}
}()

// counting is a source of bytes that never repeats.
type counting struct{ n uint64 }

func (c *counting) Read(b []byte) (int, error) {
	for i := range b {
		c.n++
		b[i] = byte(key.Keccak256(binary.BigEndian.AppendUint64(nil, c.n))[0])
	}
	return len(b), nil
}

// by is the control node of the tests' community, some time after now.
func by(after time.Duration) Control {
	return Control{Key: people(1)[0], Now: now.Add(after), Rand: &counting{uint64(after)}}
}

func params() Params {
	return Params{Name: "a community", Text: "about nothing", Color: "#4360df", Intro: "hi", Outro: "bye", Tags: []string{"Art"}, Access: ManualAccept}
}

// create makes the tests' community with members, the owner's way.
func create(t testing.TB, members ...key.Private) Community {
	t.Helper()
	c, err := Create(by(0), people(2)[1].Public(), params())
	if err != nil {
		t.Fatal(err)
	}
	return join(t, c, members...)
}

// join lists members.
func join(t testing.TB, c Community, members ...key.Private) Community {
	t.Helper()
	var requests []Request
	for _, m := range members {
		requests = append(requests, Request{Member: m.Public(), Community: c.Key, Clock: seconds(now), State: Accepted})
	}
	after, err := c.AddMembers(by(0), requests...)
	if err != nil {
		t.Fatal(err)
	}
	return after
}

// must returns the community after an action that must succeed.
func must(t testing.TB) func(c Community, err error) Community {
	return func(c Community, err error) Community {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		return c
	}
}

// in is a community's description as self gets it.
func in(c Community, self key.Private) Incoming {
	return Incoming{Author: c.Key, Wrapped: c.Wrapped, Payload: c.Description.Encode(), Self: self.Public(), At: now.Add(time.Hour)}
}

// seen is what self knows after a description.
func seen(t testing.TB, c Community, known Community, self key.Private) (Community, []Change) {
	t.Helper()
	after, changes, err := known.Receive(in(c, self))
	if err != nil {
		t.Fatal(err)
	}
	return after, changes
}

// wire decodes the description.
func wire(t testing.TB, c Community) *apppb.CommunityDescription {
	t.Helper()
	var m apppb.CommunityDescription
	if err := proto.Unmarshal(c.Description.Encode(), &m); err != nil {
		t.Fatal(err)
	}
	return &m
}

// rewritten encodes the description after a change that no owner here would make.
func rewritten(t testing.TB, c Community, edit func(m *apppb.CommunityDescription)) []byte {
	t.Helper()
	m := wire(t, c)
	edit(m)
	raw, err := message.Encode(m)
	if err != nil {
		t.Fatal(err)
	}
	return raw
}

// forged is the community with a description that its control node made
// without the rules here.
func forged(t testing.TB, c Community, edit func(m *apppb.CommunityDescription)) Community {
	t.Helper()
	raw := rewritten(t, c, edit)
	d, err := Parse(c.Key, raw)
	if err != nil {
		t.Fatal(err)
	}
	wrapped, _, err := message.Wrap(apppb.ApplicationMetadataMessage_COMMUNITY_DESCRIPTION, raw, people(1)[0])
	if err != nil {
		t.Fatal(err)
	}
	return c.with(c.Key, d, wrapped)
}

// kinds lists changes in a line.
func kinds(changes []Change) string {
	var list []string
	for _, c := range changes {
		list = append(list, string(c.Kind))
	}
	return strings.Join(list, " ")
}

// roundTrip checks that a community survives its JSON.
func roundTrip(t testing.TB, c Community) {
	t.Helper()
	raw, err := json.Marshal(c)
	if err != nil {
		t.Fatal(err)
	}
	var back Community
	if err := json.Unmarshal(raw, &back); err != nil {
		t.Fatal(err)
	}
	again, err := json.Marshal(back)
	if err != nil || string(again) != string(raw) {
		t.Errorf("came back as %s, %v", again, err)
	}
	if string(back.Description.Encode()) != string(c.Description.Encode()) || len(back.Description.Members) != len(c.Description.Members) {
		t.Error("the description came back as another")
	}
}

func names(d Description) []string {
	var list []string
	for _, ch := range d.Channels {
		list = append(list, ch.Name)
	}
	return list
}

func uuidOf(t testing.TB, d Description, name string) string {
	t.Helper()
	i := slices.IndexFunc(d.Channels, func(ch Channel) bool { return ch.Name == name })
	if i < 0 {
		t.Fatalf("no channel %s", name)
	}
	return d.Channels[i].UUID
}
