package chat

import (
	"strings"
	"unicode"
	"unicode/utf8"
)

// MaxEmojiRunes is how many code points one emoji may have. The longest that
// the Unicode Consortium recommends, a kiss of two people with skin tones, has
// ten.
const MaxEmojiRunes = 16

// Code points that join others to one emoji (Unicode Technical Standard 51,
// Emoji Definitions).
const (
	joiner     = '\u200d'
	emojiStyle = '\ufe0f'
	keycap     = '\u20e3'
	firstTone  = '\U0001f3fb'
	lastTone   = '\U0001f3ff'
	firstTag   = '\U000e0020'
	lastTag    = '\U000e007e'
	endOfTags  = '\U000e007f'
	regionalA  = '\U0001f1e6'
	regionalZ  = '\U0001f1ff'
)

// IsEmoji tells whether a text is exactly one emoji: a pictograph with what
// modifies it, several of them joined, a flag, or a keycap.
func IsEmoji(text string) bool {
	n := emojiPrefix(text)
	return n > 0 && n == len(text)
}

// EmojiOnly tells whether a text consists of emoji and the space between them,
// and of one at least. Deployed clients send such a text as content type EMOJI,
// which is shown larger.
func EmojiOnly(text string) bool {
	text = strings.TrimSpace(text)
	if text == "" {
		return false
	}
	for text != "" {
		n := emojiPrefix(text)
		if n == 0 {
			return false
		}
		text = strings.TrimLeftFunc(text[n:], unicode.IsSpace)
	}
	return true
}

// emojiPrefix returns the length in bytes of the emoji a text begins with, 0 if
// it begins with something else.
func emojiPrefix(text string) int {
	s := emojiScanner{rest: text}
	if s.flag() || s.keycap() || s.sequence() {
		if n := len(text) - len(s.rest); utf8.RuneCountInString(text[:n]) <= MaxEmojiRunes {
			return n
		}
	}
	return 0
}

// emojiScanner reads an emoji from the start of a text. Each method either
// takes what it is called for, or nothing.
type emojiScanner struct{ rest string }

// take takes the next code point if it is of the wanted kind.
func (s *emojiScanner) take(wanted func(r rune) bool) bool {
	r, n := utf8.DecodeRuneInString(s.rest)
	if n == 0 || r == utf8.RuneError || !wanted(r) {
		return false
	}
	s.rest = s.rest[n:]
	return true
}

func (s *emojiScanner) one(wanted rune) bool {
	return s.take(func(r rune) bool { return r == wanted })
}

// flag takes two letters of a region.
func (s *emojiScanner) flag() bool {
	before := s.rest
	for range 2 {
		if !s.take(isRegional) {
			s.rest = before
			return false
		}
	}
	return true
}

// keycap takes a digit, # or * on a key.
func (s *emojiScanner) keycap() bool {
	before := s.rest
	if s.take(func(r rune) bool { return r >= '0' && r <= '9' || r == '#' || r == '*' }) {
		s.one(emojiStyle)
		if s.one(keycap) {
			return true
		}
	}
	s.rest = before
	return false
}

// sequence takes pictographs joined to one emoji.
func (s *emojiScanner) sequence() bool {
	if !s.element() {
		return false
	}
	for {
		before := s.rest
		if !s.one(joiner) || !s.element() {
			s.rest = before
			return true
		}
	}
}

// element takes a pictograph with its style, skin tone, or tags.
func (s *emojiScanner) element() bool {
	before := s.rest
	if !s.take(isPictograph) {
		return false
	}
	// These three are letters before they are emoji.
	letter := strings.HasPrefix(before, "©") || strings.HasPrefix(before, "®") || strings.HasPrefix(before, "™")
	if styled := s.one(emojiStyle); letter && !styled {
		s.rest = before
		return false
	}
	s.take(func(r rune) bool { return r >= firstTone && r <= lastTone })
	tagged := s.rest
	for s.take(func(r rune) bool { return r >= firstTag && r <= lastTag }) {
	}
	if len(s.rest) < len(tagged) && !s.one(endOfTags) {
		s.rest = tagged
	}
	return true
}

func isRegional(r rune) bool { return r >= regionalA && r <= regionalZ }

func isPictograph(r rune) bool {
	return r >= firstPictograph && unicode.Is(pictographs, r) && !isRegional(r)
}

// firstPictograph is the first of pictographs: text in most alphabets ends
// the search here.
const firstPictograph = 0xa9

