package account

import (
	"strings"
	"sync"
)

// aliasWords are the words that aliases are made of.
var aliasWords = sync.OnceValue(func() (words struct{ adjectives, animals map[string]bool }) {
	set := func(list []string) map[string]bool {
		m := make(map[string]bool, len(list))
		for _, w := range list {
			m[w] = true
		}
		return m
	}
	words.adjectives, words.animals = set(adjectives()), set(animals())
	return words
})

// IsAlias reports whether a name is one that Alias could generate. Nobody may
// choose such a name: it would pass for another key's.
func IsAlias(name string) bool {
	w := strings.Fields(name)
	if len(w) != 3 {
		return false
	}
	words := aliasWords()
	return words.adjectives[w[0]] && words.adjectives[w[1]] && words.animals[w[2]]
}
