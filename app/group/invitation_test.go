package group

import (
	"encoding/hex"
	"encoding/json"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/parley-im/parley/account/key"
	"github.com/parley-im/parley/app/message"
	apppb "github.com/parley-im/parley/pb/app"
)

func TestInvitationID(t *testing.T) {
	t.Parallel()
	k := people(1)[0].Public()
	want := key.Keccak256([]byte("0x" + hex.EncodeToString(k.Bytes()) + "chat"))
	if got := InvitationID(k, "chat"); got != message.ID(want) {
		t.Errorf("%s", got)
	}
}

// A request is made, rejected, made again, and approved by being added.
func TestInvitation(t *testing.T) {
	t.Parallel()
	ks := people(3)
	admin, asker, member := ks[0], ks[1], ks[2]
	g := create(t, admin, member)
	request := func(old Invitation, clock uint64) (Invitation, *apppb.GroupChatInvitation) {
		t.Helper()
		mine, m, err := old.Request(asker.Public(), admin.Public(), g.ID, "hello", clock)
		if err != nil {
			t.Fatal(err)
		}
		return mine, m
	}
	mine, m := request(Invitation{}, start)
	theirs, err := ReceiveInvitation(Invitation{}, m, g, asker.Public(), admin.Public(), now)
	if err != nil || theirs != mine || theirs.State != Requested || theirs.Introduction != "hello" || theirs.ID() != InvitationID(asker.Public(), g.ID) {
		t.Fatalf("%+v, want %+v (%v)", theirs, mine, err)
	}
	theirs, m, err = theirs.Reject(admin.Public(), g, start+1)
	if err != nil || m.State != apppb.GroupChatInvitation_REJECTED {
		t.Fatalf("%v, %v", m, err)
	}
	mine, err = ReceiveInvitation(mine, m, Group{}, admin.Public(), asker.Public(), now)
	if err != nil || mine != theirs || mine.State != Rejected {
		t.Fatalf("%+v, want %+v (%v)", mine, theirs, err)
	}
	mine, m = request(mine, start+2)
	if theirs, err = ReceiveInvitation(theirs, m, g, asker.Public(), admin.Public(), now); err != nil || theirs.State != Requested {
		t.Fatalf("%+v, %v", theirs, err)
	}
	if mine.Settle(g) != mine {
		t.Error("settled without a reason")
	}
	added := must(t)(g.AddMembers(admin, publics(asker), start+3))
	for _, i := range []Invitation{mine.Settle(added), theirs.Settle(added)} {
		if i.State != Approved {
			t.Errorf("%+v", i)
		}
		raw, err := json.Marshal(i)
		var back Invitation
		if err != nil || json.Unmarshal(raw, &back) != nil || back != i {
			t.Errorf("%s: %+v, %v", raw, back, err)
		}
	}
	if mine.State.String() != "REQUEST" {
		t.Errorf("state %s", mine.State)
	}
}

