package preview

import (
	"errors"
	"strings"
	"testing"
	"unicode/utf8"
)

const article = `<!DOCTYPE html><html><head>
<title> The page &amp; its
 title </title>
<meta charset="utf-8">
<meta property="og:title" content="A story &mdash; of links">
<meta property="og:title" content="second title">
<META NAME="Description" CONTENT="plain description">
<meta name="og:description" content="  what   it
is about ">
<meta property="og:image" content="/pictures/a.jpg?x=1&amp;y=2">
<meta name="twitter:title" content="from Twitter">
<link rel="shortcut icon" href="favicon.ico">
<link rel="icon" type="image/svg+xml" href="/icon.svg">
<link rel="icon" type="image/png" href="//cdn.example.org/icon.png">
<link rel="alternate" type="application/json+oembed" href="/oembed?url=x">
</head><body><p>text</p></body></html>`

func TestFromHTML(t *testing.T) {
	t.Parallel()
	const base = "https://example.org/stories/1"
	for name, c := range map[string]struct {
		body string
		want Content
		err  error
	}{
		"everything": {article, Content{
			Kind: Page, Title: "A story — of links", Description: "what it is about",
			ImageURL:  "https://example.org/pictures/a.jpg?x=1&y=2",
			IconURL:   "https://cdn.example.org/icon.png",
			OEmbedURL: "https://example.org/oembed?url=x",
		}, nil},
		"title only":    {"<title>only</title>", Content{Kind: Page, Title: "only"}, nil},
		"Twitter":       {`<meta name=twitter:title content=T><meta name="twitter:description" content="D"><meta name="twitter:image:src" content="i.png">`, Content{Kind: Page, Title: "T", Description: "D", ImageURL: "https://example.org/stories/i.png"}, nil},
		"no title":      {`<meta name=description content=D><link rel=icon href=/f.ico>`, Content{Kind: Page, Description: "D", IconURL: "https://example.org/f.ico"}, ErrTitle},
		"nothing":       {"", Content{Kind: Page}, ErrTitle},
		"empty title":   {`<meta property=og:title content="  "><title>T</title>`, Content{Kind: Page, Title: "T"}, nil},
		"in the body":   {`<body><meta property=og:title content=T></body>`, Content{Kind: Page, Title: "T"}, nil},
		"in a script":   {`<script>"<meta property=og:title content=no>"</script><!-- <title>no</title> --><title>yes</title>`, Content{Kind: Page, Title: "yes"}, nil},
		"a base":        {`<base href="https://other.org/d/"><title>T</title><meta property=og:image content=i.png>`, Content{Kind: Page, Title: "T", ImageURL: "https://other.org/d/i.png"}, nil},
		"strange links": {`<title>T</title><meta property=og:image content="data:image/png;base64,AAAA"><link rel=icon href="javascript:alert(1)">`, Content{Kind: Page, Title: "T"}, nil},
		"with password": {`<title>T</title><meta property=og:image content="https://u:p@a.org/i.png">`, Content{Kind: Page, Title: "T"}, nil},
		"touch icon":    {`<title>T</title><link rel=icon href=/i.ico><link rel=apple-touch-icon href=/t.png>`, Content{Kind: Page, Title: "T", IconURL: "https://example.org/t.png"}, nil},
		"direction":     {"<title>\u202eevil\u202c \u2066x\x01y\ufffd</title>", Content{Kind: Page, Title: "evil xy"}, nil},
	} {
		got, err := FromHTML(base, "text/html; charset=utf-8", []byte(c.body))
		if got != c.want || !errors.Is(err, c.err) || err == nil != (c.err == nil) {
			t.Errorf("%s:\n got %+v, %v\nwant %+v, %v", name, got, err, c.want, c.err)
		}
	}
	if _, err := FromHTML("http://[", "", nil); !errors.Is(err, ErrURL) {
		t.Error(err)
	}
}

