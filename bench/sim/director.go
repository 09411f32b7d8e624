package sim

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/parley-im/parley/account/key"
	"github.com/parley-im/parley/app/chat"
	"github.com/parley-im/parley/app/contact"
	"github.com/parley-im/parley/storage"
)

// actor is what the director has a participant do, in the laboratory or as a
// process.
type actor interface {
	AddContact(who key.Public, text string) error
	AcceptContact(who key.Public) error
	DeclineContact(who key.Public) error
	// Relation is the state of a contact.
	Relation(who key.Public) (contact.State, error)
	// CreateGroup makes a private group and returns its chat's id.
	CreateGroup(name string, members []key.Public) (id string, err error)
	// CreateCommunity makes an open community and returns the ids of its channels'
	// chats. JoinCommunity follows one and asks to join it as soon as its
	// description is there; it is called until Citizens, those of it that are
	// known, are complete.
	CreateCommunity(name string, channels int) (k key.Public, ids []string, err error)
	JoinCommunity(k key.Public) error
	Citizens(k key.Public) (int, error)
	// Members are those of a group, Lines what is said in a chat, in order.
	Members(group string) ([]key.Public, error)
	Lines(chat string) ([]Line, error)
	// Say says a text in a chat; an error means that nothing was said, or
	// errDied, that nobody knows.
	Say(chat, text string) error
	// Events are those after a sequence number; there may be more.
	Events(since uint64) ([]storage.Event, error)
}

// Line is a message as it stands in a chat.
type Line struct {
	From key.Public
	Text string
}

// stage is where a scenario is played.
type stage interface {
	// at puts something on the agenda, advance and until let time pass.
	at(t time.Time, do func())
	advance(until time.Time)
	until(patience, step time.Duration, holds func() bool) bool
	// actor returns a participant, nil while they are down.
	actor(n int) actor
	key(n int) key.Public
	// begin and end are those of a fault; who has numbers of people, and
	// nodes names. kill ends a participant's client, raise starts it again.
	begin(f Fault, nodes []string) (end func(), err error)
	kill(n int, orderly bool)
	raise(n int)
	// perfect makes all links so, or ends that.
	perfect(on bool)
	// broken is why it cannot go on.
	broken() error
}

// director plays a scenario on a stage.
type director struct {
	stage
	scenario *Scenario
	seed     uint64
	books    []*book
	contacts [][]int
	groups   []*groupChat
	// channels are those of communities.
	channels []*groupChat
	// asked are the contact requests, by who asks and who is asked.
	asked []*asking
	began time.Time
}

// groupChat is a private group of the scenario, or a channel of a community.
type groupChat struct {
	id      string
	members []int
}

// asking is a contact request and how it is to be answered.
type asking struct {
	from, to int
	answer   string // accept, reject or ignore
}

const (
	// patience is how long setting up may take; step is how often is looked.
	patience = 20 * time.Minute
	step     = time.Second
)

// ErrSetup is a scenario whose people could not be brought together.
var ErrSetup = errors.New("setting the scene failed")

// play plays the whole scenario and tells how it ended.
func (d *director) play() (*Outcome, error) {
	d.perfect(true)
	up := func() bool {
		for n := range d.books {
			if d.actor(n) == nil {
				return false
			}
		}
		return true
	}
	if !d.until(patience, step, up) {
		return nil, fmt.Errorf("%w: not everybody is up: %w", ErrSetup, d.broken())
	}
	if err := d.introduce(); err != nil {
		return nil, err
	}
	if err := d.assemble(); err != nil {
		return nil, err
	}
	if err := d.found(); err != nil {
		return nil, err
	}
	d.perfect(false)
	d.began = d.now()
	end := d.began.Add(d.scenario.For.D())
	for i, t := range d.scenario.Traffic {
		d.schedule(i, t)
	}
	for i, f := range d.scenario.Faults {
		d.threaten(i, f)
	}
	d.advance(end)
	settled := d.until(d.scenario.Settle.D(), 5*step, func() bool { return d.collect() && d.verdict(false).OK() })
	took := d.now().Sub(end)
	if err := d.broken(); err != nil {
		return nil, err
	}
	out := d.verdict(true)
	out.Settled, out.SettledAfter = settled, Duration(took)
	return out, nil
}

func (d *director) now() time.Time { return time.Now() }

// introduce makes the contacts of the scenario.
func (d *director) introduce() error {
	s := d.scenario
	d.contacts = make([][]int, len(d.books))
	var pairs [][2]int
	for _, c := range s.Contacts {
		of, with := s.find(c.Of), s.find(c.With)
		switch c.How {
		case "pairs":
			for i := range of {
				pairs = append(pairs, [2]int{of[i], with[i]})
			}
		case "star":
			for _, n := range with {
				pairs = append(pairs, [2]int{n, of[0]})
			}
		case "all":
			for i, a := range of {
				for _, b := range of[i+1:] {
					pairs = append(pairs, [2]int{a, b})
				}
			}
		}
	}
	for _, p := range pairs {
		d.contacts[p[0]] = append(d.contacts[p[0]], p[1])
		d.contacts[p[1]] = append(d.contacts[p[1]], p[0])
	}
	for _, g := range s.Groups {
		for _, members := range g.members(s) {
			for _, m := range members[1:] {
				pairs = append(pairs, [2]int{members[0], m})
			}
		}
	}
	return d.befriend(pairs)
}

