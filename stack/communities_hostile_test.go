package stack

import (
	"slices"
	"strings"
	"testing"
	"time"

	"google.golang.org/protobuf/proto"

	"github.com/parley-im/parley/account/key"
	"github.com/parley-im/parley/app/chat"
	"github.com/parley-im/parley/app/community"
	"github.com/parley-im/parley/app/message"
	apppb "github.com/parley-im/parley/pb/app"
	"github.com/parley-im/parley/storage"
	"github.com/parley-im/parley/waku/topic"
)

// about makes what is done to a message in the first channel.
func (f *forger) about(w *town, typ message.Type, id message.ID) []byte {
	f.t.Helper()
	clock, kind := uint64(f.now.UnixMilli()), apppb.MessageType_COMMUNITY_CHAT
	var m proto.Message
	switch typ {
	case apppb.ApplicationMetadataMessage_EDIT_MESSAGE:
		m = &apppb.EditMessage{Clock: clock, Text: "forged", ChatId: w.channel(0), MessageId: id.String(), MessageType: kind}
	case apppb.ApplicationMetadataMessage_DELETE_MESSAGE:
		m = &apppb.DeleteMessage{Clock: clock, ChatId: w.channel(0), MessageId: id.String(), MessageType: kind}
	case apppb.ApplicationMetadataMessage_PIN_MESSAGE:
		m = &apppb.PinMessage{Clock: clock, ChatId: w.channel(0), MessageId: id.String(), MessageType: kind, Pinned: true}
	case apppb.ApplicationMetadataMessage_EMOJI_REACTION:
		m = &apppb.EmojiReaction{Clock: clock, ChatId: w.channel(0), MessageId: id.String(), MessageType: kind, Type: apppb.EmojiReaction_LOVE}
	}
	return f.wrap(typ, m)
}

// describedBy is the description of a town, signed by anybody.
func (w *town) describedBy(by key.Private) []byte {
	w.t.Helper()
	raw, _, err := message.Wrap(apppb.ApplicationMetadataMessage_COMMUNITY_DESCRIPTION, w.Description.Encode(), by)
	w.ok(err)
	return raw
}

// deletion asks to delete a message of somebody in a town.
func (w *town) deletion(of key.Public, id message.ID, at time.Time) *apppb.DeleteCommunityMemberMessages {
	community := w.Key.Compressed()
	return &apppb.DeleteCommunityMemberMessages{
		Clock: uint64(at.Unix()), CommunityId: community[:], MemberId: of.Hex(),
		Messages: []*apppb.DeleteCommunityMemberMessage{{Id: id.String(), ChatId: w.channel(0)}},
	}
}

