package community

import (
	"errors"
	"fmt"
	"io"
	"math"
	"time"

	"google.golang.org/protobuf/proto"

	"github.com/parley-im/parley/account/key"
	"github.com/parley-im/parley/app/message"
	apppb "github.com/parley-im/parley/pb/app"
)

// Errors of what a control node does.
var (
	ErrControl   = errors.New("without the community's key")
	ErrColor     = errors.New("not a colour: want #rrggbb")
	ErrTag       = errors.New("not one of the tags of communities")
	ErrNoChannel = errors.New("no such channel")
	ErrNoGroup   = errors.New("no such category")
	ErrNotBanned = errors.New("not banned")
	ErrClock     = errors.New("the clock of the community has run out")
)

// Control is what it takes to change a community: its methods that take one
// return it with a new signed description, to be published.
type Control struct {
	// Key is the community's.
	Key key.Private
	Now time.Time
	// Rand makes ids of channels and categories; the others need none.
	Rand io.Reader
}

// Params is what a community says of itself, to be made or edited as a whole.
type Params struct {
	// Name and Text are required. Lengths are in bytes: see [MaxName] and the
	// constants after it.
	Name, Text string
	// Color is #rrggbb.
	Color        string
	Emoji        string
	Intro, Outro string
	// Tags are from the vocabulary, see [Tags].
	Tags []string
	// Access is AutoAccept or ManualAccept.
	Access                 Access
	ENSOnly                bool
	PinByAll, ThreadsByAll bool
	// Images are as they travel; see package picture.
	Images map[string]*apppb.IdentityImage
}

// Params returns what there is, to be edited.
func (d Description) Params() Params {
	return Params{
		Name: d.Name, Text: d.Text, Color: d.Color, Emoji: d.Emoji, Intro: d.Intro, Outro: d.Outro,
		Tags: d.Tags, Access: d.Access, ENSOnly: d.ENSOnly, PinByAll: d.PinByAll, ThreadsByAll: d.ThreadsByAll, Images: d.Images,
	}
}

func (p Params) check() error {
	if n := len(p.Name); n < 1 || n > MaxName {
		return fmt.Errorf("%w: %d bytes, want 1 to %d", ErrName, n, MaxName)
	}
	if p.Text == "" {
		return fmt.Errorf("%w: description is empty", ErrText)
	}
	for _, t := range []struct {
		what, text string
		limit      int
	}{
		{"description", p.Text, MaxText}, {"introduction", p.Intro, MaxIntro},
		{"outro", p.Outro, MaxOutro}, {"emoji", p.Emoji, MaxName},
	} {
		if n := len(t.text); n > t.limit {
			return fmt.Errorf("%w: %s of %d bytes, at most %d", ErrText, t.what, n, t.limit)
		}
	}
	if err := checkColor(p.Color); err != nil {
		return err
	}
	for _, name := range p.Tags {
		if _, ok := TagIndex(name); !ok {
			return ErrTag
		}
	}
	if p.Access != AutoAccept && p.Access != ManualAccept {
		return fmt.Errorf("%w: %q", ErrAccess, p.Access)
	}
	return nil
}

func checkColor(s string) error {
	if len(s) != 7 || s[0] != '#' {
		return ErrColor
	}
	for i := 1; i < len(s); i++ {
		if c := s[i]; (c < '0' || c > '9') && (c < 'a' || c > 'f') && (c < 'A' || c > 'F') {
			return ErrColor
		}
	}
	return nil
}

// apply writes the parameters into a description.
func (p Params) apply(m *apppb.CommunityDescription) {
	if m.Identity == nil {
		m.Identity = &apppb.ChatIdentity{}
	}
	m.Identity.DisplayName, m.Identity.Description = p.Name, p.Text
	m.Identity.Color, m.Identity.Emoji, m.Identity.Images = p.Color, p.Emoji, p.Images
	m.IntroMessage, m.OutroMessage, m.Tags = p.Intro, p.Outro, knownTags(p.Tags)
	if m.Permissions == nil {
		m.Permissions = &apppb.CommunityPermissions{}
	}
	m.Permissions.Access, m.Permissions.EnsOnly = accessNumbers[p.Access], p.ENSOnly
	if m.AdminSettings == nil {
		m.AdminSettings = &apppb.CommunityAdminSettings{}
	}
	m.AdminSettings.PinMessageAllMembersEnabled, m.AdminSettings.CreateThreadAllMembersEnabled = p.PinByAll, p.ThreadsByAll
}

