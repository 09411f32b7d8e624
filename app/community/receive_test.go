package community

import (
	"bytes"
	"encoding/json"
	"errors"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"google.golang.org/protobuf/encoding/protowire"

	"github.com/parley-im/parley/app/message"
	apppb "github.com/parley-im/parley/pb/app"
)

// Who and when: the community itself, and nothing older than what is known.
//
// Proves: AP-041, AP-076.
func TestReceive(t *testing.T) {
	t.Parallel()
	p := people(4)
	me := p[3]
	first := create(t, p[2])
	c, changes := seen(t, first, Community{}, me)
	if kinds(changes) != "known" || c.Key != first.Key || c.Joined || !bytes.Equal(c.Wrapped, first.Wrapped) {
		t.Fatalf("%s: %+v", kinds(changes), c)
	}
	roundTrip(t, c)
	// The same again, as every day.
	if again, changes := seen(t, first, c, me); len(changes) > 0 || !bytes.Equal(again.Wrapped, c.Wrapped) {
		t.Errorf("again: %s", kinds(changes))
	}
	// Who is listed and asks only then is a member with the next one, though it
	// is the same.
	listed, _ := seen(t, first, Community{}, p[2])
	listed, _, err := listed.Ask(p[2], Asking{}, now)
	if err != nil {
		t.Fatal(err)
	}
	if got, changes := seen(t, first, listed, p[2]); !got.Joined || kinds(changes) != "you_joined" {
		t.Errorf("listed and asked: %s", kinds(changes))
	}
	edited := first.Description.Params()
	edited.Name = "another name"
	second := must(t)(first.Edit(by(time.Second), edited))
	c, changes = seen(t, second, c, me)
	if kinds(changes) != "edited" || c.Description.Name != "another name" {
		t.Errorf("%s: %s", kinds(changes), c.Description.Name)
	}
	if got, _, err := c.Receive(in(first, me)); !errors.Is(err, ErrOutdated) || got.Description.Clock != second.Description.Clock {
		t.Errorf("an older one: %v", err)
	}
	// By somebody else, with or without their own id in it.
	stranger := in(second, me)
	stranger.Author = p[2].Public()
	if _, _, err := c.Receive(stranger); !errors.Is(err, ErrAuthor) {
		t.Errorf("by another: %v", err)
	}
	if _, _, err := (Community{}).Receive(stranger); !errors.Is(err, ErrAuthor) {
		t.Errorf("by another at first sight: %v", err)
	}
	// The clock may be ahead of the time by two minutes.
	late := in(second, me)
	clock := time.UnixMilli(int64(second.Description.Clock)).Truncate(time.Second)
	for ahead, want := range map[time.Duration]error{message.MaxClockAhead: nil, message.MaxClockAhead + time.Second: message.ErrClockAhead} {
		late.At = clock.Add(-ahead)
		if _, _, err := (Community{}).Receive(late); !errors.Is(err, want) {
			t.Errorf("%v ahead: %v", ahead, err)
		}
	}
}

// Of two descriptions of one clock all keep the same.
func TestEqualClock(t *testing.T) {
	t.Parallel()
	c := create(t)
	other := forged(t, c, func(m *apppb.CommunityDescription) { m.ActiveMembersCount = 7 })
	me := people(3)[2]
	a, _ := seen(t, c, Community{}, me)
	a, _ = seen(t, other, a, me)
	b, _ := seen(t, other, Community{}, me)
	b, _ = seen(t, c, b, me)
	if !bytes.Equal(a.Description.Encode(), b.Description.Encode()) || !bytes.Equal(a.Wrapped, b.Wrapped) {
		t.Error("two descriptions of one clock leave two states")
	}
}

// In whatever order descriptions come, all end with the same, and with being a
// member if the last one says so.
func TestReceiveAnyOrder(t *testing.T) {
	t.Parallel()
	p := people(6)
	me := p[5]
	history := []Community{create(t, p[2], p[3])}
	last := func() Community { return history[len(history)-1] }
	step := func(c Community, err error) { history = append(history, must(t)(c, err)) }
	step(last().Ban(by(1), p[2].Public(), true))
	step(last().RemoveMember(by(2), p[3].Public()))
	step(last().AddMembers(by(3), Request{Member: me.Public(), Community: last().Key, Clock: 1, State: Accepted}))
	c, _, err := last().CreateChannel(by(4), ChannelParams{Name: "more"})
	step(c, err)
	step(last().Unban(by(5), p[2].Public()))
	history = append(history, forged(t, last(), func(m *apppb.CommunityDescription) { m.ActiveMembersCount = 3 }))
	for seed := range uint64(50) {
		r := rand.New(rand.NewPCG(seed, 1))
		order := slices.Clone(history)
		order = append(order, history[r.IntN(len(history))])
		r.Shuffle(len(order), func(i, j int) { order[i], order[j] = order[j], order[i] })
		got := Community{Request: OwnRequest{State: Pending, Clock: 1}}
		for _, next := range order {
			after, changes, err := got.Receive(in(next, me))
			if err != nil && !errors.Is(err, ErrOutdated) {
				t.Fatal(err)
			}
			if err != nil && len(changes) > 0 {
				t.Errorf("an outdated one tells %s", kinds(changes))
			}
			got = after
		}
		want := last()
		if wins(history[len(history)-2].Description.Encode(), want.Description.Encode()) {
			want = history[len(history)-2]
		}
		if !bytes.Equal(got.Wrapped, want.Wrapped) || !bytes.Equal(got.Description.Encode(), want.Description.Encode()) || !got.Joined {
			t.Fatalf("seed %d: clock %d, joined %v", seed, got.Description.Clock, got.Joined)
		}
	}
}

