package share

import (
	"bytes"
	"encoding/base64"
	"fmt"
	"strings"

	"github.com/andybalholm/brotli"
	"google.golang.org/protobuf/proto"

	"github.com/parley-im/parley/account/key"
	"github.com/parley-im/parley/app/ens"
	apppb "github.com/parley-im/parley/pb/app"
)

// ForUser returns the link to a user; the preview may be nil. The preview is
// what whoever sees the link reads of the user, wherever it is posted.
func ForUser(user key.Public, preview *apppb.UserUrlData) (*URL, error) {
	return made(&URL{Kind: User, Key: user, User: preview})
}

// Link returns the link by which somebody is added, with their name, if they
// have one, as the preview. A name that is too long for it is left out.
func Link(user key.Public, name string) string {
	if name != "" {
		if u, err := ForUser(user, &apppb.UserUrlData{DisplayName: name}); err == nil {
			return u.String()
		}
	}
	u := URL{Kind: User, Key: user}
	return u.String()
}

// ForName returns the link to a user by ENS name, with or without
// ".stateofus.eth". Whoever opens it has to look the name up.
func ForName(name string) (*URL, error) {
	full := ens.Shown(name)
	if full == "" {
		return nil, fmt.Errorf("%w: %w", ErrKey, ens.ErrName)
	}
	return made(&URL{Kind: User, ENSName: full})
}

// ForCommunity returns the link to a community; the preview may be nil.
func ForCommunity(community key.Public, preview *apppb.CommunityUrlData) (*URL, error) {
	return made(&URL{Kind: Community, Key: community, Community: preview})
}

// ForChannel returns the link to a channel of a community. The preview has the
// channel's UUID, and may have nothing else.
func ForChannel(community key.Public, preview *apppb.ChannelUrlData) (*URL, error) {
	return made(&URL{Kind: Channel, Key: community, Channel: preview, Community: preview.GetCommunity()})
}

// made checks that a URL can be read by all clients.
func made(u *URL) (*URL, error) {
	if u.Key.IsZero() && u.ENSName == "" {
		return nil, ErrKey
	}
	if u.Kind == Channel && !uuidForm.MatchString(u.Channel.GetUuid()) {
		return nil, fmt.Errorf("%w: no channel", ErrNotShare)
	}
	if inner := u.preview(); inner != nil {
		raw, err := outer(inner, u.Shard)
		if err != nil {
			return nil, fmt.Errorf("%w: %w", ErrData, err)
		}
		if len(raw) > MaxData {
			return nil, fmt.Errorf("%w: %d bytes of preview, at most %d", ErrTooLarge, len(raw), MaxData)
		}
	}
	if n := len(u.String()); n > MaxURL {
		return nil, fmt.Errorf("%w: %d bytes, at most %d", ErrTooLarge, n, MaxURL)
	}
	return u, nil
}

// preview returns the message that goes into the URL, nil for none.
func (u *URL) preview() proto.Message {
	switch {
	case u.Kind == User && u.User != nil:
		return u.User
	case u.Kind == Community && u.Community != nil:
		return u.Community
	case u.Kind == Channel && u.Channel != nil:
		return u.Channel
	}
	return nil
}

// String writes the URL for the outside world. Its data is padded, because
// deployed clients refuse other data.
func (u *URL) String() string { return Base + u.rest() }

// Internal writes the URL with the scheme of the applications.
func (u *URL) Internal() string { return Internal + u.rest() }

// rest is the URL without the scheme.
func (u *URL) rest() string {
	var path string
	switch u.Kind {
	case User:
		path = "/u"
	case Community:
		path = "/c"
	case Channel:
		path = "/cc"
	}
	if c := u.Channel; u.Kind == Channel && c != nil && uuidForm.MatchString(c.Uuid) && proto.Equal(c, &apppb.ChannelUrlData{Uuid: c.Uuid}) {
		path += "/" + c.Uuid
	} else if inner := u.preview(); inner != nil {
		path += "/" + pack(inner, u.Shard)
	}
	fragment := u.Key.String()
	if u.ENSName != "" {
		fragment = escape(u.ENSName)
	}
	return path + "#" + fragment
}

// ChatID returns the id of the channel's chat: the community's id and the
// channel's UUID; empty unless the URL leads to a channel.
func (u *URL) ChatID() string {
	if u.Kind != Channel {
		return ""
	}
	return u.Key.CompressedHex() + strings.ToLower(u.Channel.GetUuid())
}

// outer returns the data of a URL before it is packed.
func outer(inner proto.Message, shard *apppb.Shard) ([]byte, error) {
	always := proto.MarshalOptions{Deterministic: true}
	content, err := always.Marshal(inner)
	if err != nil {
		return nil, err
	}
	return always.Marshal(&apppb.UrlData{Content: content, Shard: shard})
}

func pack(inner proto.Message, shard *apppb.Shard) string {
	raw, _ := outer(inner, shard) // fails for invalid UTF-8 only: an empty preview then
	var packed bytes.Buffer
	// At this level the bytes are those of deployed clients.
	w := brotli.NewWriterLevel(&packed, brotli.DefaultCompression)
	w.Write(raw) // to memory: cannot fail
	w.Close()
	return base64.URLEncoding.EncodeToString(packed.Bytes())
}