func TestInvitationRefused(t *testing.T) {
	t.Parallel()
	ks := people(4)
	admin, asker, member, stranger := ks[0].Public(), ks[1].Public(), ks[2].Public(), ks[3].Public()
	g := create(t, ks[0], ks[2])
	mine, _, err := Invitation{}.Request(asker, admin, g.ID, "hello", start)
	if err != nil {
		t.Fatal(err)
	}
	rejected, _, err := mine.Reject(admin, g, start+1)
	if err != nil {
		t.Fatal(err)
	}
	m := func(state apppb.GroupChatInvitation_State, clock uint64) *apppb.GroupChatInvitation {
		return &apppb.GroupChatInvitation{Clock: clock, ChatId: g.ID, State: state}
	}
	long := func(n int) *apppb.GroupChatInvitation {
		out := m(1, start)
		out.IntroductionMessage = strings.Repeat("é", n)
		return out
	}
	limit := uint64(now.Add(message.MaxClockAhead).UnixMilli())
	for what, c := range map[string]struct {
		old          Invitation
		m            *apppb.GroupChatInvitation
		g            Group
		sender, self key.Public
		want         error
	}{
		"request":                  {Invitation{}, m(1, limit), g, asker, admin, nil},
		"request, too far ahead":   {Invitation{}, m(1, limit+1), g, asker, admin, message.ErrClockAhead},
		"request, no clock":        {Invitation{}, m(1, 0), g, asker, admin, message.ErrClockZero},
		"request, long text":       {Invitation{}, long(MaxIntroduction), g, asker, admin, nil},
		"request, too long text":   {Invitation{}, long(MaxIntroduction + 1), g, asker, admin, ErrInvitation},
		"request, old":             {mine, m(1, start), g, asker, admin, ErrInvitationStale},
		"request, newer":           {mine, m(1, start+1), g, asker, admin, nil},
		"request, group unknown":   {Invitation{}, m(1, start), Group{}, asker, admin, ErrNotAdmin},
		"request, to a member":     {Invitation{}, m(1, start), g, asker, member, ErrNotAdmin},
		"request, by a member":     {Invitation{}, m(1, start), g, member, admin, ErrMember},
		"request, another's kept":  {mine, m(1, start+1), g, stranger, admin, ErrInvitation},
		"from ourselves":           {Invitation{}, m(1, start), g, admin, admin, ErrInvitation},
		"rejection":                {mine, m(2, start+1), g, admin, asker, nil},
		"rejection, old":           {mine, m(2, start), g, admin, asker, ErrInvitationStale},
		"rejection, by a stranger": {mine, m(2, start+1), g, stranger, asker, ErrInvitationUnasked},
		"rejection of nothing":     {Invitation{}, m(2, start+1), g, admin, asker, ErrInvitationUnasked},
		"rejection, twice":         {rejected, m(2, start+2), g, admin, asker, ErrInvitationState},
		"approval":                 {mine, m(3, start+1), g, admin, asker, ErrInvitation},
		"no state":                 {mine, m(0, start+1), g, asker, admin, ErrInvitation},
		"negative state":           {mine, m(-1, start+1), g, asker, admin, ErrInvitation},
		"state beyond a byte":      {mine, m(257, start+1), g, asker, admin, ErrInvitation},
		"nothing":                  {mine, nil, g, asker, admin, message.ErrClockZero},
	} {
		got, err := ReceiveInvitation(c.old, c.m, c.g, c.sender, c.self, now)
		if !errors.Is(err, c.want) || err != nil && got != c.old {
			t.Errorf("%s: %+v, %v, want %v", what, got, err, c.want)
		}
	}
	for what, c := range map[string]struct {
		want error
		do   func() (Invitation, *apppb.GroupChatInvitation, error)
	}{
		"ask oneself": {ErrInvitation, func() (Invitation, *apppb.GroupChatInvitation, error) {
			return mine.Request(asker, asker, g.ID, "", start+9)
		}},
		"ask nobody": {ErrInvitation, func() (Invitation, *apppb.GroupChatInvitation, error) {
			return mine.Request(asker, key.Public{}, g.ID, "", start+9)
		}},
		"ask for no group": {ErrID, func() (Invitation, *apppb.GroupChatInvitation, error) {
			return Invitation{}.Request(asker, admin, "x", "", start)
		}},
		"ask at one clock": {ErrInvitationStale, func() (Invitation, *apppb.GroupChatInvitation, error) {
			return mine.Request(asker, admin, g.ID, "", start)
		}},
		"ask at no clock": {ErrInvitationStale, func() (Invitation, *apppb.GroupChatInvitation, error) {
			return Invitation{}.Request(asker, admin, g.ID, "", 0)
		}},
		"reject as member":  {ErrNotAdmin, func() (Invitation, *apppb.GroupChatInvitation, error) { return mine.Reject(member, g, start+9) }},
		"reject one's own":  {ErrInvitationState, func() (Invitation, *apppb.GroupChatInvitation, error) { return mine.Reject(asker, g, start+9) }},
		"reject twice":      {ErrInvitationState, func() (Invitation, *apppb.GroupChatInvitation, error) { return rejected.Reject(admin, g, start+9) }},
		"reject too early":  {ErrInvitationStale, func() (Invitation, *apppb.GroupChatInvitation, error) { return mine.Reject(admin, g, start) }},
		"reject for others": {ErrNotAdmin, func() (Invitation, *apppb.GroupChatInvitation, error) { return mine.Reject(admin, Group{}, start+9) }},
	} {
		if _, m, err := c.do(); !errors.Is(err, c.want) || m != nil {
			t.Errorf("%s: %v, want %v", what, err, c.want)
		}
	}
	if now.Before(time.UnixMilli(start)) {
		t.Error("the tests' clocks are ahead")
	}
}
