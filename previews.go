package parley

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/parley-im/parley/app/chat"
	"github.com/parley-im/parley/app/picture"
	"github.com/parley-im/parley/app/preview"
	"github.com/parley-im/parley/app/share"
	apppb "github.com/parley-im/parley/pb/app"
)

// Limits of fetching what links lead to.
const (
	// unfurlTimeout bounds a link with all that is fetched for it.
	unfurlTimeout = 12 * time.Second
	maxRedirects  = 3
	maxHeader     = 64 << 10
)

// userAgent says no more than it must; some sites answer nobody who says
// nothing.
const userAgent = "Mozilla/5.0 (compatible; link preview)"

var (
	errNotPublic = errors.New("not an address of the public internet")
	errRedirects = errors.New("too many redirections")
	errStatus    = errors.New("the answer is an error")
	errTooLarge  = errors.New("the answer is too large")
)

// unfurler fetches what the links of a text lead to, as somebody whom nobody
// there knows: no cookies, no credentials, no referrer, and nothing from this
// machine or its own networks.
type unfurler struct{ http *http.Client }

// newUnfurler makes an unfurler; dial replaces how it reaches addresses, for
// tests.
func newUnfurler(dial func(ctx context.Context, network, address string) (net.Conn, error)) *unfurler {
	if dial == nil {
		// The control sees every address after names were looked up, so no name
		// can lead anywhere else.
		dial = (&net.Dialer{Timeout: 5 * time.Second, Control: publicOnly}).DialContext
	}
	return &unfurler{&http.Client{
		Transport: &http.Transport{
			Proxy:                  nil, // the control is to see the real address
			DialContext:            dial,
			TLSHandshakeTimeout:    5 * time.Second,
			ResponseHeaderTimeout:  5 * time.Second,
			MaxResponseHeaderBytes: maxHeader,
			DisableKeepAlives:      true,
		},
		CheckRedirect: func(r *http.Request, via []*http.Request) error {
			if len(via) > maxRedirects {
				return errRedirects
			}
			r.Header.Del("Referer")
			return nil
		},
	}}
}

// publicOnly refuses connections to what is not the public internet.
func publicOnly(network, address string, _ syscall.RawConn) error {
	at, err := netip.ParseAddrPort(address)
	if err != nil || network != "tcp4" && network != "tcp6" || !isPublic(at.Addr()) {
		return errNotPublic
	}
	return nil
}

// special are networks that are not of the public internet, or lead back out
// of it, besides those that package netip knows (IANA special-purpose address
// registries).
var special = []netip.Prefix{
	netip.MustParsePrefix("0.0.0.0/8"),       // this network
	netip.MustParsePrefix("100.64.0.0/10"),   // behind carriers
	netip.MustParsePrefix("192.0.0.0/24"),    // protocol assignments
	netip.MustParsePrefix("192.0.2.0/24"),    // documentation
	netip.MustParsePrefix("192.88.99.0/24"),  // 6to4 relays
	netip.MustParsePrefix("198.18.0.0/15"),   // benchmarks
	netip.MustParsePrefix("198.51.100.0/24"), // documentation
	netip.MustParsePrefix("203.0.113.0/24"),  // documentation
	netip.MustParsePrefix("240.0.0.0/4"),     // reserved, broadcast
}

// global is the part of IPv6 that is given out; notGlobal are parts of it that
// are special or have an IPv4 address in them.
var (
	global    = netip.MustParsePrefix("2000::/3")
	notGlobal = []netip.Prefix{
		netip.MustParsePrefix("2001::/23"),     // protocol assignments, Teredo
		netip.MustParsePrefix("2001:db8::/32"), // documentation
		netip.MustParsePrefix("2002::/16"),     // 6to4
		netip.MustParsePrefix("3fff::/20"),     // documentation
	}
)

func isPublic(ip netip.Addr) bool {
	ip = ip.Unmap().WithZone("")
	if !ip.IsGlobalUnicast() || ip.IsPrivate() {
		return false
	}
	out := special
	if ip.Is6() {
		if !global.Contains(ip) {
			return false
		}
		out = notGlobal
	}
	for _, p := range out {
		if p.Contains(ip) {
			return false
		}
	}
	return true
}

