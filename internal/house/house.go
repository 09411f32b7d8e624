// Package house checks the rules of the house that a compiler cannot: imports
// point down, protocol cores are sans-I/O, files stay small, tests do not
// sleep, and no file names the machine it was written on. docs/architecture.md
// says what the rules are for. The checks read a tree of files, so that each
// of them is itself tested on small trees that break it.
package house

import (
	"bytes"
	"errors"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"path"
	"regexp"
	"strconv"
	"strings"
)

// Problem is one place that breaks a rule.
type Problem struct {
	// Where is a file, with ":line" where there is one.
	Where string
	// What says which rule and why.
	What string
}

// String returns "where: what".
func (p Problem) String() string { return p.Where + ": " + p.What }

// File is one Go file of the module.
type File struct {
	// Name is its path from the module's root.
	Name string
	// Package is the folder it is in, "." for the root.
	Package   string
	Test      bool
	Generated bool
	Lines     int
	Imports   []string

	syntax *ast.File
}

// Module is all Go files of a module, without those of nested modules.
type Module struct {
	// Path is the module's import path.
	Path  string
	Files []File

	positions *token.FileSet
}

var (
	moduleLine    = regexp.MustCompile(`(?m)^module\s+(\S+)`)
	generatedLine = regexp.MustCompile(`(?m)^// Code generated .* DO NOT EDIT\.$`)
)

// Load reads the module whose go.mod lies at the root of tree.
func Load(tree fs.FS) (*Module, error) {
	mod, err := fs.ReadFile(tree, "go.mod")
	if err != nil {
		return nil, err
	}
	name := moduleLine.FindSubmatch(mod)
	if name == nil {
		return nil, errors.New("go.mod names no module")
	}
	m := &Module{Path: string(name[1]), positions: token.NewFileSet()}
	err = fs.WalkDir(tree, ".", func(name string, entry fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case entry.IsDir():
			if skipped(name) || nested(tree, name) {
				return fs.SkipDir
			}
			return nil
		case !strings.HasSuffix(name, ".go"):
			return nil
		}
		return m.add(tree, name)
	})
	return m, err
}

func (m *Module) add(tree fs.FS, name string) error {
	source, err := fs.ReadFile(tree, name)
	if err != nil {
		return err
	}
	f := File{
		Name:      name,
		Package:   path.Dir(name),
		Test:      strings.HasSuffix(name, "_test.go"),
		Generated: generatedLine.Match(source),
		Lines:     bytes.Count(source, []byte("\n")),
	}
	// Generated files are long, and only their imports are of interest.
	mode := parser.SkipObjectResolution
	if f.Generated {
		mode |= parser.ImportsOnly
	}
	f.syntax, err = parser.ParseFile(m.positions, name, source, mode)
	if err != nil {
		return err
	}
	for _, spec := range f.syntax.Imports {
		imported, err := strconv.Unquote(spec.Path.Value)
		if err != nil {
			return fmt.Errorf("%s: import %s: %w", name, spec.Path.Value, err)
		}
		f.Imports = append(f.Imports, imported)
	}
	m.Files = append(m.Files, f)
	return nil
}

// relative returns the folder of an import path, and whether it belongs to
// the module.
func (m *Module) relative(imported string) (string, bool) {
	if imported == m.Path {
		return ".", true
	}
	return strings.CutPrefix(imported, m.Path+"/")
}

// at returns the place of a piece of syntax as "file:line".
func (m *Module) at(n ast.Node) string {
	p := m.positions.Position(n.Pos())
	return fmt.Sprintf("%s:%d", p.Filename, p.Line)
}

// skipped says whether a folder holds no code of the module: hidden, testdata,
// or what a build puts down.
func skipped(folder string) bool {
	base := path.Base(folder)
	return base != "." && (strings.HasPrefix(base, ".") || strings.HasPrefix(base, "_") ||
		base == "testdata" || base == "dist" || base == "node_modules")
}

// nested says whether a folder is a module of its own.
func nested(tree fs.FS, folder string) bool {
	if folder == "." {
		return false
	}
	_, err := fs.Stat(tree, path.Join(folder, "go.mod"))
	return err == nil
}
