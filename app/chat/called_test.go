package chat

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/parley-im/parley/account/key"
)

// cast are people of all sorts of names.
func cast(t testing.TB) (ada, lovelace, twin, other key.Public, people []Callable) {
	t.Helper()
	keys := make([]key.Public, 6)
	for i := range keys {
		keys[i] = newKey(t, byte(i+1)).Public()
	}
	return keys[0], keys[1], keys[2], keys[3], []Callable{
		{Key: keys[0], Sure: []string{"", "ada.stateofus.eth"}, Said: []string{"Ada L", "Hard Tame Brownbutterfly"}},
		{Key: keys[1], Sure: []string{"Ada Lovelace"}, Said: []string{"", "Quick Red Fox"}},
		{Key: keys[2], Said: []string{"Bobby", "Slow Blue Cat"}},
		{Key: keys[3], Said: []string{"Bobby", "Slow Grey Cat"}},
		{Key: keys[4], Sure: []string{"Ärger"}, Said: []string{"Quick Red Fox", "everyone"}},
		{Key: keys[5], Said: []string{"Ärger", "ada.stateofus.eth"}},
	}
}

// Nobody types a key: @ and an ENS name, a name or three words will do.
//
// Proves: AP-132, AP-133.
func TestCallByName(t *testing.T) {
	t.Parallel()
	ada, lovelace, twin, _, people := cast(t)
	angry := people[4].Key
	for typed, want := range map[string]string{
		"":      "",
		"plain": "plain",
		"hello @ada.stateofus.eth, are you there?": "hello " + Mention(ada) + ", are you there?",
		"@Hard Tame Brownbutterfly":                Mention(ada),
		"@hard tame brownbutterfly!":               Mention(ada) + "!",
		"@Ada Lovelace and @Ada L":                 Mention(lovelace) + " and " + Mention(ada),
		"(@slow blue cat)":                         "(" + Mention(twin) + ")",
		"@Slow Blue Cat's":                         Mention(twin) + "'s",
		"@ADA.stateofus.eth.":                      Mention(ada) + ".",
		"@ärger":                                   Mention(angry),
		"two lines\n@Ada L":                        "two lines\n" + Mention(ada),
		"@Ada L@Ada L":                             "@Ada L@Ada L",
		"@@Ada L":                                  "@" + Mention(ada),
		"@everyone, @Everyone":                     "@0x00001, @0x00001",
		"@everyoneelse":                            "@everyoneelse",
		// Keys in other forms, and those that are right already.
		"@" + twin.String() + " hi":  Mention(twin) + " hi",
		"@" + twin.CompressedHex():   Mention(twin),
		Mention(ada) + Mention(twin): Mention(ada) + Mention(twin),
		"@" + twin.String() + "x":    "@" + twin.String() + "x",
		"@0x00001":                   "@0x00001",
		// Not names, or of nobody.
		"@":                     "@",
		"@ Ada L":               "@ Ada L",
		"@Ada Lo":               "@Ada Lo",
		"@Ada L-M":              "@Ada L-M",
		"@nobody":               "@nobody",
		"mail@Ada L":            "mail@Ada L",
		"@Ada L@example.org":    "@Ada L@example.org",
		"@ada.stateofus.eth.li": "@ada.stateofus.eth.li",
		"@\xff @\xffAda L":      "@\xff @\xffAda L",
	} {
		if got, err := CallByName(typed, people); err != nil || got != want {
			t.Errorf("%q:\n%q, %v, want\n%q", typed, got, err, want)
		}
	}
	for _, typed := range []string{"@Bobby", "hi @bobby!", "@Ada L and @Quick Red Fox"} {
		if got, err := CallByName(typed, people); !errors.Is(err, ErrNameShared) || got != "" {
			t.Errorf("%q: %q, %v", typed, got, err)
		}
	}
}

