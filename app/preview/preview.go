// Package preview holds the rules for previews of links in messages
// (62/STATUS-PAYLOADS, unfurled_links and unfurled_status_links): which links
// of a text can have one, how one is made out of what a page says of itself,
// and which of the received ones may be shown.
//
// A preview is made by the sender alone and only when asked; who receives it
// fetches nothing. Nothing is fetched here either: [Plan] says what to fetch,
// [Read], [FromOEmbed] and [Link] turn what came back into a preview.
package preview

import (
	"errors"
	"net/url"
	"path"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/parley-im/parley/app/share"
)

const (
	// MaxLinks is the most links of a message with a preview (deployed
	// clients), of each kind.
	MaxLinks = 5
	// MaxURL is the longest URL that has a preview, in bytes.
	MaxURL = share.MaxURL
	// MaxText is how much of a text is searched, in bytes: all that a message
	// can have.
	MaxText = 16 << 10

	// maxFound is the most links of a text that received previews are
	// compared with.
	maxFound = 64
)

// Errors of previews.
var (
	ErrURL       = errors.New("not a link that has a preview")
	ErrHTML      = errors.New("neither a page nor a picture")
	ErrOEmbed    = errors.New("the oEmbed answer cannot be read")
	ErrTitle     = errors.New("the preview has no title")
	ErrImage     = errors.New("the preview has no picture that can be shown")
	ErrNoPreview = errors.New("nothing is known of where the link leads")
	ErrTooMany   = errors.New("too many previews")
	ErrNotInText = errors.New("preview of a link that is not in the text")
	ErrDuplicate = errors.New("second preview of a link")
	ErrLength    = errors.New("the preview has too long a text")
	ErrPayload   = errors.New("the preview says another thing than its link")
)

// Kind is what a link seems to lead to. The texts are stable.
type Kind string

// The kinds.
const (
	Page   Kind = "page"
	Image  Kind = "image"  // by the name; what comes back decides
	Status Kind = "status" // a user, community or channel: nothing to fetch
)

// Found is a link in a text.
type Found struct {
	// URL is what names the link in previews: as deployed clients write it,
	// with scheme and host in lower case and without slashes at the end.
	URL  string `json:"url"`
	Kind Kind   `json:"kind"`
}

// Plan returns the links of a text that can have a preview, each once and in
// order, at most MaxLinks. They begin with http://, https:// or status-app://;
// those in code are left out, and so are those without a domain name, whose
// address is only of meaning to the sender.
func Plan(text string) []Found {
	found := find(text, MaxLinks)
	plan := make([]Found, 0, len(found))
	for _, f := range found {
		plan = append(plan, f.Found)
	}
	return plan
}

// found is a link and where in the text it stands.
type found struct {
	Found
	rest string // the link and what follows it up to a blank
}

// schemes are what a link can begin with.
var schemes = []string{"http://", "https://", share.Internal + "/"}

// find returns at most limit links of a text.
func find(text string, limit int) []found {
	if len(text) > MaxText {
		text = text[:MaxText]
	}
	var links []found
	seen := map[string]bool{}
	for _, part := range outsideCode(text) {
		for at := 0; at < len(part) && len(links) < limit; {
			start := nextScheme(part, at)
			if start < 0 {
				break
			}
			token := until(part[start:], endsLink)
			before, _ := utf8.DecodeLastRuneInString(part[:start])
			raw := trim(token, before)
			at = start + max(len(raw), 1)
			if unicode.IsLetter(before) || unicode.IsDigit(before) {
				continue
			}
			f, err := canonical(raw)
			if err != nil || seen[f.URL] {
				continue
			}
			seen[f.URL] = true
			links = append(links, found{f, token})
		}
	}
	return links
}

// nextScheme returns where the next scheme begins, -1 if there is none.
func nextScheme(s string, from int) int {
	for i := from; i < len(s); i++ {
		if c := s[i] | 0x20; c != 'h' && c != 's' {
			continue
		}
		for _, scheme := range schemes {
			if len(s)-i > len(scheme) && strings.EqualFold(s[i:i+len(scheme)], scheme) {
				return i
			}
		}
	}
	return -1
}

// endsLink tells whether a character cannot be part of a link.
func endsLink(r rune) bool {
	return unicode.IsSpace(r) || unicode.IsControl(r) || strings.ContainsRune("<>\"`{}|\\^", r) ||
		r > unicode.MaxASCII && (unicode.IsPunct(r) || unicode.Is(unicode.Cf, r))
}

