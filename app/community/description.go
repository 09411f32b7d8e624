package community

import (
	"cmp"
	"errors"
	"fmt"
	"slices"
	"strings"

	"google.golang.org/protobuf/proto"

	"github.com/parley-im/parley/account/key"
	"github.com/parley-im/parley/app/message"
	apppb "github.com/parley-im/parley/pb/app"
)

// Access is how one becomes a member, in a word for people and for JSON.
type Access string

// The kinds of access.
const (
	// AutoAccept lets everybody in who asks.
	AutoAccept Access = "auto"
	// ManualAccept leaves it to the owner.
	ManualAccept Access = "manual"
	// InvitationOnly is of older clients; there are no invitations any more.
	InvitationOnly Access = "invitation"
	// UnknownAccess is one of later versions: nobody can ask.
	UnknownAccess Access = "unknown"
)

var accessNumbers = map[Access]apppb.CommunityPermissions_Access{
	AutoAccept:     apppb.CommunityPermissions_AUTO_ACCEPT,
	ManualAccept:   apppb.CommunityPermissions_MANUAL_ACCEPT,
	InvitationOnly: apppb.CommunityPermissions_INVITATION_ONLY,
}

func accessOf(number apppb.CommunityPermissions_Access) Access {
	for a, its := range accessNumbers {
		if its == number {
			return a
		}
	}
	return UnknownAccess
}

// Description is what the owner of a community says of it, shaped for reading.
// It is a value whose lists are shared: they are not to be changed. What this
// version does not use stays in the bytes it was read from, and comes through
// when an owner changes something.
type Description struct {
	// Clock is in milliseconds.
	Clock uint64
	Name  string
	// Text is the description proper.
	Text string
	// Color is #rrggbb.
	Color string
	Emoji string
	// Images are those of the community by name; see package picture.
	Images map[string]*apppb.IdentityImage
	// Intro is shown before one asks to join, Outro when one has left.
	Intro, Outro string
	// Tags are words of the vocabulary; others are left out.
	Tags   []string
	Access Access
	// ENSOnly asks for an ENS name.
	ENSOnly bool
	// PinByAll lets every member pin, ThreadsByAll start threads.
	PinByAll, ThreadsByAll bool

	// Members are sorted by id.
	Members []Member
	// Channels are sorted as they are shown: those without category first.
	Channels   []Channel
	Categories []Category
	// Banned is sorted by id.
	Banned []Ban

	// Gated communities let in who has certain tokens: their members and
	// channels are encrypted. Such a description is shown and no more.
	Gated bool
	// Permissions is how many token permissions there are, Sealed how many
	// parts are encrypted for members.
	Permissions, Sealed int
	// ActiveMembers is how many wrote something in the last seven days.
	ActiveMembers uint64
	// ArchiveClock is the clock of the newest archive link.
	ArchiveClock uint64
	// ResendClock is when a new owner asked for the accounts again.
	ResendClock uint64

	// raw is the encoded message, never changed.
	raw []byte
}

// IsZero tells whether there is no description.
func (d Description) IsZero() bool { return len(d.raw) == 0 }

// Encode returns the encoded message that the description was read from: the
// payload of type COMMUNITY_DESCRIPTION. It is not to be changed.
func (d Description) Encode() []byte { return d.raw }

// Parse reads and checks the description of the community k, the payload of
// type COMMUNITY_DESCRIPTION. It keeps raw. k must be whoever signed it. The
// errors are those of this package, one for each cause.
func Parse(k key.Public, raw []byte) (Description, error) {
	if len(raw) > MaxDescriptionSize {
		return Description{}, fmt.Errorf("%w: %d bytes, at most %d", ErrTooLarge, len(raw), MaxDescriptionSize)
	}
	var m apppb.CommunityDescription
	if err := proto.Unmarshal(raw, &m); err != nil {
		return Description{}, fmt.Errorf("%w: %w", ErrMalformed, err)
	}
	if k.IsZero() {
		return Description{}, ErrAuthor
	}
	// Older clients leave the id out: then it is the signer's.
	if m.ID != "" && m.ID != k.CompressedHex() {
		return Description{}, fmt.Errorf("%w: it names another community", ErrAuthor)
	}
	if err := validate(&m); err != nil {
		return Description{}, err
	}
	d := Description{
		Clock:         m.Clock,
		Name:          m.Identity.GetDisplayName(),
		Text:          m.Identity.GetDescription(),
		Color:         m.Identity.GetColor(),
		Emoji:         m.Identity.GetEmoji(),
		Images:        m.Identity.GetImages(),
		Intro:         m.IntroMessage,
		Outro:         m.OutroMessage,
		Tags:          knownTags(m.Tags),
		Access:        accessOf(m.Permissions.GetAccess()),
		ENSOnly:       m.Permissions.GetEnsOnly(),
		PinByAll:      m.AdminSettings.GetPinMessageAllMembersEnabled(),
		ThreadsByAll:  m.AdminSettings.GetCreateThreadAllMembersEnabled(),
		Gated:         gated(&m),
		Permissions:   len(m.TokenPermissions),
		Sealed:        len(m.PrivateData),
		ActiveMembers: m.ActiveMembersCount,
		ArchiveClock:  m.ArchiveMagnetlinkClock,
		ResendClock:   m.ResendAccountsClock,
		raw:           raw,
	}
	d.Members = membersOf(m.Members)
	d.Banned = bansOf(&m)
	d.Categories = categoriesOf(&m)
	d.Channels = channelsOf(k.CompressedHex(), &m, d.Members)
	sortChannels(d.Channels, d.Categories)
	return d, nil
}

