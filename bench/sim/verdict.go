package sim

import (
	"fmt"
	"slices"
	"sort"
	"time"

	"github.com/parley-im/parley/account/key"
	"github.com/parley-im/parley/app/chat"
	"github.com/parley-im/parley/app/contact"
)

// Outcome is how a run ended.
type Outcome struct {
	// Said counts messages; Deliveries are those that were to arrive somewhere.
	Said       int `json:"said"`
	Deliveries int `json:"deliveries"`
	// Lost did not arrive, Twice more than once, Forged were never said.
	Lost   int `json:"lost"`
	Twice  int `json:"twice"`
	Forged int `json:"forged"`
	// Forgotten are messages that a client took and does not have.
	Forgotten int `json:"forgotten"`
	// Unacknowledged are not delivered as far as the sender knows; GivenUp is
	// how often a sender gave up.
	Unacknowledged int `json:"unacknowledged"`
	GivenUp        int `json:"given_up"`
	// Different chats and groups are not the same at all who are in them.
	Different int `json:"different"`
	// Unanswered are contact requests that have not ended as they should.
	Unanswered int `json:"unanswered"`
	// Crashes counts clients killed, Silent what was not said because its
	// sender was down, Overflow messages dropped before a client took them.
	Crashes  int `json:"crashes"`
	Silent   int `json:"silent"`
	Overflow int `json:"overflow"`
	// Settled: all that is expected came to hold, so long after the end of
	// traffic and faults.
	Settled      bool     `json:"settled"`
	SettledAfter Duration `json:"settled_after"`
	// Problems describe what is wrong, the first of them.
	Problems []string `json:"problems,omitempty"`
	// Latency is from saying to the recipient's database, Acked until the
	// sender knows.
	Latency Distribution `json:"latency"`
	Acked   Distribution `json:"acked"`
	// Failures counts everything that is wrong.
	Failures int `json:"failures"`
}

// OK tells whether everything that is expected holds.
func (o *Outcome) OK() bool { return o.Failures == 0 }

const problemsMost = 20

func (o *Outcome) problem(counter *int, format string, args ...any) {
	*counter++
	o.Failures++
	if len(o.Problems) < problemsMost {
		o.Problems = append(o.Problems, fmt.Sprintf(format, args...))
	}
}

// collect reads what has happened everywhere. It reports whether everybody is
// up.
func (d *director) collect() bool {
	all := true
	for n, b := range d.books {
		a := d.actor(n)
		if a == nil {
			all = false
			continue
		}
		if err := b.read(a); err != nil {
			all = false
		}
	}
	return all
}

// verdict compares what was said with what arrived. Chats are compared only
// when everything else is right, or at the end.
func (d *director) verdict(final bool) *Outcome {
	o := new(Outcome)
	var latency, acked []time.Duration
	heard := make([]map[string]bool, len(d.books))
	for n := range heard {
		heard[n] = map[string]bool{}
	}
	for n, b := range d.books {
		o.Crashes += b.crashes
		o.Silent += b.silent
		o.Overflow += b.overflow
		o.GivenUp += b.failed
		for _, text := range sorted(b.utterances) {
			u := b.utterances[text]
			if !b.own[text] && u.certain {
				o.problem(&o.Forgotten, "%s has forgotten %q", b.name, short(text))
			}
			if !b.own[text] && !u.certain {
				continue // it died over it, and it was never said
			}
			o.Said++
			for _, to := range u.to {
				o.Deliveries++
				heard[to][text] = true
				got := d.books[to].got[text]
				switch {
				case len(got) == 0:
					o.problem(&o.Lost, "%s never got %q", d.books[to].name, short(text))
				case len(got) > 1:
					o.problem(&o.Twice, "%s got %q %d times", d.books[to].name, short(text), len(got))
				case d.books[to].from[text] != d.key(n).String():
					o.problem(&o.Forged, "%s got %q from somebody else", d.books[to].name, short(text))
				}
				if len(got) > 0 {
					latency = append(latency, got[0].Sub(u.at))
				}
			}
			if at, ok := b.acked[text]; ok {
				acked = append(acked, at.Sub(u.at))
			} else if d.scenario.Expect.Acknowledged {
				o.problem(&o.Unacknowledged, "%s does not know that %q arrived", b.name, short(text))
			}
		}
		for _, refused := range b.refused {
			o.problem(&o.Forgotten, "%s refused: %s", b.name, short(refused))
		}
	}
	for n, b := range d.books {
		for _, text := range sorted(b.got) {
			if !heard[n][text] {
				o.problem(&o.Forged, "%s got %q, which nobody said there", b.name, short(text))
			}
		}
	}
	if final || o.OK() {
		d.compare(o)
		d.relations(o)
	}
	if final {
		o.Latency, o.Acked = distribution(latency), distribution(acked)
	}
	return o
}