// pictographs are the code points with the property Emoji (Unicode 14) beyond
// ASCII, and above U+FFFF also those reserved for emoji of later versions
// (Extended_Pictographic).
var pictographs = &unicode.RangeTable{
	R16: []unicode.Range16{
		{0x00a9, 0x00a9, 1}, {0x00ae, 0x00ae, 1}, {0x203c, 0x203c, 1}, {0x2049, 0x2049, 1},
		{0x2122, 0x2122, 1}, {0x2139, 0x2139, 1}, {0x2194, 0x2199, 1}, {0x21a9, 0x21aa, 1},
		{0x231a, 0x231b, 1}, {0x2328, 0x2328, 1}, {0x23cf, 0x23cf, 1}, {0x23e9, 0x23f3, 1},
		{0x23f8, 0x23fa, 1}, {0x24c2, 0x24c2, 1}, {0x25aa, 0x25ab, 1}, {0x25b6, 0x25b6, 1},
		{0x25c0, 0x25c0, 1}, {0x25fb, 0x25fe, 1}, {0x2600, 0x2604, 1}, {0x260e, 0x260e, 1},
		{0x2611, 0x2611, 1}, {0x2614, 0x2615, 1}, {0x2618, 0x2618, 1}, {0x261d, 0x261d, 1},
		{0x2620, 0x2620, 1}, {0x2622, 0x2623, 1}, {0x2626, 0x2626, 1}, {0x262a, 0x262a, 1},
		{0x262e, 0x262f, 1}, {0x2638, 0x263a, 1}, {0x2640, 0x2640, 1}, {0x2642, 0x2642, 1},
		{0x2648, 0x2653, 1}, {0x265f, 0x2660, 1}, {0x2663, 0x2663, 1}, {0x2665, 0x2666, 1},
		{0x2668, 0x2668, 1}, {0x267b, 0x267b, 1}, {0x267e, 0x267f, 1}, {0x2692, 0x2697, 1},
		{0x2699, 0x2699, 1}, {0x269b, 0x269c, 1}, {0x26a0, 0x26a1, 1}, {0x26a7, 0x26a7, 1},
		{0x26aa, 0x26ab, 1}, {0x26b0, 0x26b1, 1}, {0x26bd, 0x26be, 1}, {0x26c4, 0x26c5, 1},
		{0x26c8, 0x26c8, 1}, {0x26ce, 0x26cf, 1}, {0x26d1, 0x26d1, 1}, {0x26d3, 0x26d4, 1},
		{0x26e9, 0x26ea, 1}, {0x26f0, 0x26f5, 1}, {0x26f7, 0x26fa, 1}, {0x26fd, 0x26fd, 1},
		{0x2702, 0x2702, 1}, {0x2705, 0x2705, 1}, {0x2708, 0x270d, 1}, {0x270f, 0x270f, 1},
		{0x2712, 0x2712, 1}, {0x2714, 0x2714, 1}, {0x2716, 0x2716, 1}, {0x271d, 0x271d, 1},
		{0x2721, 0x2721, 1}, {0x2728, 0x2728, 1}, {0x2733, 0x2734, 1}, {0x2744, 0x2744, 1},
		{0x2747, 0x2747, 1}, {0x274c, 0x274c, 1}, {0x274e, 0x274e, 1}, {0x2753, 0x2755, 1},
		{0x2757, 0x2757, 1}, {0x2763, 0x2764, 1}, {0x2795, 0x2797, 1}, {0x27a1, 0x27a1, 1},
		{0x27b0, 0x27b0, 1}, {0x27bf, 0x27bf, 1}, {0x2934, 0x2935, 1}, {0x2b05, 0x2b07, 1},
		{0x2b1b, 0x2b1c, 1}, {0x2b50, 0x2b50, 1}, {0x2b55, 0x2b55, 1}, {0x3030, 0x3030, 1},
		{0x303d, 0x303d, 1}, {0x3297, 0x3297, 1}, {0x3299, 0x3299, 1},
	},
	R32: []unicode.Range32{
		{0x1f000, 0x1f0ff, 1}, {0x1f10d, 0x1f10f, 1}, {0x1f12f, 0x1f12f, 1}, {0x1f16c, 0x1f171, 1},
		{0x1f17e, 0x1f17f, 1}, {0x1f18e, 0x1f18e, 1}, {0x1f191, 0x1f19a, 1}, {0x1f1ad, 0x1f1ff, 1},
		{0x1f201, 0x1f20f, 1}, {0x1f21a, 0x1f21a, 1}, {0x1f22f, 0x1f22f, 1}, {0x1f232, 0x1f23a, 1},
		{0x1f23c, 0x1f23f, 1}, {0x1f249, 0x1f53d, 1}, {0x1f546, 0x1f64f, 1}, {0x1f680, 0x1f6ff, 1},
		{0x1f774, 0x1f77f, 1}, {0x1f7d5, 0x1f7ff, 1}, {0x1f80c, 0x1f80f, 1}, {0x1f848, 0x1f84f, 1},
		{0x1f85a, 0x1f85f, 1}, {0x1f888, 0x1f88f, 1}, {0x1f8ae, 0x1f8ff, 1}, {0x1f90c, 0x1f93a, 1},
		{0x1f93c, 0x1f945, 1}, {0x1f947, 0x1faff, 1}, {0x1fc00, 0x1fffd, 1},
	},
	LatinOffset: 2,
}
