package group

import (
	"errors"
	"io"
	"math"
	"slices"
	"strings"
	"testing"

	"github.com/parley-im/parley/account/key"
)

// Everything we do, step by step; each step is taken by deployed clients.
//
// Proves: AP-008, AP-012, AP-015, AP-018, AP-022, AP-023, AP-026, AP-030, AP-033, AP-034.
func TestActions(t *testing.T) {
	t.Parallel()
	ks := people(4)
	me, bob, carol, dave := ks[0], ks[1], ks[2], ks[3]
	g, events, err := Create(me, "first", "", nil, start, zeros{})
	if err != nil || len(events) != 1 || events[0].Type != ChatCreated || g.Color != "" {
		t.Fatalf("%v, %v", events, err)
	}
	g, events, err = Create(me, "first", "#000000", publics(bob, carol, bob, me), start, zeros{})
	if err != nil || len(events) != 2 || events[1].Type != MembersAdded || !slices.Equal(events[1].Members, publics(bob, carol)) {
		t.Fatalf("%v, %v", events, err)
	}
	clock := uint64(start + 1)
	for _, step := range []struct {
		typ  Type
		do   func(Group, uint64) (Group, Event, error)
		look func(Group) bool
	}{
		{NameChanged, func(g Group, c uint64) (Group, Event, error) { return g.Rename(me, "second", c) }, func(g Group) bool { return g.Name == "second" }},
		{ColorChanged, func(g Group, c uint64) (Group, Event, error) { return g.SetColor(me, "#ffffff", c) }, func(g Group) bool { return g.Color == "#ffffff" }},
		{ImageChanged, func(g Group, c uint64) (Group, Event, error) {
			return g.SetImage(me, make([]byte, MaxSentImageSize), c)
		}, func(g Group) bool { return len(g.Image) == MaxSentImageSize }},
		{MemberJoined, func(g Group, c uint64) (Group, Event, error) { return g.Join(bob, c) }, func(g Group) bool { return g.Standing(bob.Public()) == Member }},
		{AdminsAdded, func(g Group, c uint64) (Group, Event, error) { return g.AddAdmins(me, publics(me, bob, bob), c) }, func(g Group) bool { return g.IsAdmin(bob.Public()) }},
		{MembersAdded, func(g Group, c uint64) (Group, Event, error) { return g.AddMembers(bob, publics(carol, dave), c) }, func(g Group) bool { return g.IsMember(dave.Public()) }},
		{MemberRemoved, func(g Group, c uint64) (Group, Event, error) { return g.Remove(bob, dave.Public(), c) }, func(g Group) bool { return g.Standing(dave.Public()) == Removed }},
		{AdminRemoved, func(g Group, c uint64) (Group, Event, error) { return g.StepDown(me, c) }, func(g Group) bool { return !g.IsAdmin(me.Public()) && g.IsMember(me.Public()) }},
		{MemberRemoved, func(g Group, c uint64) (Group, Event, error) { return g.Remove(carol, carol.Public(), c) }, func(g Group) bool { return g.Standing(carol.Public()) == Left }},
		{MemberRemoved, func(g Group, c uint64) (Group, Event, error) { return g.Leave(bob, c) }, func(g Group) bool { return g.Standing(bob.Public()) == Left && len(g.Admins) == 0 }},
	} {
		before := look(g)
		if _, _, err := step.do(g, clock); !errors.Is(err, ErrClock) {
			t.Errorf("%s at the clock of the newest event: %v", step.typ, err)
		}
		clock++
		after, e, err := step.do(g, clock)
		if err != nil || e.Type != step.typ || e.Clock != clock || !step.look(after) {
			t.Fatalf("%s: %+v, %v\n%s", step.typ, e, err, look(after))
		}
		if look(g) != before {
			t.Fatalf("%s changed the group it was asked of", step.typ)
		}
		if parsed, err := ParseEvent(g.ID, e.Raw); err != nil || parsed.Author != e.Author {
			t.Errorf("%s: %v", step.typ, err)
		}
		deployed(t, after)
		roundTrip(t, after)
		g = after
	}
}

