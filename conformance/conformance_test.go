package conformance

import (
	"bytes"
	"flag"
	"os"
	"strings"
	"testing"
	"testing/fstest"
)

const (
	root = ".."
	page = "../docs/conformance.md"
)

var update = flag.Bool("update", false, "write what the tests prove into status.csv and docs/conformance.md")

// TestConformance compares the lists with the tests of the whole module, and
// brings them up to date when asked to.
func TestConformance(t *testing.T) {
	claims, err := Claims(os.DirFS(root))
	if err != nil {
		t.Fatal(err)
	}
	list, err := Requirements()
	if err != nil {
		t.Fatal(err)
	}
	recorded, err := Statuses()
	if err != nil {
		t.Fatal(err)
	}
	if *update {
		recorded = Update(list, recorded, claims)
		var file bytes.Buffer
		if err := writeStatuses(&file, recorded); err != nil {
			t.Fatal(err)
		}
		write(t, "status.csv", file.Bytes())
		write(t, page, []byte(Page(list, recorded)))
	}
	if err := Check(list, recorded, claims); err != nil {
		t.Error(err)
	}
	have, err := os.ReadFile(page)
	if err != nil {
		t.Fatal(err)
	}
	if string(have) != Page(list, recorded) {
		t.Error("docs/conformance.md is not current: run go test ./conformance -update")
	}
}

func write(t *testing.T, name string, content []byte) {
	t.Helper()
	if err := os.WriteFile(name, content, 0o644); err != nil {
		t.Fatal(err)
	}
}

func TestClaims(t *testing.T) {
	t.Parallel()
	claims, err := Claims(tree(map[string]string{
		"go.mod": "module m\n",
		"a/x.go": "package a\n\n// Proves: SP-1.\nfunc TestNot() {}\n",
		"a/x_test.go": `package a

import "testing"

// TestOne does it.
//
// Proves: SP-1, AP-2.
func TestOne(t *testing.T) { _ = "// Proves: SP-9." }

// TestTwo does it too. It mentions what it proves: nothing new.
//
// Proves: SP-1.
// Proves: AP-3.
func TestTwo(t *testing.T) {}
`,
		"b/x_test.go":          "package b\n\nimport \"testing\"\n\n/*\nTest is short.\n\nProves: SP-1.\n*/\nfunc Test(t *testing.T) {}\n",
		"c/testdata/x_test.go": "package c\n\n// Proves: nonsense\n",
		".d/x_test.go":         "package d\n\n// Proves: nonsense\n",
		"e/go.mod":             "module m/e\n",
		"e/x_test.go":          "package e\n\n// Proves: nonsense\n",
	}))
	if err != nil {
		t.Fatal(err)
	}
	if len(claims) != 3 {
		t.Errorf("ids: %v", claims)
	}
	for id, want := range map[string]string{
		"SP-1": "a:TestOne a:TestTwo b:Test",
		"AP-2": "a:TestOne",
		"AP-3": "a:TestTwo",
	} {
		var have []string
		for _, test := range claims[id] {
			have = append(have, test.String())
		}
		if strings.Join(have, " ") != want {
			t.Errorf("%s: %v, want %s", id, have, want)
		}
	}
}

func TestClaimsRefused(t *testing.T) {
	t.Parallel()
	const test = "func TestX(t *testing.T) {}\n"
	for name, source := range map[string]string{
		"on a helper":          "// Proves: SP-1.\nfunc helper(t *testing.T) {}\n",
		"on a method":          "type s struct{}\n\n// Proves: SP-1.\nfunc (s) TestX(t *testing.T) {}\n",
		"on a lower-case name": "// Proves: SP-1.\nfunc Testx(t *testing.T) {}\n",
		"on a benchmark":       "// Proves: SP-1.\nfunc BenchmarkX(b *testing.B) {}\n",
		"on another signature": "// Proves: SP-1.\nfunc TestMain(m *testing.M) {}\n",
		"on a variable":        "// Proves: SP-1.\nvar x = 1\n",
		"inside a test":        "func TestX(t *testing.T) {\n\t// Proves: SP-1.\n}\n",
		"apart from the test":  "// Proves: SP-1.\n\n" + test,
		"without full stop":    "// Proves: SP-1\n" + test,
		"without comma":        "// Proves: SP-1 SP-2.\n" + test,
		"as a range":           "// Proves: SP-1 to SP-3.\n" + test,
		"with words after it":  "// Proves: SP-1. And more.\n" + test,
		"over two lines":       "// Proves: SP-1,\n// SP-2.\n" + test,
		"of nothing":           "// Proves: .\n" + test,
		"in lower case":        "// proves: SP-1.\n" + test,
	} {
		claims, err := Claims(tree(map[string]string{"x_test.go": "package x\n\nimport \"testing\"\n\n" + source}))
		if err == nil {
			t.Errorf("%s: accepted as %v", name, claims)
		} else if !strings.Contains(err.Error(), "x_test.go:") {
			t.Errorf("%s: the error names no place: %v", name, err)
		}
	}
}

