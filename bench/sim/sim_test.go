package sim

import (
	"context"
	"fmt"
	"testing"
	"testing/synctest"
	"time"
)

func load(t testing.TB, name string) *Scenario {
	t.Helper()
	s, err := Load(name)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// play plays a scenario that must end as is expected of it.
func play(t testing.TB, s *Scenario, o Options) *Result {
	t.Helper()
	o.Dir = t.TempDir()
	r, err := Run(t.Context(), s, o)
	if err != nil {
		t.Fatal(err)
	}
	if !r.OK() || !r.Settled {
		t.Errorf("%s, seed %d: %d failures, settled %v: %q; play it again with: parley bench sim %s --seed %d",
			s.Name, o.Seed, r.Failures, r.Settled, r.Problems, s.Name, o.Seed)
	}
	return r
}

// Small scenarios with few seeds: nothing is lost, nothing is there twice,
// everything is acknowledged, and chats are the same at all who are in them.
func TestScenarios(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name  string
		seeds uint64
	}{{"quick", 2}, {"pair", 2}, {"status-go", 1}, {"channel", 2}} {
		for seed := range c.seeds {
			t.Run(fmt.Sprint(c.name, " ", seed), func(t *testing.T) {
				t.Parallel()
				r := play(t, load(t, c.name), Options{Seed: seed})
				if r.Said == 0 || r.Deliveries < r.Said {
					t.Errorf("%d said, %d to arrive", r.Said, r.Deliveries)
				}
			})
		}
	}
}

// Twenty people under all kinds of faults, for a shorter time and in a smaller
// group.
func TestStorm(t *testing.T) {
	t.Parallel()
	if testing.Short() {
		t.Skip("takes some seconds")
	}
	s := load(t, "storm")
	s.For = Duration(100 * time.Second)
	s.Groups[0].Members = 12
	r := play(t, s, Options{Seed: 1})
	if r.Crashes == 0 || r.Cost.Hostile.Messages == 0 || r.Cost.Lost.Messages == 0 {
		t.Errorf("%d crashes, %d hostile messages, %d lost: too calm", r.Crashes, r.Cost.Hostile.Messages, r.Cost.Lost.Messages)
	}
}

// The same seed gives the same history, another seed another one.
func TestOneHistory(t *testing.T) {
	t.Parallel()
	for _, name := range []string{"pair", "channel"} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			oneHistory(t, load(t, name))
		})
	}
}

func oneHistory(t *testing.T, s *Scenario) {
	first := play(t, s, Options{Seed: 7, Trace: true})
	second := play(t, s, Options{Seed: 7, Trace: true})
	if first.History != second.History {
		t.Errorf("the same seed, but %s", difference(first.Traces, second.Traces))
	}
	other := play(t, s, Options{Seed: 8})
	if other.History == first.History {
		t.Error("another seed, and the same history")
	}
	if first.Crashes == 0 {
		t.Error("nobody crashed")
	}
}

// What a community costs is told apart: envelopes for its channels are opened,
// with what Scalable Data Sync adds to each, at most a kilobyte.
func TestChannelLayers(t *testing.T) {
	t.Parallel()
	r := play(t, load(t, "channel"), Options{Seed: 9, Layers: true})
	kinds := map[string]Kind{}
	for _, k := range r.Cost.Kinds {
		kinds[k.Name] = k
		parts := 0
		for _, part := range k.Layers.parts() {
			parts += part
		}
		if k.Opened == k.Envelopes && parts != k.Bytes {
			t.Errorf("%s: %d bytes in layers, %d in all", k.Name, parts, k.Bytes)
		}
	}
	said := kinds["channel: CHAT_MESSAGE"]
	if said.Opened != said.Envelopes || said.Envelopes < r.Said {
		t.Fatalf("%d of %d messages were opened, %d said", said.Opened, said.Envelopes, r.Said)
	}
	if header := said.Layers.Reliability / said.Opened; header < 50 || header > 1024 {
		t.Errorf("%d bytes of SDS a message", header)
	}
	if text := said.Layers.Text / said.Opened; text < len("full0 says 0.0") {
		t.Errorf("texts of %d bytes", text)
	}
}

// difference finds the first line, by time, in which two runs differ.
func difference(a, b map[string][]string) string {
	var earliest, found string
	for name := range a {
		for i := range max(len(a[name]), len(b[name])) {
			x, y := line(a[name], i), line(b[name], i)
			if x == y {
				continue
			}
			if at := min(x, y); earliest == "" || at < earliest {
				earliest, found = at, fmt.Sprintf("%s:\n%s\n%s", name, x, y)
			}
			break
		}
	}
	return found
}

func line(all []string, i int) string {
	if i < len(all) {
		return all[i]
	}
	return "nothing more"
}

// What is lost is found: a client whose database is put back forgets, and
// somebody says what was never said.
func TestVerdictFindsFaults(t *testing.T) {
	t.Parallel()
	s := load(t, "quick")
	keys, err := newTopicKeys(s.size(), s.know())
	if err != nil {
		t.Fatal(err)
	}
	synctest.Test(t, func(t *testing.T) {
		d := &director{stage: &lab{world: &world{scenario: s}}, scenario: s, contacts: make([][]int, 2)}
		d.stage.(*lab).people = []*person{{key: keys.people[0]}, {key: keys.people[1]}}
		alice, bobby := keys.people[0].Public().String(), keys.people[1].Public().String()
		d.books = []*book{newBook("alice", alice, 0), newBook("bobby", bobby, 0)}
		for _, text := range []string{"lost", "twice", "forged", "forgotten", "fine"} {
			d.books[0].said(&utterance{from: 0, to: []int{1}, text: text, certain: true})
			d.books[0].own[text] = text != "forgotten"
			d.books[0].acked[text] = time.Now()
			d.books[1].got[text] = []time.Time{time.Now()}
			d.books[1].from[text] = alice
		}
		d.books[1].got["lost"] = nil
		d.books[1].got["twice"] = append(d.books[1].got["twice"], time.Now())
		d.books[1].from["forged"] = bobby
		d.books[1].got["never said"] = []time.Time{time.Now()}
		delete(d.books[0].acked, "fine")
		d.books[0].said(&utterance{from: 0, to: []int{1}, text: "died over it"})
		d.scenario = &Scenario{Expect: Expect{Acknowledged: true}}
		o := d.verdict(false)
		if o.Lost != 1 || o.Twice != 1 || o.Forged != 2 || o.Forgotten != 1 || o.Unacknowledged != 1 || o.Failures != 6 {
			t.Errorf("%+v", o)
		}
	})
}

// The fake clock works outside of a test, too, where no *testing.T is given, and
// in several bubbles at once.
func TestBubble(t *testing.T) {
	t.Parallel()
	took := make(chan time.Duration, 2)
	for range 2 {
		go func() {
			bubble(func() {
				began := time.Now()
				<-time.After(1000 * time.Hour)
				if !began.Equal(epoch) {
					t.Errorf("it begins at %v", began)
				}
				took <- time.Since(began)
			})
		}()
	}
	for range 2 {
		if d := <-took; d != 1000*time.Hour {
			t.Errorf("a thousand hours took %v", d)
		}
	}
}

func TestCancelled(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if r, err := Run(ctx, load(t, "quick"), Options{Dir: t.TempDir()}); err == nil {
		t.Errorf("it ran: %+v", r.Outcome)
	}
}
