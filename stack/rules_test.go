package stack

import (
	"fmt"
	"math"
	"strings"
	"testing"
	"time"

	"google.golang.org/protobuf/proto"

	"github.com/parley-im/parley/account"
	"github.com/parley-im/parley/app/chat"
	"github.com/parley-im/parley/app/community"
	"github.com/parley-im/parley/app/contact"
	"github.com/parley-im/parley/app/group"
	"github.com/parley-im/parley/app/message"
	"github.com/parley-im/parley/app/reaction"
	"github.com/parley-im/parley/app/verify"
	apppb "github.com/parley-im/parley/pb/app"
	"github.com/parley-im/parley/storage"
)

// rule is a message that is at a limit, or past it.
type rule struct {
	name string
	typ  message.Type
	m    proto.Message
	// want is why it is dropped, nil if it is not.
	want error
}

// rules are what deployed clients check of what they receive: each on both
// sides of its limit.
func rules(f *forger, s *Stack, target message.ID) (all []rule) {
	reference := uint64(f.now.Truncate(time.Second).UnixMilli())
	most := reference + uint64(message.MaxClockAhead.Milliseconds())
	room := chat.OneToOneID(s.Self())
	add := func(name string, typ message.Type, want error, m proto.Message) {
		all = append(all, rule{name, typ, m, want})
	}
	// clocks adds the rules for the clock of a type.
	clocks := func(typ message.Type, make func(clock uint64) proto.Message) {
		add("no clock", typ, message.ErrClockZero, make(0))
		add("clock at the limit", typ, nil, make(most))
		add("clock past the limit", typ, message.ErrClockAhead, make(most+1))
		add("clock at the end of time", typ, message.ErrClockAhead, make(math.MaxUint64))
	}

	says := func(change func(m *apppb.ChatMessage)) *apppb.ChatMessage {
		m := &apppb.ChatMessage{
			Clock: reference, Timestamp: reference, Text: "text", ChatId: room, MessageType: apppb.MessageType_ONE_TO_ONE,
			ContentType: apppb.ChatMessage_TEXT_PLAIN,
		}
		change(m)
		return m
	}
	said := func(name string, want error, change func(m *apppb.ChatMessage)) {
		add(name, apppb.ApplicationMetadataMessage_CHAT_MESSAGE, want, says(change))
	}
	clocks(apppb.ApplicationMetadataMessage_CHAT_MESSAGE, func(clock uint64) proto.Message {
		return says(func(m *apppb.ChatMessage) { m.Clock = clock })
	})
	said("no timestamp", chat.ErrTimestamp, func(m *apppb.ChatMessage) { m.Timestamp = 0 })
	said("no chat", chat.ErrChatID, func(m *apppb.ChatMessage) { m.ChatId = "" })
	for _, typ := range []apppb.MessageType{0, 4, 6, 7} {
		said(fmt.Sprint("type ", int(typ)), chat.ErrMessageType, func(m *apppb.ChatMessage) { m.MessageType = typ })
	}
	said("blank text", chat.ErrTextBlank, func(m *apppb.ChatMessage) { m.Text = " \n" })
	said("text at the limit", nil, func(m *apppb.ChatMessage) { m.Text = strings.Repeat("ü", chat.MaxText) })
	said("text past the limit", chat.ErrTextLength, func(m *apppb.ChatMessage) { m.Text = strings.Repeat("ü", chat.MaxText+1) })
	for _, content := range []apppb.ChatMessage_ContentType{0, 5, 6, 10, 14, 15, 16, 17} {
		said(fmt.Sprint("content ", int(content)), chat.ErrContentType, func(m *apppb.ChatMessage) { m.ContentType = content })
	}
	for content, want := range map[apppb.ChatMessage_ContentType]error{
		apppb.ChatMessage_STICKER: chat.ErrSticker, apppb.ChatMessage_IMAGE: chat.ErrImage, apppb.ChatMessage_AUDIO: chat.ErrAudio,
		apppb.ChatMessage_BRIDGE_MESSAGE: chat.ErrBridge, apppb.ChatMessage_DISCORD_MESSAGE: chat.ErrDiscord, apppb.ChatMessage_COMMUNITY: chat.ErrCommunity,
	} {
		said("nothing in "+content.String(), want, func(m *apppb.ChatMessage) { m.ContentType = content })
	}
	said("name of 5", nil, func(m *apppb.ChatMessage) { m.DisplayName = "abcde" })
	said("name of 4", contact.ErrNameLength, func(m *apppb.ChatMessage) { m.DisplayName = "abcd" })
	said("name of 24", nil, func(m *apppb.ChatMessage) { m.DisplayName = strings.Repeat("a", 24) })
	said("name of 25", contact.ErrNameLength, func(m *apppb.ChatMessage) { m.DisplayName = strings.Repeat("a", 25) })
	said("name with an exclamation mark", contact.ErrNameChars, func(m *apppb.ChatMessage) { m.DisplayName = "Somebody!" })
	for _, suffix := range []string{"_eth", ".eth", "-eth"} {
		said("name in "+suffix, contact.ErrNameENS, func(m *apppb.ChatMessage) { m.DisplayName = "somebody" + suffix })
	}
	said("generated name", contact.ErrNameAlias, func(m *apppb.ChatMessage) { m.DisplayName = account.Alias(s.Self()) })
	said("state past the limit", message.ErrClockAhead, func(m *apppb.ChatMessage) {
		m.ContactRequestPropagatedState = &apppb.ContactRequestPropagatedState{LocalClock: most + 1}
	})

	edits := func(change func(m *apppb.EditMessage)) *apppb.EditMessage {
		m := &apppb.EditMessage{Clock: reference + 1, Text: "text", ChatId: room, MessageId: target.String(), MessageType: apppb.MessageType_ONE_TO_ONE}
		change(m)
		return m
	}
	edited := func(name string, want error, change func(m *apppb.EditMessage)) {
		add(name, apppb.ApplicationMetadataMessage_EDIT_MESSAGE, want, edits(change))
	}
	clocks(apppb.ApplicationMetadataMessage_EDIT_MESSAGE, func(clock uint64) proto.Message {
		return edits(func(m *apppb.EditMessage) { m.Clock = clock })
	})
	edited("no chat", chat.ErrChatID, func(m *apppb.EditMessage) { m.ChatId = "" })
	edited("no message", chat.ErrTarget, func(m *apppb.EditMessage) { m.MessageId = "" })
	edited("no type", chat.ErrMessageType, func(m *apppb.EditMessage) { m.MessageType = 0 })
	edited("system type", chat.ErrMessageType, func(m *apppb.EditMessage) { m.MessageType = 4 })
	edited("blank text", chat.ErrTextBlank, func(m *apppb.EditMessage) { m.Text = "" })
	edited("text at the limit", nil, func(m *apppb.EditMessage) { m.Text = strings.Repeat("ü", chat.MaxText) })
	edited("text past the limit", chat.ErrTextLength, func(m *apppb.EditMessage) { m.Text = strings.Repeat("ü", chat.MaxText+1) })

	deleted := func(name string, want error, change func(m *apppb.DeleteMessage)) {
		m := &apppb.DeleteMessage{Clock: reference + 1, ChatId: room, MessageId: target.String(), MessageType: apppb.MessageType_ONE_TO_ONE}
		change(m)
		add(name, apppb.ApplicationMetadataMessage_DELETE_MESSAGE, want, m)
	}
	deleted("no chat", chat.ErrChatID, func(m *apppb.DeleteMessage) { m.ChatId = "" })
	deleted("no message", chat.ErrTarget, func(m *apppb.DeleteMessage) { m.MessageId = "0x12" })
	deleted("no type", chat.ErrMessageType, func(m *apppb.DeleteMessage) { m.MessageType = 0 })
	deleted("system type", chat.ErrMessageType, func(m *apppb.DeleteMessage) { m.MessageType = 4 })
	deleted("clock past the limit", message.ErrClockAhead, func(m *apppb.DeleteMessage) { m.Clock = most + 1 })

	reacts := func(change func(m *apppb.EmojiReaction)) *apppb.EmojiReaction {
		m := &apppb.EmojiReaction{Clock: reference, ChatId: room, MessageId: target.String(), MessageType: apppb.MessageType_ONE_TO_ONE, Type: apppb.EmojiReaction_LOVE}
		change(m)
		return m
	}
	reacted := func(name string, want error, change func(m *apppb.EmojiReaction)) {
		add(name, apppb.ApplicationMetadataMessage_EMOJI_REACTION, want, reacts(change))
	}
	clocks(apppb.ApplicationMetadataMessage_EMOJI_REACTION, func(clock uint64) proto.Message {
		return reacts(func(m *apppb.EmojiReaction) { m.Clock = clock })
	})
	reacted("no chat", chat.ErrChatID, func(m *apppb.EmojiReaction) { m.ChatId = "" })
	reacted("no message", chat.ErrTarget, func(m *apppb.EmojiReaction) { m.MessageId = "" })
	reacted("no type", chat.ErrMessageType, func(m *apppb.EmojiReaction) { m.MessageType = 0 })
	reacted("no emoji", reaction.ErrType, func(m *apppb.EmojiReaction) { m.Type = 0 })
	reacted("an emoji in words", reaction.ErrType, func(m *apppb.EmojiReaction) { m.Type, m.Emoji = 0, "smile" })
	reacted("an emoji itself", nil, func(m *apppb.EmojiReaction) { m.Type, m.Emoji = 0, "🎉" })
	reacted("an emoji's code points", nil, func(m *apppb.EmojiReaction) { m.Type, m.Emoji = 0, "1f389" })

	pins := func(change func(m *apppb.PinMessage)) *apppb.PinMessage {
		m := &apppb.PinMessage{Clock: reference, ChatId: room, MessageId: target.String(), MessageType: apppb.MessageType_ONE_TO_ONE, Pinned: true}
		change(m)
		return m
	}
	clocks(apppb.ApplicationMetadataMessage_PIN_MESSAGE, func(clock uint64) proto.Message {
		return pins(func(m *apppb.PinMessage) { m.Clock = clock })
	})
	add("no message", apppb.ApplicationMetadataMessage_PIN_MESSAGE, chat.ErrTarget, pins(func(m *apppb.PinMessage) { m.MessageId = "" }))
	add("no type", apppb.ApplicationMetadataMessage_PIN_MESSAGE, chat.ErrMessageType, pins(func(m *apppb.PinMessage) { m.MessageType = 0 }))

	status := func(name string, want error, change func(m *apppb.StatusUpdate)) {
		m := &apppb.StatusUpdate{Clock: reference / 1000, StatusType: apppb.StatusUpdate_ALWAYS_ONLINE}
		change(m)
		add(name, apppb.ApplicationMetadataMessage_STATUS_UPDATE, want, m)
	}
	status("no clock", contact.ErrStatusClock, func(m *apppb.StatusUpdate) { m.Clock = 0 })
	status("clock at the limit", nil, func(m *apppb.StatusUpdate) { m.Clock = most / 1000 })
	status("clock past the limit", contact.ErrStatusClock, func(m *apppb.StatusUpdate) { m.Clock = most/1000 + 1 })
	status("no type", contact.ErrStatusType, func(m *apppb.StatusUpdate) { m.StatusType = 0 })
	status("text at the limit", nil, func(m *apppb.StatusUpdate) { m.CustomText = strings.Repeat("ü", contact.MaxStatusText) })
	status("text past the limit", contact.ErrStatusText, func(m *apppb.StatusUpdate) { m.CustomText = strings.Repeat("ü", contact.MaxStatusText+1) })

	clocks(apppb.ApplicationMetadataMessage_CHAT_IDENTITY, func(clock uint64) proto.Message { return &apppb.ChatIdentity{Clock: clock, Description: "x"} })
	add("bio at the limit", apppb.ApplicationMetadataMessage_CHAT_IDENTITY, nil, &apppb.ChatIdentity{Clock: reference, Description: strings.Repeat("ü", contact.MaxBio)})
	add("bio past the limit", apppb.ApplicationMetadataMessage_CHAT_IDENTITY, contact.ErrBioLength, &apppb.ChatIdentity{Clock: reference, Description: strings.Repeat("ü", contact.MaxBio+1)})
	add("short name", apppb.ApplicationMetadataMessage_CHAT_IDENTITY, contact.ErrNameLength, &apppb.ChatIdentity{Clock: reference, DisplayName: "abcd"})
	add("short name", apppb.ApplicationMetadataMessage_CONTACT_CODE_ADVERTISEMENT, contact.ErrNameLength,
		&apppb.ContactCodeAdvertisement{ChatIdentity: &apppb.ChatIdentity{Clock: reference, DisplayName: "abcd"}})

	clocks(apppb.ApplicationMetadataMessage_CONTACT_UPDATE, func(clock uint64) proto.Message {
		return &apppb.ContactUpdate{Clock: clock, ContactRequestPropagatedState: &apppb.ContactRequestPropagatedState{LocalState: 2, RemoteState: 3}}
	})
	add("short name", apppb.ApplicationMetadataMessage_CONTACT_UPDATE, contact.ErrNameLength, &apppb.ContactUpdate{Clock: reference, DisplayName: "abcd"})
	add("no clock", apppb.ApplicationMetadataMessage_ACCEPT_CONTACT_REQUEST, message.ErrClockZero, &apppb.AcceptContactRequest{Id: target.String()})
	add("clock past the limit", apppb.ApplicationMetadataMessage_ACCEPT_CONTACT_REQUEST, message.ErrClockAhead, &apppb.AcceptContactRequest{Clock: most + 1})
	add("no clock", apppb.ApplicationMetadataMessage_RETRACT_CONTACT_REQUEST, message.ErrClockZero, &apppb.RetractContactRequest{Id: target.String()})
	add("clock past the limit", apppb.ApplicationMetadataMessage_RETRACT_CONTACT_REQUEST, message.ErrClockAhead, &apppb.RetractContactRequest{Clock: most + 1})

	clocks(verify.Ask, func(clock uint64) proto.Message {
		return &apppb.RequestContactVerification{Clock: clock, Challenge: "who?"}
	})
	add("no challenge", verify.Ask, verify.ErrText, &apppb.RequestContactVerification{Clock: reference, Challenge: " "})
	add("challenge at the limit", verify.Ask, nil, &apppb.RequestContactVerification{Clock: most, Challenge: strings.Repeat("x", verify.MaxText)})
	add("challenge past the limit", verify.Ask, verify.ErrText, &apppb.RequestContactVerification{Clock: reference, Challenge: strings.Repeat("x", verify.MaxText+1)})
	add("no request", verify.Accept, verify.ErrID, &apppb.AcceptContactVerification{Clock: reference, Response: "me"})
	add("no request", verify.Decline, verify.ErrID, &apppb.DeclineContactVerification{Clock: reference})
	add("no request", verify.Cancel, verify.ErrID, &apppb.CancelContactVerification{Clock: reference})

	clocks(apppb.ApplicationMetadataMessage_DECLINE_REQUEST_TRANSACTION, func(clock uint64) proto.Message {
		return &apppb.DeclineRequestTransaction{Clock: clock, Id: target.String(), ChatId: room}
	})
	add("no request", apppb.ApplicationMetadataMessage_DECLINE_REQUEST_TRANSACTION, chat.ErrTransaction, &apppb.DeclineRequestTransaction{Clock: reference, ChatId: room})
	add("no amount", apppb.ApplicationMetadataMessage_REQUEST_TRANSACTION, chat.ErrAmount,
		&apppb.RequestTransaction{Clock: reference, ChatId: room, Address: "0x1", Value: "much"})

	add("no id", apppb.ApplicationMetadataMessage_MEMBERSHIP_UPDATE_MESSAGE, group.ErrUpdate, &apppb.MembershipUpdateMessage{ChatId: "group"})
	add("no clock", apppb.ApplicationMetadataMessage_GROUP_CHAT_INVITATION, message.ErrClockZero, &apppb.GroupChatInvitation{ChatId: "group", State: 1})
	add("clock past the limit", apppb.ApplicationMetadataMessage_GROUP_CHAT_INVITATION, message.ErrClockAhead,
		&apppb.GroupChatInvitation{Clock: uint64(f.now.Add(message.MaxClockAhead).UnixMilli()) + 1, ChatId: "group", State: 1})
	add("from another device", apppb.ApplicationMetadataMessage_SYNC_DELETE_FOR_ME_MESSAGE, errNotOwn, &apppb.SyncDeleteForMeMessage{MessageId: target.String()})

	add("from another account", apppb.ApplicationMetadataMessage_SYNC_PAIR_INSTALLATION, errNotOwn, &apppb.SyncPairInstallation{InstallationId: "x"})
	add("from another account", apppb.ApplicationMetadataMessage_SYNC_INSTALLATION_CONTACT_V2, errNotOwn, &apppb.SyncInstallationContactV2{Id: room})

	ofCommunities(f, s, add)

	names := func(change func(m *apppb.ThreadMetadata)) *apppb.ThreadMetadata {
		m := &apppb.ThreadMetadata{
			Clock: reference, ChatId: room, ThreadId: target.String(), Name: "thread", CreatorId: f.key.Public().Hex(), MessageType: apppb.MessageType_ONE_TO_ONE,
		}
		change(m)
		return m
	}
	clocks(apppb.ApplicationMetadataMessage_THREAD_METADATA, func(clock uint64) proto.Message {
		return names(func(m *apppb.ThreadMetadata) { m.Clock = clock })
	})
	add("name at the limit", apppb.ApplicationMetadataMessage_THREAD_METADATA, nil,
		names(func(m *apppb.ThreadMetadata) { m.Name = strings.Repeat("ü", chat.MaxThreadName) }))
	add("name past the limit", apppb.ApplicationMetadataMessage_THREAD_METADATA, chat.ErrThreadName,
		names(func(m *apppb.ThreadMetadata) { m.Name = strings.Repeat("ü", chat.MaxThreadName+1) }))
	add("named by another", apppb.ApplicationMetadataMessage_THREAD_METADATA, chat.ErrThreadCreator,
		names(func(m *apppb.ThreadMetadata) { m.CreatorId = s.Self().Hex() }))

	for _, typ := range []message.Type{
		apppb.ApplicationMetadataMessage_CHAT_MESSAGE, apppb.ApplicationMetadataMessage_EDIT_MESSAGE, apppb.ApplicationMetadataMessage_EMOJI_REACTION,
		apppb.ApplicationMetadataMessage_STATUS_UPDATE, apppb.ApplicationMetadataMessage_CONTACT_UPDATE, apppb.ApplicationMetadataMessage_SEND_TRANSACTION,
		apppb.ApplicationMetadataMessage_GROUP_CHAT_INVITATION,
	} {
		add("garbage", typ, message.ErrMalformed, nil)
	}
	add("garbage", apppb.ApplicationMetadataMessage_MEMBERSHIP_UPDATE_MESSAGE, group.ErrUpdate, nil)
	add("garbage", verify.Ask, verify.ErrMalformed, nil)
	return all
}

