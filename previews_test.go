package parley

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"image"
	"image/png"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strings"
	"sync"
	"testing"

	"github.com/parley-im/parley/app/chat"
	"github.com/parley-im/parley/app/picture"
	"github.com/parley-im/parley/app/preview"
)

func pixels(t testing.TB, width, height int) []byte {
	t.Helper()
	var out bytes.Buffer
	if err := png.Encode(&out, image.NewGray(image.Rect(0, 0, width, height))); err != nil {
		t.Fatal(err)
	}
	return out.Bytes()
}

// web is a web of many hosts on loopback.
type web struct {
	*httptest.Server
	mu       sync.Mutex
	requests []*http.Request
}

func newWeb(t *testing.T) (*web, *unfurler) {
	t.Helper()
	w := new(web)
	cover := pixels(t, 40, 30)
	answer := map[string]func(http.ResponseWriter, *http.Request){
		"site.example/": func(rw http.ResponseWriter, _ *http.Request) {
			http.SetCookie(rw, &http.Cookie{Name: "you", Value: "1", Domain: "site.example"})
			io.WriteString(rw, `<html><head><meta property="og:title" content="A &amp; B"><meta property="og:description" content="About it">
				<meta property="og:image" content="http://pictures.example/cover.png"><link rel="icon" href="/icon.png"></head>`+strings.Repeat("x", 2*preview.MaxHTML))
		},
		"site.example/icon.png":      func(rw http.ResponseWriter, _ *http.Request) { rw.Write(pixels(t, 16, 16)) },
		"pictures.example/cover.png": func(rw http.ResponseWriter, _ *http.Request) { rw.Write(cover) },
		"pictures.example/huge.png": func(rw http.ResponseWriter, _ *http.Request) {
			rw.Write(append(cover, make([]byte, picture.MaxReceivedBytes)...))
		},
		"plain.example/": func(rw http.ResponseWriter, _ *http.Request) { io.WriteString(rw, "<title>Plain</title>") },
		"moved.example/": func(rw http.ResponseWriter, r *http.Request) {
			http.Redirect(rw, r, "http://plain.example/", http.StatusFound)
		},
		"circle.example/": func(rw http.ResponseWriter, r *http.Request) {
			http.Redirect(rw, r, "/"+r.URL.RawQuery+"?x", http.StatusFound)
		},
		"scheme.example/": func(rw http.ResponseWriter, r *http.Request) {
			http.Redirect(rw, r, "file:///etc/passwd", http.StatusFound)
		},
		"gone.example/": func(rw http.ResponseWriter, _ *http.Request) {
			rw.WriteHeader(http.StatusNotFound)
			io.WriteString(rw, "<title>404</title>")
		},
		"odd.example/": func(rw http.ResponseWriter, _ *http.Request) {
			rw.Header().Set("Content-Type", "application/zip")
			io.WriteString(rw, "PK")
		},
		"embed.example/": func(rw http.ResponseWriter, _ *http.Request) {
			io.WriteString(rw, `<html><link rel="alternate" type="application/json+oembed" href="/oembed">`)
		},
		"embed.example/oembed": func(rw http.ResponseWriter, _ *http.Request) {
			io.WriteString(rw, `{"version":"1.0","type":"video","title":"A film"}`)
		},
	}
	w.Server = httptest.NewServer(http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		w.mu.Lock()
		w.requests = append(w.requests, r)
		w.mu.Unlock()
		if do := answer[r.Host+r.URL.Path]; do != nil {
			do(rw, r)
			return
		}
		answer["circle.example/"](rw, r)
	}))
	t.Cleanup(w.Close)
	return w, newUnfurler(func(ctx context.Context, network, _ string) (net.Conn, error) {
		return new(net.Dialer).DialContext(ctx, network, w.Listener.Addr().String())
	})
}