func TestCheck(t *testing.T) {
	t.Parallel()
	list := []Requirement{{ID: "SP-1"}, {ID: "SP-2"}, {ID: "SP-3"}}
	one, two := Test{"a", "TestOne"}, Test{"b", "TestTwo"}
	sound := func() []Status {
		return []Status{
			{ID: "SP-1", State: Proven, Tests: []Test{one, two}},
			{ID: "SP-2", State: Open},
			{ID: "SP-3", State: Declined, Reason: "nobody does"},
		}
	}
	claimed := map[string][]Test{"SP-1": {one, two}}
	if err := Check(list, sound(), claimed); err != nil {
		t.Fatal(err)
	}
	tests := []struct {
		name   string
		change func([]Status) []Status
		claims map[string][]Test
		want   string
	}{
		{"unknown id", nil, map[string][]Test{"SP-1": {one, two}, "SP-9": {one}}, "SP-9: no such"},
		{"proven without a test", nil, nil, "SP-1: said to be proven"},
		{"open with a test", nil, map[string][]Test{"SP-1": {one, two}, "SP-2": {one}}, "SP-2: said to be open"},
		{"declined with a test", nil, map[string][]Test{"SP-1": {one, two}, "SP-3": {one}}, "SP-3: declined, and yet"},
		{"another test", nil, map[string][]Test{"SP-1": {one}}, "SP-1: proven by"},
		{"declined without a reason", func(s []Status) []Status { s[2].Reason = ""; return s }, claimed, "SP-3: declined without"},
		{"line missing", func(s []Status) []Status { return s[:2] }, claimed, "does not name"},
		{"line twice", func(s []Status) []Status { return append(s, s[2]) }, claimed, "does not name"},
		{"other order", func(s []Status) []Status { s[1], s[2] = s[2], s[1]; return s }, claimed, "does not name"},
	}
	for _, test := range tests {
		recorded := sound()
		if test.change != nil {
			recorded = test.change(recorded)
		}
		if err := Check(list, recorded, test.claims); err == nil || !strings.Contains(err.Error(), test.want) {
			t.Errorf("%s: %v, want %q", test.name, err, test.want)
		}
	}
}

func TestUpdate(t *testing.T) {
	t.Parallel()
	list := []Requirement{{ID: "SP-1"}, {ID: "SP-2"}, {ID: "SP-3"}, {ID: "SP-4"}}
	one := []Test{{"a", "TestOne"}}
	updated := Update(list, []Status{
		{ID: "SP-1", State: Open},
		{ID: "SP-2", State: Declined, Reason: "nobody does"},
		{ID: "SP-4", State: Proven, Tests: one},
	}, map[string][]Test{"SP-1": one, "SP-2": one})
	want := []State{Proven, Declined, Open, Proven}
	for i, s := range updated {
		if s.ID != list[i].ID || s.State != want[i] {
			t.Errorf("line %d: %+v, want %s %s", i, s, list[i].ID, want[i])
		}
	}
	// What was proven and is no more stays an error.
	if err := Check(list, updated, map[string][]Test{"SP-1": one}); err == nil || !strings.Contains(err.Error(), "SP-4") {
		t.Errorf("a lost proof went unseen: %v", err)
	}
	var file bytes.Buffer
	if err := writeStatuses(&file, updated); err != nil {
		t.Fatal(err)
	}
	again, err := readStatuses(&file)
	if err != nil {
		t.Fatal(err)
	}
	if Page(list, again) != Page(list, updated) || again[1].Reason != "nobody does" || len(again[0].Tests) != 1 {
		t.Errorf("written and read again: %+v", again)
	}
}

func TestPage(t *testing.T) {
	t.Parallel()
	text := Page([]Requirement{
		{ID: "SP-1", Level: "MUST", Spec: "one", Text: "Do a|b"},
		{ID: "SP-2", Level: "MAY", Spec: "one", Text: "Do c"},
		{ID: "AP-1", Level: "MUST", Spec: "two", Text: "Do d"},
	}, []Status{
		{ID: "SP-1", State: Proven, Tests: []Test{{"a", "TestOne"}, {"b", "TestTwo"}}},
		{ID: "SP-2", State: Declined, Reason: "nobody does"},
		{ID: "AP-1", State: Open},
	})
	for _, line := range []string{
		"| one | MUST | 1 | 0 | 0 | 1 |",
		"| one | MAY | 0 | 0 | 1 | 1 |",
		"| two | MUST | 0 | 1 | 0 | 1 |",
		"| **all** | | 1 | 1 | 1 | 3 |",
		"| SP-1 | MUST | Do a\\|b | `TestOne` in a, `TestTwo` in b |",
		"| SP-2 | MAY | Do c | nobody does |",
	} {
		if !strings.Contains(text, line+"\n") {
			t.Errorf("no line %q in\n%s", line, text)
		}
	}
}

func TestListsRefused(t *testing.T) {
	t.Parallel()
	const head = "id,level,spec,section,requirement,note\n"
	for name, text := range map[string]string{
		"columns":   "id,level\nSP-1,MUST\n",
		"empty":     "",
		"id":        head + "XX-1,MUST,s,,text,\n",
		"twice":     head + "SP-1,MUST,s,,text,\nSP-1,MAY,s,,text,\n",
		"level":     head + "SP-1,OUGHT,s,,text,\n",
		"no source": head + "SP-1,MUST,,,text,\n",
		"no text":   head + "SP-1,MUST,s,,,\n",
	} {
		if _, err := readRequirements(strings.NewReader(text)); err == nil {
			t.Errorf("requirements with a wrong %s: no error", name)
		}
	}
	const statusHead = "id,status,reason,tests\n"
	for name, text := range map[string]string{
		"columns": "id,status\nSP-1,open\n",
		"state":   statusHead + "SP-1,done,,\n",
		"test":    statusHead + "SP-1,proven,,TestOne\n",
	} {
		if _, err := readStatuses(strings.NewReader(text)); err == nil {
			t.Errorf("status with a wrong %s: no error", name)
		}
	}
}

func tree(files map[string]string) fstest.MapFS {
	t := make(fstest.MapFS)
	for name, text := range files {
		t[name] = &fstest.MapFile{Data: []byte(text)}
	}
	return t
}
