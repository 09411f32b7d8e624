package chat

import (
	"strings"
	"unicode"
)

// briefMention is how many characters a mention counts for in Brief, about what
// the name takes by which it is shown.
const briefMention = 16

// Brief returns the beginning of a text in one line: at most that many
// characters, with an ellipsis behind what is left out. A mention counts for a
// few characters, and is there as a whole or not at all.
func Brief(text string, most int) string {
	b := brief{most: most}
	for m := range mentions(text) {
		for _, r := range m.before {
			if !b.add(string(r), 1) {
				return b.cut()
			}
		}
		if m.text != "" && !b.add(m.text, briefMention) {
			return b.cut()
		}
	}
	return b.String()
}

type brief struct {
	strings.Builder
	length, most int
	space        bool // is due before what comes next
}

// add appends a piece that counts for some characters, if there is room.
func (b *brief) add(piece string, counts int) bool {
	if counts == 1 && unicode.IsSpace([]rune(piece)[0]) {
		b.space = b.length > 0
		return true
	}
	if b.space {
		counts++
	}
	if b.length+counts > b.most {
		return false
	}
	if b.space {
		b.WriteByte(' ')
		b.space = false
	}
	b.WriteString(piece)
	b.length += counts
	return true
}

func (b *brief) cut() string { return b.String() + "…" }
