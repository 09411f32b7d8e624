package group

import (
	"bytes"
	"errors"
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/parley-im/parley/account/key"
	"github.com/parley-im/parley/app/message"
	apppb "github.com/parley-im/parley/pb/app"
)

// incoming is an update from somebody to somebody.
func incoming(self, sender key.Private) Incoming {
	return Incoming{Self: self.Public(), Sender: sender.Public(), Allowed: true, Now: now}
}

// Which updates open a group, and which are for one we have.
//
// Proves: AP-004, AP-010, AP-019.
func TestReceive(t *testing.T) {
	t.Parallel()
	ks := people(5)
	admin, member, stranger, removed := ks[0], ks[1], ks[2], ks[3]
	g := create(t, admin, member, removed)
	g = must(t)(g.Remove(admin, removed.Public(), start+2))
	u := g.Update()
	other := create(t, stranger, member)
	from := func(sender key.Private, f func(in *Incoming)) Incoming {
		in := incoming(member, sender)
		f(&in)
		return in
	}
	same := func(*Incoming) {}
	for what, c := range map[string]struct {
		have Group
		u    Update
		in   Incoming
		want error
	}{
		"new":                              {Group{}, u, incoming(member, admin), nil},
		"new, from a former member":        {Group{}, u, incoming(member, removed), nil},
		"new, we were removed":             {Group{}, u, incoming(removed, admin), nil},
		"new, from another device":         {Group{}, u, from(member, func(in *Incoming) { in.Allowed = false }), nil},
		"new, not for us":                  {Group{}, u, incoming(stranger, admin), ErrNotForUs},
		"new, from a stranger":             {Group{}, u, incoming(member, stranger), ErrStranger},
		"new, from one who may not":        {Group{}, u, from(admin, func(in *Incoming) { in.Allowed = false }), ErrNotAllowed},
		"new, no events":                   {Group{}, Update{ID: g.ID}, incoming(member, admin), ErrNoCreation},
		"new, no creation":                 {Group{}, Update{ID: g.ID, Events: u.Events[1:]}, incoming(member, admin), ErrNoCreation},
		"new, events of another":           {Group{}, Update{ID: g.ID, Events: other.Update().Events}, incoming(member, admin), ErrNoCreation},
		"new, id of another":               {Group{}, Update{ID: other.ID, Events: u.Events}, incoming(member, admin), ErrNoCreation},
		"no id":                            {Group{}, Update{ID: "x", Events: u.Events}, incoming(member, admin), ErrID},
		"known":                            {g, u, incoming(member, admin), nil},
		"known, from one who may not open": {g, u, from(admin, func(in *Incoming) { in.Allowed = false }), nil},
		"known, nothing in it":             {g, Update{ID: g.ID}, from(admin, same), nil},
		"known, from a stranger":           {g, u, incoming(member, stranger), ErrStranger},
		"known, another's id":              {g, other.Update(), incoming(member, stranger), ErrOtherGroup},
	} {
		out, err := c.have.Receive(c.u, c.in)
		if !errors.Is(err, c.want) {
			t.Errorf("%s: %v, want %v", what, err, c.want)
		}
		if err == nil && (look(out.Group) != look(g) || out.New != c.have.IsZero()) || err != nil && look(out.Group) != look(c.have) {
			t.Errorf("%s:\n%s", what, look(out.Group))
		}
	}
}