// What an owner of this version does not know or use survives its changes.
func TestUnknownFields(t *testing.T) {
	t.Parallel()
	p := people(3)
	c := create(t, p[2])
	extra := func(b []byte) []byte {
		return protowire.AppendString(protowire.AppendTag(b, 2000, protowire.BytesType), "from tomorrow")
	}
	c = forged(t, c, func(m *apppb.CommunityDescription) {
		m.ProtoReflect().SetUnknown(extra(nil))
		m.Members[p[2].Public().Hex()].ProtoReflect().SetUnknown(extra(nil))
		for _, ch := range m.Chats {
			ch.ProtoReflect().SetUnknown(extra(nil))
			ch.Identity.ProtoReflect().SetUnknown(extra(nil))
		}
		m.CommunityTokensMetadata = []*apppb.CommunityTokenMetadata{{Name: "coin"}}
		m.ResendAccountsClock = 5
	})
	before := wire(t, c)
	if c = must(t)(c.Edit(by(time.Second), params())); c.Description.ResendClock != 5 {
		t.Error("a clock was lost")
	}
	c = must(t)(c.Ban(by(2*time.Second), people(9)[8].Public(), false))
	after := wire(t, c)
	if !bytes.Equal(after.ProtoReflect().GetUnknown(), before.ProtoReflect().GetUnknown()) ||
		!bytes.Equal(after.Members[p[2].Public().Hex()].ProtoReflect().GetUnknown(), extra(nil)) ||
		len(after.CommunityTokensMetadata) != 1 {
		t.Error("unknown fields were lost")
	}
	for _, ch := range after.Chats {
		if !bytes.Equal(ch.ProtoReflect().GetUnknown(), extra(nil)) || !bytes.Equal(ch.Identity.ProtoReflect().GetUnknown(), extra(nil)) {
			t.Error("unknown fields of a channel were lost")
		}
	}
}

// What changes is told, once, to whom it concerns.
func TestChanges(t *testing.T) {
	t.Parallel()
	p := people(5)
	me, other := p[2], p[3]
	c := create(t, other)
	mine := Community{}
	mine, _ = seen(t, c, mine, me)
	mine.Request = OwnRequest{State: Pending, Clock: seconds(now)}
	general := c.Description.Channels[0].UUID
	category := ""
	for i, step := range []struct {
		do   func() (Community, error)
		want []Change
	}{
		{func() (Community, error) { return join(t, c, me), nil }, []Change{{Kind: YouJoined}}},
		{func() (Community, error) { return join(t, c, p[4]), nil }, []Change{{Kind: MemberJoined, Member: IDOf(p[4].Public())}}},
		{func() (Community, error) { return c.RemoveMember(by(0), p[4].Public()) }, []Change{{Kind: MemberLeft, Member: IDOf(p[4].Public())}}},
		{func() (Community, error) { return c.Ban(by(0), other.Public(), false) }, []Change{{Kind: MemberBanned, Member: IDOf(other.Public())}}},
		{func() (Community, error) { return c.Ban(by(0), other.Public(), true) }, []Change{{Kind: MemberBanned, Member: IDOf(other.Public()), DeleteAll: true}}},
		{func() (Community, error) { return c.Unban(by(0), other.Public()) }, []Change{{Kind: MemberUnbanned, Member: IDOf(other.Public())}}},
		{func() (after Community, err error) {
			after, category, err = c.CreateCategory(by(0), "cat", nil)
			return after, err
		}, []Change{{Kind: CategoriesChanged}}},
		{func() (Community, error) { return c.MoveChannel(by(0), general, category, 0) }, []Change{{Kind: ChannelChanged, Channel: general}}},
		{func() (Community, error) { return c.DeleteChannel(by(0), general) }, []Change{{Kind: ChannelDeleted, Channel: general}}},
		{func() (Community, error) {
			return forged(t, c, func(m *apppb.CommunityDescription) {
				m.Clock++
				m.Members[me.Public().Hex()].Roles = []apppb.CommunityMember_Roles{apppb.CommunityMember_ROLE_ADMIN}
			}), nil
		}, []Change{{Kind: RoleChanged, Member: IDOf(me.Public()), Role: Admin}}},
		{func() (Community, error) { return c.SetActiveMembers(by(0), 3) }, nil},
		{func() (Community, error) { return c.RemoveMember(by(0), me.Public()) }, []Change{{Kind: YouRemoved}}},
		{func() (Community, error) { return join(t, c, me), nil }, nil},
		{func() (Community, error) { return c.Ban(by(0), me.Public(), true) }, []Change{{Kind: YouBanned, Member: IDOf(me.Public()), DeleteAll: true}}},
	} {
		next, err := step.do()
		if err != nil {
			t.Fatalf("step %d: %v", i, err)
		}
		c = next
		var changes []Change
		if mine, changes = seen(t, c, mine, me); !slices.Equal(changes, step.want) {
			t.Errorf("step %d: %+v, want %+v", i, changes, step.want)
		}
	}
	// Nobody is made a member again whom the owner lists without being asked.
	if mine.Joined || !mine.Spectated || mine.Request != (OwnRequest{}) {
		t.Errorf("joined %v, reading %v, %+v", mine.Joined, mine.Spectated, mine.Request)
	}
	if made, _, _ := c.CreateChannel(by(0), ChannelParams{Name: "new"}); kinds(Changes(c, made, me.Public())) != "channel_created" {
		t.Errorf("%s", kinds(Changes(c, made, me.Public())))
	}
}

