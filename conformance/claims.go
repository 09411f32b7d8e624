package conformance

import (
	"cmp"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"path"
	"regexp"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"
)

// Test is a test function of the module.
type Test struct {
	// Package is the folder of its package, from the module's root.
	Package string
	Name    string
}

// String returns "package:Test".
func (t Test) String() string { return t.Package + ":" + t.Name }

var (
	idPattern   = regexp.MustCompile(`^(?:SP|AP)-[0-9]+$`)
	claimsStart = regexp.MustCompile(`^(?i:proves)\s*:`)
	claimsLine  = regexp.MustCompile(`^Proves: ([A-Z]+-[0-9]+(?:, [A-Z]+-[0-9]+)*)\.$`)
)

func isID(s string) bool { return idPattern.MatchString(s) }

// Claims reads the "Proves:" lines of all test files of the module at the root
// of tree and returns, for each id, the tests that claim to prove it, sorted.
// The error joins every line that claims nothing: one of another form, or one
// outside the doc comment of a test.
func Claims(tree fs.FS) (map[string][]Test, error) {
	claims := make(map[string][]Test)
	var problems problems
	err := fs.WalkDir(tree, ".", func(name string, entry fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case entry.IsDir():
			if name != "." && (strings.HasPrefix(entry.Name(), ".") || entry.Name() == "testdata" || isModule(tree, name)) {
				return fs.SkipDir
			}
			return nil
		case !strings.HasSuffix(name, "_test.go"):
			return nil
		}
		return readClaims(tree, name, claims, &problems)
	})
	if err != nil {
		return nil, err
	}
	for id, tests := range claims {
		slices.SortFunc(tests, func(a, b Test) int {
			return cmp.Or(strings.Compare(a.Package, b.Package), strings.Compare(a.Name, b.Name))
		})
		claims[id] = slices.Compact(tests)
	}
	return claims, problems.join()
}

func readClaims(tree fs.FS, name string, claims map[string][]Test, problems *problems) error {
	source, err := fs.ReadFile(tree, name)
	if err != nil {
		return err
	}
	positions := token.NewFileSet()
	file, err := parser.ParseFile(positions, name, source, parser.ParseComments|parser.SkipObjectResolution)
	if err != nil {
		return err
	}
	tests := make(map[*ast.CommentGroup]string)
	for _, decl := range file.Decls {
		if f, ok := decl.(*ast.FuncDecl); ok && f.Doc != nil && isTest(f) {
			tests[f.Doc] = f.Name.Name
		}
	}
	for _, group := range file.Comments {
		for _, comment := range group.List {
			for offset, line := range strings.Split(comment.Text, "\n") {
				line = strings.TrimSpace(strings.Trim(line, "/*"))
				if !claimsStart.MatchString(line) {
					continue
				}
				where := fmt.Sprintf("%s:%d", name, positions.Position(comment.Pos()).Line+offset)
				match := claimsLine.FindStringSubmatch(line)
				test := tests[group]
				switch {
				case match == nil:
					problems.add("%s: %q is not of the form \"Proves: SP-1, SP-2.\"", where, line)
				case test == "":
					problems.add("%s: %q is not in the doc comment of a test", where, line)
				default:
					for id := range strings.SplitSeq(match[1], ", ") {
						claims[id] = append(claims[id], Test{path.Dir(name), test})
					}
				}
			}
		}
	}
	return nil
}

// isTest says whether go test runs the function: TestX(*testing.T).
func isTest(f *ast.FuncDecl) bool {
	rest, ok := strings.CutPrefix(f.Name.Name, "Test")
	first, _ := utf8.DecodeRuneInString(rest)
	if !ok || f.Recv != nil || unicode.IsLower(first) || f.Type.Params.NumFields() != 1 {
		return false
	}
	star, ok := f.Type.Params.List[0].Type.(*ast.StarExpr)
	if !ok {
		return false
	}
	t, ok := star.X.(*ast.SelectorExpr)
	return ok && t.Sel.Name == "T"
}

// isModule says whether a folder is a module of its own, whose tests go test
// ./... does not run.
func isModule(tree fs.FS, folder string) bool {
	_, err := fs.Stat(tree, path.Join(folder, "go.mod"))
	return err == nil
}
