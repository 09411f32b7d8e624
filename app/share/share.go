// Package share reads and writes share URLs (Status URL Scheme and URL Data):
// links to a user, a community or a channel, with the key in the fragment and
// an optional preview in the path.
//
// The preview is not signed: whoever made the link wrote it. Only the key says
// who is meant, and what is known of that key from elsewhere comes first. An ENS
// name is a claim as well until it was looked up.
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
	"github.com/parley-im/parley/app/ens"
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

// Errors of reading and making URLs.
var (
	ErrNotShare = errors.New("not a share URL")
	ErrKey      = errors.New("no valid key or ENS name in the fragment of the URL")
	ErrData     = errors.New("the preview in the URL does not decode")
	ErrTooLarge = errors.New("the URL is too large")
)

// URL is a share URL taken apart.
type URL struct {
	Kind Kind
	// Key is the user's chat key or the community's key; the zero key when
	// the URL names a user by ENSName.
	Key key.Public
	// ENSName is a full name in its normal form, unless that is not known; see
	// app/ens.
	ENSName string
	// The preview, unauthenticated; nil when the URL has none. Its texts are
	// fit to be shown in one line. A channel's URL without preview still names
	// its UUID.
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

// keyPrefix is what a key begins with, and no ENS name.
const keyPrefix = "zQ3sh"

func (u *URL) readKey(fragment string) error {
	pub, err := key.ParsePublic(fragment)
	if err == nil {
		u.Key = pub
		return nil
	}
	if u.Kind != User || strings.HasPrefix(fragment, keyPrefix) {
		return fmt.Errorf("%w: %w", ErrKey, err)
	}
	name, ok := unescape(fragment)
	if u.ENSName = ens.Shown(name); !ok || u.ENSName == "" {
		return fmt.Errorf("%w: %w", ErrKey, err)
	}
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
		if !uuidForm.MatchString(u.Channel.Uuid) {
			return fmt.Errorf("%w: no channel", ErrData)
		}
		u.Community = u.Channel.Community
	}
	u.clean()
	return nil
}