// A clock may be 120 s ahead of ours; an event further ahead drops alone, and
// comes in once its time has come.
func TestClockAhead(t *testing.T) {
	t.Parallel()
	ks := people(2)
	g := create(t, ks[0], ks[1])
	limit := uint64(now.Add(message.MaxClockAhead).UnixMilli())
	at := sign(t, g, ks[0], limit, NameChanged, Event{Name: "at the limit"})
	past := sign(t, g, ks[0], limit+1, NameChanged, Event{Name: "past it"})
	after, dropped, err := g.Merge(g.ID, raws(past, at), now)
	if err != nil || len(dropped) != 1 || dropped[0].Index != 0 || !errors.Is(dropped[0].Err, message.ErrClockAhead) || after.Name != "at the limit" {
		t.Errorf("%q, dropped %v, %v", after.Name, dropped, err)
	}
	after, dropped, err = after.Merge(g.ID, raws(past, at), now.Add(time.Millisecond))
	if err != nil || len(dropped) != 0 || after.Name != "past it" {
		t.Errorf("%q, dropped %v, %v", after.Name, dropped, err)
	}
	if _, dropped, _ := g.Merge(g.ID, raws(at), time.Unix(-1e9, 0)); len(dropped) != 1 {
		t.Error("a clock is ahead of a local time before 1970")
	}
}

// Whatever one member puts into an update, the rest of it counts and the group
// goes on.
//
// Proves: AP-004, AP-009.
func TestHostileMember(t *testing.T) {
	t.Parallel()
	ks := people(5)
	admin, member, hostile, stranger, other := ks[0], ks[1], ks[2], ks[3], ks[4]
	g := create(t, admin, member, hostile, other)
	g = must(t)(g.Join(member, start+2))
	swapped := create(t, hostile, member)
	good := at(t, g, hostile, 50, NameChanged, Event{Name: "good"})
	upper := bytes.Clone(g.Events[0].Raw)
	upper[64] += 27
	bad := [][]byte{
		nil,
		[]byte("rubbish"),
		make([]byte, key.SignatureSize+1),
		bytes.Repeat([]byte{0xff}, 300),
		upper, // the creation, respelled
		swapped.Events[0].Raw,
		at(t, swapped, admin, 9, MemberRemoved, targets(member)).Raw,
		rawBytes(t, g.ID, hostile, []byte{8, 1, 0x20, 77}),
		raw(t, g.ID, hostile, &apppb.MembershipUpdateEvent{Clock: start + 7, Type: 3, Members: []string{"me"}}),
		sign(t, g, hostile, uint64(now.Add(time.Hour).UnixMilli()), NameChanged, Event{Name: "late"}).Raw,
	}
	without := []Event{
		at(t, g, hostile, 10, MemberRemoved, targets(member)),
		at(t, g, hostile, 11, MemberRemoved, targets(admin)),
		at(t, g, hostile, 12, AdminsAdded, targets(hostile)),
		at(t, g, hostile, 13, AdminRemoved, targets(admin)),
		at(t, g, hostile, -9, ChatCreated, Event{Name: "mine"}),
		at(t, g, hostile, -8, MembersAdded, targets(stranger)),
		at(t, g, stranger, 14, MembersAdded, targets(stranger)),
		at(t, g, stranger, 15, NameChanged, Event{Name: "strange"}),
		at(t, g, stranger, 16, MemberRemoved, targets(stranger)),
	}
	u := Update{ID: g.ID, Events: slices.Concat(bad, raws(without...), raws(good), g.Update().Events)}
	out, err := g.Receive(u, incoming(member, hostile))
	if err != nil {
		t.Fatal(err)
	}
	// One signature over another chat's id recovers to nobody known, so those
	// events are left out, not dropped.
	if n := len(out.Dropped) + len(out.Group.Refused); n != len(bad)+len(without) {
		t.Errorf("%d dropped and %d left out of %d", len(out.Dropped), len(out.Group.Refused), len(bad)+len(without))
	}
	if n := len(out.Group.RefusedSince(g)); n != len(out.Group.Refused) {
		t.Errorf("%d of %d left out are news", n, len(out.Group.Refused))
	}
	want := merge(t, g, good)
	same(t, out.Group, want)
	deployed(t, out.Group)
	roundTrip(t, out.Group)
	if sent := out.Group.Update(); len(sent.Events) != len(want.Events) {
		t.Errorf("%d events are passed on", len(sent.Events))
	}
	// A replay of all of it changes nothing.
	again, err := out.Group.Receive(u, incoming(member, hostile))
	if err != nil || len(again.Changes) != 0 {
		t.Errorf("%v, %v", again.Changes, err)
	}
	if fresh := again.Group.RefusedSince(out.Group); len(fresh) != 0 {
		t.Errorf("left out again: %v", fresh)
	}
	same(t, again.Group, want)
	// Everybody can go on.
	g = must(t)(out.Group.Remove(admin, hostile.Public(), out.Group.Clock()+1))
	if g.IsMember(hostile.Public()) {
		t.Error("the hostile member stays")
	}
	deployed(t, g)

	// A stranger who sends the same leaves no trace at all.
	trace, err := want.Receive(u, incoming(member, stranger))
	if !errors.Is(err, ErrStranger) || len(trace.Group.Refused) != len(want.Refused) {
		t.Errorf("%v, %d left out", err, len(trace.Group.Refused))
	}
}