// compare looks at the chats that must be the same at all who are in them.
func (d *director) compare(o *Outcome) {
	expect := d.scenario.Expect
	if expect.SameChats {
		for a, others := range d.contacts {
			for _, b := range others {
				if a < b {
					d.same(o, fmt.Sprintf("the chat of %s and %s", d.books[a].name, d.books[b].name), []int{a, b},
						func(n int) string { return chat.OneToOneID(d.key(a + b - n)) })
				}
			}
		}
	}
	if expect.SameChannels {
		for i, c := range d.channels {
			d.same(o, fmt.Sprintf("channel %d", i), c.members, func(int) string { return c.id })
		}
	}
	if expect.SameGroups {
		for i, g := range d.groups {
			d.same(o, fmt.Sprintf("group %d", i), g.members, func(int) string { return g.id })
			for _, n := range g.members {
				if a := d.actor(n); a != nil {
					if members, err := a.Members(g.id); err != nil || !d.sameMembers(members, g.members) {
						o.problem(&o.Different, "group %d: %s knows %d members of %d", i, d.books[n].name, len(members), len(g.members))
					}
				}
			}
		}
	}
}

func (d *director) sameMembers(have []key.Public, want []int) bool {
	if len(have) != len(want) {
		return false
	}
	for _, n := range want {
		if !slices.Contains(have, d.key(n)) {
			return false
		}
	}
	return true
}

// same compares a chat at all who are in it.
func (d *director) same(o *Outcome, name string, who []int, id func(n int) string) {
	var first []Line
	for i, n := range who {
		a := d.actor(n)
		if a == nil {
			o.problem(&o.Different, "%s: %s is down", name, d.books[n].name)
			continue
		}
		lines, err := a.Lines(id(n))
		if err != nil {
			o.problem(&o.Different, "%s: %s: %v", name, d.books[n].name, err)
			continue
		}
		if i == 0 {
			first = lines
			continue
		}
		if !slices.Equal(first, lines) {
			o.problem(&o.Different, "%s is another at %s (%d messages) than at %s (%d)", name, d.books[who[0]].name, len(first), d.books[n].name, len(lines))
		}
	}
}

// relations looks at how contact requests have ended.
func (d *director) relations(o *Outcome) {
	for _, r := range d.asked {
		from, to := d.actor(r.from), d.actor(r.to)
		if from == nil || to == nil {
			o.problem(&o.Unanswered, "the request of %s to %s: one of them is down", d.books[r.from].name, d.books[r.to].name)
			continue
		}
		here, err := from.Relation(d.key(r.to))
		there, err2 := to.Relation(d.key(r.from))
		// Who declines says nothing: the other goes on waiting.
		wantHere, wantThere := contact.StateSent, contact.StateReceived
		switch r.answer {
		case "accept":
			wantHere, wantThere = contact.StateMutual, contact.StateMutual
		case "reject":
			wantThere = contact.None
		}
		if err != nil || err2 != nil || here != wantHere || there != wantThere {
			o.problem(&o.Unanswered, "%s asked %s, to be answered by %s: %s here, %s there", d.books[r.from].name, d.books[r.to].name, r.answer, here, there)
		}
	}
}

func short(text string) string {
	if len(text) > 40 {
		return text[:40] + "…"
	}
	return text
}

func sorted[T any](m map[string]T) []string {
	all := make([]string, 0, len(m))
	for k := range m {
		all = append(all, k)
	}
	sort.Strings(all)
	return all
}

// Distribution describes times.
type Distribution struct {
	Count int      `json:"count"`
	Min   Duration `json:"min"`
	Mean  Duration `json:"mean"`
	P50   Duration `json:"p50"`
	P90   Duration `json:"p90"`
	P99   Duration `json:"p99"`
	Max   Duration `json:"max"`
	// Quantiles are those for 0, 1 … 100 per cent, for plots.
	Quantiles []Duration `json:"quantiles,omitempty"`
}

func distribution(all []time.Duration) (d Distribution) {
	if len(all) == 0 {
		return d
	}
	slices.Sort(all)
	at := func(p int) Duration { return Duration(all[(len(all)-1)*p/100]) }
	var sum float64
	for _, v := range all {
		sum += float64(v)
	}
	d = Distribution{Count: len(all), Min: at(0), Mean: Duration(sum / float64(len(all))), P50: at(50), P90: at(90), P99: at(99), Max: at(100)}
	for p := range 101 {
		d.Quantiles = append(d.Quantiles, at(p))
	}
	return d
}
