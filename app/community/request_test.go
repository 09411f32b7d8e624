package community

import (
	"bytes"
	"encoding/json"
	"errors"
	"math"
	"strings"
	"testing"
	"time"

	"github.com/parley-im/parley/account/key"
	"github.com/parley-im/parley/app/message"
	apppb "github.com/parley-im/parley/pb/app"
)

// ask makes member's request to a community that they know of.
func ask(t testing.TB, c Community, member key.Private, at time.Time) (Community, Request) {
	t.Helper()
	mine, _ := seen(t, c, Community{}, member)
	mine, r, err := mine.Ask(member, Asking{DisplayName: "somebody", Color: 4}, at)
	if err != nil {
		t.Fatal(err)
	}
	return mine, r
}

// sent is a request as it arrives.
func sent(t testing.TB, r Request) Request {
	t.Helper()
	raw, err := r.Encode()
	if err != nil {
		t.Fatal(err)
	}
	got, err := ParseRequest(r.Member, raw)
	if err != nil {
		t.Fatal(err)
	}
	return got
}

// From asking over the owner's yes to being a member. The account is seen by
// the control node and nobody else.
//
// Proves: AP-063, AP-065, AP-178, AP-185.
func TestJoin(t *testing.T) {
	t.Parallel()
	p := people(4)
	me := p[2]
	c := create(t, p[3])
	mine, r := ask(t, c, me, now)
	if mine.Request != (OwnRequest{Pending, seconds(now)}) || mine.Joined {
		t.Errorf("%+v", mine.Request)
	}
	got := sent(t, r)
	if got.Member != me.Public() || got.Community != c.Key || got.Clock != seconds(now) || got.DisplayName != "somebody" || got.Color != 4 || len(got.Accounts) != 1 {
		t.Errorf("arrived as %+v", got)
	}
	kept, err := c.Admit(got, Desk{Now: now})
	if err != nil || kept.State != Pending {
		t.Fatalf("%s, %v", kept.State, err)
	}
	if raw, err := json.Marshal(kept); err != nil || json.Unmarshal(raw, &got) != nil || got.ID() != r.ID() || len(got.Accounts) != 1 {
		t.Errorf("stored as %s, %v", raw, err)
	}
	if len(kept.WithoutAccounts().Accounts) != 0 || len(kept.Accounts) != 1 {
		t.Error("accounts cannot be left out")
	}
	if _, err := c.AddMembers(by(1), kept); !errors.Is(err, ErrDecided) {
		t.Errorf("added while waiting: %v", err)
	}
	if _, err := c.Respond(by(1), kept); !errors.Is(err, ErrNoMember) {
		t.Errorf("answered while waiting: %v", err)
	}
	if kept, err = kept.Accept(); err != nil {
		t.Fatal(err)
	}
	c = must(t)(c.AddMembers(by(time.Second), kept))
	if m, _ := c.Description.Member(IDOf(me.Public())); m.Updated != r.Clock || m.Role != Plain {
		t.Errorf("listed as %+v", m)
	}
	// Nothing of the account is in what everybody gets.
	for _, secret := range [][]byte{[]byte(r.Accounts[0].Address), r.Accounts[0].Signature} {
		if bytes.Contains(c.Wrapped, secret) {
			t.Error("the description tells of an account")
		}
	}
	response, err := c.Respond(by(time.Second), kept)
	if err != nil {
		t.Fatal(err)
	}
	raw, err := response.Encode()
	if err != nil {
		t.Fatal(err)
	}
	back, err := ParseResponse(raw)
	if err != nil || !back.Accepted || back.Clock != c.Description.Clock || !bytes.Equal(back.Wrapped, c.Wrapped) || len(back.Grant) == 0 {
		t.Fatalf("%+v, %v", back, err)
	}
	after, changes, err := mine.Answered(back, Incoming{Author: c.Key, Self: me.Public(), At: now})
	if err != nil || !after.Joined || after.JoinedAt != milliseconds(now) || after.Request.State != Accepted {
		t.Fatalf("%+v, %v", after.Request, err)
	}
	if kinds(changes) != "you_joined" {
		t.Errorf("%s", kinds(changes))
	}
	roundTrip(t, after)
	if _, _, err := after.Ask(me, Asking{}, now); !errors.Is(err, ErrJoined) {
		t.Errorf("asking again: %v", err)
	}
	// The description alone does, too.
	if after, changes := seen(t, c, mine, me); !after.Joined || kinds(changes) != "you_joined" {
		t.Errorf("joined %v, %s", after.Joined, kinds(changes))
	}
}