// An event that was left out comes into force when what it needs is there.
func TestLeftOutThenNot(t *testing.T) {
	t.Parallel()
	ks := people(3)
	admin, member, third := ks[0], ks[1], ks[2]
	g := create(t, admin, member)
	added := at(t, g, admin, 5, MembersAdded, targets(third))
	renamed := at(t, g, third, 6, NameChanged, Event{Name: "third was here"})
	after := merge(t, g, renamed)
	if len(after.Refused) != 1 || after.Name == renamed.Name {
		t.Errorf("%v\n%s", after.Refused, look(after))
	}
	after = merge(t, after, added)
	if len(after.Refused) != 0 || after.Name != renamed.Name {
		t.Errorf("%v\n%s", after.Refused, look(after))
	}
}

// Who was removed and alone knows it tells the member that still counts on them.
func TestInform(t *testing.T) {
	t.Parallel()
	ks := people(4)
	admin, victim, member, outsider := ks[0], ks[1], ks[2], ks[3]
	g := create(t, admin, victim, member)
	mine := merge(t, g, at(t, g, admin, 5, MemberRemoved, targets(victim)))
	out, err := mine.Receive(g.Update(), incoming(victim, member))
	if err != nil || !out.Inform {
		t.Errorf("%v, inform %v", err, out.Inform)
	}
	told, err := g.Receive(mine.Update(), incoming(member, victim))
	if err != nil || told.Group.IsMember(victim.Public()) {
		t.Errorf("%v\n%s", err, look(told.Group))
	}
	for what, c := range map[string]struct {
		g    Group
		u    Update
		self key.Private
	}{
		"we are a member":          {g, g.Update(), victim},
		"the sender knows":         {mine, mine.Update(), victim},
		"the sender is out itself": {merge(t, mine, at(t, g, admin, 6, MemberRemoved, targets(member))), g.Update(), victim},
		"we never were one":        {g, g.Update(), outsider},
	} {
		if out, err := c.g.Receive(c.u, incoming(c.self, member)); err != nil || out.Inform {
			t.Errorf("%s: %v, inform %v", what, err, out.Inform)
		}
	}
	// Also when by that very event the teller never was a member.
	h := merge(t, g, at(t, g, member, 7, MembersAdded, targets(outsider)))
	theirs := merge(t, h, at(t, h, admin, 6, MemberRemoved, targets(member)))
	told, err = h.Receive(theirs.Update(), incoming(victim, outsider))
	if err != nil || told.Group.WasMember(outsider.Public()) {
		t.Errorf("%v\n%s", err, look(told.Group))
	}
}