func TestEncodings(t *testing.T) {
	t.Parallel()
	for name, c := range map[string][2]string{
		"by the header":   {"text/html; charset=windows-1251", "<title>\xcf\xf0\xe8\xe2\xe5\xf2</title>"},
		"by the page":     {"text/html", "<meta charset=windows-1251><title>\xcf\xf0\xe8\xe2\xe5\xf2</title>"},
		"UTF-8":           {"", "<meta charset=utf-8><title>Привет</title>"},
		"UTF-16":          {"text/html", "\xff\xfe<\x00t\x00i\x00t\x00l\x00e\x00>\x00\x1f\x04@\x048\x042\x045\x04B\x04"},
		"unknown charset": {"text/html; charset=nonsense", "<meta charset=utf-8><title>Привет</title>"},
	} {
		got, err := FromHTML("https://a.org", c[0], []byte(c[1]))
		if err != nil || got.Title != "Привет" {
			t.Errorf("%s: %q, %v", name, got.Title, err)
		}
	}
}

func TestPageLimits(t *testing.T) {
	t.Parallel()
	title := "<title>T</title>"
	pad := strings.Repeat(" ", MaxHTML-len(title))
	if c, err := FromHTML("https://a.org", "text/html; charset=utf-8", []byte(pad+title)); err != nil || c.Title != "T" {
		t.Errorf("at the end of what is read: %+v, %v", c, err)
	}
	if c, err := FromHTML("https://a.org", "text/html; charset=utf-8", []byte(pad+strings.Repeat(" ", len(title))+title)); !errors.Is(err, ErrTitle) {
		t.Errorf("behind what is read: %+v, %v", c, err)
	}
	for _, c := range []struct {
		runes, want int
		cut         bool
	}{{MaxTitle, MaxTitle, false}, {MaxTitle + 1, MaxTitle, true}, {5000, MaxTitle, true}} {
		got, err := FromHTML("https://a.org", "", []byte("<meta charset=utf-8><title>"+strings.Repeat("ä", c.runes)+"</title>"))
		if n := utf8.RuneCountInString(got.Title); err != nil || n != c.want || strings.HasSuffix(got.Title, "…") != c.cut {
			t.Errorf("a title of %d becomes one of %d, %v", c.runes, n, err)
		}
	}
	long := "https://a.org/" + strings.Repeat("x", MaxURL)
	for n, want := range map[int]bool{MaxURL: true, MaxURL + 1: false} {
		c, err := FromHTML("https://a.org", "", []byte(`<title>T</title><meta property=og:image content="`+long[:n]+`">`))
		if err != nil || (c.ImageURL != "") != want {
			t.Errorf("the URL of a picture of %d bytes: %t, %v", n, !want, err)
		}
	}
}

func TestClean(t *testing.T) {
	t.Parallel()
	for s, want := range map[string]string{
		"":            "",
		"  a \n\t b ": "a b",
		"12345":       "12345",
		"123456":      "1234…",
		"1 3 5 7":     "1 3…",
		"1234 ":       "1234",
		"\xffa\x00b":  "ab",
		"\u200eäöü":   "äöü",
		"1234  5":     "1234…",
	} {
		if got := clean(s, 5); got != want {
			t.Errorf("%q is %q, not %q", s, got, want)
		}
	}
}

func TestFromOEmbed(t *testing.T) {
	t.Parallel()
	const base = "https://example.org/oembed"
	for name, c := range map[string]struct {
		has  Content
		body string
		want Content
		err  error
	}{
		"all":       {Content{}, `{"type":"video","title":" T ","thumbnail_url":"/t.jpg","html":"<iframe>"}`, Content{Kind: Page, Title: "T", ImageURL: "https://example.org/t.jpg"}, nil},
		"completes": {Content{Kind: Page, Description: "D", ImageURL: "https://a.org/i.png"}, `{"title":"T","thumbnail_url":"/t.jpg"}`, Content{Kind: Page, Title: "T", Description: "D", ImageURL: "https://a.org/i.png"}, nil},
		"no title":  {Content{}, `{}`, Content{Kind: Page}, ErrTitle},
		"no JSON":   {Content{}, `<xml>`, Content{}, ErrOEmbed},
		"a number":  {Content{}, `{"title":1}`, Content{}, ErrOEmbed},
		"longest":   {Content{}, `{"title":"T"}` + strings.Repeat(" ", MaxOEmbed-13), Content{Kind: Page, Title: "T"}, nil},
		"too long":  {Content{}, `{"title":"T"}` + strings.Repeat(" ", MaxOEmbed-12), Content{}, ErrOEmbed},
	} {
		got, err := FromOEmbed(base, c.has, []byte(c.body))
		if got != c.want || !errors.Is(err, c.err) || err == nil != (c.err == nil) {
			t.Errorf("%s: %+v, %v", name, got, err)
		}
	}
}

