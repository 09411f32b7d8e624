// Package share reads and writes share URLs (Status URL Scheme and URL Data):
// links to a user, a community or a channel, with the key in the fragment and
// an optional preview in the path.
//
// The preview is not signed: whoever made the link wrote it. Only the key says
// who is meant.
package share

import (
	"bytes"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"regexp"
	"strings"

	"github.com/andybalholm/brotli"
	"google.golang.org/protobuf/proto"

	"github.com/parley-im/parley/account/key"
	apppb "github.com/parley-im/parley/pb/app"
)

// Kind is what a URL leads to.
type Kind string

// The kinds.
const (
	User      Kind = "user"
	Community Kind = "community"
	Channel   Kind = "channel"
)

// The schemes: Base is for the outside world, Internal for the applications.
const (
	Base     = "https://status.app"
	Internal = "status-app:/"
)

const (
	// MaxURL is the longest URL read, in bytes.
	MaxURL = 8 << 10
	// MaxData is the most bytes of preview a URL may unpack to.
	MaxData = 4096
)

// Errors of Parse.
var (
	ErrNotShare = errors.New("not a share URL")
	ErrKey      = errors.New("no valid key in the fragment of the URL")
	ErrData     = errors.New("the preview in the URL does not decode")
	ErrTooLarge = errors.New("the URL is too large")
)

// URL is a share URL taken apart.
type URL struct {
	Kind Kind
	// Key is the user's chat key or the community's key; the zero key when
	// the URL names a user by ENSName.
	Key     key.Public
	ENSName string
	// The preview, unauthenticated; nil when the URL has none. A channel's
	// URL without preview still names its UUID.
	User      *apppb.UserUrlData
	Community *apppb.CommunityUrlData
	Channel   *apppb.ChannelUrlData
	Shard     *apppb.Shard
}

var uuidForm = regexp.MustCompile(`^[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}$`)

// Parse reads a share URL of either scheme, its data padded or not.
func Parse(s string) (*URL, error) {
	s = strings.TrimSpace(s)
	if len(s) > MaxURL {
		return nil, fmt.Errorf("%w: %d bytes, at most %d", ErrTooLarge, len(s), MaxURL)
	}
	path, ok := strings.CutPrefix(s, Base+"/")
	if !ok {
		if path, ok = strings.CutPrefix(s, Internal+"/"); !ok {
			return nil, ErrNotShare
		}
	}
	path, fragment, _ := strings.Cut(path, "#")
	letter, data, _ := strings.Cut(path, "/")
	u := new(URL)
	switch letter {
	case "u":
		u.Kind = User
	case "c":
		u.Kind = Community
	case "cc":
		u.Kind = Channel
	default:
		return nil, fmt.Errorf("%w: unknown path %q", ErrNotShare, letter)
	}
	if err := u.readKey(fragment); err != nil {
		return nil, err
	}
	return u, u.readData(data)
}

func (u *URL) readKey(fragment string) error {
	if u.Kind == User && strings.HasSuffix(fragment, ".eth") {
		u.ENSName = fragment
		return nil
	}
	pub, err := key.ParsePublic(fragment)
	if err != nil {
		return fmt.Errorf("%w: %w", ErrKey, err)
	}
	u.Key = pub
	return nil
}

func (u *URL) readData(data string) error {
	switch {
	case data == "" && u.Kind == Channel:
		return fmt.Errorf("%w: no channel", ErrNotShare)
	case data == "":
		return nil
	case u.Kind == Channel && uuidForm.MatchString(data):
		u.Channel = &apppb.ChannelUrlData{Uuid: data}
		return nil
	}
	packed, err := base64.RawURLEncoding.DecodeString(strings.TrimRight(data, "="))
	if err != nil {
		return fmt.Errorf("%w: %w", ErrData, err)
	}
	raw, err := io.ReadAll(io.LimitReader(brotli.NewReader(bytes.NewReader(packed)), MaxData+1))
	if err != nil {
		return fmt.Errorf("%w: %w", ErrData, err)
	}
	if len(raw) > MaxData {
		return fmt.Errorf("%w: unpacks to more than %d bytes", ErrTooLarge, MaxData)
	}
	var outer apppb.UrlData
	if err := proto.Unmarshal(raw, &outer); err != nil {
		return fmt.Errorf("%w: %w", ErrData, err)
	}
	u.Shard = outer.Shard
	var inner proto.Message
	switch u.Kind {
	case User:
		u.User = new(apppb.UserUrlData)
		inner = u.User
	case Community:
		u.Community = new(apppb.CommunityUrlData)
		inner = u.Community
	case Channel:
		u.Channel = new(apppb.ChannelUrlData)
		inner = u.Channel
	}
	if err := proto.Unmarshal(outer.Content, inner); err != nil {
		return fmt.Errorf("%w: %w", ErrData, err)
	}
	if u.Channel != nil {
		if u.Channel.Uuid == "" {
			return fmt.Errorf("%w: no channel", ErrData)
		}
		u.Community = u.Channel.Community
	}
	return nil
}

// String writes the URL for the outside world. Its data is padded, because
// deployed clients refuse other data.
func (u *URL) String() string {
	var letter string
	var inner proto.Message
	switch u.Kind {
	case User:
		letter = "u"
		if u.User != nil {
			inner = u.User
		}
	case Community:
		letter = "c"
		if u.Community != nil {
			inner = u.Community
		}
	case Channel:
		letter = "cc"
		if u.Channel != nil {
			inner = u.Channel
		}
	}
	fragment := u.ENSName
	if fragment == "" {
		fragment = u.Key.String()
	}
	path := Base + "/" + letter
	if c := u.Channel; c != nil && uuidForm.MatchString(c.Uuid) && proto.Equal(c, &apppb.ChannelUrlData{Uuid: c.Uuid}) {
		path += "/" + c.Uuid
	} else if inner != nil {
		path += "/" + pack(inner, u.Shard)
	}
	return path + "#" + fragment
}

func pack(inner proto.Message, shard *apppb.Shard) string {
	content, _ := proto.Marshal(inner) // fails for invalid UTF-8 only: an empty preview then
	raw, _ := proto.Marshal(&apppb.UrlData{Content: content, Shard: shard})
	var packed bytes.Buffer
	w := brotli.NewWriterLevel(&packed, brotli.BestCompression)
	w.Write(raw) // to memory: cannot fail
	w.Close()
	return base64.URLEncoding.EncodeToString(packed.Bytes())
}
