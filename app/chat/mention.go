package chat

import (
	"encoding/hex"
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
	for {
		at := strings.Index(text, mentionPrefix)
		if at < 0 {
			return keys, all
		}
		text = text[at:]
		if size := len(mentionPrefix) + mentionDigits; len(text) >= size {
			raw, err := hex.DecodeString(text[len(mentionPrefix):size])
			if err == nil {
				var pub key.Public
				if pub, err = key.PublicFromBytes(raw); err == nil && !seen[pub] {
					seen[pub] = true
					keys = append(keys, pub)
				}
			}
			if err == nil {
				text = text[size:]
				continue
			}
		}
		all = all || strings.HasPrefix(text, everyone) && !hexDigitAt(text, len(everyone))
		text = text[len(mentionPrefix):]
	}
}

// Mention returns how a text mentions somebody.
func Mention(pub key.Public) string { return "@" + pub.Hex() }

// hexDigitAt tells whether a hexadecimal digit stands at a place of a text.
func hexDigitAt(text string, i int) bool {
	return i < len(text) && strings.ContainsRune("0123456789abcdefABCDEF", rune(text[i]))
}
