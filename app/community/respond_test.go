package community

import (
	"bytes"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"google.golang.org/protobuf/proto"

	"github.com/parley-im/parley/app/message"
	apppb "github.com/parley-im/parley/pb/app"
)

// Which responses count.
//
// Proves: AP-185.
func TestAnswered(t *testing.T) {
	t.Parallel()
	p := people(4)
	me := p[2]
	c := create(t)
	mine, r := ask(t, c, me, now)
	r.State = Accepted
	c, _, err := c.Link(ArchiveLink{Clock: 5, URI: "magnet:?xt=1"}, c.Key)
	if err != nil {
		t.Fatal(err)
	}
	listed := must(t)(c.AddMembers(by(time.Second), r))
	yes, err := listed.Respond(by(time.Second), r)
	if err != nil {
		t.Fatal(err)
	}
	other := create(t, p[3])
	foreign, _, err := message.Wrap(apppb.ApplicationMetadataMessage_COMMUNITY_DESCRIPTION, listed.Description.Encode(), p[3])
	if err != nil {
		t.Fatal(err)
	}
	got := Incoming{Author: c.Key, Self: me.Public(), At: now}
	for name, tc := range map[string]struct {
		edit   func(c *Community, r *Response, in *Incoming)
		state  RequestState
		joined bool
		want   error
	}{
		"yes":             {func(c *Community, r *Response, in *Incoming) {}, Accepted, true, nil},
		"no":              {func(c *Community, r *Response, in *Incoming) { r.Accepted = false }, Declined, false, nil},
		"without list":    {func(c *Community, r *Response, in *Incoming) { r.Wrapped = nil }, Accepted, false, nil},
		"not listed":      {func(c *Community, r *Response, in *Incoming) { r.Wrapped = other.Wrapped }, Accepted, false, nil},
		"of its second":   {func(c *Community, r *Response, in *Incoming) { r.Clock = c.Request.Clock * 1000 }, Accepted, true, nil},
		"older":           {func(c *Community, r *Response, in *Incoming) { r.Clock = c.Request.Clock*1000 - 1 }, Pending, false, ErrOutdated},
		"by another":      {func(c *Community, r *Response, in *Incoming) { in.Author = p[3].Public() }, Pending, false, ErrAuthor},
		"of another":      {func(c *Community, r *Response, in *Incoming) { r.Community = p[3].Public() }, Pending, false, ErrAuthor},
		"list by another": {func(c *Community, r *Response, in *Incoming) { r.Wrapped = foreign }, Pending, false, ErrAuthor},
		"no list at all":  {func(c *Community, r *Response, in *Incoming) { r.Wrapped = []byte{1} }, Pending, false, message.ErrMalformed},
		"never asked":     {func(c *Community, r *Response, in *Incoming) { c.Request = OwnRequest{} }, NotAsked, false, ErrNotAsked},
		"withdrawn":       {func(c *Community, r *Response, in *Incoming) { c.Request.State = Canceled }, Canceled, false, ErrNotAsked},
		"no after yes":    {func(c *Community, r *Response, in *Incoming) { c.Request.State = Accepted; r.Accepted = false }, Accepted, false, nil},
		"a newer is known": {func(c *Community, r *Response, in *Incoming) {
			newer := must(t)(listed.SetActiveMembers(by(time.Minute), 2))
			*c = c.with(newer.Key, newer.Description, newer.Wrapped)
		}, Accepted, true, nil},
	} {
		its, response, in := mine, yes, got
		tc.edit(&its, &response, &in)
		after, changes, err := its.Answered(response, in)
		if !errors.Is(err, tc.want) || after.Request.State != tc.state || after.Joined != tc.joined {
			t.Errorf("%s: %q, joined %v, %v", name, after.Request.State, after.Joined, err)
		}
		if strings.Contains(kinds(changes), "you_joined") != tc.joined {
			t.Errorf("%s: %s", name, kinds(changes))
		}
		if tc.joined && after.Archive.URI != yes.Archive {
			t.Errorf("%s: history at %q", name, after.Archive.URI)
		}
	}
}