// ofCommunities adds rules for what is said about communities that we have not.
func ofCommunities(f *forger, s *Stack, add func(name string, typ message.Type, want error, m proto.Message)) {
	id, self := f.key.Public().Compressed(), s.Self().Compressed()
	short := id[1:]
	add("not followed", apppb.ApplicationMetadataMessage_COMMUNITY_DESCRIPTION, errNotFollowed, &apppb.CommunityDescription{Clock: 1})
	add("no link", apppb.ApplicationMetadataMessage_COMMUNITY_MESSAGE_ARCHIVE_MAGNETLINK, community.ErrMalformed, &apppb.CommunityMessageArchiveMagnetlink{Clock: 1})
	add("not followed", apppb.ApplicationMetadataMessage_COMMUNITY_MESSAGE_ARCHIVE_MAGNETLINK, community.ErrAuthor,
		&apppb.CommunityMessageArchiveMagnetlink{Clock: 1, MagnetUri: "magnet:x"})
	add("not followed", apppb.ApplicationMetadataMessage_COMMUNITY_REQUEST_TO_JOIN_RESPONSE, errNotFollowed,
		&apppb.CommunityRequestToJoinResponse{Clock: 1, Accepted: true, CommunityId: id[:]})
	add("not followed", apppb.ApplicationMetadataMessage_COMMUNITY_USER_KICKED, community.ErrAuthor, &apppb.CommunityUserKicked{Clock: 1, CommunityId: id[:]})
	add("nothing to delete", apppb.ApplicationMetadataMessage_DELETE_COMMUNITY_MEMBER_MESSAGES, community.ErrMalformed,
		&apppb.DeleteCommunityMemberMessages{Clock: 1, CommunityId: id[:], MemberId: s.Self().Hex()})
	for typ, m := range map[message.Type]func(id []byte) proto.Message{
		apppb.ApplicationMetadataMessage_COMMUNITY_REQUEST_TO_JOIN:        func(id []byte) proto.Message { return &apppb.CommunityRequestToJoin{Clock: 1, CommunityId: id} },
		apppb.ApplicationMetadataMessage_COMMUNITY_CANCEL_REQUEST_TO_JOIN: func(id []byte) proto.Message { return &apppb.CommunityCancelRequestToJoin{Clock: 1, CommunityId: id} },
		apppb.ApplicationMetadataMessage_COMMUNITY_REQUEST_TO_LEAVE:       func(id []byte) proto.Message { return &apppb.CommunityRequestToLeave{Clock: 1, CommunityId: id} },
	} {
		add("no id", typ, community.ErrMalformed, m(short))
		add("not ours", typ, errNoControl, m(self[:]))
	}
	add("no accounts", apppb.ApplicationMetadataMessage_COMMUNITY_EDIT_SHARED_ADDRESSES, errNoControl,
		&apppb.CommunityEditSharedAddresses{Clock: 1, CommunityId: self[:]})
}

