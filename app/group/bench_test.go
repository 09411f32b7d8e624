package group

import (
	"encoding/json"
	"fmt"
	"testing"
)

// large makes a group of 20 with n events, spread over its members.
func large(b testing.TB, n int) Group {
	ks := people(MaxMembers)
	g := create(b, ks[0], ks[1:]...)
	events := g.all(n)
	for i := len(events); i < n; i++ {
		author := ks[i%len(ks)]
		fields, typ := Event{Name: fmt.Sprintf("name %d", i)}, NameChanged
		if i < 2*len(ks) {
			fields, typ = Event{}, MemberJoined
		}
		events = append(events, sign(b, g, author, start+uint64(i), typ, fields))
	}
	return replay(g.ID, events)
}

// A chat message arrives: all of its 500 events are known.
func BenchmarkMergeKnown(b *testing.B) {
	g := large(b, 500)
	u := g.Update()
	b.ReportAllocs()
	for b.Loop() {
		if _, _, err := g.Merge(u.ID, u.Events, now); err != nil {
			b.Fatal(err)
		}
	}
}

// One of 500 events is new.
func BenchmarkMergeOneNew(b *testing.B) {
	g := large(b, 500)
	u := g.Update()
	before := replay(g.ID, g.Events[:499])
	b.ReportAllocs()
	for b.Loop() {
		if _, _, err := before.Merge(u.ID, u.Events, now); err != nil {
			b.Fatal(err)
		}
	}
}

// The group is new: 500 signatures are checked.
func BenchmarkMergeNew(b *testing.B) {
	u := large(b, 500).Update()
	b.ReportAllocs()
	for b.Loop() {
		if g, _, err := (Group{}).Merge(u.ID, u.Events, now); err != nil || len(g.Events) != 500 {
			b.Fatal(len(g.Events), err)
		}
	}
}

func BenchmarkUnmarshal(b *testing.B) {
	raw, err := json.Marshal(large(b, 500))
	if err != nil {
		b.Fatal(err)
	}
	b.ReportAllocs()
	for b.Loop() {
		var g Group
		if err := json.Unmarshal(raw, &g); err != nil {
			b.Fatal(err)
		}
	}
}