// Accounts that an older client put beside members go at the next change.
//
// Proves: AP-178.
func TestAccountsNotPublished(t *testing.T) {
	t.Parallel()
	p := people(3)
	c := create(t, p[2])
	revealed := []*apppb.RevealedAccount{{Address: "0x0123456789012345678901234567890123456789"}}
	c = forged(t, c, func(m *apppb.CommunityDescription) {
		m.Members[p[2].Public().Hex()].RevealedAccounts = revealed
		for uuid, ch := range m.Chats {
			ch.Members = map[string]*apppb.CommunityMember{p[2].Public().Hex(): {RevealedAccounts: revealed}}
			m.TokenPermissions = map[string]*apppb.CommunityTokenPermission{"a": {ChatIds: []string{c.ID() + uuid}}}
		}
	})
	c = must(t)(c.SetActiveMembers(by(1), 2))
	if bytes.Contains(c.Wrapped, []byte(revealed[0].Address)) {
		t.Error("accounts are published")
	}
	if ch := c.Description.Channels[0]; len(ch.Members) != 1 {
		t.Error("the members of a channel of their own are lost")
	}
}

// What a control node lets in at once, lets wait and drops.
func TestAdmit(t *testing.T) {
	t.Parallel()
	p := people(6)
	member, asks := p[2], p[3]
	c := create(t, member)
	_, r := ask(t, c, asks, now)
	week := uint64(RequestLife / time.Second)
	open := func(m *apppb.CommunityDescription) { m.Permissions.Access = apppb.CommunityPermissions_AUTO_ACCEPT }
	ens := func(m *apppb.CommunityDescription) { open(m); m.Permissions.EnsOnly = true }
	clocked := func(clock uint64) func(*Request) { return func(r *Request) { r.Clock = clock } }
	before := func(state RequestState, clock uint64) func(*Desk) {
		return func(d *Desk) { d.Before = Request{State: state, Clock: clock} }
	}
	for name, tc := range map[string]struct {
		community func(m *apppb.CommunityDescription)
		request   func(r *Request)
		desk      func(d *Desk)
		state     RequestState
		want      error
	}{
		"manual":         {state: Pending},
		"automatic":      {community: open, state: Accepted},
		"invitation":     {community: func(m *apppb.CommunityDescription) { m.Permissions.Access = 2 }, state: Pending},
		"access to come": {community: func(m *apppb.CommunityDescription) { m.Permissions.Access = 9 }, state: Pending},
		"a member": {request: func(r *Request) {
			_, *r = ask(t, c, member, now)
		}, state: Accepted},
		"another community": {request: func(r *Request) { r.Community = p[5].Public() }, want: ErrElse},
		"gated": {community: func(m *apppb.CommunityDescription) {
			m.TokenPermissions = map[string]*apppb.CommunityTokenPermission{"a": {Type: apppb.CommunityTokenPermission_BECOME_MEMBER}}
		}, want: ErrGated},
		"banned": {community: func(m *apppb.CommunityDescription) {
			open(m)
			m.BannedMembers = map[string]*apppb.CommunityBanInfo{asks.Public().Hex(): {}}
		}, want: ErrBanned},
		"no account":        {request: func(r *Request) { r.Accounts = nil }, state: Pending},
		"no account needed": {community: open, request: func(r *Request) { r.Accounts = nil }, state: Accepted},
		"another's account": {request: func(r *Request) { r.Member = p[4].Public() }, state: Declined},
		"one false account": {community: open, request: func(r *Request) {
			r.Accounts = append(r.Accounts, Account{Address: r.Accounts[0].Address, Signature: make([]byte, 65)})
		}, state: Declined},
		"another address": {request: func(r *Request) {
			r.Accounts = []Account{{Address: "0x" + strings.Repeat("0", 40), Signature: r.Accounts[0].Signature}}
		}, state: Declined},
		"no ENS name":          {community: ens, want: ErrENS},
		"ENS name":             {community: ens, request: func(r *Request) { r.ENSName = "a.stateofus.eth" }, state: Pending},
		"verified ENS name":    {community: ens, request: func(r *Request) { r.ENSName = "a.stateofus.eth" }, desk: func(d *Desk) { d.ENSVerified = true }, state: Accepted},
		"almost expired":       {request: clocked(seconds(now) - week + 1), state: Pending},
		"expired":              {request: clocked(seconds(now) - week), want: ErrExpired},
		"clock 0":              {request: clocked(0), want: ErrExpired},
		"ahead, at the limit":  {request: clocked(seconds(now) + 120), state: Pending},
		"ahead, past it":       {request: clocked(seconds(now) + 121), want: message.ErrClockAhead},
		"milliseconds":         {request: clocked(milliseconds(now)), want: message.ErrClockAhead},
		"largest clock":        {request: clocked(math.MaxUint64), want: message.ErrClockAhead},
		"again":                {desk: before(Pending, seconds(now)), want: ErrOutdated},
		"again, newer":         {desk: before(Pending, seconds(now)-1), state: Pending},
		"after cancel":         {desk: before(Canceled, seconds(now)-1), state: Pending},
		"cancel came first":    {desk: before(Canceled, seconds(now)), want: ErrOutdated},
		"after leaving":        {desk: before(Accepted, seconds(now)-1), state: Pending},
		"declined, too early":  {desk: before(Declined, seconds(now)-week+1), want: ErrDeclined},
		"declined, a week ago": {desk: before(Declined, seconds(now)-week), state: Pending},
		"room for one":         {desk: func(d *Desk) { d.Pending = MaxPending - 1 }, state: Pending},
		"no room":              {desk: func(d *Desk) { d.Pending = MaxPending }, want: ErrFull},
		"no room needed":       {community: open, desk: func(d *Desk) { d.Pending = MaxPending }, state: Accepted},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			its, got, desk := c, sent(t, r), Desk{Now: now}
			if tc.community != nil {
				its = forged(t, c, tc.community)
			}
			if tc.request != nil {
				tc.request(&got)
			}
			if tc.desk != nil {
				tc.desk(&desk)
			}
			kept, err := its.Admit(got, desk)
			if !errors.Is(err, tc.want) || (err == nil && kept.State != tc.state) {
				t.Errorf("%q, %v; want %q, %v", kept.State, err, tc.state, tc.want)
			}
		})
	}
	if _, err := (Community{}).Admit(r, Desk{Now: now}); !errors.Is(err, ErrUnknown) {
		t.Errorf("of no community: %v", err)
	}
}