// What others may not say about a community, or in it, changes nothing and is
// counted by its cause: descriptions of other keys and older ones, posts of
// strangers and of who is banned, what only the owner may do, answers and
// removals that the community has not signed.
//
// Proves: AP-039, AP-182.
func TestHostileCommunity(t *testing.T) {
	t.Parallel()
	begin := time.Date(2026, 1, 2, 3, 0, 0, 0, time.UTC)
	olga, mia, banned, stranger := identity(t, 20).Public(), identity(t, 21).Public(), identity(t, 22), identity(t, 23)
	w := newTown(t, 210, olga, begin, identity(t, 0).Public(), mia, banned.Public())
	old := w.Community
	w.by.Now = begin.Add(30 * time.Second)
	var err error
	w.Community, err = w.Ban(w.by, banned.Public(), false)
	w.ok(err)
	s, clock := resident(t, 0, SDSNone, w)
	now := clock.at
	member, outcast, outsider := newForger(t, 21, now), newForger(t, 22, now), newForger(t, 23, now)
	owner := newForger(t, 20, now)
	clock.at = now.Add(10 * time.Minute)

	// What is said by the owner and is to be changed.
	said := owner.inChannel(w, 0, "by the owner")
	hand(t, s, owner.toTown(w, said))
	id := message.NewID(olga, said)
	if got := textsOf(t, s, w.channel(0)); !slices.Equal(got, []string{"by the owner"}) {
		t.Fatalf("heard %q", got)
	}
	late := *outsider
	late.now = begin.Add(-time.Hour)
	later := w.Community
	control := community.Control{Key: identity(t, 99), Now: now, Rand: &counterRand{1}}
	foreign, err := community.Create(control, stranger.Public(), community.Params{Name: "Other", Text: "x", Color: "#000000", Access: community.AutoAccept})
	w.ok(err)
	kicked := community.Kicked{Community: w.Key, Clock: later.Description.Clock + 1}
	kickedBody, err := kicked.Encode()
	w.ok(err)
	link, err := community.ArchiveLink{Clock: uint64(now.UnixMilli()), URI: "magnet:?xt=forged"}.Encode()
	w.ok(err)
	response, err := community.Response{Community: w.Key, Clock: later.Description.Clock, Accepted: true, Wrapped: w.Wrapped}.Encode()
	w.ok(err)
	wrap := func(typ message.Type, body []byte, by key.Private) []byte {
		raw, _, err := message.Wrap(typ, body, by)
		w.ok(err)
		return raw
	}
	later.Joined = false
	_, request, err := later.Ask(identity(t, 23), community.Asking{DisplayName: "Stan"}, now)
	w.ok(err)
	asked, err := request.Encode()
	w.ok(err)

	name := topic.CommunityName(w.Key)
	for what, c := range map[string]struct {
		e     Envelope
		cause error
	}{
		"a stranger's post":             {late.toTown(w, late.inChannel(w, 0, "spam")), errNoRight},
		"a post of who is banned":       {outcast.toTown(w, outcast.inChannel(w, 0, "spam")), errNoRight},
		"a stranger's reaction":         {late.toTown(w, late.about(w, apppb.ApplicationMetadataMessage_EMOJI_REACTION, id)), errNoRight},
		"a member's pin":                {member.toTown(w, member.about(w, apppb.ApplicationMetadataMessage_PIN_MESSAGE, id)), errNoRight},
		"a member's edit of another's":  {member.toTown(w, member.about(w, apppb.ApplicationMetadataMessage_EDIT_MESSAGE, id)), chat.ErrNotAuthor},
		"a member's deletion":           {member.toTown(w, member.about(w, apppb.ApplicationMetadataMessage_DELETE_MESSAGE, id)), chat.ErrNotAuthor},
		"a member's description":        {member.onTopic(w, name, w.describedBy(identity(t, 21))), errNotFollowed},
		"a description of another":      {member.onTopic(w, name, foreign.Wrapped), errNotFollowed},
		"an older description":          {member.onTopic(w, name, old.Wrapped), community.ErrOutdated},
		"a member's deletion of all":    {member.onTopic(w, name, member.wrap(apppb.ApplicationMetadataMessage_DELETE_COMMUNITY_MEMBER_MESSAGES, w.deletion(olga, id, now))), community.ErrAuthor},
		"a member's archive link":       {member.toTown(w, wrap(apppb.ApplicationMetadataMessage_COMMUNITY_MESSAGE_ARCHIVE_MAGNETLINK, link, identity(t, 21))), community.ErrAuthor},
		"a removal by the owner's key":  {owner.mail(s.Self(), wrap(apppb.ApplicationMetadataMessage_COMMUNITY_USER_KICKED, kickedBody, identity(t, 20))), community.ErrAuthor},
		"a response by the owner's key": {owner.mail(s.Self(), wrap(apppb.ApplicationMetadataMessage_COMMUNITY_REQUEST_TO_JOIN_RESPONSE, response, identity(t, 20))), community.ErrAuthor},
		"a response to no request":      {owner.mail(s.Self(), wrap(apppb.ApplicationMetadataMessage_COMMUNITY_REQUEST_TO_JOIN_RESPONSE, response, w.by.Key)), community.ErrNotAsked},
		"a request to no control node":  {outsider.mail(s.Self(), wrap(apppb.ApplicationMetadataMessage_COMMUNITY_REQUEST_TO_JOIN, asked, stranger)), errNoControl},
		"a contact update passed on":    {member.toTown(w, owner.wrap(apppb.ApplicationMetadataMessage_CONTACT_UPDATE, &apppb.ContactUpdate{Clock: uint64(now.UnixMilli())})), errPassedOn},
	} {
		before, counters := content(t, s.db, append([]string{"core/", "mark/"}, lowerFamilies...)...), s.Counters()
		hand(t, s, c.e)
		if changed := difference(before, content(t, s.db, append([]string{"core/", "mark/"}, lowerFamilies...)...)); len(changed) != 0 {
			t.Errorf("%s changed %v", what, changed)
		}
		if names := increased(counters, s.Counters()); len(names) != 1 || !strings.Contains(names[0], cause(c.cause)) {
			t.Errorf("%s: counters %q, not %q", what, names, c.cause)
		}
	}

	// What a member said is welcome whoever brings it, and the owner deletes it
	// in the name of the community.
	passed := member.inChannel(w, 0, "by a member")
	hand(t, s, owner.toTown(w, passed))
	if got := textsOf(t, s, w.channel(0)); !slices.Equal(got, []string{"by a member", "by the owner"}) {
		t.Errorf("heard %q", got)
	}
	theirs := message.NewID(mia, passed)
	body, err := message.Encode(w.deletion(mia, theirs, now))
	w.ok(err)
	hand(t, s, owner.onTopic(w, name, wrap(apppb.ApplicationMetadataMessage_DELETE_COMMUNITY_MEMBER_MESSAGES, body, w.by.Key)))
	if m, err := s.Message(theirs); err != nil || m.Deleted == nil || m.Deleted.By != w.Key {
		t.Errorf("%+v, %v", m, err)
	}
	// A link by the community is kept, a newer one instead, and an older one not.
	for _, l := range []community.ArchiveLink{{Clock: 5, URI: "magnet:a"}, {Clock: 7, URI: "magnet:c"}, {Clock: 6, URI: "magnet:b"}} {
		body, err := l.Encode()
		w.ok(err)
		hand(t, s, owner.toTown(w, wrap(apppb.ApplicationMetadataMessage_COMMUNITY_MESSAGE_ARCHIVE_MAGNETLINK, body, w.by.Key)))
	}
	if c, err := s.Community(w.Key); err != nil || c.Archive != (community.ArchiveLink{Clock: 7, URI: "magnet:c"}) {
		t.Errorf("%+v, %v", c.Archive, err)
	}
}