func TestUnfurl(t *testing.T) {
	t.Parallel()
	w, u := newWeb(t)
	for link, want := range map[string]string{
		"http://site.example/":              `"A & B" "About it" LINK 40×30 icon true`,
		"http://plain.example/":             `"Plain" "" LINK 0×0 icon false`,
		"http://moved.example/":             `"Plain" "" LINK 0×0 icon false`,
		"http://pictures.example/cover.png": `"cover.png" "" IMAGE 40×30 icon false`,
		"http://embed.example/":             `"A film" "" LINK 0×0 icon false`,
	} {
		l, err := u.unfurl(t.Context(), preview.Found{URL: link, Kind: preview.Page})
		if err != nil {
			t.Errorf("%s: %v", link, err)
			continue
		}
		got := fmt.Sprintf("%q %q %s %d×%d icon %v", l.Title, l.Description, l.Type, l.ThumbnailWidth, l.ThumbnailHeight, len(l.FaviconPayload) > 0)
		if got != want {
			t.Errorf("%s: %s, want %s", link, got, want)
		}
	}
	for link, want := range map[string]error{
		"http://circle.example/":           errRedirects,
		"http://scheme.example/":           nil, // net/http's own
		"http://gone.example/":             errStatus,
		"http://odd.example/":              preview.ErrHTML,
		"http://pictures.example/huge.png": errTooLarge,
		"http://you:secret@plain.example/": errNotPublic,
	} {
		l, err := u.unfurl(t.Context(), preview.Found{URL: link, Kind: preview.Page})
		if err == nil || want != nil && !errors.Is(err, want) {
			t.Errorf("%s: %v, %v; want %v", link, l, err, want)
		}
	}
	for _, r := range w.requests {
		for _, name := range []string{"Cookie", "Authorization", "Referer"} {
			if got := r.Header.Get(name); got != "" {
				t.Errorf("%s%s was asked with %s %q", r.Host, r.URL, name, got)
			}
		}
		if r.UserAgent() != userAgent {
			t.Errorf("user agent %q", r.UserAgent())
		}
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := u.unfurl(ctx, preview.Found{URL: "http://plain.example/", Kind: preview.Page}); !errors.Is(err, context.Canceled) {
		t.Errorf("canceled: %v", err)
	}
}

// TestUnfurlPublicOnly: the unfurler that is used reaches nothing on this
// machine, whatever name leads there.
func TestUnfurlPublicOnly(t *testing.T) {
	t.Parallel()
	asked := false
	here := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { asked = true }))
	defer here.Close()
	_, port, _ := net.SplitHostPort(here.Listener.Addr().String())
	u := newUnfurler(nil)
	for _, host := range []string{"127.0.0.1", "localhost", "0.0.0.0", "[::1]", "[::ffff:127.0.0.1]"} {
		if _, err := u.get(t.Context(), "http://"+net.JoinHostPort(strings.Trim(host, "[]"), port)+"/", 100); err == nil {
			t.Errorf("%s was reached", host)
		}
	}
	if asked {
		t.Error("this machine was asked")
	}
}