// A community that becomes gated lists nobody in the open; nobody was removed.
func TestBecomesGated(t *testing.T) {
	t.Parallel()
	p := people(4)
	c := create(t, p[2], p[3])
	mine, _ := seen(t, c, Community{Request: OwnRequest{State: Pending}}, p[2])
	closed := forged(t, c, func(m *apppb.CommunityDescription) {
		m.Clock++
		m.Members, m.Chats = nil, nil
		m.TokenPermissions = map[string]*apppb.CommunityTokenPermission{"a": {Type: apppb.CommunityTokenPermission_BECOME_MEMBER}}
		m.PrivateData = map[string][]byte{"b": {1}}
	})
	after, changes := seen(t, closed, mine, p[2])
	if !after.Joined || !after.Description.Gated || after.Description.Sealed != 1 {
		t.Errorf("joined %v, %+v", after.Joined, after.Description)
	}
	if slices.ContainsFunc(changes, func(c Change) bool { return c.Kind == MemberLeft || c.Kind == YouRemoved }) {
		t.Errorf("%+v", changes)
	}
	if _, _, err := after.Unfollow().Ask(p[3], Asking{}, now); err == nil {
		t.Error("a gated community is asked by who is a member")
	}
	after.Joined = false
	if _, _, err := after.Ask(p[3], Asking{}, now); !errors.Is(err, ErrGated) {
		t.Errorf("asking a gated community: %v", err)
	}
	if _, err := after.Edit(by(time.Hour), params()); !errors.Is(err, ErrGated) {
		t.Errorf("editing a gated community: %v", err)
	}
	if Kicks(c.Description, closed.Description) != nil {
		t.Error("encrypted members are taken for removed")
	}
	var lists [2]Description // as the control node has them
	for i, left := range [][]byte{nil, p[3].Public().Bytes()} {
		lists[i] = forged(t, c, func(m *apppb.CommunityDescription) {
			m.TokenPermissions = map[string]*apppb.CommunityTokenPermission{"a": {Type: apppb.CommunityTokenPermission_BECOME_MEMBER}}
			if left != nil {
				delete(m.Members, p[3].Public().Hex())
			}
		}).Description
	}
	if gone := Kicks(lists[0], lists[1]); !slices.Equal(gone, []ID{IDOf(p[3].Public())}) {
		t.Errorf("to be told: %v", gone)
	}
	removed := must(t)(c.RemoveMember(by(0), p[3].Public()))
	if Kicks(c.Description, removed.Description) != nil || !slices.Equal(Removed(c.Description, removed.Description), []ID{IDOf(p[3].Public())}) {
		t.Error("of an open community the description says who was removed")
	}
}

func TestStored(t *testing.T) {
	t.Parallel()
	c := create(t)
	c.Request, c.Archive = OwnRequest{State: Declined, Clock: 3}, ArchiveLink{Clock: 1, URI: "magnet:x"}
	roundTrip(t, c)
	roundTrip(t, Community{})
	roundTrip(t, Community{Key: c.Key, Spectated: true})
	for _, bad := range []string{`{`, `{"wrapped":"AAAA","key":"` + c.ID() + `"}`, `{"wrapped":"` + "CgEB" + `"}`, `[]`} {
		got := c
		if err := json.Unmarshal([]byte(bad), &got); err == nil || got.Description.Clock != c.Description.Clock {
			t.Errorf("%s: %v", bad, err)
		}
		if err := got.UnmarshalJSON([]byte(bad)); !errors.Is(err, ErrStored) {
			t.Errorf("%s: %v", bad, err)
		}
	}
}
