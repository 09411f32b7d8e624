package sim

import (
	"slices"
	"time"

	"github.com/parley-im/parley/app/message"
)

// Result is how a run ended and what it cost.
type Result struct {
	Scenario string `json:"scenario"`
	Seed     uint64 `json:"seed"`
	Outcome
	// Histories are the ends of the participants' hash chains, History one for
	// all of them.
	History   string            `json:"history,omitempty"`
	Histories map[string]string `json:"histories,omitempty"`
	// Virtual is how much time went by in the laboratory, Took how long it took.
	Virtual Duration `json:"virtual"`
	Took    Duration `json:"took"`
	// Cost is what the run cost, in the laboratory.
	Cost *Cost `json:"cost,omitempty"`
	// Skipped says what of the scenario was left out, with real processes.
	Skipped []string `json:"skipped,omitempty"`

	// Traces are the lines of the histories, when asked for, and, under
	// "(wire)", what was published, which is no part of them.
	Traces map[string][]string `json:"-"`
}

// Cost is what went over the network after the scene was set.
type Cost struct {
	// Usage is that of all full and of all light clients together.
	Usage []Usage `json:"usage"`
	// Kinds are the envelopes published by kind.
	Kinds []Kind `json:"kinds"`
	// Copies is how many envelopes carried a 1:1 or group message to one
	// recipient, on average; CopiesOf counts messages by that number, the last
	// place for all above. Again counts envelopes published once more as they
	// are.
	Copies   float64 `json:"copies"`
	CopiesOf []int   `json:"copies_of"`
	Again    int     `json:"again"`
	// Lost is what the network lost, Hostile what hostile peers published.
	Lost    Volume `json:"lost"`
	Hostile Volume `json:"hostile"`
}

// Usage is what went over the lines of clients of one mode.
type Usage struct {
	Mode    string              `json:"mode"`
	Clients int                 `json:"clients"`
	In      map[Protocol]Volume `json:"in"`
	Out     map[Protocol]Volume `json:"out"`
	// Messages is how many texts these clients said and got, PerMessage the
	// bytes both ways of each.
	Messages   int     `json:"messages"`
	PerMessage float64 `json:"per_message,omitempty"`
	// PerHour is bytes both ways of one client in an hour.
	PerHour float64 `json:"per_hour"`
}

const copiesMost = 10

func (l *lab) result(d *director, out *Outcome, o Options) *Result {
	r := &Result{Scenario: l.scenario.Name, Seed: l.seed, Outcome: *out, Histories: map[string]string{}, Virtual: Duration(time.Since(epoch))}
	for _, b := range d.books {
		r.Histories[b.name] = b.history()
		if o.Trace {
			if r.Traces == nil {
				r.Traces = map[string][]string{}
			}
			r.Traces[b.name] = b.trace
		}
	}
	if o.Trace {
		r.Traces["(wire)"] = *l.wire.trace
		slices.Sort(*l.wire.trace) // their order within a tick means nothing
	}
	r.History = chainOf(d.books)
	r.Cost = l.cost(d, out, o)
	return r
}

// cost sums up the lines and envelopes.
func (l *lab) cost(d *director, out *Outcome, o Options) *Cost {
	c := &Cost{Again: l.wire.attempts, Lost: l.wire.Lost, Hostile: l.wire.hostile, CopiesOf: make([]int, copiesMost+1)}
	hours := time.Since(d.began).Hours()
	for _, mode := range []string{"full", "light"} {
		line := Usage{Mode: mode, In: map[Protocol]Volume{}, Out: map[Protocol]Volume{}}
		bytes := 0
		for _, p := range l.people {
			if p.light != (mode == "light") {
				continue
			}
			line.Clients++
			line.Messages += len(p.book.own) + len(p.book.got)
			for proto, v := range p.in {
				line.In[proto] = line.In[proto].add(v)
				bytes += v.Bytes
			}
			for proto, v := range p.out {
				line.Out[proto] = line.Out[proto].add(v)
				bytes += v.Bytes
			}
		}
		if line.Clients == 0 {
			continue
		}
		if line.Messages > 0 {
			line.PerMessage = float64(bytes) / float64(line.Messages)
		}
		line.PerHour = float64(bytes) / float64(line.Clients) / hours
		c.Usage = append(c.Usage, line)
	}
	carried := map[message.ID]int{}
	for _, e := range l.wire.envelopes {
		for _, ref := range e.refs {
			carried[message.ID(ref)]++
		}
	}
	texts := map[message.ID]int{}
	for _, b := range d.books {
		for id, text := range b.texts {
			if parsed, err := message.ParseID(id); err == nil && b.own[text] {
				texts[parsed] = len(text)
			}
		}
	}
	total, recipients := 0, 0
	for _, b := range d.books {
		for id, text := range b.texts {
			u := b.utterances[text]
			parsed, err := message.ParseID(id)
			if u == nil || err != nil {
				continue
			}
			total += carried[parsed]
			recipients += len(u.to)
			c.CopiesOf[min(copiesMost, carried[parsed]/len(u.to))]++
		}
	}
	if recipients > 0 {
		c.Copies = float64(total) / float64(recipients)
	}
	if o.Layers {
		c.Kinds = l.wire.measure(texts)
	}
	return c
}
