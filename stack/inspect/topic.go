package inspect

import (
	"errors"

	"github.com/parley-im/parley/account/key"
	"github.com/parley-im/parley/app/share"
	"github.com/parley-im/parley/waku/topic"
)

// ErrUser says that a link leads to a person where a community is meant.
var ErrUser = errors.New("the link leads to a person, not to a community")

// Topic is a named topic: where its messages are, and the key that opens them.
type Topic struct {
	// Purpose says what goes there; empty when only the name is known.
	Purpose      string `json:"purpose,omitempty"`
	Name         string `json:"name"`
	ContentTopic string `json:"content_topic"`
	// SymmetricKey comes from the name; nil where messages are sealed to
	// somebody's public key instead.
	SymmetricKey Hex `json:"symmetric_key,omitempty"`
}

// DescribeTopic returns the content topic and the symmetric key of a name:
// a chat id, or the digits of a negotiated secret. The name is taken exactly
// as it is, white space included; the empty name has a topic too. The error is
// ErrTooLarge, of kind fault.Usage.
func DescribeTopic(name string) (Topic, error) {
	if len(name) > MaxText {
		return Topic{}, tooLarge(len(name), MaxText)
	}
	return named("", name), nil
}

func named(purpose, name string) Topic {
	k := topic.Key(name)
	return Topic{purpose, name, topic.Content(name), k[:]}
}

// sealed is a topic whose messages are encrypted to a public key.
func sealed(purpose, name string) Topic {
	return Topic{purpose, name, topic.Content(name), nil}
}

// UserTopics returns the topics of a person (54/WAKU2-X3DH-SESSIONS,
// Discovery): personal, partitioned and contact_code. Messages on the first
// two are sealed to the person's key.
func UserTopics(pub key.Public) []Topic {
	return []Topic{
		sealed("personal", topic.PersonalName(pub)),
		sealed("partitioned", topic.PartitionedName(pub)),
		named("contact_code", topic.ContactCodeName(pub)),
	}
}

// CommunityTopics returns the topics of a community (56/STATUS-COMMUNITIES and
// deployed clients): community, universal, shard_info, ping, magnetlinks and
// control, whose messages are sealed to the community's key; and channel when
// a channel's UUID is given.
func CommunityTopics(community key.Public, channel string) []Topic {
	topics := []Topic{
		named("community", topic.CommunityName(community)),
		named("universal", topic.UniversalName(community)),
		named("shard_info", topic.ShardInfoName(community)),
		named("ping", topic.PingName(community)),
		named("magnetlinks", topic.MagnetlinksName(community)),
		sealed("control", topic.ControlName(community)),
	}
	if channel != "" {
		topics = append(topics, named("channel", topic.ChannelName(community, channel)))
	}
	return topics
}

// Topics returns the topics of whoever a person has named: a community's when
// asked for or when the subject is the share URL of a community or channel,
// and the user's otherwise. It returns ErrUser, of kind fault.Usage, for a
// user's URL where a community is asked for.
func Topics(s Subject, community bool) ([]Topic, error) {
	switch {
	case s.Kind == share.User && community:
		return nil, usage(ErrUser, "leave --community out")
	case community, s.Kind == share.Community, s.Kind == share.Channel:
		return CommunityTopics(s.Key, s.Channel), nil
	}
	return UserTopics(s.Key), nil
}
