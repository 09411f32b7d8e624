package sim

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"
)

// Scenario is what a run plays. Durations are texts as of Go ("300ms", "10m").
type Scenario struct {
	Name  string `json:"name"`
	About string `json:"about"`
	// People are the participants, in groups of the same kind.
	People []People `json:"people"`
	// Services is how many service nodes there are; 0 is 1. They are named
	// "service0", "service1" … in faults.
	Services int `json:"services,omitempty"`
	// Links is how everybody is connected.
	Links Links `json:"links"`
	// Contacts, Groups and Communities are made before the traffic begins, on
	// perfect links.
	Contacts    []Contacts  `json:"contacts,omitempty"`
	Groups      []Groups    `json:"groups,omitempty"`
	Communities []Community `json:"communities,omitempty"`
	Traffic     []Traffic   `json:"traffic,omitempty"`
	Faults      []Fault     `json:"faults,omitempty"`
	// For is how long traffic and faults go on, Settle how long may then pass,
	// with all faults over, until everything holds that is expected.
	For    Duration `json:"for"`
	Settle Duration `json:"settle"`
	Expect Expect   `json:"expect"`
}

// People are participants of one kind, called Name0, Name1 … elsewhere; Name
// are all of the kind, and "everybody" those of all kinds.
type People struct {
	Name  string `json:"name"`
	Count int    `json:"count"`
	// Mode is full or light.
	Mode string `json:"mode"`
	// Skew is how wrong their clocks are at most; each one's is drawn.
	Skew Duration `json:"skew,omitempty"`
}

// Links are the properties of a connection between two. Latency is drawn from
// mean ± jitter for every message, which therefore overtake one another.
type Links struct {
	Latency Duration `json:"latency,omitempty"`
	Jitter  Duration `json:"jitter,omitempty"`
	// Loss, Duplicate and Late are probabilities of every message; a late one
	// takes up to LateBy longer.
	Loss      float64  `json:"loss,omitempty"`
	Duplicate float64  `json:"duplicate,omitempty"`
	Late      float64  `json:"late,omitempty"`
	LateBy    Duration `json:"late_by,omitempty"`
	// Bandwidth of every participant's own line, each way, in bits a second
	// ("1Mbit", "64kbit"); what does not fit waits in line. Empty is any.
	Bandwidth Rate `json:"bandwidth,omitempty"`
}

// Contacts makes contacts of each other. How is "pairs" (Of with With, one to
// one), "star" (all of With with the first of Of) or "all" (all of Of with each
// other).
type Contacts struct {
	Of   string `json:"of"`
	With string `json:"with,omitempty"`
	How  string `json:"how"`
}

// Groups makes private groups: Count of them, of Members each, from Of in
// order; the first member of each makes it. A person who is left when the
// people are used up begins anew, so that everybody may be in several.
type Groups struct {
	Of      string `json:"of"`
	Count   int    `json:"count"`
	Members int    `json:"members"`
}

// Community is an open community with so many channels, which Owner makes, whose
// client is then its control node, and Members join.
type Community struct {
	Owner    string `json:"owner"`
	Members  string `json:"members"`
	Channels int    `json:"channels"`
}

// people are the numbers of its members, the owner's first.
func (c Community) people(s *Scenario) []int {
	owner := s.find(c.Owner)
	return append(owner, slices.DeleteFunc(s.find(c.Members), func(n int) bool { return slices.Contains(owner, n) })...)
}

// Traffic is what is said.
type Traffic struct {
	From string `json:"from"`
	// To is "contacts", "groups" or "channels" (each in turn), or the name of
	// people who are asked to become contacts (see Requests).
	To string `json:"to"`
	// Every is the pause between two messages of one person; each begins at a
	// drawn moment of the first pause. Start and For bound it within the run.
	Every Duration `json:"every"`
	Start Duration `json:"start,omitempty"`
	For   Duration `json:"for,omitempty"`
	// Count bounds the messages of each person; 0 does not.
	Count int `json:"count,omitempty"`
	// Bytes is how long a text is at least.
	Bytes int `json:"bytes,omitempty"`
	// Requests are contact requests instead of texts.
	Requests *Requests `json:"requests,omitempty"`
}

// Requests says how contact requests are answered: of those asked, in order,
// the first Accept accept, the next Reject decline, the rest ignores it.
type Requests struct {
	Accept int `json:"accept"`
	Reject int `json:"reject"`
}

// Fault is something that goes wrong At a time, For so long. With Every it
// happens again and again, Times times or until the end.
type Fault struct {
	Kind  string   `json:"kind"`
	Who   []string `json:"who"`
	At    Duration `json:"at"`
	For   Duration `json:"for,omitempty"`
	Every Duration `json:"every,omitempty"`
	Times int      `json:"times,omitempty"`
	// Spread is how much At is drawn around itself, for each time and person.
	Spread Duration `json:"spread,omitempty"`
	// Links are those of kind "links".
	Links *Links `json:"links,omitempty"`
	// Rate is how many messages a second a hostile peer publishes.
	Rate float64 `json:"rate,omitempty"`
}