// A deletion by the community overtakes what it deletes.
func TestDeletionOvertakes(t *testing.T) {
	t.Parallel()
	begin := time.Date(2026, 1, 2, 3, 0, 0, 0, time.UTC)
	mia := identity(t, 21).Public()
	w := newTown(t, 211, identity(t, 20).Public(), begin, identity(t, 0).Public(), mia)
	s, clock := resident(t, 0, SDSNone, w)
	member := newForger(t, 21, clock.at)
	said := member.inChannel(w, 0, "too late")
	id := message.NewID(mia, said)
	body, err := message.Encode(w.deletion(mia, id, clock.at))
	w.ok(err)
	raw, _, err := message.Wrap(apppb.ApplicationMetadataMessage_DELETE_COMMUNITY_MEMBER_MESSAGES, body, w.by.Key)
	w.ok(err)
	hand(t, s, member.onTopic(w, topic.CommunityName(w.Key), raw), member.toTown(w, said))
	if m, err := s.Message(id); err != nil || m.Deleted == nil {
		t.Errorf("%+v, %v", m, err)
	}
}

// Somebody of whom we have not heard yet that they are a member is heard once
// we have: not with what they said before we knew that they were none.
func TestMemberBeforeDescription(t *testing.T) {
	t.Parallel()
	begin := time.Date(2026, 1, 2, 3, 0, 0, 0, time.UTC)
	w := newTown(t, 212, identity(t, 20).Public(), begin, identity(t, 0).Public())
	s, clock := resident(t, 0, SDSNone, w)
	stan := newForger(t, 23, clock.at)
	early, room := stan.inChannel(w, 0, "before"), w.channel(0)
	hand(t, s, stan.toTown(w, early))
	// A description that does not count him in, later than that.
	w.by.Now = clock.at.Add(10 * time.Minute)
	var err error
	w.Community, err = w.Edit(w.by, w.Description.Params())
	w.ok(err)
	clock.at = w.by.Now
	stan.now = clock.at
	hand(t, s, stan.onTopic(w, topic.CommunityName(w.Key), w.Wrapped))
	clock.advance(time.Minute)
	stan.now = clock.at
	hand(t, s, stan.toTown(w, stan.inChannel(w, 0, "after")))
	if got := textsOf(t, s, room); len(got) != 0 {
		t.Errorf("heard %q", got)
	}
	w.by.Now = clock.at
	w.admit(stan.key.Public())
	hand(t, s, stan.onTopic(w, topic.CommunityName(w.Key), w.Wrapped))
	if got := textsOf(t, s, room); !slices.Equal(got, []string{"after"}) {
		t.Errorf("heard %q", got)
	}
}