// The JavaScript client asks at a time in milliseconds.
func TestRequestInMilliseconds(t *testing.T) {
	t.Parallel()
	p := people(4)
	c := create(t, p[3])
	_, r := ask(t, c, p[2], now)
	r.Clock, r.Accounts = milliseconds(now), nil
	if kept, err := c.Admit(sent(t, r), Desk{Now: now}); err != nil || kept.State != Pending || kept.Clock != seconds(now) {
		t.Errorf("%+v, %v", kept, err)
	}
	for clock, want := range map[uint64]uint64{
		firstMilliseconds - 1: firstMilliseconds - 1, firstMilliseconds: firstMilliseconds / 1000,
		firstMilliseconds*1000 - 1: firstMilliseconds - 1, firstMilliseconds * 1000: firstMilliseconds * 1000, math.MaxUint64: math.MaxUint64,
	} {
		r.Clock = clock
		if got := sent(t, r).Clock; got != want {
			t.Errorf("%d is read as %d s, not %d", clock, got, want)
		}
	}
}

// A community that lets everybody in does so up to a number of members.
func TestAutoMembers(t *testing.T) {
	t.Parallel()
	p := people(3)
	auto := params()
	auto.Access = AutoAccept
	c, err := Create(by(0), p[1].Public(), auto)
	if err != nil {
		t.Fatal(err)
	}
	c = forged(t, c, func(m *apppb.CommunityDescription) { fillMembers(m, MaxAutoMembers-1) })
	_, r := ask(t, c, p[2], now)
	r, err = c.Admit(sent(t, r), Desk{Now: now})
	if err != nil || r.State != Accepted {
		t.Fatalf("%s, %v", r.State, err)
	}
	c = must(t)(c.AddMembers(by(1), r))
	if len(c.Description.Members) != MaxAutoMembers || c.Description.Access != ManualAccept {
		t.Errorf("%d members, access %s", len(c.Description.Members), c.Description.Access)
	}
	// A deployed client may have let more in.
	c = forged(t, c, func(m *apppb.CommunityDescription) { m.Permissions.Access = apppb.CommunityPermissions_AUTO_ACCEPT })
	_, r = ask(t, c, people(4)[3], now)
	if r, err = c.Admit(sent(t, r), Desk{Now: now}); err != nil || r.State != Pending {
		t.Errorf("%s, %v", r.State, err)
	}
}

