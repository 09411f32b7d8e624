package chat

import (
	"encoding/hex"
	"iter"
	"strings"

	"github.com/parley-im/parley/account/key"
)

// How mentions stand in a text.
const (
	mentionPrefix = "@0x"
	// everyone is the mention of all who are in the chat.
	everyone      = "@0x00001"
	mentionDigits = 2 * key.UncompressedSize
)

// Mentions returns who is mentioned in a text, each once and in order, and
// whether everybody is. A mention is @0x04… with the whole key; names stand for
// keys only on a screen, never in a message (62/STATUS-PAYLOADS, Mentions).
func Mentions(text string) (keys []key.Public, all bool) {
	seen := map[key.Public]bool{}
	for m := range mentions(text) {
		all = all || m.all
		if !m.key.IsZero() && !seen[m.key] {
			seen[m.key] = true
			keys = append(keys, m.key)
		}
	}
	return keys, all
}

// mention is a mention in a text, or the end of it: what stands before it, what
// it is in writing, and whom it calls.
type mention struct {
	before, text string
	key          key.Public
	all          bool
}

// mentions goes through the mentions of a text. What the pieces say in writing
// is the text.
func mentions(text string) iter.Seq[mention] {
	return func(yield func(mention) bool) {
		before := 0
		for at := 0; ; {
			next := strings.Index(text[at:], mentionPrefix)
			if next < 0 {
				yield(mention{before: text[before:]})
				return
			}
			at += next
			m := mention{before: text[before:at]}
			size := 0
			if pub, ok := mentioned(text[at:]); ok {
				m.key, size = pub, len(mentionPrefix)+mentionDigits
			} else if strings.HasPrefix(text[at:], everyone) && !hexDigitAt(text[at:], len(everyone)) {
				m.all, size = true, len(everyone)
			}
			if size == 0 {
				at += len(mentionPrefix)
				continue
			}
			m.text = text[at : at+size]
			at += size
			before = at
			if !yield(m) {
				return
			}
		}
	}
}

// mentioned returns the key of the mention that a text begins with.
func mentioned(text string) (key.Public, bool) {
	size := len(mentionPrefix) + mentionDigits
	if len(text) < size {
		return key.Public{}, false
	}
	raw, err := hex.DecodeString(text[len(mentionPrefix):size])
	if err != nil {
		return key.Public{}, false
	}
	pub, err := key.PublicFromBytes(raw)
	return pub, err == nil
}

// Mention returns how a text mentions somebody.
func Mention(pub key.Public) string { return "@" + pub.Hex() }

// hexDigitAt tells whether a hexadecimal digit stands at a place of a text.
func hexDigitAt(text string, i int) bool {
	return i < len(text) && strings.ContainsRune("0123456789abcdefABCDEF", rune(text[i]))
}