// What breaks a rule is dropped alone, under a counter that names the rule:
// what is in the same payload behind it arrives. What is at the limit passes.
func TestRules(t *testing.T) {
	t.Parallel()
	s, clock := still(t, 0)
	f := newForger(t, 1, clock.at)
	f.meet(s)
	first, target := f.wrapped(apppb.ApplicationMetadataMessage_CHAT_MESSAGE, &apppb.ChatMessage{
		Clock: 1, Timestamp: 1, Text: "first", ChatId: chat.OneToOneID(s.Self()), MessageType: apppb.MessageType_ONE_TO_ONE, ContentType: apppb.ChatMessage_TEXT_PLAIN,
	})
	f.deliver(s, first)
	checked := map[message.Type]bool{}
	for i, r := range rules(f, s, target) {
		checked[r.typ] = true
		name := message.Name(r.typ) + ", " + r.name
		// Each is judged as from the same acquaintance.
		err := s.db.Update(func(tx *storage.Tx) error {
			if err := storage.DeleteRecord(tx, storage.Verifications, f.key.Public().CompressedHex()); err != nil {
				return err
			}
			return tx.PutContact(contact.Contact{Key: f.key.Public(), Local: contact.Sent, LocalClock: 1, Remote: contact.Received, RemoteClock: 1})
		})
		if err != nil {
			t.Fatal(err)
		}
		var raw []byte
		if r.m == nil {
			raw, _, err = message.Wrap(r.typ, []byte{0xff, 0xff, byte(i)}, f.key)
			f.ok(err)
		} else {
			raw = f.wrap(r.typ, r.m)
		}
		last, id := f.wrapped(apppb.ApplicationMetadataMessage_CHAT_MESSAGE, &apppb.ChatMessage{
			Clock: uint64(i) + 2, Timestamp: 1, Text: fmt.Sprint("after ", i), ChatId: chat.OneToOneID(s.Self()), MessageType: apppb.MessageType_ONE_TO_ONE, ContentType: apppb.ChatMessage_TEXT_PLAIN,
		})
		before := s.Counters()
		hand(t, s, f.mail(s.Self(), f.encrypt(s.Self(), f.sync(s.Self(), raw, last))))
		after := s.Counters()
		names := increased(before, after)
		switch {
		case r.want == nil && len(names) > 0:
			t.Errorf("%s: dropped, %v", name, names)
		case r.want != nil && (len(names) != 1 || names[0] != "message: "+r.want.Error() || after[names[0]] != before[names[0]]+1):
			t.Errorf("%s: counted under %v, not %q", name, names, r.want)
		}
		if _, err := s.Message(id); err != nil {
			t.Errorf("%s: what came with it is lost: %v", name, err)
		}
	}
	// Every type that is handled has a rule here, and the other way round.
	for _, rule := range message.Rules() {
		switch name, read := message.Name(rule.Type), s.handler(rule.Type) != nil; {
		case rule.Handled && (!read || !checked[rule.Type]):
			t.Errorf("no rule of %s is checked", name)
		case read && !rule.Handled && !chat.IsTransaction(rule.Type) && rule.Chat != message.Community && rule.Chat != message.PublicChat:
			t.Errorf("%s is read and not said to be", name)
		}
	}
}

// However an error is put together, it counts under the name of what it is.
func TestCause(t *testing.T) {
	t.Parallel()
	for want, err := range map[string]error{
		"plain": fmt.Errorf("plain"),
		chat.ErrTarget.Error(): func() error {
			_, err := chat.Target(&apppb.EditMessage{MessageId: "what others sent"})
			return err
		}(),
		message.ErrMalformed.Error():  fmt.Errorf("reading: %w", incoming{Message: &message.Message{Payload: []byte{0xff}}}.read(&apppb.ChatMessage{})),
		message.ErrClockAhead.Error(): fmt.Errorf("first: %w", message.CheckClock(math.MaxUint64, time.Unix(1, 0))),
	} {
		if got := cause(err); got != want {
			t.Errorf("%v counts under %q, not %q", err, got, want)
		}
	}
}
