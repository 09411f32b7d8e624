package community

import (
	"errors"
	"fmt"
	"time"

	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/proto"

	"github.com/parley-im/parley/account/key"
	"github.com/parley-im/parley/app/message"
	apppb "github.com/parley-im/parley/pb/app"
)

// MaxPlainDescription is how large a description may be, in bytes, to be put
// into a response a second time without signature, for clients older than the
// field for the signed one.
const MaxPlainDescription = 64 << 10

// Response tells somebody who asked to join that they may. Nobody is told that
// they may not.
type Response struct {
	Community key.Public
	// Clock is that of the description, in milliseconds.
	Clock    uint64
	Accepted bool
	// Grant proves membership; see [NewGrant].
	Grant []byte
	// Archive is the newest link to the history, empty for none.
	Archive string
	// Wrapped is the signed description that lists the new member.
	Wrapped []byte
}

// Respond makes the response to a request that was accepted; the member must be
// listed already. by has the community's key.
func (c Community) Respond(by Control, r Request) (Response, error) {
	if err := c.controls(by); err != nil {
		return Response{}, err
	}
	if r.State != Accepted || !c.IsMember(r.Member) {
		return Response{}, ErrNoMember
	}
	grant, err := NewGrant(by.Key, r.Member, "", c.Description.Clock, by.Now)
	if err != nil {
		return Response{}, err
	}
	return Response{
		Community: c.Key, Clock: c.Description.Clock, Accepted: true,
		Grant: grant, Archive: c.Archive.URI, Wrapped: c.Wrapped,
	}, nil
}

// Encode returns the payload of type COMMUNITY_REQUEST_TO_JOIN_RESPONSE.
func (r Response) Encode() ([]byte, error) {
	m := &apppb.CommunityRequestToJoinResponse{
		Clock: r.Clock, Accepted: r.Accepted, Grant: r.Grant, CommunityId: idBytes(r.Community),
		MagnetUri: r.Archive, CommunityDescriptionProtocolMessage: r.Wrapped,
	}
	if len(r.Wrapped) > 0 && len(r.Wrapped) <= MaxPlainDescription {
		_, payload, err := Unwrap(r.Wrapped)
		if err != nil {
			return nil, err
		}
		m.Community = &apppb.CommunityDescription{}
		if err := proto.Unmarshal(payload, m.Community); err != nil {
			return nil, fmt.Errorf("%w: %w", ErrMalformed, err)
		}
	}
	return message.Encode(m)
}

// ParseResponse reads a response. The description without signature is not
// looked at.
func ParseResponse(payload []byte) (Response, error) {
	if limit := 2*MaxDescriptionSize + MaxRequestSize; len(payload) > limit {
		return Response{}, fmt.Errorf("%w: %d bytes, at most %d", ErrTooLarge, len(payload), limit)
	}
	var m apppb.CommunityRequestToJoinResponse
	if err := proto.Unmarshal(payload, &m); err != nil {
		return Response{}, fmt.Errorf("%w: %w", ErrMalformed, err)
	}
	k, err := parseID(m.CommunityId)
	if err != nil {
		return Response{}, err
	}
	if n := len(m.MagnetUri); n > MaxURI {
		return Response{}, fmt.Errorf("%w: link of %d bytes, at most %d", ErrTooLarge, n, MaxURI)
	}
	return Response{
		Community: k, Clock: m.Clock, Accepted: m.Accepted, Grant: m.Grant,
		Archive: m.MagnetUri, Wrapped: m.CommunityDescriptionProtocolMessage,
	}, nil
}

// Answered takes in the response to our own request; in has its author, which
// must be the community, as that of the description inside. A response to a
// request that we withdrew is ErrNotAsked, one that is older than our request
// ErrOutdated.
func (c Community) Answered(r Response, in Incoming) (Community, []Change, error) {
	if r.Community != c.Key || in.Author != c.Key || c.Key.IsZero() {
		return c, nil, ErrAuthor
	}
	if !c.Request.Open() {
		return c, nil, ErrNotAsked
	}
	if r.Clock/1000 < c.Request.Clock {
		return c, nil, fmt.Errorf("%w: response of %d ms to a request of %d s", ErrOutdated, r.Clock, c.Request.Clock)
	}
	if !r.Accepted {
		if c.Request.State == Pending {
			c.Request.State = Declined
		}
		return c, nil, nil
	}
	after := c
	after.Request.State = Accepted
	var changes []Change
	if len(r.Wrapped) > 0 {
		got, list, err := after.ReceiveWrapped(r.Wrapped, in)
		switch {
		case errors.Is(err, ErrOutdated): // a newer one came on its own
		case err != nil:
			return c, nil, err
		default:
			after, changes = got, list
		}
	}
	if !after.Joined {
		was := after
		after = after.joinOrLeave(in.Self, in.At)
		changes = append(changes, Changes(was, after, in.Self)...)
	}
	if r.Archive != "" {
		if linked, _, err := after.Link(ArchiveLink{Clock: after.Description.ArchiveClock, URI: r.Archive}, in.Author); err == nil {
			after = linked
		}
	}
	return after, changes, nil
}

// Kicked tells a member of a gated community that they are one no more.
type Kicked struct {
	Community key.Public
	// Clock is that of the description, in milliseconds.
	Clock uint64
}