// What keeps one from asking.
func TestAsk(t *testing.T) {
	t.Parallel()
	p := people(3)
	me := p[2]
	c := create(t)
	for name, tc := range map[string]struct {
		edit func(m *apppb.CommunityDescription)
		a    Asking
		want error
	}{
		"banned":         {func(m *apppb.CommunityDescription) { m.BanList = []string{me.Public().Hex()} }, Asking{}, ErrBanned},
		"without ENS":    {func(m *apppb.CommunityDescription) { m.Permissions.EnsOnly = true }, Asking{}, ErrENS},
		"with ENS":       {func(m *apppb.CommunityDescription) { m.Permissions.EnsOnly = true }, Asking{ENSName: "a.eth"}, nil},
		"invitation":     {func(m *apppb.CommunityDescription) { m.Permissions.Access = 2 }, Asking{}, ErrAccess},
		"access to come": {func(m *apppb.CommunityDescription) { m.Permissions.Access = 9 }, Asking{}, ErrAccess},
		"name":           {func(m *apppb.CommunityDescription) {}, Asking{DisplayName: strings.Repeat("é", MaxLabel)}, nil},
		"long name":      {func(m *apppb.CommunityDescription) {}, Asking{DisplayName: strings.Repeat("é", MaxLabel+1)}, ErrText},
	} {
		mine := forged(t, c, tc.edit)
		mine.Joined = false // it is the owner's
		if after, _, err := mine.Ask(me, tc.a, now); !errors.Is(err, tc.want) || (err != nil && after.Request != (OwnRequest{})) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if _, _, err := (Community{Key: c.Key}).Ask(me, Asking{}, now); !errors.Is(err, ErrUnknown) {
		t.Errorf("unknown: %v", err)
	}
	c.Joined = false
	if _, _, err := c.Ask(key.Private{}, Asking{}, now); !errors.Is(err, key.ErrPrivate) {
		t.Errorf("without a key: %v", err)
	}
	// Asking again within a second is still newer.
	mine, first := ask(t, c, me, now)
	mine, second, err := mine.Ask(me, Asking{}, now)
	if err != nil || second.Clock != first.Clock+1 || mine.Request.Clock != second.Clock {
		t.Errorf("%d after %d, %v", second.Clock, first.Clock, err)
	}
	at := time.Unix(int64(second.Clock), 0).Add(RequestLife)
	if _, gone := mine.Expire(at.Add(-time.Second)); gone {
		t.Error("expired too early")
	}
	if after, gone := mine.Expire(at); !gone || after.Request != (OwnRequest{}) {
		t.Error("did not expire")
	}
	second.State = Pending
	if second.Expired(at.Add(-time.Second)) || !second.Expired(at) {
		t.Error("the owner's request expires otherwise")
	}
}

// What an owner decides stands.
func TestDecide(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		state           RequestState
		accept, decline bool
	}{{Pending, true, true}, {Declined, true, false}, {Accepted, false, false}, {Canceled, false, false}, {NotAsked, false, false}} {
		r := Request{State: tc.state}
		if yes, err := r.Accept(); (err == nil) != tc.accept || (err == nil && yes.State != Accepted) {
			t.Errorf("%q accepted: %v", tc.state, err)
		}
		if no, err := r.Decline(); (err == nil) != tc.decline || (err == nil && no.State != Declined) {
			t.Errorf("%q declined: %v", tc.state, err)
		}
	}
}