// befriend brings pairs together, those that are not already.
func (d *director) befriend(pairs [][2]int) error {
	var open [][2]int
	for _, p := range pairs {
		if p[0] != p[1] && !slices.ContainsFunc(open, func(o [2]int) bool { return o == p || o == [2]int{p[1], p[0]} }) {
			open = append(open, p)
		}
	}
	for _, p := range open {
		if err := d.actor(p[0]).AddContact(d.key(p[1]), "hello"); err != nil {
			return fmt.Errorf("%w: %w", ErrSetup, err)
		}
	}
	var failed error
	ok := d.until(patience, step, func() bool {
		open = slices.DeleteFunc(open, func(p [2]int) bool {
			there, err := d.actor(p[1]).Relation(d.key(p[0]))
			if err == nil && there == contact.StateReceived {
				err = d.actor(p[1]).AcceptContact(d.key(p[0]))
			}
			here, err2 := d.actor(p[0]).Relation(d.key(p[1]))
			failed = errors.Join(failed, err, err2)
			return there == contact.StateMutual && here == contact.StateMutual
		})
		return len(open) == 0 || failed != nil
	})
	if failed != nil || !ok {
		return fmt.Errorf("%w: %d pairs are no contacts yet: %w", ErrSetup, len(open), errors.Join(failed, d.broken()))
	}
	return nil
}

// assemble makes the groups of the scenario.
func (d *director) assemble() error {
	for _, g := range d.scenario.Groups {
		for i, members := range g.members(d.scenario) {
			var keys []key.Public
			for _, m := range members[1:] {
				keys = append(keys, d.key(m))
			}
			id, err := d.actor(members[0]).CreateGroup(fmt.Sprintf("group %d", i), keys)
			if err != nil {
				return fmt.Errorf("%w: %w", ErrSetup, err)
			}
			d.groups = append(d.groups, &groupChat{id, members})
		}
	}
	ok := d.until(patience, step, func() bool {
		for _, g := range d.groups {
			for _, m := range g.members {
				if have, err := d.actor(m).Members(g.id); err != nil || len(have) != len(g.members) {
					return false
				}
			}
		}
		return true
	})
	if !ok {
		return fmt.Errorf("%w: groups are incomplete: %w", ErrSetup, d.broken())
	}
	return nil
}

// found makes the communities of the scenario.
func (d *director) found() error {
	for i, c := range d.scenario.Communities {
		people := c.people(d.scenario)
		k, channels, err := d.actor(people[0]).CreateCommunity(fmt.Sprintf("community %d", i), c.Channels)
		if err != nil {
			return fmt.Errorf("%w: %w", ErrSetup, err)
		}
		var failed error
		ok := d.until(patience, step, func() bool {
			complete := true
			for _, n := range people {
				if n != people[0] {
					failed = errors.Join(failed, d.actor(n).JoinCommunity(k))
				}
				known, err := d.actor(n).Citizens(k)
				failed = errors.Join(failed, err)
				complete = complete && known == len(people)
			}
			return complete || failed != nil
		})
		if failed != nil || !ok {
			return fmt.Errorf("%w: community %d is incomplete: %w", ErrSetup, i, errors.Join(failed, d.broken()))
		}
		for _, id := range channels {
			d.channels = append(d.channels, &groupChat{id, people})
		}
	}
	return nil
}

// schedule puts the traffic of one kind on the agenda.
func (d *director) schedule(kind int, t Traffic) {
	if t.Requests != nil {
		d.scheduleRequests(kind, t)
		return
	}
	start := d.began.Add(t.Start.D())
	end := d.began.Add(d.scenario.For.D())
	if t.For > 0 && start.Add(t.For.D()).Before(end) {
		end = start.Add(t.For.D())
	}
	for _, n := range d.scenario.find(t.From) {
		r := stream(d.seed, "traffic", kind, n)
		first := start.Add(time.Duration(r.Float64() * float64(t.Every.D())))
		count := 0
		var next func(at time.Time)
		next = func(at time.Time) {
			if !at.Before(end) || t.Count > 0 && count == t.Count {
				return
			}
			d.at(at, func() {
				d.say(n, kind, count, t)
				count++
				next(at.Add(t.Every.D()))
			})
		}
		next(first)
	}
}

