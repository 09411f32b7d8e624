package chat

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/parley-im/parley/account/key"
)

// People write and read mentions by name, and messages carry keys
// (62/STATUS-PAYLOADS, Mentions): what is typed is turned into keys before it
// is sent, and keys into names when it is shown.

// Everyone is the name that mentions all who are in the chat.
const Everyone = "everyone"

// ErrNameShared means that several people go by a name that was typed, so that
// it is not plain who is meant.
var ErrNameShared = errors.New("several people go by that name")

// Callable is somebody whom a text can mention.
type Callable struct {
	Key key.Public
	// Sure are names that nobody else can take: what we call them, and an ENS
	// name that was verified. Said are the others: what they call themselves,
	// and the three words of their key. Empty ones are none.
	Sure, Said []string
}

// Name returns the best name there is: the first of Sure, else of Said, else
// the compressed key.
func (c Callable) Name() string {
	for _, name := range slices.Concat(c.Sure, c.Said) {
		if name != "" {
			return name
		}
	}
	return c.Key.String()
}

// CallByName returns a typed text as it is to be sent: @ and somebody's name
// become a mention, and so do @ and a key in any form, and @everyone. The
// longest name that fits counts, whatever its case, and of one as long that is
// sure rather than one that is not. What nobody is called stays as it is. A
// name that several share is ErrNameShared.
func CallByName(text string, people []Callable) (string, error) {
	var out strings.Builder
	for {
		at := callAt(text, out.String())
		if at < 0 {
			out.WriteString(text)
			return out.String(), nil
		}
		out.WriteString(text[:at])
		rest := text[at+1:]
		mention, size, err := called(rest, people)
		if err != nil {
			return "", err
		}
		if size == 0 {
			mention = "@"
		}
		out.WriteString(mention)
		text = rest[size:]
	}
}

// callAt returns where the next @ stands that begins a word, -1 for nowhere.
// before is what precedes the text.
func callAt(text, before string) int {
	for from := 0; ; {
		at := strings.IndexByte(text[from:], '@')
		if at < 0 {
			return -1
		}
		at += from
		last, _ := utf8.DecodeLastRuneInString(text[:at])
		if at == 0 {
			last, _ = utf8.DecodeLastRuneInString(before)
		}
		if !wordRune(last) {
			return at
		}
		from = at + 1
	}
}

func wordRune(r rune) bool {
	return r != utf8.RuneError && (unicode.IsLetter(r) || unicode.IsDigit(r) || unicode.IsMark(r) || r == '_')
}

// called returns the mention that a text begins with, without its @, and how
// many bytes of the text it takes the place of; none is 0.
func called(rest string, people []Callable) (mention string, size int, err error) {
	if n := namePrefix(rest, Everyone); n > 0 {
		return everyone, n, nil
	}
	if word := leadingWord(rest); word != "" {
		if pub, err := key.ParsePublic(word); err == nil {
			return Mention(pub), len(word), nil
		}
	}
	var who key.Public
	sure, shared := false, false
	for _, p := range people {
		for i, names := range [][]string{p.Sure, p.Said} {
			for _, name := range names {
				n := namePrefix(rest, name)
				switch {
				case n == 0 || n < size || n == size && (sure && i == 1 || p.Key == who):
				case n > size || i == 0 && !sure:
					who, size, sure, shared = p.Key, n, i == 0, false
				default:
					shared = true
				}
			}
		}
	}
	if shared {
		return "", 0, fmt.Errorf("%w: %q", ErrNameShared, rest[:size])
	}
	if size == 0 {
		return "", 0, nil
	}
	return Mention(who), size, nil
}

// leadingWord returns the letters and digits a text begins with.
func leadingWord(text string) string {
	if end := strings.IndexFunc(text, func(r rune) bool { return !wordRune(r) }); end >= 0 {
		return text[:end]
	}
	return text
}

// namePrefix returns how many bytes of a text are a name that it begins with,
// in whatever case, and that does not go on there; 0 if it does not.
func namePrefix(text, name string) int {
	if name == "" {
		return 0
	}
	end := 0
	for range name {
		_, n := utf8.DecodeRuneInString(text[end:])
		if n == 0 {
			return 0
		}
		end += n
		if end > len(text) {
			return 0
		}
	}
	if utf8.RuneCountInString(text[:end]) != utf8.RuneCountInString(name) || !strings.EqualFold(text[:end], name) {
		return 0
	}
	next, n := utf8.DecodeRuneInString(text[end:])
	if wordRune(next) {
		return 0
	}
	// A longer name or an address is another one: ada.stateofus.eth, ada-may.
	if after, _ := utf8.DecodeRuneInString(text[end+n:]); strings.ContainsRune(".-@", next) && n > 0 && wordRune(after) {
		return 0
	}
	return end
}

// Suggestion completes a mention that is being typed.
type Suggestion struct {
	Key  key.Public
	Name string
	// Insert is what takes the place of the @ and what follows it: the name
	// where CallByName finds nobody else by it, else the key.
	Insert string
}

// Completions returns what a text that ends in an unfinished mention can go on
// with, limit at most, and where in the text the mention begins, -1 if there is
// none. Somebody fits when any of their names, or a word in one, begins with
// what was typed. Names that are sure come first, then it goes by the alphabet.
func Completions(text string, people []Callable, limit int) (at int, found []Suggestion) {
	at = -1
	for from := 0; ; {
		next := callAt(text[from:], text[:from])
		if next < 0 {
			break
		}
		at, from = from+next, from+next+1
	}
	if at < 0 {
		return -1, nil
	}
	typed := text[at+1:]
	type match struct {
		Suggestion
		sure bool
		name string // in lower case
	}
	var matches []match
	for _, p := range people {
		for i, name := range slices.Concat(p.Sure, p.Said) {
			if name == "" || !beginsWord(name, typed) {
				continue
			}
			matches = append(matches, match{Suggestion{p.Key, name, "@" + name}, i < len(p.Sure), strings.ToLower(name)})
			break // one name of each will do
		}
	}
	slices.SortFunc(matches, func(a, b match) int {
		if a.sure != b.sure {
			if a.sure {
				return -1
			}
			return 1
		}
		if c := strings.Compare(a.name, b.name); c != 0 {
			return c
		}
		return strings.Compare(a.Key.Hex(), b.Key.Hex())
	})
	for _, m := range matches[:min(len(matches), max(limit, 0))] {
		if mention, size, err := called(m.Name, people); err != nil || size != len(m.Name) || mention != Mention(m.Key) {
			m.Insert = Mention(m.Key)
		}
		found = append(found, m.Suggestion)
	}
	return at, found
}

// beginsWord tells whether a name, or a word in it, begins with what was typed.
func beginsWord(name, typed string) bool {
	if !utf8.ValidString(typed) {
		return false
	}
	name, typed = strings.ToLower(name), strings.ToLower(typed)
	for {
		if strings.HasPrefix(name, typed) {
			return true
		}
		space := strings.IndexByte(name, ' ')
		if space < 0 {
			return false
		}
		name = name[space+1:]
	}
}

// ShowMentions returns a text as it is to be shown: with names for keys. name
// gives what somebody is called, empty for a key that is to stay.
func ShowMentions(text string, name func(key.Public) string) string {
	var out strings.Builder
	for m := range mentions(text) {
		out.WriteString(m.before)
		shown := m.text
		switch {
		case m.all:
			shown = "@" + Everyone
		case !m.key.IsZero():
			if called := name(m.key); called != "" {
				shown = "@" + called
			}
		}
		out.WriteString(shown)
	}
	return out.String()
}
