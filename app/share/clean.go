package share

import (
	"regexp"
	"strings"
	"unicode"
)

// colorForm is how a colour is written.
var colorForm = regexp.MustCompile(`^#[0-9a-fA-F]{6}$`)

// clean makes the preview fit to be shown. It was written by a stranger.
func (u *URL) clean() {
	if p := u.User; p != nil {
		line(&p.DisplayName, &p.Description)
		color(&p.Color)
	}
	if p := u.Channel; p != nil {
		line(&p.DisplayName, &p.Description, &p.Emoji)
		color(&p.Color)
	}
	if p := u.Community; p != nil {
		line(&p.DisplayName, &p.Description)
		color(&p.Color)
	}
}

// color takes away what is no colour.
func color(s *string) {
	if !colorForm.MatchString(*s) {
		*s = ""
	}
}

// line makes texts one line each, without characters that steer a terminal or
// turn the direction of writing.
func line(texts ...*string) {
	for _, s := range texts {
		*s = strings.Map(func(r rune) rune {
			switch {
			case unicode.IsSpace(r):
				return ' '
			case unicode.IsControl(r), unicode.Is(unicode.Bidi_Control, r):
				return -1
			}
			return r
		}, *s)
	}
}