func until(s string, end func(rune) bool) string {
	if i := strings.IndexFunc(s, end); i >= 0 {
		return s[:i]
	}
	return s
}

// trim takes off what belongs to the sentence around a link: a bracket that
// was not opened in it and all that follows, punctuation and marks of
// emphasis at its end. before is the character in front of the link.
func trim(s string, before rune) string {
	var open []byte
cut:
	for i := range len(s) {
		switch c := s[i]; c {
		case '(', '[':
			open = append(open, c)
		case ')', ']':
			if len(open) == 0 {
				s = s[:i]
				break cut
			}
			open = open[:len(open)-1]
		}
	}
	s = strings.TrimRight(s, ".,:;!?'*~([")
	if before == '_' {
		s = strings.TrimRight(s, "_")
	}
	return s
}

// outsideCode returns the parts of a text that are not code: between runs of
// as many backticks, or after three at the beginning of a line.
func outsideCode(text string) []string {
	var parts []string
	for from := 0; ; {
		i := strings.IndexByte(text[from:], '`')
		if i < 0 {
			return append(parts, text)
		}
		start := from + i
		size := run(text[start:])
		end := closing(text[start+size:], size)
		switch {
		case end >= 0:
			parts = append(parts, text[:start])
			text, from = text[start+size+end+size:], 0
		case size >= 3 && (start == 0 || text[start-1] == '\n'):
			return append(parts, text[:start])
		default:
			from = start + size
		}
	}
}

// run returns how many backticks a text begins with.
func run(s string) int { return len(s) - len(strings.TrimLeft(s, "`")) }

// closing returns where a run of exactly size backticks begins, -1 if none
// does.
func closing(s string, size int) int {
	for from := 0; ; {
		i := strings.IndexByte(s[from:], '`')
		if i < 0 {
			return -1
		}
		from += i
		n := run(s[from:])
		if n == size {
			return from
		}
		from += n
	}
}

// canonical reads a link and returns it as previews name it.
func canonical(raw string) (Found, error) {
	if len(raw) > MaxURL {
		return Found{}, ErrURL
	}
	u, err := url.Parse(raw)
	if err != nil {
		return Found{}, ErrURL
	}
	if u.Scheme+":/" == share.Internal {
		s, ok := settled(u)
		if !ok {
			return Found{}, ErrURL
		}
		if _, err := share.Parse(s); err != nil {
			return Found{}, ErrURL
		}
		return Found{s, Status}, nil
	}
	if u.Scheme != "http" && u.Scheme != "https" || u.User != nil || !isDomain(u.Hostname()) {
		return Found{}, ErrURL
	}
	u.Host = strings.ToLower(u.Host)
	s, ok := settled(u)
	f := Found{s, Page}
	if !ok || len(f.URL) > MaxURL {
		return Found{}, ErrURL
	}
	if _, err := share.Parse(f.URL); err == nil {
		f.Kind = Status
	} else if isImageName(u.Path) {
		f.Kind = Image
	}
	return f, nil
}

// settled returns a link without slashes at its end, as it stays however often
// it is read and written: a fragment that the slash alone has made is gone.
func settled(u *url.URL) (string, bool) {
	for range 4 {
		s := strings.TrimRight(u.String(), "/")
		again, err := url.Parse(s)
		if err != nil {
			return "", false
		}
		if again.String() == s {
			return s, true
		}
		u = again
	}
	return "", false
}

// isDomain tells whether a host is a name that means the same everywhere.
func isDomain(host string) bool {
	host = strings.ToLower(strings.TrimSuffix(host, "."))
	if len(host) > 253 || strings.Contains(host, ":") { // IPv6
		return false
	}
	labels := strings.Split(host, ".")
	if len(labels) < 2 {
		return false
	}
	for _, label := range labels {
		if label == "" || len(label) > 63 {
			return false
		}
	}
	switch top := labels[len(labels)-1]; top {
	case "local", "localhost", "internal", "home", "lan", "arpa", "test", "invalid", "onion", "alt":
		return false
	default:
		// 10.0.0.1, 127.1, 0x7f.0x1 and the like are addresses.
		return strings.IndexFunc(top, unicode.IsLetter) >= 0 && !strings.HasPrefix(top, "0x")
	}
}

// isImageName tells whether a path ends like the name of a picture.
func isImageName(p string) bool {
	switch strings.ToLower(path.Ext(p)) {
	case ".png", ".jpg", ".jpeg", ".webp", ".gif":
		return true
	}
	return false
}
