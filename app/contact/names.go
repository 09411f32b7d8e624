package contact

import "github.com/parley-im/parley/app/ens"

// A shortened key shows this many characters of both ends.
const (
	shortKeyPrefix = 3
	shortKeySuffix = 6
)

// NameKind says what a name that is shown is worth.
type NameKind string

// The kinds; the texts are stable. Only a nickname and a verified ENS name say
// who somebody is, anybody can choose anybody's display name.
const (
	NameNickname NameKind = "nickname"
	NameENS      NameKind = "ens"
	NameDisplay  NameKind = "display_name"
	NameKey      NameKind = "key"
)

// Called returns what to call them and what kind of name that is: the
// nickname, else the ENS name if it was verified, else the display name, else
// the shortened compressed key (deployed clients). It is empty for nobody.
func (c Contact) Called() (name string, kind NameKind) {
	switch {
	case c.Nickname != "":
		return c.Nickname, NameNickname
	case c.ENSVerified && c.ENSName != "":
		return c.ENSName, NameENS
	case c.DisplayName != "":
		return c.DisplayName, NameDisplay
	case c.Key.IsZero():
		return "", ""
	}
	s := c.Key.String()
	return s[:shortKeyPrefix] + "…" + s[len(s)-shortKeySuffix:], NameKey
}

// Name returns what to call them; see [Contact.Called].
func (c Contact) Name() string {
	name, _ := c.Called()
	return name
}

// claim takes over the ENS name that they say is theirs, in the form that is
// shown; what is no name is none. Nobody has looked up a new one yet.
func (c *Contact) claim(name string) {
	if name = ens.Shown(name); name != c.ENSName {
		c.ENSName, c.ENSVerified = name, false
	}
}

// WithENS records what looking up a name has shown. A name that is not claimed
// any more changes nothing.
func (c Contact) WithENS(name string, verified bool) Contact {
	if name != "" && name == c.ENSName {
		c.ENSVerified = verified
	}
	return c
}

// colors are the customisation colours by id (deployed clients).
var colors = [...]string{
	"primary", "purple", "indigo", "turquoise", "blue", "green", "yellow",
	"orange", "red", "flamingo", "brown", "sky", "army", "magenta", "copper",
	"camel", "yinyang", "beige",
}

// defaultColor is shown for ids that are not known here.
const defaultColor = "blue"

// ColorName returns the word for a customisation colour; ids of later versions
// are "blue", as in deployed clients. 0 is that of the application.
func ColorName(id uint32) string {
	if id < uint32(len(colors)) {
		return colors[id]
	}
	return defaultColor
}

// ColorID returns the id of a colour, and whether there is one of that name.
func ColorID(name string) (id uint32, ok bool) {
	for i, color := range colors {
		if color == name {
			return uint32(i), true
		}
	}
	return 0, false
}
