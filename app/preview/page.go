package preview

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net/url"
	"path"
	"strings"
	"unicode"
	"unicode/utf8"

	"golang.org/x/net/html"
	"golang.org/x/net/html/charset"

	"github.com/parley-im/parley/app/picture"
)

const (
	// MaxHTML is how much of a page is read, in bytes. What a page says of
	// itself stands at its beginning.
	MaxHTML = 512 << 10
	// MaxOEmbed is the largest oEmbed answer read, in bytes.
	MaxOEmbed = 64 << 10
	// MaxTitle and MaxDescription are the lengths of the texts of a preview
	// that is made here, in characters; longer ones are cut.
	MaxTitle       = 200
	MaxDescription = 500
)

// Fetched is what came back for a link.
type Fetched struct {
	// URL is where it came from, after redirections.
	URL string
	// ContentType is the header of that name.
	ContentType string
	// Body is the beginning of the answer at least: MaxHTML bytes of a page,
	// all of a picture.
	Body []byte
}

// Content is what a page says of itself.
type Content struct {
	Kind        Kind
	Title       string
	Description string
	// ImageURL and IconURL are absolute and of HTTP, empty for none. They are
	// what the page says: to be fetched with the same caution as the page.
	ImageURL string
	IconURL  string
	// OEmbedURL is where more can be had, for a page without title.
	OEmbedURL string
}

// Read reads an answer: a picture by its own bytes, whatever the header says,
// and everything else as HTML. Errors are those of [FromHTML], and ErrHTML for
// what is no picture and not HTML according to the header.
func Read(f Fetched) (Content, error) {
	if _, err := picture.Inspect(f.Body); err == nil {
		return FromImage(f.URL), nil
	}
	media, _, _ := strings.Cut(f.ContentType, ";")
	switch strings.ToLower(strings.TrimSpace(media)) {
	case "", "text/html", "application/xhtml+xml":
		return FromHTML(f.URL, f.ContentType, f.Body)
	}
	return Content{}, fmt.Errorf("%w: it is %.40q", ErrHTML, media)
}

// FromImage returns the content of a link that leads to a picture. Its title is
// the name of the file.
func FromImage(link string) Content {
	c := Content{Kind: Image}
	if u, err := url.Parse(link); err == nil {
		if name := path.Base(u.Path); name != "." && name != "/" {
			c.Title = clean(name, MaxTitle)
		}
	}
	return c
}

// FromHTML reads the first MaxHTML bytes of a page that was found at base: its
// OpenGraph, Twitter and plain descriptions in this order, its icon, and where
// it offers oEmbed. contentType may name the encoding. A page without title
// gives ErrTitle beside what else it says.
func FromHTML(base, contentType string, body []byte) (Content, error) {
	at, err := url.Parse(base)
	if err != nil {
		return Content{}, fmt.Errorf("%w: %w", ErrURL, err)
	}
	body = body[:min(len(body), MaxHTML)]
	encoding, _, _ := charset.DetermineEncoding(body, contentType)
	decoded := encoding.NewDecoder().Reader(bytes.NewReader(body))
	// No byte of any encoding becomes more than three of UTF-8.
	h := &head{base: at, meta: map[string]string{}}
	h.read(html.NewTokenizer(io.LimitReader(decoded, 3*MaxHTML)))
	c := Content{
		Kind:        Page,
		Title:       clean(h.first("og:title", "twitter:title", "title"), MaxTitle),
		Description: clean(h.first("og:description", "twitter:description", "description"), MaxDescription),
		ImageURL:    h.resolve(h.first("og:image:secure_url", "og:image", "og:image:url", "twitter:image", "twitter:image:src")),
		IconURL:     h.resolve(h.first("icon png", "apple-touch-icon", "icon")),
		OEmbedURL:   h.resolve(h.first("oembed")),
	}
	if c.Title == "" {
		return c, ErrTitle
	}
	return c, nil
}

// FromOEmbed completes what a page says with an oEmbed answer in JSON that was
// found at base (oEmbed, 2.3.4); nothing but its title and thumbnail is read.
func FromOEmbed(base string, c Content, body []byte) (Content, error) {
	at, err := url.Parse(base)
	if err != nil {
		return c, fmt.Errorf("%w: %w", ErrURL, err)
	}
	if len(body) > MaxOEmbed {
		return c, fmt.Errorf("%w: %d bytes, at most %d", ErrOEmbed, len(body), MaxOEmbed)
	}
	var answer struct {
		Title        string `json:"title"`
		ThumbnailURL string `json:"thumbnail_url"`
	}
	if err := json.Unmarshal(body, &answer); err != nil {
		return c, fmt.Errorf("%w: %w", ErrOEmbed, err)
	}
	if c.Kind == "" {
		c.Kind = Page
	}
	if c.Title == "" {
		c.Title = clean(answer.Title, MaxTitle)
	}
	if c.ImageURL == "" {
		c.ImageURL = (&head{base: at}).resolve(answer.ThumbnailURL)
	}
	if c.Title == "" {
		return c, ErrTitle
	}
	return c, nil
}

