package conformance

import (
	"fmt"
	"strings"
)

// introduction opens docs/conformance.md.
const introduction = `# Conformance

What the specifications ask, and the tests that prove that Parley does it.
[requirements.csv](../conformance/requirements.csv) holds one line for each
obligation: those of the Status protocol stack (SP) and those of the application
specifications (AP), with a note where deployed clients differ.
A requirement counts as *proven* when a test names it in its doc comment,
*declined* when it will not be done and
[status.csv](../conformance/status.csv) says why, and *open* otherwise, even if the
code may do it.

This page is written by ` + "`go test ./conformance -update`" + `; a test checks that it is current.
`

// Page returns docs/conformance.md: the counts for each specification and
// level, what is declined and why, and every proof.
func Page(list []Requirement, recorded []Status) string {
	status := make(map[string]Status)
	for _, s := range recorded {
		status[s.ID] = s
	}
	var page strings.Builder
	page.WriteString(introduction)

	page.WriteString("\n## Counts\n\n| specification | level | proven | open | declined | all |\n|---|---|--:|--:|--:|--:|\n")
	total := make(map[State]int)
	for _, spec := range specs(list) {
		for _, level := range levels {
			count := make(map[State]int)
			for _, q := range list {
				if q.Spec == spec && q.Level == level {
					count[status[q.ID].State]++
					total[status[q.ID].State]++
				}
			}
			if len(count) > 0 {
				fmt.Fprintf(&page, "| %s | %s | %s |\n", spec, level, counts(count))
			}
		}
	}
	fmt.Fprintf(&page, "| **all** | | %s |\n", counts(total))

	section(&page, "Declined", "why", list, func(id string) (string, bool) {
		return status[id].Reason, status[id].State == Declined
	})
	section(&page, "Proven", "tests", list, func(id string) (string, bool) {
		var tests []string
		for _, t := range status[id].Tests {
			tests = append(tests, fmt.Sprintf("`%s` in %s", t.Name, t.Package))
		}
		return strings.Join(tests, ", "), status[id].State == Proven
	})
	return page.String()
}

// section writes a table of the requirements that column has something for,
// and nothing when there are none.
func section(page *strings.Builder, title, heading string, list []Requirement, column func(id string) (string, bool)) {
	begun := false
	for _, q := range list {
		text, ok := column(q.ID)
		if !ok {
			continue
		}
		if !begun {
			fmt.Fprintf(page, "\n## %s\n\n| id | level | requirement | %s |\n|---|---|---|---|\n", title, heading)
			begun = true
		}
		fmt.Fprintf(page, "| %s | %s | %s | %s |\n", q.ID, q.Level, cell(q.Text), cell(text))
	}
}

// specs returns the specifications in the order of the list.
func specs(list []Requirement) []string {
	var names []string
	seen := make(map[string]bool)
	for _, q := range list {
		if !seen[q.Spec] {
			seen[q.Spec] = true
			names = append(names, q.Spec)
		}
	}
	return names
}

func counts(n map[State]int) string {
	return fmt.Sprintf("%d | %d | %d | %d", n[Proven], n[Open], n[Declined], n[Proven]+n[Open]+n[Declined])
}

// cell makes text fit into a cell of a table.
func cell(text string) string {
	return strings.NewReplacer("|", `\|`, "<", "&lt;", "*", `\*`, "\n", " ").Replace(text)
}
