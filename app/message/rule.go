package message

import (
	"errors"
	"fmt"
	"strconv"

	"google.golang.org/protobuf/proto"

	apppb "github.com/parley-im/parley/pb/app"
)

// Type is the number in the wrapper that says how to read the payload.
type Type = apppb.ApplicationMetadataMessage_Type

// Name returns the name of a type in the enumeration, UNKNOWN_14 and the like
// for numbers without one: reserved, removed, or newer than this version.
func Name(t Type) string {
	if name, ok := apppb.ApplicationMetadataMessage_Type_name[int32(t)]; ok {
		return name
	}
	return "UNKNOWN_" + strconv.Itoa(int(t))
}

// ErrChatKind means that a number or text names no kind of chat.
var ErrChatKind = errors.New("not a kind of chat")

// ChatKind is the kind of chat a message belongs to.
type ChatKind uint8

// The kinds of chat. NoChat is for types that are handled alike everywhere.
const (
	NoChat ChatKind = iota
	OneToOne
	PrivateGroup
	Community
	PublicChat
)

// chatKindTexts are the kinds' names in JSON, which are stable.
var chatKindTexts = [...]string{"", "one_to_one", "private_group", "community", "public"}

// MarshalText writes one_to_one, private_group, community or public, and
// nothing for NoChat.
func (k ChatKind) MarshalText() ([]byte, error) {
	if int(k) >= len(chatKindTexts) {
		return nil, fmt.Errorf("%w: %d", ErrChatKind, k)
	}
	return []byte(chatKindTexts[k]), nil
}

// UnmarshalText reads what MarshalText writes.
func (k *ChatKind) UnmarshalText(text []byte) error {
	for kind, name := range chatKindTexts {
		if string(text) == name {
			*k = ChatKind(kind)
			return nil
		}
	}
	return fmt.Errorf("%w: %q", ErrChatKind, text)
}

// Scope is the least audience that takes part in the function a message serves
// (Status application protocols, Functional scope).
type Scope uint8

// The five scopes; the zero value is none.
const (
	GlobalControl Scope = iota + 1
	GlobalContent
	CommunityControl
	CommunityContent
	Local
)

// TopicRule says what a message's content topic is derived from, and with it
// how the transport layer encrypts.
type TopicRule uint8

// The topic rules; the zero value is no topic at all, for messages that are
// never sent.
const (
	TopicNone TopicRule = iota
	// TopicPairwise is the recipient's partitioned topic until a secret is
	// agreed, the negotiated topic afterwards; own devices are recipients too.
	TopicPairwise
	TopicPersonal    // the recipient's own topic
	TopicContactCode // the author's contact code
	TopicPublicChat  // the name of the chat
	TopicCommunity   // the community's id
	TopicUniversal   // what all channels of a community share
	// TopicCommunityRequests is the topic of the control node's key.
	TopicCommunityRequests
	TopicShardInfo // the community's id and -shard-info
	TopicPushQuery // the hash of the queried key
	TopicChannel   // the community's id and the channel's
)

// Ephemerality says whether a message is only of use now: not stored, not made
// reliable.
type Ephemerality uint8

// The ephemeralities.
const (
	Never Ephemerality = iota
	Always
	// IfAutomatic is for STATUS_UPDATE: ephemeral when the status is the
	// automatic one.
	IfAutomatic
)

// Reliability is the end-to-end mechanism that finds and repairs loss.
type Reliability uint8

// The mechanisms.
const (
	NoReliability Reliability = iota
	MVDS                      // pairwise, with every recipient
	SDS                       // one channel per community
)

// Encryption is the form the encryption layer gives the message.
type Encryption uint8

// The forms.
const (
	// Raw is no encryption layer: the wrapper goes to the transport as it is.
	Raw Encryption = iota
	// Pairwise is a double-ratchet message to each device.
	Pairwise
	// DH is one Diffie-Hellman message without a session, for devices that
	// have none yet.
	DH
	// Public is a public message beside the sender's key bundle.
	Public
	// GroupKey is the hash ratchet where the community or channel is gated,
	// Public where it is open.
	GroupKey
)

// Shard is the class of pubsub topics a message is published on; the network's
// description says which topics those are.
type Shard uint8

// The classes.
const (
	ShardGlobal Shard = iota
	ShardCommunityControl
	ShardCommunityContent
	// ShardCommunityRequest is community control addressed to a control node,
	// which older clients look for on a shard of its own.
	ShardCommunityRequest
	ShardLocal
)

// Rule is one row of the table: everything the layers below have to know of a
// type of message in a kind of chat.
type Rule struct {
	Type Type
	// Chat is NoChat when the rule holds whatever the chat.
	Chat  ChatKind
	Scope Scope
	Topic TopicRule
	// Also is a second topic that gets a copy, TopicNone for none. TopicChannel
	// is so only where the network says that older clients have to hear it.
	Also        TopicRule
	Ephemeral   Ephemerality
	Reliability Reliability
	Encryption  Encryption
	Shard       Shard
	// Handled tells whether this version reads the type, and sends it where it
	// has something to say by it.
	Handled bool
	// Retired tells that no current client sends the type; its number is
	// never used for anything else.
	Retired bool
}

// IsEphemeral decides ephemerality for one message of this rule, from its
// encoded payload.
func (r Rule) IsEphemeral(payload []byte) bool {
	switch r.Ephemeral {
	case Always:
		return true
	case IfAutomatic:
		var status apppb.StatusUpdate
		return proto.Unmarshal(payload, &status) == nil && status.StatusType == apppb.StatusUpdate_AUTOMATIC
	}
	return false
}

// RuleFor returns the rule for a type in a kind of chat. A type whose rule does
// not depend on the chat has it for every kind; one whose rule does has none
// for NoChat and for the kinds of chat it does not occur in.
func RuleFor(t Type, chat ChatKind) (Rule, bool) {
	for _, rule := range byType[t] {
		if rule.Chat == chat || rule.Chat == NoChat {
			return rule, true
		}
	}
	return Rule{}, false
}

// Rules returns the whole table, ordered by type and kind of chat.
func Rules() []Rule { return append([]Rule(nil), table...) }

var byType = func() map[Type][]Rule {
	m := make(map[Type][]Rule, len(table))
	for _, rule := range table {
		m[rule.Type] = append(m[rule.Type], rule)
	}
	return m
}()