// The kinds of faults.
const (
	// FaultPartition separates Who, together, from all others.
	FaultPartition = "partition"
	// FaultOffline separates each of Who from everybody.
	FaultOffline = "offline"
	// FaultPause holds all that comes and goes, and lets it go afterwards.
	FaultPause = "pause"
	// FaultLinks gives the lines of Who other properties.
	FaultLinks = "links"
	// FaultCrash kills Who at an arbitrary point; they are down for For.
	FaultCrash = "crash"
	// FaultRestart stops Who in good order; they are away for For.
	FaultRestart = "restart"
	// FaultStore lets service nodes refuse store queries.
	FaultStore = "store"
	// FaultHostile lets the people Who publish, Rate messages a second:
	// rubbish on the topics of others, envelopes again, and changed ones.
	FaultHostile = "hostile"
)

// Expect is what must hold at the end. Nothing of what was said may be lost or
// there twice, in any scenario.
type Expect struct {
	// Acknowledged: every message is delivered as far as its sender knows.
	Acknowledged bool `json:"acknowledged,omitempty"`
	// SameGroups: all members have the same members and the same messages in
	// the same order.
	SameGroups bool `json:"same_groups,omitempty"`
	// SameChannels: all members of a community have the same messages in the
	// same order in each of its channels.
	SameChannels bool `json:"same_channels,omitempty"`
	// SameChats: both sides of a 1:1 chat have the same messages in the same
	// order.
	SameChats bool `json:"same_chats,omitempty"`
	// Copies bounds the envelopes that carry one 1:1 message, on average; 0
	// does not.
	Copies float64 `json:"copies,omitempty"`
}

// ErrScenario is a scenario that makes no sense.
var ErrScenario = errors.New("scenario")

// Parse reads a scenario.
func Parse(raw []byte) (*Scenario, error) {
	s := new(Scenario)
	d := json.NewDecoder(bytes.NewReader(raw))
	d.DisallowUnknownFields()
	if err := d.Decode(s); err != nil {
		return nil, fmt.Errorf("%w: %w", ErrScenario, err)
	}
	if err := s.check(); err != nil {
		return nil, fmt.Errorf("%w %s: %w", ErrScenario, s.Name, err)
	}
	return s, nil
}

// Limits of what one process is asked to hold.
const (
	MaxPeople   = 2000
	MaxServices = 20
)

func (s *Scenario) check() error {
	s.Services = max(1, s.Services)
	total := 0
	for _, p := range s.People {
		total += p.Count
		if p.Name == "" || p.Name == Everybody || p.Count < 1 || strings.ContainsAny(p.Name, "0123456789") || strings.HasPrefix(p.Name, "service") {
			return fmt.Errorf("people %q: a name of their own without digits and a count are needed", p.Name)
		}
		if p.Mode != "full" && p.Mode != "light" {
			return fmt.Errorf("people %s: mode %q is neither full nor light", p.Name, p.Mode)
		}
	}
	if total == 0 || total > MaxPeople || s.Services > MaxServices {
		return fmt.Errorf("%d people and %d services, from 1 to %d and %d are possible", total, s.Services, MaxPeople, MaxServices)
	}
	if s.For <= 0 || s.Settle <= 0 {
		return errors.New("for and settle are needed")
	}
	for _, c := range s.Contacts {
		if err := s.checkContacts(c); err != nil {
			return err
		}
	}
	for _, g := range s.Groups {
		if n := len(s.find(g.Of)); g.Members < 2 || g.Members > n || g.Count < 1 {
			return fmt.Errorf("groups of %s: %d of %d members cannot be made of %d people", g.Of, g.Count, g.Members, n)
		}
	}
	for _, c := range s.Communities {
		if len(s.find(c.Owner)) != 1 || len(c.people(s)) < 2 || c.Channels < 1 {
			return fmt.Errorf("community of %q with %q: one owner, members and channels are needed", c.Owner, c.Members)
		}
	}
	for _, t := range s.Traffic {
		if err := s.checkTraffic(t); err != nil {
			return err
		}
	}
	for _, f := range s.Faults {
		if err := s.checkFault(f); err != nil {
			return err
		}
	}
	return s.Links.check()
}

func (s *Scenario) checkContacts(c Contacts) error {
	of, with := len(s.find(c.Of)), len(s.find(c.With))
	if of == 0 || c.How == "pairs" && of != with || c.How == "star" && with == 0 {
		return fmt.Errorf("contacts of %s with %s: %d and %d people", c.Of, c.With, of, with)
	}
	switch c.How {
	case "pairs", "star", "all":
		return nil
	}
	return fmt.Errorf("contacts %q: neither pairs, star nor all", c.How)
}

