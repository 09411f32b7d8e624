package community

import (
	"errors"
	"testing"
	"time"

	"github.com/parley-im/parley/account/key"
)

// Withdrawing before and after the owner's yes.
//
// Proves: AP-064, AP-188.
func TestCancel(t *testing.T) {
	t.Parallel()
	p := people(4)
	me := p[2]
	c := create(t)
	mine, r := ask(t, c, me, now)
	kept, err := c.Admit(sent(t, r), Desk{Now: now})
	if err != nil {
		t.Fatal(err)
	}
	mine, x, err := mine.Withdraw(me.Public(), Asking{DisplayName: "somebody", Color: 4, ENSName: "a.eth"}, now)
	if err != nil || x.Clock <= r.Clock || mine.Request.State != Canceled {
		t.Fatalf("%+v, %v", x, err)
	}
	raw, err := x.Encode()
	if err != nil {
		t.Fatal(err)
	}
	got, err := ParseCancel(me.Public(), raw)
	if err != nil || got != x {
		t.Fatalf("arrived as %+v, %v", got, err)
	}
	gone, err := kept.Cancel(got)
	if err != nil || gone.State != Canceled {
		t.Fatalf("%s, %v", gone.State, err)
	}
	if _, _, err := mine.Withdraw(me.Public(), Asking{}, now); !errors.Is(err, ErrNotAsked) {
		t.Errorf("twice: %v", err)
	}
	if _, err := gone.Cancel(got); !errors.Is(err, ErrNotAsked) {
		t.Errorf("twice, to the owner: %v", err)
	}
	// The request again, as a store has it, does not come back to life; a new
	// one does.
	if _, err := c.Admit(sent(t, r), Desk{Before: gone, Now: now}); !errors.Is(err, ErrOutdated) {
		t.Errorf("the old request: %v", err)
	}
	mine, again, err := mine.Ask(me, Asking{}, now)
	if err != nil {
		t.Fatal(err)
	}
	if again, err = c.Admit(sent(t, again), Desk{Before: gone, Now: now}); err != nil || again.State != Pending {
		t.Errorf("a new request: %s, %v", again.State, err)
	}
	if _, err := again.Cancel(got); !errors.Is(err, ErrOutdated) {
		t.Errorf("the old withdrawal of a new request: %v", err)
	}
	// Deployed clients write milliseconds.
	got.Clock = milliseconds(now)
	if gone, err := again.Cancel(got); err != nil || gone.State != Canceled || gone.Clock != again.Clock {
		t.Errorf("%s at %d, %v", gone.State, gone.Clock, err)
	}
	got.Member = p[3].Public()
	if _, err := again.Cancel(got); !errors.Is(err, ErrElse) {
		t.Errorf("another's: %v", err)
	}
	// The yes and the withdrawal crossed: the owner takes them off again, and
	// they do not take themselves for a member.
	mine, x, err = mine.Withdraw(me.Public(), Asking{}, now)
	if err != nil {
		t.Fatal(err)
	}
	if again, err = again.Accept(); err != nil {
		t.Fatal(err)
	}
	listed := must(t)(c.AddMembers(by(1), again))
	mine, _ = seen(t, listed, mine, me)
	if mine.Joined {
		t.Error("joined after withdrawing")
	}
	if _, _, err := mine.Answered(Response{Community: c.Key, Clock: milliseconds(now), Accepted: true}, Incoming{Author: c.Key, Self: me.Public(), At: now}); !errors.Is(err, ErrNotAsked) {
		t.Errorf("answered after withdrawing: %v", err)
	}
	if gone, err := again.Cancel(x); err != nil || gone.State != Canceled || !listed.IsMember(gone.Member) {
		t.Errorf("%s, %v", gone.State, err)
	}
	if _, l, err := mine.Leave(me.Public(), now); err != nil || listed.CheckLeaving(l, again) != nil {
		t.Errorf("leaving what one never joined: %v", err)
	}
}