func TestIsPublic(t *testing.T) {
	t.Parallel()
	for ip, want := range map[string]bool{
		"1.1.1.1": true, "9.9.9.9": true, "172.15.0.1": true, "172.32.0.1": true, "100.63.255.255": true, "100.128.0.0": true,
		"2606:4700::1111": true, "2a00:1450::1": true, "::ffff:1.1.1.1": true,
		"0.0.0.0": false, "0.1.2.3": false, "10.1.2.3": false, "127.0.0.1": false, "127.9.9.9": false, "100.64.0.1": false,
		"169.254.169.254": false, "172.16.0.1": false, "172.31.255.255": false, "192.168.1.1": false, "192.0.0.8": false,
		"192.0.2.1": false, "198.18.0.1": false, "198.51.100.1": false, "203.0.113.1": false, "224.0.0.1": false,
		"240.0.0.1": false, "255.255.255.255": false, "192.88.99.1": false,
		"::": false, "::1": false, "::ffff:127.0.0.1": false, "::ffff:10.0.0.1": false, "fe80::1": false, "fe80::1%eth0": false,
		"fc00::1": false, "fd12::1": false, "ff02::1": false, "64:ff9b::7f00:1": false, "64:ff9b:1::1": false, "2002:7f00:1::": false,
		"2001::1": false, "2001:db8::1": false, "3fff::1": false, "100::1": false, "::7f00:1": false, "5f00::1": false,
	} {
		if got := isPublic(netip.MustParseAddr(ip)); got != want {
			t.Errorf("%s: %v", ip, got)
		}
	}
	for _, c := range []struct{ network, address string }{{"tcp4", "10.0.0.1:80"}, {"udp4", "1.1.1.1:80"}, {"tcp4", "example.org:80"}, {"unix", "/tmp/x"}} {
		if publicOnly(c.network, c.address, nil) == nil {
			t.Errorf("%s %s passes", c.network, c.address)
		}
	}
	if err := publicOnly("tcp6", "[2606:4700::1111]:443", nil); err != nil {
		t.Error(err)
	}
}

// FuzzIsPublic: whatever maps to an IPv4 address is judged as that.
func FuzzIsPublic(f *testing.F) {
	f.Add([]byte{127, 0, 0, 1})
	f.Add([]byte{1, 1, 1, 1})
	f.Fuzz(func(t *testing.T, b []byte) {
		ip, ok := netip.AddrFromSlice(b)
		if !ok || !ip.Is4() {
			return
		}
		if isPublic(ip) != isPublic(netip.AddrFrom16(ip.As16())) {
			t.Errorf("%s is judged twice", ip)
		}
	})
}

// TestSendPreview: links are looked up only when asked, and by an edit again.
func TestSendPreview(t *testing.T) {
	t.Parallel()
	w, u := newWeb(t)
	c := memoryClient(t)
	c.unfurler = u
	ctx, bob := t.Context(), strangerKey(t)
	text := "see http://site.example/ and http://gone.example/ and " + shareLink(bob)
	m, err := c.Send(ctx, bob.String(), text, SendOptions{})
	if err != nil || len(m.Links) != 0 || len(w.requests) != 0 {
		t.Fatalf("unasked: %+v, %v, %d requests", m.Links, err, len(w.requests))
	}
	if m, err = c.Send(ctx, bob.String(), text, SendOptions{Preview: true}); err != nil {
		t.Fatal(err)
	}
	if len(m.Links) != 1 || m.Links[0] != (Link{URL: "http://site.example", Title: "A & B", Description: "About it", Width: 40, Height: 30}) {
		t.Errorf("links %+v", m.Links)
	}
	if len(m.StatusLinks) != 1 || m.StatusLinks[0].Contact == nil || m.StatusLinks[0].Contact.Key != bob || m.StatusLinks[0].Contact.DisplayName != "Bob" {
		t.Errorf("share URLs %+v", m.StatusLinks)
	}
	p, err := c.LinkImage(ctx, m.ID.String(), 0)
	if err != nil || p.Width != 40 || p.Height != 30 {
		t.Errorf("picture %s %d×%d, %v", p.Type, p.Width, p.Height, err)
	}
	for _, n := range []int{-1, 1} {
		if _, err := c.LinkImage(ctx, m.ID.String(), n); err == nil {
			t.Errorf("there is a link %d", n)
		}
	}
	if m, err = c.Edit(ctx, m.ID.String(), "http://plain.example/", EditOptions{Preview: true}); err != nil || len(m.Links) != 1 || m.Links[0].Title != "Plain" || !m.Edited {
		t.Errorf("edited %+v, %v", m, err)
	}
	if m, err = c.Edit(ctx, m.ID.String(), "http://plain.example/", EditOptions{}); err != nil || len(m.Links) != 0 {
		t.Errorf("edited again %+v, %v", m, err)
	}
	if m.State != chat.Pending {
		t.Errorf("state %s", m.State)
	}
}