// Encode returns the payload of type COMMUNITY_USER_KICKED.
func (x Kicked) Encode() ([]byte, error) {
	return message.Encode(&apppb.CommunityUserKicked{Clock: x.Clock, CommunityId: idBytes(x.Community)})
}

// ParseKicked reads it.
func ParseKicked(payload []byte) (Kicked, error) {
	var m apppb.CommunityUserKicked
	k, err := parse(payload, &m, &m.CommunityId)
	if err != nil {
		return Kicked{}, err
	}
	return Kicked{Community: k, Clock: m.Clock}, nil
}

// WasKicked ends our membership because author says so, who must be the
// community: deployed clients believe anybody.
func (c Community) WasKicked(x Kicked, author key.Public) (Community, []Change, error) {
	switch {
	case c.Key.IsZero() || author != c.Key || x.Community != c.Key:
		return c, nil, ErrAuthor
	case !c.Joined:
		return c, nil, ErrNoMember
	case x.Clock < c.Description.Clock:
		return c, nil, fmt.Errorf("%w: %d ms, not before %d", ErrOutdated, x.Clock, c.Description.Clock)
	}
	return c.removed(), []Change{{Kind: YouRemoved}}, nil
}

// MaxDeletions is how many messages one message may delete.
const MaxDeletions = 5000

// Deletion asks to delete messages of a member.
type Deletion struct {
	Community key.Public
	Member    key.Public
	// Clock is Unix time in seconds (deployed clients).
	Clock    uint64
	Messages []Deleted
}

// Deleted is one message to be deleted, in the chat of a channel.
type Deleted struct {
	ID     message.ID
	ChatID string
}

// Encode returns the payload of type DELETE_COMMUNITY_MEMBER_MESSAGES.
func (x Deletion) Encode() ([]byte, error) {
	m := &apppb.DeleteCommunityMemberMessages{Clock: x.Clock, CommunityId: idBytes(x.Community), MemberId: x.Member.Hex()}
	for _, d := range x.Messages {
		m.Messages = append(m.Messages, &apppb.DeleteCommunityMemberMessage{Id: d.ID.String(), ChatId: d.ChatID})
	}
	return message.Encode(m)
}

// ParseDeletion reads it; every message must be of a channel of the community.
func ParseDeletion(payload []byte) (Deletion, error) {
	var m apppb.DeleteCommunityMemberMessages
	k, err := parse(payload, &m, &m.CommunityId)
	if err != nil {
		return Deletion{}, err
	}
	if n := len(m.Messages); n == 0 || n > MaxDeletions {
		return Deletion{}, fmt.Errorf("%w: %d messages to be deleted, want 1 to %d", ErrMalformed, n, MaxDeletions)
	}
	member, err := ID(m.MemberId).Key()
	if err != nil {
		return Deletion{}, fmt.Errorf("%w: member: %w", ErrMalformed, err)
	}
	x := Deletion{Community: k, Member: member, Clock: m.Clock}
	cid := k.CompressedHex()
	for _, d := range m.Messages {
		id, err := message.ParseID(d.GetId())
		if err != nil {
			return Deletion{}, fmt.Errorf("%w: %w", ErrMalformed, err)
		}
		chatID := d.GetChatId()
		if len(chatID) <= cidSize || chatID[:cidSize] != cid || !validChannelID(chatID[cidSize:]) {
			return Deletion{}, fmt.Errorf("%w: %w", ErrMalformed, ErrChannelID)
		}
		x.Messages = append(x.Messages, Deleted{ID: id, ChatID: chatID})
	}
	return x, nil
}

// CheckDeletion tells whether author may delete the messages: the control node,
// and who is privileged. Which of them the member wrote, the caller checks.
func (c Community) CheckDeletion(x Deletion, author key.Public) error {
	switch {
	case x.Community != c.Key:
		return ErrElse
	case author == c.Key:
		return nil
	case c.IsBanned(author) || !c.IsPrivileged(author):
		return ErrAuthor
	}
	return nil
}

// GrantLife is how long a grant holds (deployed clients).
const GrantLife = 7 * 24 * time.Hour

// NewGrant makes the proof that somebody is a member: 65 bytes of signature by
// the community over keccak256 of the encoded grant, and the grant. channel is
// the chat id it is for, empty for the community; clock is the description's.
func NewGrant(k key.Private, member key.Public, channel string, clock uint64, now time.Time) ([]byte, error) {
	m := member.Compressed()
	var b []byte
	b = protowire.AppendTag(b, 1, protowire.BytesType)
	b = protowire.AppendBytes(b, idBytes(k.Public()))
	b = protowire.AppendTag(b, 2, protowire.BytesType)
	b = protowire.AppendBytes(b, m[:])
	if channel != "" {
		b = protowire.AppendTag(b, 3, protowire.BytesType)
		b = protowire.AppendString(b, channel)
	}
	b = protowire.AppendTag(b, 4, protowire.VarintType)
	b = protowire.AppendVarint(b, clock)
	b = protowire.AppendTag(b, 5, protowire.VarintType)
	b = protowire.AppendVarint(b, milliseconds(now.Add(GrantLife)))
	signature, err := k.Sign(key.Keccak256(b))
	if err != nil {
		return nil, err
	}
	return append(signature, b...), nil
}
