package storage

import (
	"strings"
	"unicode"
	"unicode/utf8"

	"golang.org/x/text/cases"
	"golang.org/x/text/unicode/norm"
)

// Limits of what is indexed and asked for.
const (
	// MaxIndexedText bytes of a message are indexed; what stands behind is not
	// found.
	MaxIndexedText = 64 << 10
	// MaxQueryText is the longest search text in bytes, MaxQueryWords the most
	// words that count of it.
	MaxQueryText  = 1024
	MaxQueryWords = 32
	// maxWord runes of a word count.
	maxWord = 64
	// minPrefix is how many runes make a word of a query the beginning of a
	// word: one alone would be that of nearly every message.
	minPrefix = 2
)

// A word index that both back ends and every script share: a text is folded
// (compatibility forms, case, accents) and cut into words here, and the data
// base sees nothing but words with spaces between them. Scripts that are
// written without spaces are indexed character by character, and so are
// symbols like emoji: a query of several of them is a phrase.

// word is a word of a text or of a query.
type word struct {
	text string
	// begins tells that a space, or the text's beginning, stands before it.
	begins bool
	// quoted words of a query are meant as they are.
	quoted bool
}

// spaceless are the scripts that do not part words.
var spaceless = []*unicode.RangeTable{
	unicode.Han, unicode.Hiragana, unicode.Katakana, unicode.Bopomofo,
	unicode.Thai, unicode.Lao, unicode.Khmer, unicode.Myanmar,
}

// dropped are marks and signs that a search overlooks: accents, Hebrew points,
// Arabic vowel signs and stretching, variation selectors, skin tones.
var dropped = &unicode.RangeTable{
	R16: []unicode.Range16{
		{0x0300, 0x036f, 1}, {0x0591, 0x05c7, 1}, {0x0640, 0x0640, 1}, {0x064b, 0x065f, 1}, {0x0670, 0x0670, 1},
		{0x1ab0, 0x1aff, 1}, {0x1dc0, 0x1dff, 1}, {0x20d0, 0x20ff, 1}, {0xfe00, 0xfe0f, 1}, {0xfe20, 0xfe2f, 1},
	},
	R32: []unicode.Range32{{0x1f3fb, 0x1f3ff, 1}, {0xe0100, 0xe01ef, 1}},
}

// fold brings a text into the form that is compared.
func fold(text string) string {
	ascii := true
	for i := range len(text) {
		if text[i] >= utf8.RuneSelf {
			ascii = false
			break
		}
	}
	if ascii {
		return strings.ToLower(text)
	}
	text = strings.Map(func(r rune) rune {
		if unicode.Is(dropped, r) || unicode.Is(unicode.Cf, r) {
			return -1
		}
		return r
	}, norm.NFKD.String(text))
	// Folding may bring forth what is not composed, and accents.
	return norm.NFC.String(cases.Fold().String(text))
}

// words cuts a text into words.
func words(text string) []word {
	if len(text) > MaxIndexedText {
		text = strings.ToValidUTF8(text[:MaxIndexedText], "")
	}
	var all []word
	current, length := strings.Builder{}, 0
	begins, quoted := true, false
	end := func() {
		if length > 0 {
			all = append(all, word{current.String(), begins, quoted})
			begins = false
		}
		current.Reset()
		length = 0
	}
	alone := false // the word is a single character with its marks
	for _, r := range fold(text) {
		switch {
		case unicode.IsMark(r):
			if length == 0 {
				continue // nothing to stand on
			}
		case unicode.Is(unicode.So, r), unicode.In(r, spaceless...), r == 'ー':
			end()
			alone = true
		case unicode.IsLetter(r), unicode.IsNumber(r):
			if alone {
				end()
				alone = false
			}
		default:
			end()
			if r == '"' {
				quoted = !quoted
				begins = true
			}
			begins = begins || unicode.IsSpace(r) && !quoted
			continue
		}
		if length < maxWord {
			current.WriteRune(r)
		}
		length++
	}
	end()
	return all
}

// indexed returns the words of a text as the index takes them.
func indexed(text string) string {
	var out strings.Builder
	for i, w := range words(text) {
		if i > 0 {
			out.WriteByte(' ')
		}
		out.WriteString(w.text)
	}
	return out.String()
}

// phrase is a part of a query: words that follow each other, the last of which
// may be the beginning of one.
type phrase struct {
	words  []string
	prefix bool
}

// phrases reads a search text. All phrases must be found.
func phrases(text string) []phrase {
	var all []phrase
	for i, w := range words(text) {
		if i == MaxQueryWords {
			break
		}
		if w.begins {
			all = append(all, phrase{})
		}
		p := &all[len(all)-1]
		p.words = append(p.words, w.text)
		p.prefix = !w.quoted && utf8.RuneCountInString(w.text) >= minPrefix
	}
	return all
}

// in tells whether a phrase is among the words of a text.
func (p phrase) in(text []word) bool {
	for at := 0; at+len(p.words) <= len(text); at++ {
		if p.at(text[at:]) {
			return true
		}
	}
	return false
}

func (p phrase) at(text []word) bool {
	for i, w := range p.words {
		last := i == len(p.words)-1
		if text[i].text != w && !(last && p.prefix && strings.HasPrefix(text[i].text, w)) {
			return false
		}
	}
	return true
}
