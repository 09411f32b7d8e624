package inspect

import (
	"flag"
	"os"
	"path/filepath"
	"strings"
	"testing"

	apppb "github.com/parley-im/parley/pb/app"
)

var update = flag.Bool("update", false, "write the golden files anew")

// The text of a tree with every kind of value is what stands in the file.
func TestLayersText(t *testing.T) {
	t.Parallel()
	invitation := wrapped(t, apppb.ApplicationMetadataMessage_CHAT_MESSAGE, &apppb.ChatMessage{
		Clock: 2, Text: "join us \U0001F469\u200d\U0001F680", Payload: &apppb.ChatMessage_Community{Community: chat(t, "not a description, but signed")},
		UnfurledLinks: []*apppb.UnfurledLink{{Url: "https://example.org", Title: "two\nlines"}, {Url: "https://example.com"}},
	})
	long := wrapped(t, apppb.ApplicationMetadataMessage_CHAT_MESSAGE, &apppb.ChatMessage{Grant: make([]byte, 100)})
	var got strings.Builder
	if err := WriteText(&got, Layers(enveloped(t, public(t, synced(invitation, long, []byte{8, 1}, nil)), 0))); err != nil {
		t.Fatal(err)
	}
	golden := filepath.Join("testdata", "layers.golden")
	if *update {
		if err := os.WriteFile(golden, []byte(got.String()), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(golden)
	if err != nil {
		t.Fatal(err)
	}
	same(t, "text", got.String(), string(want))
}

func TestWriteText(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		v    any
		want string
	}{
		{Topic{Name: "status", ContentTopic: "/a"}, "name:          status\ncontent_topic: /a\n"},
		{[]Topic{{Name: "a"}, {Name: "b"}}, "name:          a\ncontent_topic: \"\"\n\nname:          b\ncontent_topic: \"\"\n"},
		{Payload{}, "payload:    0x\nsigner:     -\npadding:    0x\nsigner_key: -\n"},
		{Key{EmojiHash: []string{"☑️", "👨‍👦"}, ColorHash: [][2]int{{1, 17}, {2, 3}}, Alias: "A B"},
			"public_key: \"\"\ncompressed: \"\"\nkey:        \"\"\naddress:    \"\"\nalias:      A B\nemoji_hash: ☑️, 👨‍👦\ncolor_hash: (1, 17), (2, 3)\ncolor_id:   0\n"},
		{Fields{{"bb", []any{Fields{{"x", 1}, {"yy", Fields{}}}, Fields{{"x", []any{}}}}}, {"c", nil}},
			"bb:\n  - x:  1\n    yy: -\n  - x: -\nc: -\n"},
	} {
		var got strings.Builder
		if err := WriteText(&got, c.v); err != nil || got.String() != c.want {
			t.Errorf("%+v is\n%s%v, want\n%s", c.v, got.String(), err, c.want)
		}
	}
}

// What others wrote cannot move the cursor, turn the direction of writing or
// pass for a line of ours.
func TestTextOfOthersIsHarmless(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]string{
		"plain":                 "plain",
		"ключ 鍵 👩‍🚀":            "ключ 鍵 👩‍🚀",
		"two\nauthor: somebody": `"two\nauthor: somebody"`,
		"\x1b[2J":               `"\x1b[2J"`,
		"a\u202eb":              `"a\u202eb"`,
		"a\u200bb":              `"a\u200bb"`,
		" padded":               `" padded"`,
		`"quoted"`:              `"\"quoted\""`,
		"-":                     `"-"`,
		"":                      `""`,
		"\xff":                  `"\xff"`,
	} {
		same(t, "text", quoted(text), want)
	}
}