// Small descriptions also go without signature, for old clients; large do not.
func TestResponsePlain(t *testing.T) {
	t.Parallel()
	p := people(3)
	c := create(t, p[2])
	for _, n := range []int{3, 1000} {
		c := forged(t, c, func(m *apppb.CommunityDescription) { fillMembers(m, n) })
		raw, err := Response{Community: c.Key, Clock: 1, Accepted: true, Wrapped: c.Wrapped}.Encode()
		if err != nil {
			t.Fatal(err)
		}
		var m apppb.CommunityRequestToJoinResponse
		if err := proto.Unmarshal(raw, &m); err != nil || (m.Community != nil) != (len(c.Wrapped) <= MaxPlainDescription) {
			t.Errorf("%d bytes: %v, %v", len(c.Wrapped), m.Community != nil, err)
		}
		if m.Community != nil && !proto.Equal(m.Community, wire(t, c)) {
			t.Error("another description")
		}
	}
	if _, err := (Response{Community: c.Key, Wrapped: []byte{1}}).Encode(); err == nil {
		t.Error("nonsense was encoded")
	}
	for n, want := range map[int]error{MaxURI: nil, MaxURI + 1: ErrTooLarge} {
		raw, err := Response{Community: c.Key, Archive: strings.Repeat("a", n)}.Encode()
		if err != nil {
			t.Fatal(err)
		}
		if _, err := ParseResponse(raw); !errors.Is(err, want) {
			t.Errorf("link of %d bytes: %v", n, err)
		}
	}
	if _, err := c.Respond(Control{Key: p[2], Now: now}, Request{}); !errors.Is(err, ErrControl) {
		t.Errorf("without the key: %v", err)
	}
}

// Only the community itself takes somebody off the list.
func TestKicked(t *testing.T) {
	t.Parallel()
	p := people(4)
	me := p[2]
	c := create(t, me)
	mine, _ := seen(t, c, Community{Request: OwnRequest{State: Pending}}, me)
	x := Kicked{Community: c.Key, Clock: c.Description.Clock}
	raw, err := x.Encode()
	if err != nil {
		t.Fatal(err)
	}
	got, err := ParseKicked(raw)
	if err != nil || got != x {
		t.Fatalf("%+v, %v", got, err)
	}
	after, changes, err := mine.WasKicked(got, c.Key)
	if err != nil || after.Joined || !after.Spectated || kinds(changes) != "you_removed" {
		t.Errorf("joined %v, %s, %v", after.Joined, kinds(changes), err)
	}
	// The description that still lists us comes once more.
	if again, _ := seen(t, c, after, me); again.Joined {
		t.Error("joined again")
	}
	if _, _, err := mine.WasKicked(got, p[3].Public()); !errors.Is(err, ErrAuthor) {
		t.Errorf("by another: %v", err)
	}
	if _, _, err := mine.WasKicked(got, p[1].Public()); !errors.Is(err, ErrAuthor) {
		t.Errorf("by the owner's own key: %v", err)
	}
	if _, _, err := mine.WasKicked(Kicked{Community: c.Key, Clock: x.Clock - 1}, c.Key); !errors.Is(err, ErrOutdated) {
		t.Errorf("older: %v", err)
	}
	if _, _, err := after.WasKicked(got, c.Key); !errors.Is(err, ErrNoMember) {
		t.Errorf("twice: %v", err)
	}
}

// Messages of a member go when a privileged one says so.
func TestDeletion(t *testing.T) {
	t.Parallel()
	p := people(6)
	admin, plain, banned := p[2], p[3], p[4]
	c := create(t, admin, plain, banned)
	c = forged(t, c, func(m *apppb.CommunityDescription) {
		roles := []apppb.CommunityMember_Roles{apppb.CommunityMember_ROLE_ADMIN}
		m.Members[admin.Public().Hex()].Roles = roles
		m.Members[banned.Public().Hex()].Roles = roles
		m.BanList = []string{banned.Public().Hex()}
	})
	chatID := ChannelID(c.Key, c.Description.Channels[0].UUID)
	deletion := func(n int) Deletion {
		x := Deletion{Community: c.Key, Member: plain.Public(), Clock: seconds(now)}
		for i := range n {
			x.Messages = append(x.Messages, Deleted{ID: message.ID{byte(i), byte(i >> 8)}, ChatID: chatID})
		}
		return x
	}
	for n, want := range map[int]error{0: ErrMalformed, 1: nil, MaxDeletions: nil, MaxDeletions + 1: ErrMalformed} {
		raw, err := deletion(n).Encode()
		if err != nil {
			t.Fatal(err)
		}
		got, err := ParseDeletion(raw)
		if !errors.Is(err, want) || (err == nil && (len(got.Messages) != n || fmt.Sprint(got) != fmt.Sprint(deletion(n)))) {
			t.Errorf("%d messages: %v", n, err)
		}
	}
	for name, edit := range map[string]func(m *apppb.DeleteCommunityMemberMessages){
		"member":       func(m *apppb.DeleteCommunityMemberMessages) { m.MemberId = plain.Public().CompressedHex() },
		"id":           func(m *apppb.DeleteCommunityMemberMessages) { m.Messages[0].Id = "0x00" },
		"chat":         func(m *apppb.DeleteCommunityMemberMessages) { m.Messages[0].ChatId = c.ID() },
		"another chat": func(m *apppb.DeleteCommunityMemberMessages) { m.Messages[0].ChatId = ChannelID(p[5].Public(), "a") },
	} {
		raw, err := deletion(1).Encode()
		if err != nil {
			t.Fatal(err)
		}
		var m apppb.DeleteCommunityMemberMessages
		if err := proto.Unmarshal(raw, &m); err != nil {
			t.Fatal(err)
		}
		edit(&m)
		if raw, err = message.Encode(&m); err != nil {
			t.Fatal(err)
		}
		if _, err := ParseDeletion(raw); !errors.Is(err, ErrMalformed) {
			t.Errorf("%s: %v", name, err)
		}
	}
	x := deletion(1)
	for name, tc := range map[string]struct {
		by   int
		want error
	}{"community": {0, nil}, "owner": {1, nil}, "admin": {2, nil}, "plain": {3, ErrAuthor}, "banned": {4, ErrAuthor}, "stranger": {5, ErrAuthor}} {
		if err := c.CheckDeletion(x, p[tc.by].Public()); !errors.Is(err, tc.want) {
			t.Errorf("%s: %v", name, err)
		}
	}
	x.Community = p[5].Public()
	if err := c.CheckDeletion(x, c.Key); !errors.Is(err, ErrElse) {
		t.Errorf("another community: %v", err)
	}
}