// previews makes the previews of the links in a text, those that can be had.
func (c *Client) previews(ctx context.Context, text string) (links []chat.Link, status []chat.StatusLink) {
	plan := preview.Plan(text)
	made := make([]*apppb.UnfurledLink, len(plan))
	var group sync.WaitGroup
	for i, found := range plan {
		if found.Kind != preview.Status {
			group.Go(func() {
				made[i], _ = c.unfurler.unfurl(ctx, found) // what cannot be had is left out
			})
		}
	}
	group.Wait()
	for i, found := range plan {
		switch {
		case made[i] != nil:
			links = append(links, chat.LinksFrom([]*apppb.UnfurledLink{made[i]})...)
		case found.Kind == preview.Status:
			p, err := preview.FromShare(found.URL, c.known(found.URL))
			if err != nil {
				continue
			}
			status = append(status, chat.StatusLinksFrom(&apppb.UnfurledStatusLinks{
				UnfurledStatusLinks: []*apppb.UnfurledStatusLink{p.Link},
			})...)
		}
	}
	return links, status
}

// known returns what the user of a share URL says of themselves, nil if nothing
// is known. What we call them stays here, and so does their picture, which may
// be for us alone.
func (c *Client) known(link string) *preview.Known {
	u, err := share.Parse(link)
	if err != nil || u.Kind != share.User || u.Key.IsZero() {
		return nil
	}
	if u.Key == c.Self() {
		return &preview.Known{DisplayName: c.ownName()}
	}
	k, err := c.stack.Contact(u.Key)
	if err != nil || k.DisplayName == "" {
		return nil
	}
	return &preview.Known{DisplayName: k.DisplayName, Description: k.Bio}
}

// unfurl makes the preview of a link.
func (u *unfurler) unfurl(ctx context.Context, found preview.Found) (*apppb.UnfurledLink, error) {
	ctx, cancel := context.WithTimeout(ctx, unfurlTimeout)
	defer cancel()
	page, err := u.get(ctx, found.URL, picture.MaxReceivedBytes)
	if err != nil {
		return nil, err
	}
	content, err := preview.Read(page)
	if errors.Is(err, preview.ErrTitle) && content.OEmbedURL != "" {
		var answer preview.Fetched
		if answer, err = u.get(ctx, content.OEmbedURL, preview.MaxOEmbed); err == nil {
			content, err = preview.FromOEmbed(answer.URL, content, answer.Body)
		}
	}
	if err != nil {
		return nil, err
	}
	var thumbnail, icon []byte
	if content.Kind == preview.Image {
		thumbnail = page.Body
	} else {
		thumbnail = u.picture(ctx, content.ImageURL, picture.MaxReceivedBytes)
		icon = u.picture(ctx, content.IconURL, picture.MaxIdentityBytes)
	}
	return preview.Link(found.URL, content, thumbnail, icon)
}

// picture fetches a picture of a page, nil for none: the preview does without.
func (u *unfurler) picture(ctx context.Context, address string, most int) []byte {
	if address == "" {
		return nil
	}
	p, err := u.get(ctx, address, most)
	if err != nil {
		return nil
	}
	return p.Body
}

// get fetches an address. Of a page its beginning is read; a picture of more
// than most bytes is refused.
func (u *unfurler) get(ctx context.Context, address string, most int) (f preview.Fetched, err error) {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, address, nil)
	if err != nil {
		return f, err
	}
	if request.URL.User != nil {
		return f, errNotPublic
	}
	request.Header.Set("User-Agent", userAgent)
	request.Header.Set("Accept", "text/html, image/*;q=0.9, application/json;q=0.8, */*;q=0.5")
	request.Header.Set("Accept-Language", "en")
	response, err := u.http.Do(request)
	if err != nil {
		return f, err
	}
	defer response.Body.Close()
	if response.StatusCode != http.StatusOK {
		return f, fmt.Errorf("%w: %d", errStatus, response.StatusCode)
	}
	f.URL, f.ContentType = response.Request.URL.String(), response.Header.Get("Content-Type")
	body := bufio.NewReaderSize(response.Body, sniffed)
	head, _ := body.Peek(sniffed)
	if !strings.HasPrefix(http.DetectContentType(head), "image/") {
		f.Body, err = io.ReadAll(io.LimitReader(body, int64(min(most, preview.MaxHTML))))
		return f, err
	}
	if f.Body, err = io.ReadAll(io.LimitReader(body, int64(most)+1)); err == nil && len(f.Body) > most {
		err = errTooLarge
	}
	return f, err
}

// sniffed is how many bytes show whether something is a picture.
const sniffed = 512