func TestRead(t *testing.T) {
	t.Parallel()
	img := pictureJPEG(t, 20, 10)
	for name, c := range map[string]struct {
		Fetched
		want Content
		err  error
	}{
		"a page":              {Fetched{"https://a.org", "text/html; charset=utf-8", []byte("<title>T</title>")}, Content{Kind: Page, Title: "T"}, nil},
		"without type":        {Fetched{"https://a.org", "", []byte("<title>T</title>")}, Content{Kind: Page, Title: "T"}, nil},
		"a picture":           {Fetched{"https://a.org/x/my%20cat.jpg?y", "image/jpeg", img}, Content{Kind: Image, Title: "my cat.jpg"}, nil},
		"a picture as a page": {Fetched{"https://a.org/", "text/html", img}, Content{Kind: Image}, nil},
		"neither":             {Fetched{"https://a.org/x.zip", "application/zip", []byte("PK")}, Content{}, ErrHTML},
		"a page as a picture": {Fetched{"https://a.org/x.png", "image/png", []byte("<title>T</title>")}, Content{}, ErrHTML},
	} {
		got, err := Read(c.Fetched)
		if got != c.want || !errors.Is(err, c.err) || err == nil != (c.err == nil) {
			t.Errorf("%s: %+v, %v", name, got, err)
		}
	}
}

func FuzzFromHTML(f *testing.F) {
	f.Add("text/html", []byte(article))
	f.Add("text/html; charset=utf-16", []byte("\xff\xfe<\x00t\x00i\x00t\x00l\x00e\x00>\x00x\x00"))
	f.Add("text/html; charset=iso-2022-jp", []byte("<base href=http://[><title>\x1b$B<link rel=icon href=//x>"))
	f.Add("", []byte("<svg><title><![CDATA[x]]></title><meta name='og:image' content='http://a.org/\n'>"))
	f.Fuzz(func(t *testing.T, contentType string, body []byte) {
		c, err := FromHTML("https://example.org/x", contentType, body)
		if err != nil && !errors.Is(err, ErrTitle) {
			t.Fatal(err)
		}
		if (err == nil) != (c.Title != "") {
			t.Fatalf("%+v, %v", c, err)
		}
		if utf8.RuneCountInString(c.Title) > MaxTitle || utf8.RuneCountInString(c.Description) > MaxDescription ||
			!utf8.ValidString(c.Title+c.Description) || strings.ContainsAny(c.Title+c.Description, "\x00\n\r\t\u202e") {
			t.Fatalf("%+v", c)
		}
		for _, u := range []string{c.ImageURL, c.IconURL, c.OEmbedURL} {
			if u != "" && !strings.HasPrefix(u, "http://") && !strings.HasPrefix(u, "https://") || len(u) > MaxURL {
				t.Fatalf("%q", u)
			}
		}
	})
}

func BenchmarkFromHTML(b *testing.B) {
	page := []byte(article + strings.Repeat("<div class=x><a href=/y>text</a></div>\n", MaxHTML/40))
	b.ReportAllocs()
	b.SetBytes(MaxHTML)
	for b.Loop() {
		if _, err := FromHTML("https://example.org/", "text/html; charset=utf-8", page); err != nil {
			b.Fatal(err)
		}
	}
}
