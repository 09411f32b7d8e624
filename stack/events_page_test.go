package stack

import (
	"bytes"
	"encoding"
	"flag"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"os"
	"path"
	"path/filepath"
	"reflect"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
)

var update = flag.Bool("update", false, "write docs/events.md instead of comparing with it")

const module = "github.com/parley-im/parley/"

const eventsIntroduction = `# Events

This page is written out of the program's own declarations (packages stack and stack/view).

Everything that happens to an account is an entry of its durable event stream, written in the
transaction that does it. Entries are numbered from 1 without gaps and are never dropped: who
remembers the last number and asks for what came since misses nothing and sees nothing twice.
The library has the stream by ` + "`Client.Events`, the API by `GET /api/v1/events`" + ` (JSON lines or
server-sent events), the command line by ` + "`parley events`" + `. An event is

` + "```json\n" + `{"seq": 17, "time": 1767323045678, "type": "message", "data": {…}}
` + "```" + `

with the time at which it was written. Types and fields are stable: they may become more, none
changes its meaning. What a reader does not know it skips.

- What an event says of a message, a chat, a contact is in the shape in which the API shows it,
  as it was at the time of the event.
- Keys come in two forms, ` + "`zQ3sh…` and `0x04…`" + `. Ids of messages are ` + "`0x…`" + `.
- Times are Unix time in milliseconds, and so are clocks, which order what happens in a chat.
- Pictures and recordings are described; their bytes are never in an event.
- *optional* fields are absent when they are empty, zero or false.
`

// source is the documentation of a package: of its constants by value and of
// the fields of its structures.
type source struct {
	constants map[string]string
	// names are those of the constants by value.
	names  map[string]string
	types  map[string]string
	fields map[string][]documented
}

// documented is a field and what is said of it.
type documented struct{ name, text string }

func readSource(t *testing.T, dir string) source {
	t.Helper()
	src := source{map[string]string{}, map[string]string{}, map[string]string{}, map[string][]documented{}}
	names, err := filepath.Glob(filepath.Join(dir, "*.go"))
	if err != nil || len(names) == 0 {
		t.Fatalf("no source in %s: %v", dir, err)
	}
	for _, name := range names {
		if strings.HasSuffix(name, "_test.go") {
			continue
		}
		f, err := parser.ParseFile(token.NewFileSet(), name, nil, parser.ParseComments|parser.SkipObjectResolution)
		if err != nil {
			t.Fatal(err)
		}
		for _, d := range f.Decls {
			g, ok := d.(*ast.GenDecl)
			if !ok {
				continue
			}
			for _, spec := range g.Specs {
				switch spec := spec.(type) {
				case *ast.ValueSpec:
					if len(spec.Values) == 1 && g.Tok == token.CONST {
						if lit, ok := spec.Values[0].(*ast.BasicLit); ok && lit.Kind == token.STRING {
							value, _ := strconv.Unquote(lit.Value)
							doc := spec.Doc
							if doc == nil && len(g.Specs) == 1 {
								doc = g.Doc
							}
							if name := spec.Names[0].Name; strings.HasPrefix(name, "Event") {
								src.constants[value], src.names[value] = doc.Text(), name
							}
						}
					}
				case *ast.TypeSpec:
					doc := spec.Doc
					if doc == nil && len(g.Specs) == 1 {
						doc = g.Doc
					}
					src.types[spec.Name.Name] = doc.Text()
					if s, ok := spec.Type.(*ast.StructType); ok {
						src.fields[spec.Name.Name] = fieldsOf(s)
					}
				}
			}
		}
	}
	return src
}

// fieldsOf returns what is said of each field: before it, behind it, or, where
// several are spoken of together, before the first of them.
func fieldsOf(s *ast.StructType) (all []documented) {
	for _, f := range s.Fields.List {
		text := f.Doc.Text() + f.Comment.Text()
		for _, n := range f.Names {
			said := text
			for i := len(all) - 1; i >= 0 && said == ""; i-- {
				if mentions(all[i].text, n.Name) {
					said = all[i].text
				}
			}
			all = append(all, documented{n.Name, said})
		}
	}
	return all
}

func mentions(text, name string) bool {
	return regexp.MustCompile(`\b` + name + `\b`).MatchString(text)
}

// page writes docs/events.md.
type page struct {
	*testing.T
	bytes.Buffer
	sources map[string]source
	// shapes are those that are to be written, in the order in which they were
	// named.
	shapes []reflect.Type
}

func (p *page) source(of reflect.Type) source {
	dir := path.Join("..", strings.TrimPrefix(of.PkgPath(), module))
	if _, ok := p.sources[dir]; !ok {
		p.sources[dir] = readSource(p.T, dir)
	}
	return p.sources[dir]
}

func anchor(name string) string { return fmt.Sprintf("[%s](#%s)", name, strings.ToLower(name)) }

var marshaler = reflect.TypeFor[encoding.TextMarshaler]()

