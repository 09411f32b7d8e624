package chat

import (
	"strings"
	"testing"
	"unicode/utf8"
)

func TestBrief(t *testing.T) {
	t.Parallel()
	const most = 140
	long, call := strings.Repeat("é", most), Mention(newKey(t, 1).Public())
	for text, want := range map[string]string{
		"": "", " \n ": "", "a": "a", " a \n\t b ": "a b", long: long, long + "x": long + "…", long + "   ": long,
		strings.Repeat("ab ", 100):                        strings.TrimSpace(strings.Repeat("ab ", 100)[:most]) + "…",
		"hello " + call + " and " + everyone:              "hello " + call + " and " + everyone,
		long[:2*(most-briefMention)] + call:               long[:2*(most-briefMention)] + call,
		long[:2*(most-briefMention)] + "x" + call:         long[:2*(most-briefMention)] + "x…",
		long[:2*(most-briefMention)] + call + "x":         long[:2*(most-briefMention)] + call + "…",
		long[:2*(most-briefMention)] + " \n" + call + "x": long[:2*(most-briefMention)] + "…",
		long[:2*(most-1)] + " x":                          long[:2*(most-1)] + "…",
	} {
		got := Brief(text, most)
		if got != want {
			t.Errorf("%q became %q, not %q", text, got, want)
		}
		if shown := strings.ReplaceAll(got, call, "@name"); utf8.RuneCountInString(shown) > most+1 {
			t.Errorf("%q became %d characters", text, utf8.RuneCountInString(shown))
		}
	}
}
