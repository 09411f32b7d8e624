// Package conformance keeps the list of what the specifications ask and what
// of it is proven: requirements.csv holds one line for each obligation,
// status.csv what became of it, and tests say in their doc comments which
// obligations they prove, in a line of exactly this form:
//
//	// Proves: SP-32, SP-35.
//
// The package's test fails when the three disagree. To write what the tests
// now prove into status.csv and docs/conformance.md:
//
//	go test ./conformance -update
package conformance

import (
	_ "embed"
	"encoding/csv"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
)

// Requirement is one obligation of a specification.
type Requirement struct {
	// ID is "SP-" or "AP-" and a number; it never changes.
	ID string
	// Level is MUST, MUST NOT, SHOULD, SHOULD NOT or MAY, as in RFC 2119.
	Level   string
	Spec    string
	Section string
	Text    string
	// Note tells what deployed clients do differently, and where the text
	// itself is unclear; may be empty.
	Note string
}

// State is what became of a requirement.
type State string

// The states.
const (
	Proven   State = "proven"   // at least one test proves it
	Open     State = "open"     // not done, or done without a test
	Declined State = "declined" // will not be done; the reason says why
)

// Status is one line of status.csv.
type Status struct {
	ID    string
	State State
	// Reason says why a requirement is declined.
	Reason string
	// Tests names what proves it, sorted.
	Tests []Test
}

//go:embed requirements.csv
var requirements string

//go:embed status.csv
var statuses string

// Requirements returns all requirements in the order of the list.
func Requirements() ([]Requirement, error) { return readRequirements(strings.NewReader(requirements)) }

// Statuses returns what became of each requirement, as last recorded.
func Statuses() ([]Status, error) { return readStatuses(strings.NewReader(statuses)) }

var (
	requirementColumns = []string{"id", "level", "spec", "section", "requirement", "note"}
	statusColumns      = []string{"id", "status", "reason", "tests"}
	levels             = []string{"MUST", "MUST NOT", "SHOULD", "SHOULD NOT", "MAY"}
)

func readRequirements(r io.Reader) ([]Requirement, error) {
	rows, err := table(r, requirementColumns)
	if err != nil {
		return nil, fmt.Errorf("requirements: %w", err)
	}
	list := make([]Requirement, len(rows))
	known := make(map[string]bool)
	for i, row := range rows {
		q := Requirement{row[0], row[1], row[2], row[3], row[4], row[5]}
		switch {
		case !isID(q.ID):
			return nil, fmt.Errorf("requirements: %q is no id", q.ID)
		case known[q.ID]:
			return nil, fmt.Errorf("requirements: %s is there twice", q.ID)
		case !slices.Contains(levels, q.Level):
			return nil, fmt.Errorf("requirements: %s: %q is no level", q.ID, q.Level)
		case q.Spec == "" || q.Text == "":
			return nil, fmt.Errorf("requirements: %s lacks its source or its text", q.ID)
		}
		known[q.ID] = true
		list[i] = q
	}
	return list, nil
}

func readStatuses(r io.Reader) ([]Status, error) {
	rows, err := table(r, statusColumns)
	if err != nil {
		return nil, fmt.Errorf("status: %w", err)
	}
	list := make([]Status, len(rows))
	for i, row := range rows {
		s := Status{ID: row[0], State: State(row[1]), Reason: row[2]}
		for _, test := range strings.Fields(row[3]) {
			pkg, name, ok := strings.Cut(test, ":")
			if !ok {
				return nil, fmt.Errorf("status: %s: %q is not package:Test", s.ID, test)
			}
			s.Tests = append(s.Tests, Test{pkg, name})
		}
		switch s.State {
		case Proven, Open, Declined:
		default:
			return nil, fmt.Errorf("status: %s: %q is no state", s.ID, s.State)
		}
		list[i] = s
	}
	return list, nil
}

// table reads a CSV file with a heading and gives the rows below it.
func table(r io.Reader, columns []string) ([][]string, error) {
	reader := csv.NewReader(r)
	reader.FieldsPerRecord = len(columns)
	rows, err := reader.ReadAll()
	if err != nil {
		return nil, err
	}
	if len(rows) == 0 || !slices.Equal(rows[0], columns) {
		return nil, errors.New("the columns are not " + strings.Join(columns, ", "))
	}
	return rows[1:], nil
}

// writeStatuses writes what readStatuses reads.
func writeStatuses(w io.Writer, list []Status) error {
	out := csv.NewWriter(w)
	rows := [][]string{statusColumns}
	for _, s := range list {
		tests := make([]string, len(s.Tests))
		for i, t := range s.Tests {
			tests[i] = t.String()
		}
		rows = append(rows, []string{s.ID, string(s.State), s.Reason, strings.Join(tests, " ")})
	}
	return out.WriteAll(rows)
}