// kind is the JSON type of a Go type.
func (p *page) kind(t reflect.Type) string {
	switch {
	case t.Kind() == reflect.Pointer:
		return p.kind(t.Elem())
	case t.Implements(marshaler), t.Kind() == reflect.String:
		return "string"
	case t.Kind() == reflect.Bool:
		return "boolean"
	case t.Kind() >= reflect.Int && t.Kind() <= reflect.Uint64:
		return "number"
	case t == reflect.TypeFor[[]byte]():
		return "string, base64"
	case t.Kind() == reflect.Slice:
		return "array of " + p.kind(t.Elem())
	case t.Kind() == reflect.Map:
		return "object of " + p.kind(t.Elem()) + "s"
	case t.Kind() == reflect.Struct:
		if !slices.Contains(p.shapes, t) {
			if i := slices.IndexFunc(p.shapes, func(o reflect.Type) bool { return o.Name() == t.Name() }); i >= 0 {
				p.Errorf("%v and %v have one name", t, p.shapes[i])
			}
			p.shapes = append(p.shapes, t)
		}
		return anchor(t.Name())
	}
	p.Errorf("no JSON type for %v", t)
	return ""
}

var snake = regexp.MustCompile(`^[a-z][a-z0-9]*(_[a-z0-9]+)*$`)

// rows writes the fields of a structure, those of embedded ones among them.
func (p *page) rows(t reflect.Type) {
	said := p.source(t).fields[t.Name()]
	for i := range t.NumField() {
		f := t.Field(i)
		if f.Anonymous {
			p.rows(f.Type)
			continue
		}
		name, options, _ := strings.Cut(f.Tag.Get("json"), ",")
		if name == "-" {
			continue
		}
		if !snake.MatchString(name) {
			p.Errorf("%v.%s: field name %q", t, f.Name, name)
		}
		at := slices.IndexFunc(said, func(d documented) bool { return d.name == f.Name })
		if at < 0 || said[at].text == "" {
			p.Errorf("%v.%s: nothing is said of it", t, f.Name)
			continue
		}
		optional := ""
		if strings.Contains(options, "omit") {
			optional = ", optional"
		}
		fmt.Fprintf(p, "| `%s` | %s%s | %s |\n", name, p.kind(f.Type), optional, subject(name, p.text(t, said[at].text)))
	}
}

// subject takes the name of a field from the beginning of what is said of it
// alone.
func subject(name, line string) string {
	for _, verb := range []string{"is ", "are ", "tells "} {
		if rest, ok := strings.CutPrefix(line, "`"+name+"` "+verb); ok {
			if verb == "tells " {
				return "tells " + rest
			}
			return rest
		}
	}
	return line
}

// text is a comment as a line, with fields by their names in JSON.
func (p *page) text(t reflect.Type, comment string) string {
	line := strings.Join(strings.Fields(comment), " ")
	for i := range t.NumField() {
		f := t.Field(i)
		if name, _, _ := strings.Cut(f.Tag.Get("json"), ","); name != "" && name != "-" {
			line = regexp.MustCompile(`\b`+f.Name+`\b`).ReplaceAllString(line, "`"+name+"`")
		}
	}
	if strings.ContainsAny(line, "|[") {
		p.Errorf("%v: a comment that is no text for a page: %s", t, line)
	}
	return line
}

func (p *page) write() {
	p.WriteString(eventsIntroduction)
	p.WriteString("\n## Types\n\n| Type | Data | Meaning |\n|--|--|--|\n")
	declared := readSource(p.T, ".")
	for _, e := range EventTypes() {
		doc, name := declared.constants[e.Name], declared.names[e.Name]
		meaning, ok := strings.CutPrefix(strings.Join(strings.Fields(doc), " "), name+" means that ")
		if !ok {
			p.Errorf("the comment of %q does not begin with \"%s means that\": %s", e.Name, name, doc)
			continue
		}
		fmt.Fprintf(p, "| `%s` | %s | %s%s |\n", e.Name, p.kind(e.Data), strings.ToUpper(meaning[:1]), meaning[1:])
	}
	p.WriteString("\n## Data\n")
	for i := 0; i < len(p.shapes); i++ {
		t := p.shapes[i]
		doc := p.source(t).types[t.Name()]
		if doc == "" {
			p.Errorf("nothing is said of %v", t)
		}
		fmt.Fprintf(p, "\n### %s\n\n%s\n\n| Field | JSON | Meaning |\n|--|--|--|\n", t.Name(), strings.Join(strings.Fields(doc), " "))
		p.rows(t)
	}
}

// docs/events.md says what the declarations say: go test ./stack -run
// TestEventsPage -update writes it.
func TestEventsPage(t *testing.T) {
	t.Parallel()
	p := &page{T: t, sources: map[string]source{}}
	p.write()
	golden := filepath.Join("..", "docs", "events.md")
	if *update {
		if err := os.WriteFile(golden, p.Bytes(), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(golden)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(p.Bytes(), want) {
		t.Error("docs/events.md is not what the declarations say; go test ./stack -run TestEventsPage -update writes it")
	}
}

// Every type of events that is declared is in the list, once.
func TestEventTypes(t *testing.T) {
	t.Parallel()
	declared := readSource(t, ".").constants
	listed := map[string]bool{}
	for _, e := range EventTypes() {
		if _, ok := declared[e.Name]; !ok || listed[e.Name] {
			t.Errorf("%q is not declared, or is twice in the list", e.Name)
		}
		listed[e.Name] = true
	}
	for name := range declared {
		if !listed[name] {
			t.Errorf("%q is not in the list of types", name)
		}
	}
}