// What we do not send, though deployed clients would take some of it.
//
// Proves: AP-012, AP-015, AP-026, AP-029, AP-033, AP-034.
func TestActionsRefused(t *testing.T) {
	t.Parallel()
	ks := people(MaxMembers + 6)
	admin, second, member, other, former, stranger := ks[0], ks[1], ks[2], ks[3], ks[4], ks[5]
	g := create(t, admin, second, member, former)
	g = must(t)(g.AddAdmins(admin, publics(second), start+2))
	g = must(t)(g.Remove(admin, former.Public(), start+3))
	full := must(t)(g.AddMembers(admin, publics(ks[6:6+MaxMembers-len(g.Members)]...), start+4))
	if len(full.Members) != MaxMembers {
		t.Fatalf("%d members", len(full.Members))
	}
	alone := create(t, admin, member)
	type result = func() (Group, Event, error)
	const c = start + 9
	for what, try := range map[string]struct {
		want error
		do   result
	}{
		"member renames":          {ErrNotAdmin, func() (Group, Event, error) { return g.Rename(member, "n", c) }},
		"former renames":          {ErrNotMember, func() (Group, Event, error) { return g.Rename(former, "n", c) }},
		"blank name":              {ErrName, func() (Group, Event, error) { return g.Rename(admin, " ", c) }},
		"same name":               {ErrNoChange, func() (Group, Event, error) { return g.Rename(admin, g.Name, c) }},
		"member colours":          {ErrNotAdmin, func() (Group, Event, error) { return g.SetColor(member, "#000000", c) }},
		"bad colour":              {ErrColor, func() (Group, Event, error) { return g.SetColor(admin, "blue", c) }},
		"same colour":             {ErrNoChange, func() (Group, Event, error) { return g.SetColor(admin, g.Color, c) }},
		"member pictures":         {ErrNotAdmin, func() (Group, Event, error) { return g.SetImage(member, []byte{1}, c) }},
		"no picture":              {ErrImage, func() (Group, Event, error) { return g.SetImage(admin, nil, c) }},
		"large picture":           {ErrImage, func() (Group, Event, error) { return g.SetImage(admin, make([]byte, MaxSentImageSize+1), c) }},
		"member adds":             {ErrNotAdmin, func() (Group, Event, error) { return g.AddMembers(member, publics(stranger), c) }},
		"stranger adds":           {ErrNotMember, func() (Group, Event, error) { return g.AddMembers(stranger, publics(stranger), c) }},
		"nobody new added":        {ErrNoChange, func() (Group, Event, error) { return g.AddMembers(admin, publics(member), c) }},
		"no key added":            {key.ErrPublic, func() (Group, Event, error) { return g.AddMembers(admin, []key.Public{{}}, c) }},
		"one more than fit":       {ErrFull, func() (Group, Event, error) { return full.AddMembers(admin, publics(other), c) }},
		"stranger joins":          {ErrNotMember, func() (Group, Event, error) { return g.Join(stranger, c) }},
		"joined already":          {ErrNoChange, func() (Group, Event, error) { return g.Join(admin, c) }},
		"former leaves":           {ErrNotMember, func() (Group, Event, error) { return g.Leave(former, c) }},
		"member removes":          {ErrNotAdmin, func() (Group, Event, error) { return full.Remove(member, ks[6].Public(), c) }},
		"member removes an admin": {ErrAdmin, func() (Group, Event, error) { return g.Remove(member, admin.Public(), c) }},
		"admin removes an admin":  {ErrAdmin, func() (Group, Event, error) { return g.Remove(admin, second.Public(), c) }},
		"stranger removed":        {ErrUnknownMember, func() (Group, Event, error) { return g.Remove(admin, stranger.Public(), c) }},
		"member promotes":         {ErrNotAdmin, func() (Group, Event, error) { return g.AddAdmins(member, publics(member), c) }},
		"stranger promoted":       {ErrUnknownMember, func() (Group, Event, error) { return g.AddAdmins(admin, publics(member, stranger), c) }},
		"admin promoted":          {ErrNoChange, func() (Group, Event, error) { return g.AddAdmins(admin, publics(second), c) }},
		"member steps down":       {ErrNotAdmin, func() (Group, Event, error) { return g.StepDown(member, c) }},
		"last admin steps down":   {ErrLastAdmin, func() (Group, Event, error) { return alone.StepDown(admin, c) }},
		"nothing known of":        {ErrNotMember, func() (Group, Event, error) { return Group{}.Rename(admin, "n", c) }},
		"clock of the newest":     {ErrClock, func() (Group, Event, error) { return g.Rename(admin, "n", g.Clock()) }},
		"clock zero":              {ErrClock, func() (Group, Event, error) { return g.Leave(admin, 0) }},
		"last clock, then nothing": {ErrClock, func() (Group, Event, error) {
			last, _, err := g.Rename(admin, "n", math.MaxUint64)
			if err != nil {
				t.Error(err)
			}
			return last.Rename(admin, "m", math.MaxUint64)
		}},
	} {
		after, e, err := try.do()
		if !errors.Is(err, try.want) || e.Raw != nil {
			t.Errorf("%s: %v, want %v", what, err, try.want)
		}
		if what != "last clock, then nothing" && len(after.Events) != len(g.Events) && len(after.Events) != len(full.Events) && len(after.Events) != len(alone.Events) && !after.IsZero() {
			t.Errorf("%s: the group changed", what)
		}
	}
}

func TestCreateRefused(t *testing.T) {
	t.Parallel()
	ks := people(MaxMembers + 1)
	me := ks[0]
	for what, c := range map[string]struct {
		want    error
		name    string
		color   string
		members []key.Private
		clock   uint64
		rand    io.Reader
	}{
		"no name":       {ErrName, "", "", nil, start, zeros{}},
		"bad colour":    {ErrColor, "n", "x", nil, start, zeros{}},
		"too many":      {ErrFull, "n", "", ks[1:], start, zeros{}},
		"only oneself":  {ErrNoChange, "n", "", ks[:1], start, zeros{}},
		"no clock":      {ErrClock, "n", "", nil, 0, zeros{}},
		"last clock":    {ErrClock, "n", "", ks[1:2], math.MaxUint64, zeros{}},
		"no randomness": {io.EOF, "n", "", nil, start, strings.NewReader("")},
	} {
		g, events, err := Create(me, c.name, c.color, publics(c.members...), c.clock, c.rand)
		if !errors.Is(err, c.want) || !g.IsZero() || events != nil {
			t.Errorf("%s: %v, want %v", what, err, c.want)
		}
	}
	if _, _, err := Create(key.Private{}, "n", "", nil, start, zeros{}); err == nil {
		t.Error("nobody created a group")
	}
	if g, _, err := Create(me, "n", "", publics(ks[1:MaxMembers]...), start, zeros{}); err != nil || len(g.Members) != MaxMembers {
		t.Errorf("the largest group: %v", err)
	}
}
