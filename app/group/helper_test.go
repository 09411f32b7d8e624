package group

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"reflect"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/parley-im/parley/account/key"
)

// now is the local time of all tests; clocks below start is long past.
var now = time.UnixMilli(1_700_000_000_000)

const start = 1_600_000_000_000

// people returns n private keys, the same ones for every test.
var people = func() func(n int) []key.Private {
	var mu sync.Mutex
	var made []key.Private
	return func(n int) []key.Private {
		mu.Lock()
		defer mu.Unlock()
		for len(made) < n {
			seed := key.Keccak256([]byte("group test"), []byte{byte(len(made)), byte(len(made) >> 8)})
			k, err := key.PrivateFromBytes(seed[:])
			if err != nil {
				panic(err)
			}
			made = append(made, k)
		}
		return made[:n:n]
	}
}()

func publics(ks ...key.Private) []key.Public {
	out := make([]key.Public, 0, len(ks))
	for _, k := range ks {
		out = append(out, k.Public())
	}
	return out
}

// zeros is the least random source there is.
type zeros struct{}

func (zeros) Read(b []byte) (int, error) { clear(b); return len(b), nil }

var _ io.Reader = zeros{}

// create makes a group of me and others with clocks start and start+1.
func create(t testing.TB, me key.Private, others ...key.Private) Group {
	t.Helper()
	g, _, err := Create(me, "a group", "#4360df", publics(others...), start, zeros{})
	if err != nil {
		t.Fatal(err)
	}
	return g
}

// sign signs an event that need not hold, as deployed clients and others do.
func sign(t testing.TB, g Group, author key.Private, clock uint64, typ Type, fields Event) Event {
	t.Helper()
	fields.Type, fields.Clock = typ, clock
	e, err := Sign(g.ID, fields, author)
	if err != nil {
		t.Fatal(err)
	}
	return e
}

func targets(ks ...key.Private) Event { return Event{Members: publics(ks...)} }

func raws(events ...Event) [][]byte {
	var out [][]byte
	for _, e := range events {
		out = append(out, e.Raw)
	}
	return out
}

// merge merges events that must not be dropped.
func merge(t testing.TB, g Group, events ...Event) Group {
	t.Helper()
	after, dropped, err := g.Merge(g.ID, raws(events...), now)
	if err != nil || len(dropped) > 0 {
		t.Fatalf("merging: %v, dropped %v", err, dropped)
	}
	return after
}

// must returns the group after an action that must succeed.
func must(t testing.TB) func(g Group, e Event, err error) Group {
	return func(g Group, _ Event, err error) Group {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		return g
	}
}

// look is what two members must agree on.
func look(g Group) string {
	var b bytes.Buffer
	fmt.Fprintf(&b, "%s created %d by %s: %q %s %x", g.ID, g.Created, short(g.Creator), g.Name, g.Color, g.Image)
	for _, list := range [][]key.Public{g.Members, g.Admins, g.Joined, g.Ever} {
		b.WriteString(" |")
		for _, k := range list {
			b.WriteString(" " + short(k))
		}
	}
	return b.String()
}

func short(k key.Public) string { return k.Hex()[4:10] }

// same fails unless two groups look the same.
func same(t testing.TB, got, want Group) {
	t.Helper()
	if look(got) != look(want) {
		t.Errorf("got\n%s, want\n%s", look(got), look(want))
	}
}

// roundTrip checks that a group survives its JSON.
func roundTrip(t testing.TB, g Group) {
	t.Helper()
	raw, err := json.Marshal(g)
	if err != nil {
		t.Fatal(err)
	}
	var back Group
	if err := json.Unmarshal(raw, &back); err != nil {
		t.Fatal(err)
	}
	same(t, back, g)
	if !reflect.DeepEqual(back.Events, g.Events) || len(back.Refused) != len(g.Refused) {
		t.Errorf("%d events and %d refused, want %d and %d", len(back.Events), len(back.Refused), len(g.Events), len(g.Refused))
	}
}

// strict folds events as deployed clients do, who refuse a whole list for one
// event; it is written down again here to be compared with.
type strict struct {
	name, color     string
	image           []byte
	members, admins []key.Public
}

func foldStrictly(id string, events []Event) (strict, error) {
	var s strict
	slices.SortStableFunc(events, func(a, b Event) int {
		switch {
		case a.Clock < b.Clock:
			return -1
		case a.Clock > b.Clock:
			return 1
		}
		return 0
	})
	if len(events) == 0 || events[0].Type != ChatCreated || len(id) < 132 || id[len(id)-132:] != events[0].Author.Hex() {
		return s, fmt.Errorf("the list does not begin with the creator's CHAT_CREATED")
	}
	for i, e := range events {
		if !s.holds(e) {
			return s, fmt.Errorf("event %d, %s of %s", i, e.Type, short(e.Author))
		}
		s.apply(e)
	}
	return s, nil
}

func (s *strict) holds(e Event) bool {
	member, admin := slices.Contains(s.members, e.Author), slices.Contains(s.admins, e.Author)
	switch e.Type {
	case ChatCreated:
		return len(s.members) == 0 && len(s.admins) == 0
	case NameChanged, ColorChanged, ImageChanged, MembersAdded:
		return member || admin
	case MemberJoined:
		return member
	case MemberRemoved:
		return e.Members[0] == e.Author || admin && !slices.Contains(s.admins, e.Members[0])
	case AdminsAdded:
		return admin && slices.ContainsFunc(e.Members, func(k key.Public) bool { return slices.Contains(s.members, k) })
	case AdminRemoved:
		return admin && e.Members[0] == e.Author
	}
	return false
}

func (s *strict) apply(e Event) {
	without := func(list []key.Public) []key.Public {
		return slices.DeleteFunc(slices.Clone(list), func(k key.Public) bool { return k == e.Members[0] })
	}
	with := func(list []key.Public, more ...key.Public) []key.Public {
		for _, k := range more {
			if !slices.Contains(list, k) {
				list = append(list, k)
			}
		}
		return list
	}
	switch e.Type {
	case ChatCreated:
		s.name, s.color = e.Name, e.Color
		s.members, s.admins = with(s.members, e.Author), with(s.admins, e.Author)
	case NameChanged:
		s.name = e.Name
	case ColorChanged:
		s.color = e.Color
	case ImageChanged:
		s.image = e.Image
	case MembersAdded:
		s.members = with(s.members, e.Members...)
	case MemberRemoved:
		s.members, s.admins = without(s.members), without(s.admins)
	case AdminsAdded:
		s.admins = with(s.admins, e.Members...)
	case AdminRemoved:
		s.admins = without(s.admins)
	}
}

// deployed checks that deployed clients take a group's update and see the same
// group in it.
func deployed(t testing.TB, g Group) {
	t.Helper()
	var events []Event
	for _, raw := range g.Update().Events {
		for _, e := range g.Events {
			if bytes.Equal(e.Raw, raw) {
				events = append(events, e)
			}
		}
	}
	if len(events) != len(g.Update().Events) {
		t.Errorf("%d of %d events sent are the group's", len(events), len(g.Update().Events))
	}
	s, err := foldStrictly(g.ID, events)
	if err != nil {
		t.Errorf("deployed clients refuse: %v", err)
		return
	}
	if s.name != g.Name || !bytes.Equal(s.image, g.Image) || !slices.Equal(s.members, g.Members) || !slices.Equal(s.admins, g.Admins) {
		t.Errorf("deployed clients see %+v, we\n%s", s, look(g))
	}
}
