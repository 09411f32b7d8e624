package conformance

import (
	"errors"
	"fmt"
	"maps"
	"slices"
)

// problems collects what is wrong, so that one run shows all of it.
type problems []error

func (p *problems) add(format string, args ...any) { *p = append(*p, fmt.Errorf(format, args...)) }

func (p problems) join() error { return errors.Join(p...) }

// Check compares the three sources. It returns nil only if every requirement
// has one status in the same order, every claimed id exists, what status.csv
// calls proven is claimed by just the tests it names, nothing claimed is open
// or declined, and what is declined has a reason.
func Check(list []Requirement, recorded []Status, claims map[string][]Test) error {
	var problems problems
	if !slices.EqualFunc(list, recorded, func(q Requirement, s Status) bool { return q.ID == s.ID }) {
		problems.add("status.csv does not name the ids of requirements.csv, each once and in the same order")
	}
	known := make(map[string]bool)
	for _, q := range list {
		known[q.ID] = true
	}
	for _, id := range slices.Sorted(maps.Keys(claims)) {
		if !known[id] {
			problems.add("%s: no such requirement, claimed by %v", id, claims[id])
		}
	}
	for _, s := range recorded {
		proofs := claims[s.ID]
		switch {
		case s.State == Declined && s.Reason == "":
			problems.add("%s: declined without a reason", s.ID)
		case s.State == Declined && len(proofs) > 0:
			problems.add("%s: declined, and yet proven by %v", s.ID, proofs)
		case s.State == Proven && len(proofs) == 0:
			problems.add("%s: said to be proven, and no test claims it (before: %v)", s.ID, s.Tests)
		case s.State == Open && len(proofs) > 0:
			problems.add("%s: said to be open, and proven by %v: run go test ./conformance -update", s.ID, proofs)
		case !slices.Equal(s.Tests, proofs):
			problems.add("%s: proven by %v, recorded are %v: run go test ./conformance -update", s.ID, proofs, s.Tests)
		}
	}
	return problems.join()
}

// Update returns the statuses with what the tests now prove. It never takes
// anything back: a requirement that lost its last test stays "proven" and
// Check goes on complaining, until somebody decides to edit status.csv.
func Update(list []Requirement, recorded []Status, claims map[string][]Test) []Status {
	before := make(map[string]Status)
	for _, s := range recorded {
		before[s.ID] = s
	}
	updated := make([]Status, len(list))
	for i, q := range list {
		s, ok := before[q.ID]
		if !ok {
			s = Status{ID: q.ID, State: Open}
		}
		if proofs := claims[q.ID]; len(proofs) > 0 && s.State != Declined {
			s.State, s.Tests = Proven, proofs
		}
		updated[i] = s
	}
	return updated
}
