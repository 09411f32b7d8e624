package house

import (
	"fmt"
	"slices"
	"strings"
)

// tiers lists the rooms of the module from the top down; an import may go to
// a lower tier only. A room is a folder with everything below it, the longest
// name that fits wins, and "." is the package in the module's root.
var tiers = [][]string{
	{"conformance", "interop", "bench", "internal/house"}, // look at all, used by none
	{"cmd"},
	{"cmd/parley/internal/demo", "bench/sim"}, // what parley demo and parley bench play, kept out of the binary's own files
	{"server", "tui"},
	{"."},
	{"stack"},
	{"app", "encryption", "reliability", "storage", "waku"},
	{"account"},
	{"account/key", "internal", "pb"},
}

// beside lists the imports that stay within one tier and are right all the
// same.
var beside = map[string][]string{
	"storage":     {"app"},               // keeps its values, knows none of its rules
	"account/key": {"internal"},          // fault, vectors
	"internal":    {"account/key", "pb"}, // frames of protobuf messages
}

// layers are the four of the protocol stack.
var layers = []string{"app", "encryption", "reliability", "waku"}

// wireFormats says whose messages a folder of pb holds: a layer knows no wire
// format but its own.
var wireFormats = map[string]string{
	"pb/app":         "app",
	"pb/encryption":  "encryption",
	"pb/reliability": "reliability",
	"pb/storage":     "storage",
	"pb/waku":        "waku",
}

// Imports returns a problem for every import between two packages of the
// module that points up, or sideways between two rooms of one tier, and for
// every layer that reads another layer's wire format, tests aside: those may
// look at what bytes stand for.
func Imports(m *Module) []Problem {
	var problems []Problem
	for _, f := range m.Files {
		for _, path := range f.Imports {
			to, inside := m.relative(path)
			if !inside {
				continue
			}
			if why := edge(f, to); why != "" {
				problems = append(problems, Problem{f.Name, fmt.Sprintf("%s imports %s: %s", f.Package, to, why)})
			}
		}
	}
	return problems
}

// edge says what is wrong with an import, or nothing.
func edge(f File, to string) string {
	from := f.Package
	fromRoom, fromTier := room(from)
	toRoom, toTier := room(to)
	switch {
	case fromRoom == "":
		return fmt.Sprintf("%s has no place in the house; give it one in internal/house/layers.go", from)
	case toRoom == "":
		return fmt.Sprintf("%s has no place in the house; give it one in internal/house/layers.go", to)
	case fromTier > toTier:
		return fmt.Sprintf("points up from %s to %s", fromRoom, toRoom)
	case fromTier == toTier && fromRoom != toRoom && !slices.Contains(beside[fromRoom], toRoom):
		return fmt.Sprintf("points sideways from %s to %s", fromRoom, toRoom)
	}
	if owner := wireFormats[under(to, wireFormats)]; owner != "" && !f.Test && fromRoom != owner && slices.Contains(layers, fromRoom) {
		return fmt.Sprintf("the wire format of %s is none of %s's business", owner, fromRoom)
	}
	return ""
}

// room returns the room of a package and its tier, counted from the top; ""
// when it has none.
func room(pkg string) (name string, tier int) {
	for t, rooms := range tiers {
		for _, r := range rooms {
			if (pkg == r || r != "." && strings.HasPrefix(pkg, r+"/")) && len(r) > len(name) {
				name, tier = r, t
			}
		}
	}
	return name, tier
}

// under returns the key of folders that holds pkg, or "".
func under[T any](pkg string, folders map[string]T) string {
	for folder := range folders {
		if pkg == folder || strings.HasPrefix(pkg, folder+"/") {
			return folder
		}
	}
	return ""
}