func TestParseUpdateLimits(t *testing.T) {
	t.Parallel()
	g := create(t, people(1)[0])
	encode := func(u Update) []byte {
		raw, err := u.Encode()
		if err != nil {
			t.Fatal(err)
		}
		return raw
	}
	many := func(n int) Update { return Update{ID: g.ID, Events: make([][]byte, n)} }
	for what, c := range map[string]struct {
		raw  []byte
		want error
	}{
		"events":             {encode(many(MaxUpdateEvents)), nil},
		"too many events":    {encode(many(MaxUpdateEvents + 1)), ErrUpdateTooLong},
		"no message":         {[]byte{0xff}, ErrUpdate},
		"too large":          {make([]byte, message.MaxSize+1), ErrUpdate},
		"no id":              {encode(Update{ID: "x"}), ErrID},
		"message":            {encode(g.Update().WithMessage(&apppb.ChatMessage{ChatId: g.ID})), nil},
		"message elsewhere":  {encode(g.Update().WithMessage(&apppb.ChatMessage{ChatId: "x"})), ErrEntity},
		"reaction":           {encode(g.Update().WithReaction(&apppb.EmojiReaction{ChatId: g.ID})), nil},
		"reaction elsewhere": {encode(g.Update().WithReaction(&apppb.EmojiReaction{})), ErrEntity},
	} {
		if u, err := ParseUpdate(c.raw); !errors.Is(err, c.want) || err == nil != (u.ID == g.ID) {
			t.Errorf("%s: %v, want %v", what, err, c.want)
		}
	}
	both := Update{ID: g.ID, Message: &apppb.ChatMessage{}, Reaction: &apppb.EmojiReaction{}}
	if _, err := both.Encode(); !errors.Is(err, ErrUpdate) {
		t.Errorf("both entities: %v", err)
	}
	if _, err := (Update{ID: "\xff"}).Encode(); err == nil {
		t.Error("an id that is not UTF-8 was encoded")
	}
}

// Every update carries every event, whatever it is sent for, and goes to all
// who were or are members, but not to us.
//
// Proves: AP-021.
func TestUpdateAndRecipients(t *testing.T) {
	t.Parallel()
	ks := people(4)
	admin, a, b, c := ks[0], ks[1], ks[2], ks[3]
	g := create(t, admin, a, b)
	after := must(t)(g.Remove(admin, a.Public(), start+2))
	if to := after.Recipients(g, admin.Public()); !slices.Equal(to, publics(b, a)) {
		t.Errorf("removed: to %v", to)
	}
	g = after
	after = must(t)(g.AddMembers(admin, publics(c), start+3))
	if to := after.Recipients(g, admin.Public()); !slices.Equal(to, publics(b, c)) {
		t.Errorf("added: to %v", to)
	}
	left := must(t)(after.Leave(b, start+4))
	if to := left.Recipients(after, b.Public()); !slices.Equal(to, publics(admin, c)) {
		t.Errorf("left: to %v", to)
	}
	for i := range 3 {
		after = must(t)(after.SetImage(admin, []byte{byte(i)}, uint64(start+10+i)))
	}
	u := after.Update()
	if len(u.Events) != len(after.Events)-2 {
		t.Errorf("%d of %d events sent", len(u.Events), len(after.Events))
	}
	fresh, err := Group{}.Receive(u, incoming(c, admin))
	if err != nil {
		t.Fatal(err)
	}
	same(t, fresh.Group, after)
}

// The group is bounded by what any number of updates can bring.
func TestHugeLists(t *testing.T) {
	t.Parallel()
	ks := people(3)
	g := create(t, ks[0], ks[1])
	var events []Event
	for i := range MaxAuthorEvents + 2*MaxAuthorRefused {
		events = append(events, at(t, g, ks[1], 10+i, NameChanged, Event{Name: fmt.Sprint(i)}))
	}
	out, err := g.Receive(Update{ID: g.ID, Events: raws(events...)}, incoming(ks[0], ks[1]))
	if err != nil || len(out.Group.Events) != len(g.Events)+MaxAuthorEvents || len(out.Group.Refused) != MaxAuthorRefused {
		t.Errorf("%d hold, %d left out, %v", len(out.Group.Events), len(out.Group.Refused), err)
	}
	g = must(t)(out.Group.Rename(ks[0], "still ours", out.Group.Clock()+1))
	if g.Name != "still ours" {
		t.Errorf("name %q", g.Name)
	}
}
