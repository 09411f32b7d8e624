package server

import (
	"io/fs"
	"net/http"
	"path"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/parley-im/parley/app/activity"
	"github.com/parley-im/parley/app/contact"
	"github.com/parley-im/parley/stack"
)

// What the page is made of is checked here; that it works, in a browser between
// two daemons: interop/js/test/webpage.test.mjs.

// webFiles are the page's files by name.
func webFiles(t *testing.T) map[string]string {
	t.Helper()
	files := make(map[string]string)
	err := fs.WalkDir(web, "web", func(name string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() {
			return err
		}
		raw, err := fs.ReadFile(web, name)
		files[strings.TrimPrefix(name, "web/")] = string(raw)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return files
}

// all returns what a pattern's first group matches in a text.
func all(text, pattern string) (found []string) {
	for _, m := range regexp.MustCompile(pattern).FindAllStringSubmatch(text, -1) {
		found = append(found, m[1])
	}
	return found
}

// markup are the ways by which a text could become markup or code.
var markup = regexp.MustCompile(`innerHTML|outerHTML|insertAdjacentHTML|setHTMLUnsafe|document\.write|DOMParser|createContextualFragment|srcdoc|\beval\(|new Function|setTimeout\("|javascript:|document\.cookie|\.onclick\s*=\s*"`)

// named are addresses that the files have as names and never ask: that of SVG.
var named = []string{"http://www.w3.org/2000/svg"}

// otherHost is an address with a host, in whatever way it is written.
var otherHost = regexp.MustCompile(`(?:[A-Za-z][A-Za-z0-9+.-]*:)?//[A-Za-z0-9\[]|@import|\burl\(|\bwss?:`)

var comment = regexp.MustCompile(`(?m)(?:^|\s)//[^\n]*$|/\*[^*]*\*/`)

// TestWebFiles: no file of the page refers to another host, makes markup of
// texts, or is long.
func TestWebFiles(t *testing.T) {
	t.Parallel()
	files := webFiles(t)
	for name, text := range files {
		if bad := markup.FindAllString(text, -1); bad != nil {
			t.Errorf("%s has %q", name, bad)
		}
		for _, n := range named {
			text = strings.ReplaceAll(text, n, "")
		}
		// A pattern for links is no link.
		text = strings.ReplaceAll(comment.ReplaceAllString(text, "\n"), `https?:\/\/`, "")
		text = strings.ReplaceAll(text, `https?://[^`, "")
		if bad := otherHost.FindAllString(text, -1); bad != nil {
			t.Errorf("%s refers to another host: %q", name, bad)
		}
		if n := strings.Count(files[name], "\n"); n > 400 {
			t.Errorf("%s has %d lines", name, n)
		}
	}
	for _, name := range []string{"index.html", "style.css", "page.js", "live.js", "icon.svg"} {
		if files[name] == "" {
			t.Errorf("there is no %s", name)
		}
	}
	// The rules themselves find what they are for.
	for _, bad := range []string{`src="//evil.example/x.js"`, `fetch("https://evil.example")`, `import "http://evil.example/x.js"`, `background: url(x.png)`, `new WebSocket("wss:" + x)`} {
		if !otherHost.MatchString(comment.ReplaceAllString(bad, "\n")) {
			t.Errorf("not found: %s", bad)
		}
	}
}

// TestWebModules: what a module imports is there, under the name by which it is
// imported, and is served as a script.
func TestWebModules(t *testing.T) {
	t.Parallel()
	a, files := newAPI(t, Config{}), webFiles(t)
	imports := regexp.MustCompile(`(?m)^import (?:\{([^}]*)\}|\* as (\w+)) from "([^"]+)";$`)
	reached := map[string]bool{"page.js": true}
	for todo := []string{"page.js"}; len(todo) > 0; todo = todo[1:] {
		name := todo[0]
		found := imports.FindAllStringSubmatch(files[name], -1)
		if n := strings.Count(files[name], "\nimport "); n > len(found) {
			t.Errorf("%s: %d imports, of which %d are understood", name, n, len(found))
		}
		for _, m := range found {
			from, there := strings.CutPrefix(m[3], "./")
			exports := all(files[from], `(?m)^export (?:async )?(?:function|const|class|let) (\w+)`)
			want := all(m[1], `(\w+)`)
			if m[2] != "" {
				want = all(files[name], `\b`+m[2]+`\.(\w+)(?:\W|$)`)
				want = slices.DeleteFunc(want, func(w string) bool { return w == "js" }) // the file's name
			}
			for _, w := range want {
				if !slices.Contains(exports, w) {
					t.Errorf("%s imports %s of %s, which exports %q", name, w, from, exports)
				}
			}
			if !there || files[from] == "" {
				t.Errorf("%s imports %s", name, m[3])
			} else if !reached[from] {
				reached[from] = true
				todo = append(todo, from)
			}
		}
	}
	for name := range files {
		if path.Ext(name) != ".js" {
			continue
		}
		if !reached[name] {
			t.Errorf("nothing imports %s", name)
		}
		r := a.request(http.MethodGet, "/"+name, "", func(r *http.Request) { r.Header.Del("Authorization") })
		if kind := r.Header.Get("Content-Type"); r.StatusCode != http.StatusOK || kind != "text/javascript; charset=utf-8" ||
			r.Header.Get("Content-Security-Policy") != pagePolicy {
			t.Errorf("%s: %d %s %s", name, r.StatusCode, kind, r.Header)
		}
	}
	if r := a.request(http.MethodGet, "/nothing.js", "", nil); r.StatusCode != http.StatusNotFound || strings.Contains(r.Header.Get("Content-Type"), "javascript") {
		t.Errorf("a script that is not there: %d %s", r.StatusCode, r.Header)
	}
}

// TestWebElements: the modules look for elements that the page has, each once,
// and every control has a name.
func TestWebElements(t *testing.T) {
	t.Parallel()
	files := webFiles(t)
	ids := all(files["index.html"], `\bid="([^"]+)"`)
	for i, id := range ids {
		if slices.Contains(ids[:i], id) {
			t.Errorf("%s is there twice", id)
		}
	}
	for name, text := range files {
		for _, id := range all(text, `\$\("([^"]+)"\)`) {
			if !slices.Contains(ids, id) && id != "unread-mark" { // which the open chat makes
				t.Errorf("%s looks for %s", name, id)
			}
		}
	}
	for _, control := range all(files["index.html"], `(<(?:input|textarea|button)\b[^>]*>\s*(?:</button>)?)`) {
		empty := strings.HasSuffix(control, "</button>") || !strings.HasPrefix(control, "<button")
		if empty && !strings.Contains(control, "aria-label=") && !strings.Contains(control, `id="preview"`) { // which has a label around it
			t.Errorf("nothing says what this is for: %s", control)
		}
	}
}

// TestWebWords: the words that the page knows are those of the API.
func TestWebWords(t *testing.T) {
	t.Parallel()
	files := webFiles(t)
	var events []string
	for _, e := range stack.EventTypes() {
		events = append(events, e.Name)
	}
	for _, e := range all(files["live.js"], `case "([^"]+)":`) {
		if !slices.Contains(events, e) {
			t.Errorf("there is no event %s", e)
		}
	}
	_, colors, _ := strings.Cut(files["people.js"], "export const colors = {")
	colors, _, _ = strings.Cut(colors, "}")
	words := all(colors, `(\w+): "#`)
	for i, word := range words {
		if contact.ColorName(uint32(i)) != word {
			t.Errorf("colour %d is %s, not %s", i, contact.ColorName(uint32(i)), word)
		}
	}
	if contact.ColorName(uint32(len(words))) != contact.ColorName(1<<31) {
		t.Errorf("there are more colours than %d", len(words))
	}
	for _, kind := range activity.Kinds {
		if !strings.Contains(files["activity.js"], string(kind)+`: "`) {
			t.Errorf("the activity centre has no words for %s", kind)
		}
	}
}