// say has a person say something; who is down says nothing.
func (d *director) say(n, kind, count int, t Traffic) {
	var chatID string
	var to []int
	switch t.To {
	case "groups", "channels":
		var mine []*groupChat
		all := d.groups
		if t.To == "channels" {
			all = d.channels
		}
		for _, g := range all {
			if slices.Contains(g.members, n) {
				mine = append(mine, g)
			}
		}
		if len(mine) == 0 {
			return
		}
		g := mine[count%len(mine)]
		chatID = g.id
		to = slices.DeleteFunc(slices.Clone(g.members), func(m int) bool { return m == n })
	default:
		if len(d.contacts[n]) == 0 {
			return
		}
		other := d.contacts[n][count%len(d.contacts[n])]
		chatID, to = chat.OneToOneID(d.key(other)), []int{other}
	}
	a := d.actor(n)
	if a == nil {
		d.books[n].silent++
		return
	}
	u := &utterance{from: n, to: to, text: fmt.Sprintf("%s says %d.%d", d.books[n].name, kind, count), at: d.now()}
	if pad := t.Bytes - len(u.text); pad > 0 {
		u.text += strings.Repeat(".", pad)
	}
	switch err := a.Say(chatID, u.text); {
	case errors.Is(err, errDied):
	case err != nil:
		d.books[n].refused = append(d.books[n].refused, fmt.Sprintf("%s: %v", u.text, err))
		return
	default:
		u.certain = true
	}
	d.books[n].said(u)
}

// scheduleRequests puts contact requests and their answers on the agenda.
func (d *director) scheduleRequests(kind int, t Traffic) {
	from, to := d.scenario.find(t.From), d.scenario.find(t.To)
	r := stream(d.seed, "requests", kind)
	for i, asked := range to {
		a := &asking{from[i%len(from)], asked, "ignore"}
		switch {
		case i < t.Requests.Accept:
			a.answer = "accept"
		case i < t.Requests.Accept+t.Requests.Reject:
			a.answer = "reject"
		}
		d.asked = append(d.asked, a)
		at := d.began.Add(t.Start.D() + time.Duration(i/len(from))*t.Every.D() + time.Duration(r.Float64()*float64(t.Every.D())))
		d.at(at, func() { d.request(a, at) })
	}
}

// request asks, again while the one who asks is down, and answers when it has
// come.
func (d *director) request(a *asking, at time.Time) {
	if from := d.actor(a.from); from == nil || errors.Is(from.AddContact(d.key(a.to), "may I?"), errDied) {
		d.at(d.now().Add(time.Minute), func() { d.request(a, at) })
		return
	}
	d.at(d.now().Add(time.Second), func() { d.reply(a) })
}

func (d *director) reply(a *asking) {
	to := d.actor(a.to)
	if to != nil {
		state, err := to.Relation(d.key(a.from))
		if err == nil && state == contact.StateReceived {
			switch a.answer {
			case "accept":
				err = to.AcceptContact(d.key(a.from))
			case "reject":
				err = to.DeclineContact(d.key(a.from))
			}
			if err == nil {
				return
			}
		}
	}
	d.at(d.now().Add(time.Second), func() { d.reply(a) })
}

// threaten puts a fault on the agenda, each time it happens.
func (d *director) threaten(kind int, f Fault) {
	s := d.scenario
	times := 1
	if f.Every > 0 {
		times = int((s.For - f.At) / f.Every)
		if f.Times > 0 {
			times = min(times, f.Times)
		}
	}
	for _, who := range f.Who {
		people := s.find(who)
		if f.Kind != FaultCrash && f.Kind != FaultRestart {
			continue
		}
		for _, n := range people {
			r := stream(d.seed, "fault", kind, n)
			for i := range times {
				at := d.began.Add(between(r, f.At.D()+time.Duration(i)*f.Every.D(), f.Spread.D()))
				d.at(at, func() { d.fell(n, f) })
			}
		}
	}
	if f.Kind == FaultCrash || f.Kind == FaultRestart {
		return
	}
	r := stream(d.seed, "fault", kind)
	for i := range times {
		at := d.began.Add(between(r, f.At.D()+time.Duration(i)*f.Every.D(), f.Spread.D()))
		d.at(at, func() {
			end, err := d.begin(f, s.nodes(f.Who))
			if err == nil {
				d.at(d.now().Add(f.For.D()), end)
			}
		})
	}
}

// fell takes somebody down for a while.
func (d *director) fell(n int, f Fault) {
	d.kill(n, f.Kind == FaultRestart)
	d.at(d.now().Add(f.For.D()), func() { d.raise(n) })
}

// nodes returns the names of all that are called so: people one by one, and
// services.
func (s *Scenario) nodes(names []string) (all []string) {
	for _, name := range names {
		for _, n := range s.find(name) {
			all = append(all, s.person(n))
		}
		if s.service(name) >= 0 {
			all = append(all, name)
		}
	}
	return all
}

// person returns the name of the n-th person.
func (s *Scenario) person(n int) string {
	for _, p := range s.People {
		if n < p.Count {
			return fmt.Sprintf("%s%d", p.Name, n)
		}
		n -= p.Count
	}
	return ""
}

// size is how many people there are.
func (s *Scenario) size() (n int) {
	for _, p := range s.People {
		n += p.Count
	}
	return n
}