func (s *Scenario) checkTraffic(t Traffic) error {
	if len(s.find(t.From)) == 0 || t.Every <= 0 {
		return fmt.Errorf("traffic from %q: people and every are needed", t.From)
	}
	if t.Requests != nil && len(s.find(t.To)) == 0 || t.Requests == nil && !slices.Contains([]string{"contacts", "groups", "channels"}, t.To) {
		return fmt.Errorf("traffic to %q: neither contacts, groups, channels nor people with requests", t.To)
	}
	return nil
}

func (s *Scenario) checkFault(f Fault) error {
	if f.Links != nil {
		if err := f.Links.check(); err != nil {
			return err
		}
	}
	for _, who := range f.Who {
		people := len(s.find(who)) > 0
		switch f.Kind {
		case FaultStore:
			people = s.service(who) >= 0
		case FaultPartition, FaultPause, FaultLinks, FaultOffline:
			people = people || s.service(who) >= 0
		}
		if !people {
			return fmt.Errorf("fault %s: there is nobody called %q for it", f.Kind, who)
		}
	}
	switch f.Kind {
	case FaultPartition, FaultOffline, FaultPause, FaultCrash, FaultRestart, FaultStore:
		if f.For <= 0 {
			return fmt.Errorf("fault %s: how long?", f.Kind)
		}
	case FaultLinks:
		if f.Links == nil || f.For <= 0 {
			return errors.New("fault links: links and for are needed")
		}
	case FaultHostile:
		if f.Rate <= 0 || f.For <= 0 {
			return errors.New("fault hostile: rate and for are needed")
		}
	default:
		return fmt.Errorf("fault %q is unknown", f.Kind)
	}
	if len(f.Who) == 0 {
		return fmt.Errorf("fault %s: who?", f.Kind)
	}
	return nil
}

func (l Links) check() error {
	for _, p := range []float64{l.Loss, l.Duplicate, l.Late} {
		if p < 0 || p > 1 {
			return fmt.Errorf("links: %v is no probability", p)
		}
	}
	return nil
}

// Everybody are the people of all kinds together.
const Everybody = "everybody"

// find returns the numbers of the people called so: a kind, one of them, or
// everybody.
func (s *Scenario) find(name string) (numbers []int) {
	first := 0
	for _, p := range s.People {
		for i := range p.Count {
			if name == Everybody || name == p.Name || name == p.Name+strconv.Itoa(i) {
				numbers = append(numbers, first+i)
			}
		}
		first += p.Count
	}
	return numbers
}

// service returns the number of a service node, -1 for none.
func (s *Scenario) service(name string) int {
	for i := range s.Services {
		if name == "service"+strconv.Itoa(i) {
			return i
		}
	}
	return -1
}

// Duration is a time.Duration that JSON writes as a text.
type Duration time.Duration

// D is the duration as package time has it.
func (d Duration) D() time.Duration { return time.Duration(d) }

// MarshalText implements encoding.TextMarshaler.
func (d Duration) MarshalText() ([]byte, error) { return []byte(d.D().String()), nil }

// UnmarshalText implements encoding.TextUnmarshaler.
func (d *Duration) UnmarshalText(text []byte) error {
	v, err := time.ParseDuration(string(text))
	*d = Duration(v)
	if err == nil && v < 0 {
		err = fmt.Errorf("duration %s is negative", text)
	}
	return err
}

// Rate is a bandwidth in bits a second.
type Rate float64

// MarshalText implements encoding.TextMarshaler.
func (r Rate) MarshalText() ([]byte, error) {
	return []byte(strconv.FormatFloat(float64(r), 'f', -1, 64) + "bit"), nil
}

// UnmarshalText implements encoding.TextUnmarshaler.
func (r *Rate) UnmarshalText(text []byte) error {
	number, ok := strings.CutSuffix(string(text), "bit")
	unit := 1.0
	for suffix, u := range map[string]float64{"k": 1e3, "M": 1e6, "G": 1e9} {
		if n, has := strings.CutSuffix(number, suffix); has {
			number, unit = n, u
		}
	}
	v, err := strconv.ParseFloat(number, 64)
	if !ok || err != nil || v <= 0 {
		return fmt.Errorf("bandwidth %q: give bits a second, like 1Mbit", text)
	}
	*r = Rate(v * unit)
	return nil
}

// takes is how long so many bytes take at the rate.
func (r Rate) takes(n int) time.Duration {
	if r == 0 {
		return 0
	}
	return time.Duration(float64(n) * 8 / float64(r) * float64(time.Second))
}