// Proves: AP-134.
func TestCompletions(t *testing.T) {
	t.Parallel()
	_, _, twin, other, people := cast(t)
	type want struct {
		at     int
		insert []string
	}
	for text, want := range map[string]want{
		"":               {-1, nil},
		"no mention":     {-1, nil},
		"mail@ada":       {-1, nil},
		"@ad":            {0, []string{"@Ada Lovelace", "@ada.stateofus.eth", Mention(people[5].Key)}},
		"hi @ADA L":      {3, []string{"@Ada Lovelace", "@Ada L"}},
		"hi @love":       {3, []string{"@Ada Lovelace"}},
		"@Ada Lovelace,": {0, nil},
		"@x @butter":     {3, nil},
		"@x @brown":      {3, []string{"@Hard Tame Brownbutterfly"}},
		"@cat":           {0, []string{"@Slow Blue Cat", "@Slow Grey Cat"}},
		"@bob":           {0, []string{Mention(twin), Mention(other)}},
		"@every":         {0, []string{Mention(people[4].Key)}},
		"@\xff":          {0, nil},
	} {
		at, found := Completions(text, people, 10)
		var insert []string
		for _, s := range found {
			insert = append(insert, s.Insert)
		}
		if want.insert != nil && strings.HasPrefix(want.insert[0], "@0x") {
			slices.Sort(want.insert)
		}
		if at != want.at || !slices.Equal(insert, want.insert) {
			t.Errorf("%q: at %d %q, want %d %q", text, at, insert, want.at, want.insert)
		}
		// Whatever is put there calls who was meant.
		for _, s := range found {
			sent, err := CallByName(text[:at]+s.Insert+" ", people)
			if keys, _ := Mentions(sent); err != nil || len(keys) == 0 || keys[len(keys)-1] != s.Key {
				t.Errorf("%q with %q: %q, %v", text, s.Insert, sent, err)
			}
		}
	}
	if _, found := Completions("@", people, 10); len(found) != len(people) {
		t.Errorf("an @ alone offers %d of %d", len(found), len(people))
	}
	for limit, want := range map[int]int{-1: 0, 0: 0, 2: 2} {
		if _, found := Completions("@", people, limit); len(found) != want {
			t.Errorf("limit %d: %d", limit, len(found))
		}
	}
}

// Proves: AP-135.
func TestShowMentions(t *testing.T) {
	t.Parallel()
	ada, _, twin, other, people := cast(t)
	name := func(pub key.Public) string {
		for _, p := range people {
			if p.Key == pub && pub != other {
				return p.Name()
			}
		}
		return ""
	}
	for text, want := range map[string]string{
		"": "", "plain @ada": "plain @ada",
		Mention(ada):                            "@ada.stateofus.eth",
		"hi " + Mention(twin) + Mention(ada):    "hi @Bobby@ada.stateofus.eth",
		Mention(other) + " stays":               Mention(other) + " stays",
		"@0x00001! @0x000011 @0x":               "@everyone! @0x000011 @0x",
		"@0x04" + strings.Repeat("11", 64):      "@0x04" + strings.Repeat("11", 64),
		Mention(ada)[:131] + " " + Mention(ada): Mention(ada)[:131] + " @ada.stateofus.eth",
	} {
		if got := ShowMentions(text, name); got != want {
			t.Errorf("%q: %q, want %q", text, got, want)
		}
	}
	if got := (Callable{Key: ada}).Name(); got != ada.String() {
		t.Errorf("without a name: %s", got)
	}
}

// Whatever is typed or received: nobody is called who is not in the text, and
// nothing but mentions changes.
func FuzzCalls(f *testing.F) {
	_, _, _, _, people := cast(f)
	for _, seed := range []string{"@Ada L @bobby", "x@@everyone, @0x00001", Mention(people[0].Key) + "@ärger"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		whole := ""
		for m := range mentions(text) {
			whole += m.before + m.text
		}
		if whole != text {
			t.Fatalf("the pieces of %q make %q", text, whole)
		}
		if at, _ := Completions(text, people, 3); at >= len(text) {
			t.Fatalf("a mention at %d of %d", at, len(text))
		}
		sent, err := CallByName(text, people)
		if err != nil {
			return
		}
		if strings.IndexByte(text, '@') < 0 && sent != text {
			t.Fatalf("%q became %q", text, sent)
		}
		again, err := CallByName(sent, people)
		if err != nil || again != sent {
			t.Fatalf("%q became %q, then %q (%v)", text, sent, again, err)
		}
	})
}

// BenchmarkCompletions is one key pressed in a group of 500.
func BenchmarkCompletions(b *testing.B) {
	_, _, _, _, few := cast(b)
	var people []Callable
	for i := range 500 {
		p := few[i%len(few)]
		p.Said = []string{fmt.Sprint("Somebody ", i), fmt.Sprint("Quick Red Fox ", i)}
		people = append(people, p)
	}
	b.ReportAllocs()
	for b.Loop() {
		if _, found := Completions("hello @qui", people, 20); len(found) != 20 {
			b.Fatal(len(found))
		}
	}
}