// Create makes a community of its owner with one channel, "general". by has a
// fresh key.
func Create(by Control, owner key.Public, p Params) (Community, error) {
	if by.Key.IsZero() {
		return Community{}, ErrControl
	}
	if owner.IsZero() {
		return Community{}, key.ErrPublic
	}
	if err := p.check(); err != nil {
		return Community{}, err
	}
	m := &apppb.CommunityDescription{
		Members: map[string]*apppb.CommunityMember{
			owner.Hex(): {Roles: []apppb.CommunityMember_Roles{apppb.CommunityMember_ROLE_OWNER}},
		},
	}
	p.apply(m)
	if _, err := addChannel(m, by.Rand, ChannelParams{Name: "general", Text: "General channel for the community", Color: p.Color}); err != nil {
		return Community{}, err
	}
	c, err := Community{Key: by.Key.Public()}.publish(by, m)
	if err != nil {
		return Community{}, err
	}
	return c.Owned(owner, by.Now), nil
}

// controls tells whether by may change the community.
func (c Community) controls(by Control) error {
	switch d := c.Description; {
	case by.Key.IsZero() || by.Key.Public() != c.Key:
		return ErrControl
	case d.IsZero():
		return ErrUnknown
	case d.Gated || d.Sealed > 0:
		return ErrGated
	}
	return nil
}

// change lets edit change the description that is known, with all that this
// version does not use, and signs the result.
func (c Community) change(by Control, edit func(m *apppb.CommunityDescription) error) (Community, error) {
	if err := c.controls(by); err != nil {
		return c, err
	}
	var m apppb.CommunityDescription
	if err := proto.Unmarshal(c.Description.raw, &m); err != nil {
		return c, fmt.Errorf("%w: %w", ErrMalformed, err)
	}
	if err := edit(&m); err != nil {
		return c, err
	}
	return c.publish(by, &m)
}

// publish gives a description its clock and id and signs it.
func (c Community) publish(by Control, m *apppb.CommunityDescription) (Community, error) {
	if c.Description.Clock == math.MaxUint64 {
		return c, ErrClock
	}
	m.Clock = max(milliseconds(by.Now), c.Description.Clock+1)
	m.ID = c.ID()
	slim(m)
	raw, err := message.Encode(m)
	if err != nil {
		return c, fmt.Errorf("encoding a description: %w", err)
	}
	d, err := Parse(c.Key, raw)
	if err != nil {
		return c, err
	}
	wrapped, _, err := message.Wrap(apppb.ApplicationMetadataMessage_COMMUNITY_DESCRIPTION, raw, by.Key)
	if err != nil {
		return c, err
	}
	return c.with(c.Key, d, wrapped), nil
}

// slim leaves out what is not to be published: the members of channels that
// everybody may read, which receivers fill in again, and accounts that older
// clients put beside members.
func slim(m *apppb.CommunityDescription) {
	restricted := map[string]bool{}
	for _, p := range m.TokenPermissions {
		for _, chat := range p.GetChatIds() {
			restricted[chat] = true
		}
	}
	for uuid, ch := range m.Chats {
		if !restricted[m.ID+uuid] {
			ch.Members = nil
		}
		forgetAccounts(ch.Members)
	}
	forgetAccounts(m.Members)
}

func forgetAccounts(members map[string]*apppb.CommunityMember) {
	for _, its := range members {
		its.RevealedAccounts = nil
	}
}

// Edit replaces what the community says of itself. Start from
// [Description.Params].
func (c Community) Edit(by Control, p Params) (Community, error) {
	if err := p.check(); err != nil {
		return c, err
	}
	return c.change(by, func(m *apppb.CommunityDescription) error {
		p.apply(m)
		return nil
	})
}

// SetActiveMembers records how many wrote something in the last seven days,
// once a day (deployed clients).
func (c Community) SetActiveMembers(by Control, n uint64) (Community, error) {
	return c.change(by, func(m *apppb.CommunityDescription) error {
		m.ActiveMembersCount = n
		return nil
	})
}

// SetArchive records a link that was made for the history.
func (c Community) SetArchive(by Control, l ArchiveLink) (Community, error) {
	linked, _, err := c.Link(l, c.Key)
	if err != nil {
		return c, err
	}
	after, err := linked.change(by, func(m *apppb.CommunityDescription) error {
		m.ArchiveMagnetlinkClock = l.Clock
		return nil
	})
	if err != nil {
		return c, err
	}
	return after, nil
}
