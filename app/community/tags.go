package community

import (
	_ "embed"
	"encoding/json"
)

// Tag is one of the words that say what a community is about, with its emoji.
type Tag struct {
	Name  string `json:"name"`
	Emoji string `json:"emoji"`
}

// tagFile is the vocabulary in the order that all clients share: URLs of
// communities name a tag by its place in it (deployed clients).
//
//go:embed tags.json
var tagFile []byte

var tagTable, tagPlaces = func() ([]Tag, map[string]int) {
	var tags []Tag
	// A damaged file leaves no tags; the tests compare it with the vectors.
	_ = json.Unmarshal(tagFile, &tags)
	places := make(map[string]int, len(tags))
	for i, tag := range tags {
		places[tag.Name] = i
	}
	return tags, places
}()

// Tags returns the vocabulary in its order.
func Tags() []Tag { return append([]Tag(nil), tagTable...) }

// TagIndex returns a tag's place in the vocabulary.
func TagIndex(name string) (int, bool) {
	i, ok := tagPlaces[name]
	return i, ok
}

// TagAt returns the tag at a place in the vocabulary.
func TagAt(index int) (Tag, bool) {
	if index < 0 || index >= len(tagTable) {
		return Tag{}, false
	}
	return tagTable[index], true
}

// knownTags leaves out what is not in the vocabulary or comes twice.
func knownTags(names []string) []string {
	var known []string
	seen := make(map[string]bool, len(names))
	for _, name := range names {
		if _, ok := tagPlaces[name]; ok && !seen[name] {
			seen[name] = true
			known = append(known, name)
		}
	}
	return known
}
