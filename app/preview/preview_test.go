package preview

import (
	"fmt"
	"strings"
	"testing"
)

const (
	userURL    = "https://status.app/u#zQ3shwQPhRuDJSjVGVBnTjCdgXy5i9WQaeVPdGJD6yTarJQSj"
	channelURL = "https://status.app/cc/003cdcd5-e065-48f9-b166-b1a94ac75a11#zQ3shYSHp7GoiXaauJMnDcjwU2yNjdzpXLosAWapPS4CFxc11"
)

func TestPlan(t *testing.T) {
	t.Parallel()
	internal := "status-app://u#zQ3shwQPhRuDJSjVGVBnTjCdgXy5i9WQaeVPdGJD6yTarJQSj"
	for text, want := range map[string]string{
		"":                         "",
		"no link, no www.a.org":    "",
		"see https://a.org":        "https://a.org",
		"http://a.org/x?y=1#z now": "http://a.org/x?y=1#z",
		"HTTPS://A.Org/Path":       "https://a.org/Path",
		"https://a.org/":           "https://a.org",
		"https://a.org/x///":       "https://a.org/x",
		// What surrounds a link in a sentence.
		"(https://a.org/x).":                            "https://a.org/x",
		"https://a.org/x, https://a.org/y; and":         "https://a.org/x https://a.org/y",
		"really https://a.org/x?!":                      "https://a.org/x",
		"https://en.wikipedia.org/wiki/Go_(game)":       "https://en.wikipedia.org/wiki/Go_(game)",
		"(https://en.wikipedia.org/wiki/Go_(game))":     "https://en.wikipedia.org/wiki/Go_(game)",
		"[text](https://a.org/x)*more*":                 "https://a.org/x",
		"**https://a.org/x** ~~https://a.org/y~~":       "https://a.org/x https://a.org/y",
		"_https://a.org/x_ https://a.org/y_":            "https://a.org/x https://a.org/y_",
		"<https://a.org/x> \"https://a.org/y\"":         "https://a.org/x https://a.org/y",
		"詳しくは「https://a.org/x」を。https://a.org/y，好":      "https://a.org/x https://a.org/y",
		"https://a.org/x\nhttps://a.org/y\thttp://b.de": "https://a.org/x https://a.org/y http://b.de",
		"xhttps://a.org 1http://a.org":                  "",
		"https://web.archive.org/web/https://a.org":     "https://web.archive.org/web/https://a.org",
		// Once each, in order, five at most.
		"https://b.org https://a.org https://b.org/ HTTPS://B.ORG":                                   "https://b.org https://a.org",
		"https://a.a1 https://a.b1 https://a.c1 https://a.a1 https://a.d1 https://a.e1 https://a.f1": "https://a.a1 https://a.b1 https://a.c1 https://a.d1 https://a.e1",
		// Code.
		"`https://a.org` https://b.org":                       "https://b.org",
		"``x ` https://a.org`` https://b.org":                 "https://b.org",
		"one ` alone https://a.org":                           "https://a.org",
		"```\nhttps://a.org\n```\nhttps://b.org":              "https://b.org",
		"https://b.org\n```go\nhttps://a.org":                 "https://b.org",
		"x ``` https://a.org":                                 "https://a.org",
		"https://a.org `x` https://b.org `y` https://c.org `": "https://a.org https://b.org https://c.org",
		// Addresses of no meaning to others, and what is not HTTP.
		"http://localhost/ http://10.0.0.1/x http://[::1]/ http://[::ffff:1.2.3.a]/ http://127.1 http://0x7f.0x1": "",
		"http://printer.local http://intranet http://a..b http://x.internal":                                      "",
		"https://user:secret@a.org/":                        "",
		"ftp://a.org javascript://a.org file:///etc/passwd": "",
		"https://a.org:8443/x":                              "https://a.org:8443/x",
		"https://münchen.de/ä":                              "https://m%C3%BCnchen.de/%C3%A4",
		// Share URLs.
		"me: " + userURL + ".":       userURL,
		channelURL + " " + internal:  channelURL + " " + internal,
		"status-app://x#nobody":      "",
		"https://status.app/u#wrong": "https://status.app/u#wrong",
	} {
		var got []string
		for _, f := range Plan(text) {
			got = append(got, f.URL)
		}
		if s := strings.Join(got, " "); s != want {
			t.Errorf("%q:\n got %q\nwant %q", text, s, want)
		}
	}
}

func TestPlanKinds(t *testing.T) {
	t.Parallel()
	for link, want := range map[string]Kind{
		"https://a.org/x.html":       Page,
		"https://a.org/x.PNG?size=2": Image,
		"https://a.org/x.jpeg":       Image,
		"https://a.org/?x=.png":      Page,
		userURL:                      Status,
		channelURL:                   Status,
		"https://status.app":         Page,
	} {
		if got := Plan(link); len(got) != 1 || got[0].Kind != want {
			t.Errorf("%s: %v, want %s", link, got, want)
		}
	}
}

func TestPlanLimits(t *testing.T) {
	t.Parallel()
	link := func(n int) string { return "https://a.org/" + strings.Repeat("x", n-len("https://a.org/")) }
	if got := Plan(link(MaxURL)); len(got) != 1 {
		t.Errorf("the longest link: %v", got)
	}
	if got := Plan(link(MaxURL + 1)); len(got) != 0 {
		t.Errorf("a link that is longer: %d", len(got))
	}
	pad := strings.Repeat(" ", MaxText-len("https://a.org"))
	if got := Plan(pad + "https://a.org"); len(got) != 1 {
		t.Errorf("at the end of the longest text: %v", got)
	}
	if got := Plan(pad + strings.Repeat(" ", 13) + "https://a.org"); len(got) != 0 {
		t.Errorf("behind the longest text: %v", got)
	}
	var many []string
	for i := range MaxLinks + 1 {
		many = append(many, fmt.Sprintf("https://a.org/%d", i))
	}
	if got := Plan(strings.Join(many, " ")); len(got) != MaxLinks {
		t.Errorf("%d links", len(got))
	}
}

// What is found is found again in its canonical form, and only once.
func FuzzPlan(f *testing.F) {
	f.Add("see https://a.org/x_(y), `http://b.org` and " + userURL)
	f.Add("```\nhttps://a.org\n``` http://A.ORG//")
	f.Add("http://0.A/#/ https://a.org/?/ https://a.org/b#//")
	f.Add("status-app://u#zQ3 https://[::1]:80/ https://%41.org/%zz?\x00")
	f.Fuzz(func(t *testing.T, text string) {
		seen := map[string]bool{}
		plan := Plan(text)
		if len(plan) > MaxLinks {
			t.Fatal(len(plan))
		}
		for _, p := range plan {
			if seen[p.URL] || len(p.URL) > MaxURL {
				t.Fatalf("%q", p.URL)
			}
			seen[p.URL] = true
			again, err := canonical(p.URL)
			if err != nil || again != p {
				t.Fatalf("%q, then %q, %v", p.URL, again.URL, err)
			}
		}
	})
}

func BenchmarkPlan(b *testing.B) {
	text := strings.Repeat("some words (https://a.org/x_(y)), `code http://b.org` and more. ", 60)
	b.ReportAllocs()
	b.SetBytes(int64(len(text)))
	for b.Loop() {
		Plan(text)
	}
}
