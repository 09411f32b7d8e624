package house

import (
	"fmt"
	"go/ast"
	"path"
	"strconv"
	"strings"
)

// cores are the folders of the protocol cores: no goroutine, no clock, no
// socket, no file, no log, no randomness of their own, no global state.
var cores = map[string]bool{
	"app":          true,
	"encryption":   true,
	"reliability":  true,
	"waku/message": true,
	"waku/payload": true,
	"waku/segment": true,
	"waku/topic":   true,
}

// outside are the packages through which a core would touch the world; an
// entry stands for everything below it too.
var outside = map[string]string{
	"net":          "a core has no socket",
	"os":           "a core knows no files, environment or processes",
	"syscall":      "a core knows no operating system",
	"log":          "a core does not log: what happened is a returned value",
	"database/sql": "a core keeps state in a kv.Store",
	"crypto/rand":  "randomness is an argument (io.Reader)",
	"context":      "a core never waits, so there is nothing to cancel",

	"github.com/libp2p": "a core has no socket",
}

// pure are packages below those that only take texts apart.
var pure = map[string]bool{"net/url": true, "net/netip": true}

// calls are the functions that a core may not name, by import path.
var calls = map[string]map[string]string{
	"time": {
		"Now":       "the time is an argument",
		"Since":     "the time is an argument",
		"Until":     "the time is an argument",
		"Sleep":     "a core never waits",
		"After":     "a core never waits",
		"AfterFunc": "a core never waits",
		"Tick":      "a core never waits",
		"NewTimer":  "a core never waits",
		"NewTicker": "a core never waits",
	},
	"fmt": {
		"Print":   "a core does not print",
		"Printf":  "a core does not print",
		"Println": "a core does not print",
	},
}

// SansIO returns a problem for everything in a protocol core, tests aside,
// that reaches for a clock, the network, files, logs, goroutines, global
// randomness, or that guards shared state of the package.
func SansIO(m *Module) []Problem {
	var problems []Problem
	for _, f := range m.Files {
		if f.Test || f.Generated || under(f.Package, cores) == "" {
			continue
		}
		problems = append(problems, m.impure(f)...)
	}
	return problems
}

func (m *Module) impure(f File) []Problem {
	var problems []Problem
	report := func(n ast.Node, format string, args ...any) {
		problems = append(problems, Problem{m.at(n), fmt.Sprintf(format, args...)})
	}
	names := f.names()
	for i, spec := range f.syntax.Imports {
		if why := outside[under(f.Imports[i], outside)]; why != "" && !pure[f.Imports[i]] {
			report(spec, "imports %s: %s", f.Imports[i], why)
		}
		if spec.Name != nil && spec.Name.Name == "." {
			report(spec, "imports %s into its own names, which hides what it calls", f.Imports[i])
		}
	}
	ast.Inspect(f.syntax, func(n ast.Node) bool {
		switch n := n.(type) {
		case *ast.GoStmt:
			report(n, "starts a goroutine: a core is driven by its caller")
		case *ast.SelectorExpr:
			if imported, name := member(n, names); imported != "" {
				if why := calls[imported][name]; why != "" {
					report(n, "%s.%s: %s", imported, name, why)
				}
				if isMathRand(imported) && ast.IsExported(name) && !seeded[name] {
					report(n, "%s.%s: randomness is an argument", imported, name)
				}
			}
		}
		return true
	})
	for _, decl := range f.syntax.Decls {
		if decl, ok := decl.(*ast.GenDecl); ok {
			for _, spec := range decl.Specs {
				if spec, ok := spec.(*ast.ValueSpec); ok && guarded(spec, names) {
					report(spec, "%s is state shared by the whole program: make it a value that the caller owns", spec.Names[0].Name)
				}
			}
		}
	}
	return problems
}

// member resolves pkg.Name to the import path and the name; shadowing of a
// package name by a variable is not looked for.
func member(s *ast.SelectorExpr, names map[string]string) (imported, name string) {
	if x, ok := s.X.(*ast.Ident); ok {
		return names[x.Name], s.Sel.Name
	}
	return "", ""
}

// seeded are the names of math/rand and math/rand/v2 that carry no hidden
// source.
var seeded = map[string]bool{
	"New": true, "NewPCG": true, "NewChaCha8": true, "NewSource": true, "NewZipf": true,
	"Rand": true, "Source": true, "PCG": true, "ChaCha8": true, "Zipf": true,
}

func isMathRand(imported string) bool {
	return imported == "math/rand" || imported == "math/rand/v2"
}

// guarded says whether a variable of the package is of a type that only
// changing state needs: a lock or a concurrent map.
func guarded(spec *ast.ValueSpec, names map[string]string) bool {
	found := false
	look := func(n ast.Node) bool {
		if _, ok := n.(*ast.FuncLit); ok {
			return false
		}
		if s, ok := n.(*ast.SelectorExpr); ok {
			imported, name := member(s, names)
			found = found || imported == "sync/atomic" ||
				imported == "sync" && (name == "Mutex" || name == "RWMutex" || name == "Map")
		}
		return true
	}
	if spec.Type != nil {
		ast.Inspect(spec.Type, look)
	}
	for _, v := range spec.Values {
		ast.Inspect(v, look)
	}
	return found
}

// names maps the name under which a file knows each import to its path.
func (f File) names() map[string]string {
	names := make(map[string]string)
	for i, spec := range f.syntax.Imports {
		name := packageName(f.Imports[i])
		if spec.Name != nil {
			name = spec.Name.Name
		}
		names[name] = f.Imports[i]
	}
	return names
}

// packageName guesses the name of a package from its path: the last element
// that is not a version.
func packageName(imported string) string {
	base := path.Base(imported)
	if _, err := strconv.Atoi(strings.TrimPrefix(base, "v")); err == nil && path.Dir(imported) != "." {
		base = path.Base(path.Dir(imported))
	}
	return base
}
