package preview

import (
	"fmt"
	"unicode/utf8"

	"google.golang.org/protobuf/proto"

	"github.com/parley-im/parley/account/key"
	"github.com/parley-im/parley/app/picture"
	"github.com/parley-im/parley/app/share"
	apppb "github.com/parley-im/parley/pb/app"
)

// The longest texts of received previews, in characters. Deployed clients send
// what pages say, at any length.
const (
	MaxReceivedTitle       = 1024
	MaxReceivedDescription = 4096
)

// Validate returns those of the previews of a received message that may be
// shown, and an error for everything that was dropped: a preview, or only its
// thumbnail or icon. A preview is of a link in the text, of HTTP, once, and has
// a title or, of a picture, the picture; at most MaxLinks are kept. The sizes
// of thumbnails are the real ones afterwards, texts are one line. The given
// previews are not changed.
//
// The texts are the sender's word for what the page says.
func Validate(text string, links []*apppb.UnfurledLink) ([]*apppb.UnfurledLink, []error) {
	s := newSieve(text)
	var good []*apppb.UnfurledLink
	for i, l := range links {
		if i == MaxLinks {
			s.drop(i, fmt.Errorf("%w: %d, at most %d", ErrTooMany, len(links), MaxLinks))
			break
		}
		out, err := s.link(i, l)
		if err != nil {
			s.drop(i, err)
			continue
		}
		good = append(good, out)
	}
	return good, s.bad
}

// ValidateStatus does for the previews of share URLs what [Validate] does for
// others. The key, the kind and the channel of a preview must be those of its
// URL. Nothing else in it is authenticated, whoever the sender is.
func ValidateStatus(text string, links *apppb.UnfurledStatusLinks) (*apppb.UnfurledStatusLinks, []error) {
	s := newSieve(text)
	var good []*apppb.UnfurledStatusLink
	for i, l := range links.GetUnfurledStatusLinks() {
		if i == MaxLinks {
			s.drop(i, fmt.Errorf("%w: %d, at most %d", ErrTooMany, len(links.GetUnfurledStatusLinks()), MaxLinks))
			break
		}
		out, err := s.status(i, l)
		if err != nil {
			s.drop(i, err)
			continue
		}
		good = append(good, out)
	}
	if len(good) == 0 {
		return nil, s.bad
	}
	return &apppb.UnfurledStatusLinks{UnfurledStatusLinks: good}, s.bad
}

// sieve goes over the previews of one message.
type sieve struct {
	text map[string]bool // the links of the text
	used map[string]bool
	bad  []error
}

func newSieve(text string) *sieve {
	s := &sieve{text: map[string]bool{}, used: map[string]bool{}}
	for _, f := range find(text, maxFound) {
		s.text[f.URL] = true
		// Other clients draw the end of a link elsewhere.
		if long, err := canonical(f.rest); err == nil {
			s.text[long.URL] = true
		}
	}
	return s
}

// drop notes why something of the preview at i is not shown.
func (s *sieve) drop(i int, err error) { s.bad = append(s.bad, fmt.Errorf("preview %d: %w", i+1, err)) }

// url checks the link of a preview.
func (s *sieve) url(link string, status bool) (Found, error) {
	f, err := canonical(link)
	if err != nil || (f.Kind == Status) != status {
		return Found{}, fmt.Errorf("%w: %.60q", ErrURL, link)
	}
	if !s.text[f.URL] {
		return Found{}, fmt.Errorf("%w: %.60q", ErrNotInText, f.URL)
	}
	if s.used[f.URL] {
		return Found{}, fmt.Errorf("%w: %.60q", ErrDuplicate, f.URL)
	}
	s.used[f.URL] = true
	return f, nil
}

func (s *sieve) link(i int, l *apppb.UnfurledLink) (*apppb.UnfurledLink, error) {
	f, err := s.url(l.GetUrl(), false)
	if err != nil {
		return nil, err
	}
	if err := lengths(l.Title, l.Description); err != nil {
		return nil, err
	}
	out := &apppb.UnfurledLink{
		Url: f.URL, Type: l.Type,
		Title:       clean(l.Title, MaxReceivedTitle),
		Description: clean(l.Description, MaxReceivedDescription),
	}
	if len(l.ThumbnailPayload) > 0 {
		info, err := picture.Inspect(l.ThumbnailPayload)
		if err == nil {
			w, h := info.Displayed()
			out.ThumbnailPayload, out.ThumbnailWidth, out.ThumbnailHeight = l.ThumbnailPayload, uint32(w), uint32(h)
		} else {
			s.drop(i, fmt.Errorf("thumbnail: %w", err))
		}
	}
	if len(l.FaviconPayload) > 0 {
		if _, err := picture.Inspect(l.FaviconPayload); err == nil {
			out.FaviconPayload = l.FaviconPayload
		} else {
			s.drop(i, fmt.Errorf("icon: %w", err))
		}
	}
	switch {
	case l.Type == apppb.UnfurledLink_IMAGE:
		if out.ThumbnailPayload == nil {
			return nil, ErrImage
		}
	case out.Title == "":
		return nil, ErrTitle
	}
	return out, nil
}

