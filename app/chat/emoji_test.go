package chat

import (
	"strings"
	"testing"
	"unicode/utf8"
)

func TestIsEmoji(t *testing.T) {
	t.Parallel()
	for _, text := range []string{
		"👍", "👍🏽", "❤️", "❤", "☺️", "☺", "😀", "🇫🇷", "1️⃣", "1⃣", "#️⃣", "*️⃣", "🏴󠁧󠁢󠁳󠁣󠁴󠁿", "👨‍👩‍👧‍👦", "👩🏽‍❤️‍💋‍👨🏻", "🧑🏽‍🚀",
		"🏳️‍🌈", "©️", "™️", "⌚", "🫠", "🦰", "🤷🏻‍♀️", "\U0001fadf", "🏽",
	} {
		if !IsEmoji(text) || !EmojiOnly(text) {
			t.Errorf("%q is no emoji", text)
		}
	}
	for _, text := range []string{
		"", " ", "a", "1", "#", "12", "©", "®", "™", "👍a", "a👍", "👍👍", "👍 ", "🇫", "\u200d", "\ufe0f", "👍\u200d", "\xff", "👍\xff",
		"★", ":+1:", ":)", "1f44d", "é", "中", "🏴\U000e0067", "\U000e007f", strings.Repeat("👍\u200d", 8) + "👍",
	} {
		if IsEmoji(text) {
			t.Errorf("%q is an emoji", text)
		}
	}
	// At the limit of length and past it.
	longest := strings.Repeat("👍\u200d", MaxEmojiRunes/2-1) + "👍🏽"
	if utf8.RuneCountInString(longest) != MaxEmojiRunes || !IsEmoji(longest) || IsEmoji(longest+"\u200d👍") {
		t.Errorf("the limit of %d code points is another", MaxEmojiRunes)
	}
}

func TestEmojiOnly(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]bool{
		"👍👍": true, " 👍 \n❤️ ": true, "🇫🇷🇩🇪": true, "1️⃣2️⃣": true, "👨‍👩‍👧‍👦👍🏽": true, strings.Repeat("😀", 500): true,
		"": false, "  ": false, "👍!": false, "ok 👍": false, "👍 ok": false, "12": false, "🇫🇷🇩": false, ":+1:": false,
	} {
		if got := EmojiOnly(text); got != want {
			t.Errorf("%q: %v", text, got)
		}
	}
}

// Whatever a text is, reading it does no harm, and an emoji alone is emoji
// only.
func FuzzEmoji(f *testing.F) {
	for _, text := range []string{"👍🏽", "1️⃣", "🇫🇷", "🏴󠁧󠁢󠁳󠁣󠁴󠁿", "👨‍👩‍👧‍👦", "a", "\xff\u200d"} {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		n := emojiPrefix(text)
		if n < 0 || n > len(text) || n > 0 && !utf8.ValidString(text[:n]) {
			t.Fatalf("%q: %d", text, n)
		}
		if n > 0 && (!IsEmoji(text[:n]) || !EmojiOnly(text[:n])) {
			t.Fatalf("%q starts with an emoji that is none", text)
		}
		if IsEmoji(text) && !EmojiOnly(text) {
			t.Fatalf("%q", text)
		}
	})
}

func BenchmarkEmojiOnly(b *testing.B) {
	text := strings.Repeat("👨‍👩‍👧‍👦", 20)
	b.ReportAllocs()
	for b.Loop() {
		if !EmojiOnly(text) {
			b.Fatal("no emoji")
		}
	}
}
