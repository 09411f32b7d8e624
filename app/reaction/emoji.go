package reaction

import (
	"errors"
	"fmt"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/parley-im/parley/app/chat"
	apppb "github.com/parley-im/parley/pb/app"
)

// MaxEmoji is how long the written form of an emoji may be, in bytes: 16 code
// points of six digits each and the hyphens between them.
const MaxEmoji = chat.MaxEmojiRunes*7 - 1

// ErrEmoji means that something is not exactly one emoji.
var ErrEmoji = errors.New("not an emoji")

// Emoji is the code points of one emoji in lower-case hexadecimal, joined by
// hyphens, as 1f44d or 263a-fe0f: the form that travels.
type Emoji string

// The emoji that clients before late 2025 know, each by a number.
const (
	Love       Emoji = "2764"
	ThumbsUp   Emoji = "1f44d"
	ThumbsDown Emoji = "1f44e"
	Laugh      Emoji = "1f602"
	Sad        Emoji = "1f622"
	Angry      Emoji = "1f620"
)

// numbered are the emoji of the old enumeration.
var numbered = map[apppb.EmojiReaction_Type]Emoji{
	apppb.EmojiReaction_LOVE:        Love,
	apppb.EmojiReaction_THUMBS_UP:   ThumbsUp,
	apppb.EmojiReaction_THUMBS_DOWN: ThumbsDown,
	apppb.EmojiReaction_LAUGH:       Laugh,
	apppb.EmojiReaction_SAD:         Sad,
	apppb.EmojiReaction_ANGRY:       Angry,
}

// types are the numbers of the old enumeration by Same.
var types = func() map[Emoji]apppb.EmojiReaction_Type {
	all := make(map[Emoji]apppb.EmojiReaction_Type, len(numbered))
	for number, emoji := range numbered {
		all[emoji.Same()] = number
	}
	return all
}()

// ParseEmoji reads an emoji, either itself or by its code points in
// hexadecimal: 👍 and 1f44d are the same. One that clients know by number comes
// out as they write it.
func ParseEmoji(s string) (Emoji, error) {
	if len(s) > MaxEmoji {
		return "", fmt.Errorf("%w: %d bytes, at most %d", ErrEmoji, len(s), MaxEmoji)
	}
	text := s
	// No emoji is made of letters and digits alone.
	if decoded, ok := decode(s); ok {
		text = decoded
	}
	if !chat.IsEmoji(text) {
		return "", ErrEmoji
	}
	e := encode(text)
	if number, ok := types[e.Same()]; ok {
		return numbered[number], nil
	}
	return e, nil
}

// Same returns what two ways to write one emoji have in common: its code points
// without those that ask for colour (U+FE0F), which some write and some do not.
func (e Emoji) Same() Emoji {
	const style = "fe0f"
	if !strings.Contains(string(e), style) {
		return e
	}
	points := strings.Split(string(e), "-")
	kept := points[:0]
	for _, point := range points {
		if point != style {
			kept = append(kept, point)
		}
	}
	return Emoji(strings.Join(kept, "-"))
}

// Type returns the emoji's number in the old enumeration, 0 for those that
// older clients do not know.
func (e Emoji) Type() apppb.EmojiReaction_Type { return types[e.Same()] }

// String returns the emoji itself, as 👍; of the six with a number in the form
// that is shown in colour.
func (e Emoji) String() string {
	if e == Love {
		return "❤️"
	}
	text, _ := decode(string(e))
	return text
}

// decode returns the text of code points in hexadecimal.
func decode(s string) (string, bool) {
	var text strings.Builder
	for point := range strings.SplitSeq(s, "-") {
		// Two digits do for a keycap's.
		if len(point) < 2 || len(point) > 6 {
			return "", false
		}
		r, err := strconv.ParseUint(point, 16, 32)
		if err != nil || !utf8.ValidRune(rune(r)) || r == utf8.RuneError {
			return "", false
		}
		text.WriteRune(rune(r))
	}
	return text.String(), true
}

// encode returns the code points of a text.
func encode(text string) Emoji {
	var out strings.Builder
	for i, r := range text {
		if i > 0 {
			out.WriteByte('-')
		}
		out.WriteString(strconv.FormatUint(uint64(r), 16))
	}
	return Emoji(out.String())
}