// A gated community is followed and shown as what it is, and not joined.
func TestGatedCommunity(t *testing.T) {
	t.Parallel()
	begin := time.Date(2026, 1, 2, 3, 0, 0, 0, time.UTC)
	w := newTown(t, 213, identity(t, 20).Public(), begin)
	d := new(apppb.CommunityDescription)
	w.ok(proto.Unmarshal(w.Description.Encode(), d))
	d.TokenPermissions = map[string]*apppb.CommunityTokenPermission{"p": {Id: "p", Type: apppb.CommunityTokenPermission_BECOME_MEMBER}}
	d.Clock++
	d.PrivateData = map[string][]byte{"00": {1, 2, 3}}
	body, err := message.Encode(d)
	w.ok(err)
	raw, _, err := message.Wrap(apppb.ApplicationMetadataMessage_COMMUNITY_DESCRIPTION, body, w.by.Key)
	w.ok(err)
	s, clock := stillOn(t, 0, func(*Network) {})
	w.ok(s.update(func(t *step) error {
		for _, name := range w.names() {
			if err := t.PutTopicKey(key.Keccak256([]byte(name)), derivedKey(name)); err != nil {
				return err
			}
		}
		return nil
	}))
	if _, err := s.FollowCommunity(w.Key); err != nil {
		t.Fatal(err)
	}
	owner := newForger(t, 20, clock.at)
	hand(t, s, owner.onTopic(w, topic.CommunityName(w.Key), raw))
	c, err := s.Community(w.Key)
	if err != nil {
		t.Fatal(err)
	}
	shown, err := s.ShowCommunity(c)
	if err != nil || !shown.Gated || !shown.Known || shown.Joined || shown.Channels[0].CanPost {
		t.Errorf("%+v, %v", shown, err)
	}
	before := content(t, s.db)
	if _, err := s.JoinCommunity(w.Key); err == nil || !strings.Contains(err.Error(), "tokens") {
		t.Errorf("joining: %v", err)
	}
	if changed := difference(before, content(t, s.db)); len(changed) != 0 {
		t.Errorf("changed %v", changed)
	}
	// Being listed in it does not make us a member.
	if err := s.db.View(func(tx *storage.Tx) error {
		c, _, err := s.community(tx, w.Key)
		if c.Joined {
			t.Error("joined")
		}
		return err
	}); err != nil {
		t.Fatal(err)
	}
}
