package house

import (
	"bytes"
	"errors"
	"fmt"
	"go/ast"
	"io"
	"io/fs"
	"regexp"
)

// MaxLines is how long a hand-written Go file may be. A longer one lacks a
// room.
const MaxLines = 600

// Length returns a problem for every hand-written Go file above MaxLines.
func Length(m *Module) []Problem {
	var problems []Problem
	for _, f := range m.Files {
		if !f.Generated && f.Lines > MaxLines {
			problems = append(problems, Problem{f.Name, fmt.Sprintf("%d lines, at most %d", f.Lines, MaxLines)})
		}
	}
	return problems
}

// Sleeping returns a problem for every time.Sleep in a test: a test waits for
// the event itself, and moves a fake clock (testing/synctest) by a timer.
func Sleeping(m *Module) []Problem {
	var problems []Problem
	for _, f := range m.Files {
		if !f.Test {
			continue
		}
		names := f.names()
		ast.Inspect(f.syntax, func(n ast.Node) bool {
			if s, ok := n.(*ast.SelectorExpr); ok {
				if imported, name := member(s, names); imported == "time" && name == "Sleep" {
					problems = append(problems, Problem{m.at(s), "time.Sleep in a test: wait for the event itself, or for a timer of a fake clock"})
				}
			}
			return true
		})
	}
	return problems
}

// machinePaths match what belongs to one machine and not to the project:
// folders of a person or a workplace, and settings of a package proxy. The
// character classes keep this file from matching itself.
var machinePaths = []*regexp.Regexp{
	regexp.MustCompile(`(?m)(?:^|[^\w.~/-])/(?:[w]ork|[r]oot|[U]sers/\w+|[h]ome/\w+)/`),
	regexp.MustCompile(`\bG(?:O)(?:PROXY|SUMDB|NOSUMDB|PRIVATE|INSECURE)\s*=`),
	regexp.MustCompile(`(?:[p]roxy|[s]um)\.golang\.org`),
}

// Portable returns a problem for every line of a text file, testdata aside,
// that names a folder of one machine or a package proxy.
func Portable(tree fs.FS) ([]Problem, error) {
	var problems []Problem
	err := fs.WalkDir(tree, ".", func(name string, entry fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case entry.IsDir() && name != ".ci" && skipped(name):
			return fs.SkipDir
		case !entry.Type().IsRegular():
			return nil
		}
		text, err := readText(tree, name)
		if err != nil {
			return err
		}
		for _, pattern := range machinePaths {
			if at := pattern.FindIndex(text); at != nil {
				line := 1 + bytes.Count(text[:at[0]+1], []byte("\n"))
				problems = append(problems, Problem{fmt.Sprintf("%s:%d", name, line),
					fmt.Sprintf("%q belongs to one machine", bytes.TrimSpace(text[at[0]:at[1]]))})
			}
		}
		return nil
	})
	return problems, err
}

// requirement is a line of go.mod that requires a module directly.
var requirement = regexp.MustCompile(`(?m)^(?:require)?\s+([\w.-]+\.\w+/\S+|[\w-]+(?:\.[\w-]+)+) v\S+$`)

// Explained returns a problem for every direct dependency that
// docs/dependencies.md does not name.
func Explained(tree fs.FS) ([]Problem, error) {
	mod, err := fs.ReadFile(tree, "go.mod")
	if err != nil {
		return nil, err
	}
	const page = "docs/dependencies.md"
	text, err := fs.ReadFile(tree, page)
	if err != nil {
		return nil, err
	}
	var problems []Problem
	for _, match := range requirement.FindAllSubmatch(mod, -1) {
		name := regexp.MustCompile(`[\s|]` + regexp.QuoteMeta(string(match[1])) + `[\s,|]`)
		if !name.Match(text) {
			problems = append(problems, Problem{page, fmt.Sprintf("says nothing about %s", match[1])})
		}
	}
	return problems, nil
}

// readText returns the content of a file, nothing when it is a binary one.
func readText(tree fs.FS, name string) ([]byte, error) {
	f, err := tree.Open(name)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	head := make([]byte, 8000)
	n, err := io.ReadFull(f, head)
	if err != nil && !errors.Is(err, io.EOF) && !errors.Is(err, io.ErrUnexpectedEOF) {
		return nil, err
	}
	if bytes.IndexByte(head[:n], 0) >= 0 {
		return nil, nil
	}
	rest, err := io.ReadAll(f)
	return append(head[:n], rest...), err
}