// Leaving, and what does not make the owner take somebody off the list.
//
// Proves: AP-068, AP-186.
func TestLeave(t *testing.T) {
	t.Parallel()
	p := people(4)
	me := p[2]
	c := create(t, me)
	mine, _ := seen(t, c, Community{Request: OwnRequest{State: Pending, Clock: 1}}, me)
	after, x, err := mine.Leave(me.Public(), now)
	if err != nil || after.Joined || after.Spectated || after.Request.Open() {
		t.Fatalf("%+v, %v", after, err)
	}
	raw, err := x.Encode()
	if err != nil {
		t.Fatal(err)
	}
	got, err := ParseLeaving(me.Public(), raw)
	if err != nil || got != x || got.Clock != seconds(now) {
		t.Fatalf("arrived as %+v, %v", got, err)
	}
	// A description that still lists us changes nothing.
	if again, _ := seen(t, c, after, me); again.Joined {
		t.Error("joined again")
	}
	for name, tc := range map[string]struct {
		x    Leaving
		last Request
		want error
	}{
		"a member":          {got, Request{Clock: got.Clock}, nil},
		"never asked":       {got, Request{}, nil},
		"came back":         {got, Request{Clock: got.Clock + 1}, ErrOutdated},
		"a stranger":        {Leaving{p[3].Public(), c.Key, 1}, Request{}, ErrNoMember},
		"the owner":         {Leaving{p[1].Public(), c.Key, 1}, Request{}, ErrOwner},
		"the community":     {Leaving{c.Key, c.Key, 1}, Request{}, ErrOwner},
		"another community": {Leaving{me.Public(), p[3].Public(), 1}, Request{}, ErrElse},
	} {
		if err := c.CheckLeaving(tc.x, tc.last); !errors.Is(err, tc.want) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if c = must(t)(c.RemoveMember(by(1), got.Member)); c.IsMember(me.Public()) {
		t.Error("still a member")
	}
	if _, _, err := after.Leave(p[3].Public(), now); !errors.Is(err, ErrNoMember) {
		t.Errorf("leaving as a stranger: %v", err)
	}
	if _, _, err := c.Leave(p[1].Public(), now); !errors.Is(err, ErrOwner) {
		t.Errorf("leaving as the owner: %v", err)
	}
}

// An edit of shared addresses takes the place of those of the request.
//
// Proves: AP-189.
func TestAddresses(t *testing.T) {
	t.Parallel()
	p := people(4)
	me := p[2]
	c := create(t, me)
	x, err := c.Share(me)
	if err != nil {
		t.Fatal(err)
	}
	raw, err := x.Encode()
	if err != nil {
		t.Fatal(err)
	}
	got, err := ParseAddresses(me.Public(), raw)
	if err != nil || got.Clock != seconds(now)+1 || len(got.Accounts) != 1 {
		t.Fatalf("arrived as %+v, %v", got, err)
	}
	if err := c.CheckAddresses(got); err != nil {
		t.Error(err)
	}
	kept := Request{Member: me.Public(), Accounts: []Account{{Address: "old"}, {Address: "older"}}}.WithAddresses(got)
	if len(kept.Accounts) != 1 || kept.Accounts[0].Address != got.Accounts[0].Address {
		t.Errorf("kept %+v", kept.Accounts)
	}
	c = must(t)(c.UpdateMember(by(1), me.Public(), got.Clock))
	if m, _ := c.Description.Member(IDOf(me.Public())); m.Updated != got.Clock {
		t.Errorf("updated at %d", m.Updated)
	}
	_, r := ask(t, create(t), me, now)
	for name, tc := range map[string]struct {
		edit func(x *Addresses)
		want error
	}{
		"equal clock":       {func(x *Addresses) {}, nil},
		"older":             {func(x *Addresses) { x.Clock-- }, ErrOutdated},
		"none":              {func(x *Addresses) { x.Accounts = nil }, ErrNoAccount},
		"of a request":      {func(x *Addresses) { x.Accounts = r.Accounts }, ErrAccount},
		"a stranger":        {func(x *Addresses) { x.Member = p[3].Public() }, ErrNoMember},
		"another member":    {func(x *Addresses) { x.Member = p[1].Public() }, ErrAccount},
		"another community": {func(x *Addresses) { x.Community = p[3].Public() }, ErrElse},
	} {
		edited := got
		tc.edit(&edited)
		if err := c.CheckAddresses(edited); !errors.Is(err, tc.want) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if _, err := c.Share(p[3]); !errors.Is(err, ErrNoMember) {
		t.Errorf("of a stranger: %v", err)
	}
	if _, err := c.UpdateMember(by(1), p[3].Public(), 1); !errors.Is(err, ErrNoMember) {
		t.Errorf("a stranger: %v", err)
	}
}

// What names no community is none of these messages; what is too large neither.
func TestParseBounds(t *testing.T) {
	t.Parallel()
	me := people(3)[2].Public()
	parsers := map[string]func(raw []byte) error{
		"request":   func(raw []byte) error { _, err := ParseRequest(me, raw); return err },
		"cancel":    func(raw []byte) error { _, err := ParseCancel(me, raw); return err },
		"leaving":   func(raw []byte) error { _, err := ParseLeaving(me, raw); return err },
		"addresses": func(raw []byte) error { _, err := ParseAddresses(me, raw); return err },
		"response":  func(raw []byte) error { _, err := ParseResponse(raw); return err },
		"kicked":    func(raw []byte) error { _, err := ParseKicked(raw); return err },
		"deletion":  func(raw []byte) error { _, err := ParseDeletion(raw); return err },
		"archive":   func(raw []byte) error { _, err := ParseArchiveLink(raw); return err },
	}
	for name, parse := range parsers {
		for _, raw := range [][]byte{nil, {0xff}, {8, 1}} {
			if err := parse(raw); !errors.Is(err, ErrMalformed) {
				t.Errorf("%s of %x: %v", name, raw, err)
			}
		}
		limit := MaxRequestSize
		if name == "response" {
			limit += 2 * MaxDescriptionSize
		}
		if err := parse(make([]byte, limit)); errors.Is(err, ErrTooLarge) || err == nil {
			t.Errorf("%s of the largest size: %v", name, err)
		}
		if err := parse(make([]byte, limit+1)); !errors.Is(err, ErrTooLarge) {
			t.Errorf("%s past it: %v", name, err)
		}
	}
	uncompressed, err := Leaving{Community: me}.Encode()
	if err != nil {
		t.Fatal(err)
	}
	if _, err := ParseLeaving(me, append(uncompressed[:2:2], make([]byte, key.CompressedSize)...)); !errors.Is(err, ErrMalformed) {
		t.Errorf("no key: %v", err)
	}
	if time.Unix(firstMilliseconds, 0).Year() < 5000 || time.UnixMilli(firstMilliseconds).Year() > 1973 {
		t.Error("seconds and milliseconds cannot be told apart")
	}
}
