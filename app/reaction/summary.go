package reaction

import (
	"bytes"
	"cmp"
	"slices"

	"github.com/parley-im/parley/account/key"
)

// Summary is what a message shows of its reactions with one emoji.
type Summary struct {
	// Emoji is the emoji itself, Code its code points.
	Emoji string `json:"emoji"`
	Code  Emoji  `json:"code"`
	Count int    `json:"count"`
	// Who reacted, the first of them first; Self tells whether we did.
	Who  []key.Public `json:"who"`
	Self bool         `json:"self,omitempty"`
}

// Summarize adds up the reactions to one message, at most one of each ID. The
// emoji that was there first comes first; beyond MaxDistinct they are left out.
// The outcome does not depend on the order of the argument.
func Summarize(all []Reaction, self key.Public) []Summary {
	held := make([]Reaction, 0, len(all))
	for _, r := range all {
		if !r.Retracted {
			held = append(held, r)
		}
	}
	slices.SortFunc(held, func(a, b Reaction) int {
		return cmp.Or(cmp.Compare(a.Clock, b.Clock), bytes.Compare(a.From.Bytes(), b.From.Bytes()),
			cmp.Compare(a.Emoji.Same(), b.Emoji.Same()), cmp.Compare(a.Emoji, b.Emoji))
	})
	var out []Summary
	at := make(map[Emoji]int)
	for _, r := range held {
		same := r.Emoji.Same()
		i, ok := at[same]
		if !ok {
			if len(out) == MaxDistinct {
				continue
			}
			i = len(out)
			at[same] = i
			out = append(out, Summary{Emoji: r.Emoji.String(), Code: r.Emoji})
		}
		out[i].Count++
		out[i].Who = append(out[i].Who, r.From)
		out[i].Self = out[i].Self || r.From == self
	}
	return out
}