// gated tells whether a permission guards membership; the field that used to
// say so is not believed (deployed clients).
func gated(m *apppb.CommunityDescription) bool {
	for _, p := range m.TokenPermissions {
		if p.GetType() == apppb.CommunityTokenPermission_BECOME_MEMBER {
			return true
		}
	}
	return false
}

// membersOf sorts members by id. What is no key in the one form that names
// somebody is nobody.
func membersOf(m map[string]*apppb.CommunityMember) []Member {
	list := make([]Member, 0, len(m))
	for id, its := range m {
		if !ID(id).valid() {
			continue
		}
		list = append(list, Member{
			ID:      ID(id),
			Role:    roleOf(its.GetRoles()),
			Viewer:  its.GetChannelRole() != apppb.CommunityMember_CHANNEL_ROLE_POSTER,
			Updated: its.GetLastUpdateClock(),
		})
	}
	slices.SortFunc(list, func(a, b Member) int { return strings.Compare(string(a.ID), string(b.ID)) })
	return list
}

// bansOf joins the list of newer clients with that of older ones.
func bansOf(m *apppb.CommunityDescription) []Ban {
	list := make([]Ban, 0, len(m.BannedMembers))
	for id, its := range m.BannedMembers {
		if ID(id).valid() {
			list = append(list, Ban{ID: ID(id), DeleteAll: its.GetDeleteAllMessages()})
		}
	}
	for _, id := range m.BanList {
		if _, twice := m.BannedMembers[id]; !twice && ID(id).valid() {
			list = append(list, Ban{ID: ID(id)})
		}
	}
	slices.SortFunc(list, func(a, b Ban) int { return strings.Compare(string(a.ID), string(b.ID)) })
	return slices.Compact(list)
}

func categoriesOf(m *apppb.CommunityDescription) []Category {
	list := make([]Category, 0, len(m.Categories))
	for id, its := range m.Categories {
		list = append(list, Category{ID: id, Name: its.GetName(), Position: its.GetPosition()})
	}
	slices.SortFunc(list, func(a, b Category) int {
		return cmp.Or(cmp.Compare(a.Position, b.Position), strings.Compare(a.Name, b.Name), strings.Compare(a.ID, b.ID))
	})
	return list
}

// channelsOf reads the channels. One whose id cannot stand in a chat id is left
// out: no message could belong to it.
func channelsOf(cid string, m *apppb.CommunityDescription, members []Member) []Channel {
	restricted, visible := map[string]bool{}, map[string]bool{}
	for _, p := range m.TokenPermissions {
		for _, chat := range p.GetChatIds() {
			restricted[chat] = true
			if p.GetType() == apppb.CommunityTokenPermission_CAN_VIEW_CHANNEL && len(p.GetTokenCriteria()) == 0 {
				visible[chat] = true
			}
		}
	}
	list := make([]Channel, 0, len(m.Chats))
	for uuid, its := range m.Chats {
		if !validChannelID(uuid) {
			continue
		}
		ch := Channel{
			UUID: uuid, Name: its.GetIdentity().GetDisplayName(), Text: its.GetIdentity().GetDescription(),
			Color: its.GetIdentity().GetColor(), Emoji: its.GetIdentity().GetEmoji(),
			Category: its.GetCategoryId(), Position: its.GetPosition(),
			ViewersReact: its.GetViewersCanPostReactions(), HideLocked: its.GetHideIfPermissionsNotMet(),
			Restricted: restricted[cid+uuid], Encrypted: restricted[cid+uuid] && !visible[cid+uuid],
			FirstMessage: its.GetIdentity().GetFirstMessageTimestamp(),
			Members:      members,
		}
		if ch.Restricted {
			ch.Members = membersOf(its.GetMembers())
		}
		list = append(list, ch)
	}
	return list
}

// sortChannels puts channels in the order in which they are shown.
func sortChannels(channels []Channel, categories []Category) {
	place := make(map[string]int, len(categories))
	for i, g := range categories {
		place[g.ID] = i + 1
	}
	slices.SortFunc(channels, func(a, b Channel) int {
		return cmp.Or(cmp.Compare(place[a.Category], place[b.Category]), cmp.Compare(a.Position, b.Position),
			strings.Compare(a.Name, b.Name), strings.Compare(a.UUID, b.UUID))
	})
}

// Unwrap opens a signed description: the wrapped message as it is published, as
// a response to a request carries it, and as members share it in chats. It
// returns whose it is, the signer, and the payload for [Parse].
func Unwrap(wrapped []byte) (k key.Public, payload []byte, err error) {
	m, err := message.Open(wrapped, key.Public{})
	if err != nil {
		return key.Public{}, nil, fmt.Errorf("description of a community: %w", err)
	}
	if m.Type != apppb.ApplicationMetadataMessage_COMMUNITY_DESCRIPTION {
		return key.Public{}, nil, fmt.Errorf("%w: it is %s", ErrMalformed, message.Name(m.Type))
	}
	return m.Author, m.Payload, nil
}

// Errors of descriptions.
var (
	ErrMalformed   = errors.New("not a message of communities")
	ErrTooLarge    = errors.New("message of communities too large")
	ErrAuthor      = errors.New("not by the community itself")
	ErrOutdated    = errors.New("a newer one is known")
	ErrName        = errors.New("not a name for a community")
	ErrText        = errors.New("a text of the community is too long")
	ErrAccess      = errors.New("the community does not say who may join")
	ErrChannel     = errors.New("malformed channel of a community")
	ErrCategory    = errors.New("malformed category of a community")
	ErrMembers     = errors.New("bad members of a community")
	ErrPermissions = errors.New("bad token permissions of a community")
)