// One's address is another in each community, and always the same in one.
func TestAddressKey(t *testing.T) {
	t.Parallel()
	p := people(4)
	address := func(chat, community key.Private) string {
		k, err := AddressKey(chat, community.Public())
		if err != nil {
			t.Fatal(err)
		}
		a, err := NewAccount(k, Proof(chat.Public(), community.Public()))
		if err != nil || a.Check(Proof(chat.Public(), community.Public())) != nil {
			t.Fatal(err)
		}
		return a.Address
	}
	first, second := address(p[2], p[0]), address(p[2], p[0])
	if first != second {
		t.Error("the address changes")
	}
	all := map[string]bool{first: true, address(p[2], p[1]): true, address(p[3], p[0]): true}
	if len(all) != 3 {
		t.Error("addresses are shared")
	}
	if _, err := AddressKey(key.Private{}, p[0].Public()); !errors.Is(err, key.ErrPrivate) {
		t.Errorf("of nobody: %v", err)
	}
}

// Accounts at the limits and past them, and bad ones.
func TestParseAccounts(t *testing.T) {
	t.Parallel()
	good := &apppb.RevealedAccount{Address: "0x" + strings.Repeat("aB", 20), Signature: make([]byte, 65), ChainIds: make([]uint64, MaxChains)}
	list := func(n int) []*apppb.RevealedAccount {
		var out []*apppb.RevealedAccount
		for range n {
			out = append(out, good)
		}
		return out
	}
	for name, tc := range map[string]struct {
		list []*apppb.RevealedAccount
		want error
	}{
		"none":            {nil, nil},
		"at the limit":    {list(MaxAccounts), nil},
		"past it":         {list(MaxAccounts + 1), ErrAccount},
		"too many chains": {[]*apppb.RevealedAccount{{Address: good.Address, Signature: good.Signature, ChainIds: make([]uint64, MaxChains+1)}}, ErrAccount},
		"short address":   {[]*apppb.RevealedAccount{{Address: good.Address[:41], Signature: good.Signature}}, ErrAccount},
		"no address":      {[]*apppb.RevealedAccount{{Address: "0x" + strings.Repeat("g", 40), Signature: good.Signature}}, ErrAccount},
		"short signature": {[]*apppb.RevealedAccount{{Address: good.Address, Signature: make([]byte, 64)}}, ErrAccount},
	} {
		raw, err := message.Encode(&apppb.CommunityRequestToJoin{CommunityId: idBytes(people(1)[0].Public()), RevealedAccounts: tc.list})
		if err != nil {
			t.Fatal(err)
		}
		if r, err := ParseRequest(people(3)[2].Public(), raw); !errors.Is(err, tc.want) || (err == nil && len(r.Accounts) != len(tc.list)) {
			t.Errorf("%s: %v", name, err)
		}
	}
}