// head collects what the elements of a page say. The page is taken as a row of
// tags, not as a tree: nothing here depends on how they are nested, and pages
// can be nested without end.
type head struct {
	base *url.URL
	// meta holds the first value of each name; icons and the like have names
	// of their own there.
	meta map[string]string
}

func (h *head) set(name, value string) {
	if value = strings.TrimSpace(value); value != "" && h.meta[name] == "" {
		h.meta[name] = value
	}
}

// first returns the first of these that the page has.
func (h *head) first(names ...string) string {
	for _, name := range names {
		if v := h.meta[name]; v != "" {
			return v
		}
	}
	return ""
}

func (h *head) read(z *html.Tokenizer) {
	inTitle := false
	for {
		switch z.Next() {
		case html.ErrorToken:
			return
		case html.TextToken:
			if inTitle {
				h.set("title", string(z.Text()))
			}
		case html.EndTagToken:
			inTitle = false
		case html.StartTagToken, html.SelfClosingTagToken:
			inTitle = h.tag(z)
		}
	}
}

// tag reads a tag and tells whether it opens the title.
func (h *head) tag(z *html.Tokenizer) (title bool) {
	name, more := z.TagName()
	switch string(name) {
	case "title":
		return true
	case "meta", "link", "base":
	default:
		return false
	}
	kind := string(name)
	attributes := map[string]string{}
	for more {
		var k, v []byte
		if k, v, more = z.TagAttr(); attributes[string(k)] == "" {
			attributes[string(k)] = string(v)
		}
	}
	switch kind {
	case "meta":
		// The one is OpenGraph's, the other HTML's and Twitter's; many pages
		// mix them up.
		for _, k := range []string{attributes["property"], attributes["name"]} {
			switch k = strings.ToLower(strings.TrimSpace(k)); {
			case k == "description", strings.HasPrefix(k, "og:"), strings.HasPrefix(k, "twitter:"):
				h.set(k, attributes["content"])
			}
		}
	case "link":
		h.link(attributes)
	case "base":
		if u, err := h.base.Parse(attributes["href"]); err == nil {
			h.base = u
		}
	}
	return false
}

func (h *head) link(attributes map[string]string) {
	href, media := attributes["href"], strings.ToLower(attributes["type"])
	for _, rel := range strings.Fields(strings.ToLower(attributes["rel"])) {
		switch rel {
		case "icon":
			at, _, _ := strings.Cut(strings.ToLower(href), "?")
			if media == "image/png" || strings.HasSuffix(at, ".png") {
				h.set("icon png", href)
			}
			// Drawings are not shown by anybody.
			if media != "image/svg+xml" && !strings.HasSuffix(at, ".svg") {
				h.set("icon", href)
			}
		case "apple-touch-icon", "apple-touch-icon-precomposed":
			h.set("apple-touch-icon", href)
		case "alternate":
			if media == "application/json+oembed" {
				h.set("oembed", href)
			}
		}
	}
}

// resolve returns a reference of the page as an absolute URL of HTTP, empty if
// it is none.
func (h *head) resolve(ref string) string {
	if ref == "" || len(ref) > MaxURL {
		return ""
	}
	u, err := h.base.Parse(ref)
	if err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Host == "" || u.User != nil {
		return ""
	}
	u.Fragment = ""
	if s := u.String(); len(s) <= MaxURL {
		return s
	}
	return ""
}

// clean makes one line of a text, without what cannot be seen or changes the
// direction of what follows, and cuts it to a number of characters.
func clean(s string, most int) string {
	var b strings.Builder
	space := false
	n := 0
	for _, r := range s {
		switch {
		case unicode.IsSpace(r):
			space = b.Len() > 0
			continue
		case r == utf8.RuneError, unicode.IsControl(r), isDirection(r):
			continue
		}
		if space {
			b.WriteByte(' ')
			n++
			space = false
		}
		// The last character makes room for the sign of what is missing.
		if n++; n > most {
			cut := []rune(b.String())
			return strings.TrimSpace(string(cut[:most-1])) + "…"
		}
		b.WriteRune(r)
	}
	return b.String()
}

// isDirection tells whether a character is one of those that override or
// isolate the direction of text.
func isDirection(r rune) bool {
	return r >= 0x202a && r <= 0x202e || r >= 0x2066 && r <= 0x2069 || r == 0x200e || r == 0x200f
}