// The link to the history, by the community and by clock.
//
// Proves: AP-182.
func TestArchiveLink(t *testing.T) {
	t.Parallel()
	c := create(t)
	link := func(clock uint64, uri string) ArchiveLink { return ArchiveLink{Clock: clock, URI: uri} }
	raw, err := link(7, "magnet:?xt=urn:btih:00").Encode()
	if err != nil {
		t.Fatal(err)
	}
	got, err := ParseArchiveLink(raw)
	if err != nil || got != link(7, "magnet:?xt=urn:btih:00") {
		t.Fatalf("%+v, %v", got, err)
	}
	c, fresh, err := c.Link(got, c.Key)
	if err != nil || !fresh || c.Archive != got {
		t.Fatalf("%+v, %v, %v", c.Archive, fresh, err)
	}
	if after, fresh, err := c.Link(got, c.Key); err != nil || fresh || after.Archive != got {
		t.Errorf("the same: %v, %v", fresh, err)
	}
	if after, fresh, err := c.Link(link(8, got.URI), c.Key); err != nil || fresh || after.Archive.Clock != 8 {
		t.Errorf("newer, the same link: %v, %v", fresh, err)
	}
	if _, _, err := c.Link(link(6, "magnet:old"), c.Key); !errors.Is(err, ErrOutdated) {
		t.Errorf("older: %v", err)
	}
	if _, _, err := c.Link(link(9, "magnet:theirs"), people(2)[1].Public()); !errors.Is(err, ErrAuthor) {
		t.Errorf("by another: %v", err)
	}
	a, _, _ := c.Link(link(9, "magnet:a"), c.Key)
	a, _, _ = a.Link(link(9, "magnet:b"), c.Key)
	b, _, _ := c.Link(link(9, "magnet:b"), c.Key)
	b, _, _ = b.Link(link(9, "magnet:a"), c.Key)
	if a.Archive != b.Archive {
		t.Error("two links of one clock leave two states")
	}
	for _, tc := range []struct {
		l    ArchiveLink
		want error
	}{
		{link(1, strings.Repeat("a", MaxURI)), nil}, {link(1, strings.Repeat("a", MaxURI+1)), ErrTooLarge},
		{link(0, "magnet:"), ErrMalformed}, {link(1, ""), ErrMalformed},
	} {
		raw, err := tc.l.Encode()
		if err != nil {
			t.Fatal(err)
		}
		if _, err := ParseArchiveLink(raw); !errors.Is(err, tc.want) {
			t.Errorf("%d, %d bytes: %v", tc.l.Clock, len(tc.l.URI), err)
		}
	}
	made := must(t)(c.SetArchive(by(time.Second), link(milliseconds(now), "magnet:new")))
	if made.Archive.URI != "magnet:new" || made.Description.ArchiveClock != milliseconds(now) {
		t.Errorf("%+v, clock %d", made.Archive, made.Description.ArchiveClock)
	}
	if same, err := c.SetArchive(by(time.Second), link(1, "magnet:old")); !errors.Is(err, ErrOutdated) || !bytes.Equal(same.Wrapped, c.Wrapped) {
		t.Errorf("an older one: %v", err)
	}
}