// lengths checks the texts of a preview.
func lengths(title, description string) error {
	if n := utf8.RuneCountInString(title); n > MaxReceivedTitle {
		return fmt.Errorf("%w: a title of %d characters, at most %d", ErrLength, n, MaxReceivedTitle)
	}
	if n := utf8.RuneCountInString(description); n > MaxReceivedDescription {
		return fmt.Errorf("%w: a description of %d characters, at most %d", ErrLength, n, MaxReceivedDescription)
	}
	return nil
}

func (s *sieve) status(i int, l *apppb.UnfurledStatusLink) (*apppb.UnfurledStatusLink, error) {
	f, err := s.url(l.GetUrl(), true)
	if err != nil {
		return nil, err
	}
	u, err := share.Parse(f.URL)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrURL, err)
	}
	out := proto.CloneOf(l)
	out.Url = f.URL
	switch p := out.Payload.(type) {
	case *apppb.UnfurledStatusLink_Contact:
		c := p.Contact
		if u.Kind != share.User || !isKey(c.GetPublicKey(), u.Key) {
			return nil, ErrPayload
		}
		if err := lengths(c.DisplayName, c.Description); err != nil {
			return nil, err
		}
		c.DisplayName, c.Description = clean(c.DisplayName, MaxReceivedTitle), clean(c.Description, MaxReceivedDescription)
		c.Icon = s.thumbnail(i, "icon", c.Icon)
	case *apppb.UnfurledStatusLink_Community:
		if u.Kind != share.Community {
			return nil, ErrPayload
		}
		if err := s.community(i, p.Community, u.Key); err != nil {
			return nil, err
		}
	case *apppb.UnfurledStatusLink_Channel:
		c := p.Channel
		if u.Kind != share.Channel || c.GetChannelUuid() == "" || c.ChannelUuid != u.Channel.GetUuid() {
			return nil, ErrPayload
		}
		for _, name := range []string{c.DisplayName, c.Emoji, c.Color} {
			if err := lengths(name, c.Description); err != nil {
				return nil, err
			}
		}
		c.DisplayName, c.Description = clean(c.DisplayName, MaxReceivedTitle), clean(c.Description, MaxReceivedDescription)
		c.Emoji, c.Color = clean(c.Emoji, MaxReceivedTitle), clean(c.Color, MaxReceivedTitle)
		if err := s.community(i, c.Community, u.Key); err != nil {
			return nil, err
		}
	default:
		return nil, ErrPayload
	}
	return out, nil
}

// community checks a community's part of a preview and changes what of it is
// not in order.
func (s *sieve) community(i int, c *apppb.UnfurledStatusCommunityLink, id key.Public) error {
	if !isKey(c.GetCommunityId(), id) {
		return ErrPayload
	}
	for _, name := range []string{c.DisplayName, c.Color} {
		if err := lengths(name, c.Description); err != nil {
			return err
		}
	}
	c.DisplayName, c.Description = clean(c.DisplayName, MaxReceivedTitle), clean(c.Description, MaxReceivedDescription)
	c.Color = clean(c.Color, MaxReceivedTitle)
	c.Icon, c.Banner = s.thumbnail(i, "icon", c.Icon), s.thumbnail(i, "banner", c.Banner)
	return nil
}

// thumbnail returns a picture of a preview with its real size, nil for none.
func (s *sieve) thumbnail(i int, what string, t *apppb.UnfurledLinkThumbnail) *apppb.UnfurledLinkThumbnail {
	if len(t.GetPayload()) == 0 {
		return nil
	}
	info, err := picture.Inspect(t.Payload)
	if err != nil {
		s.drop(i, fmt.Errorf("%s: %w", what, err))
		return nil
	}
	w, h := info.Displayed()
	return &apppb.UnfurledLinkThumbnail{Payload: t.Payload, Width: uint32(w), Height: uint32(h)}
}

func isKey(raw []byte, want key.Public) bool {
	pub, err := key.PublicFromBytes(raw)
	return err == nil && !want.IsZero() && pub == want
}
