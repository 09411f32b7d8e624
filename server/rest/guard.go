package rest

import (
	"fmt"
	"net"
	"net/http"
	"net/url"
	"regexp"
	"slices"
	"strings"
)

// guard refuses what comes for a foreign host name or for a foreign web site,
// before anything else.
func guard(next http.Handler, allowed origins, hosts []string) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("X-Content-Type-Options", "nosniff")
		if onLoopback(r) && !hostAllowed(r.Host, hosts) {
			text(http.StatusMisdirectedRequest, "this host name is not served here").write(w)
			return
		}
		from := r.Header.Values("Origin")
		switch {
		case len(from) > 1:
			text(http.StatusBadRequest, "Only a single Origin header must be specified").write(w)
			return
		case allowed.every:
			if len(from) == 1 {
				w.Header().Set("Access-Control-Allow-Origin", "*")
				allow(w)
			}
		case len(from) == 1 && allowed.has(from[0]):
			w.Header().Set("Access-Control-Allow-Origin", from[0])
			w.Header().Add("Vary", "Origin")
			allow(w)
		case foreign(r):
			text(http.StatusForbidden, "Origin not allowed").write(w)
			return
		}
		next.ServeHTTP(w, r)
	})
}

// allow tells a browser what a web site may do here.
func allow(w http.ResponseWriter) {
	w.Header().Set("Access-Control-Allow-Headers", "Content-Type")
	w.Header().Set("Access-Control-Allow-Methods", "GET, POST, PUT, DELETE, OPTIONS")
}

// foreign says whether a browser makes the request for another site than this
// one. Such a request can change something although its site never sees the
// answer, and some that read do so here.
func foreign(r *http.Request) bool {
	switch r.Header.Get("Sec-Fetch-Site") {
	case "cross-site", "same-site":
		return true
	case "same-origin", "none":
		return false
	}
	origin := r.Header.Get("Origin")
	return origin != "" && !sameHost(origin, r.Host)
}

func sameHost(origin, host string) bool {
	u, err := url.Parse(origin)
	return err == nil && u.Host != "" && strings.EqualFold(u.Host, host)
}

// onLoopback says whether the connection is to a loopback address, or to one
// that is not known.
func onLoopback(r *http.Request) bool {
	at, ok := r.Context().Value(http.LocalAddrContextKey).(*net.TCPAddr)
	return !ok || at.IP.IsLoopback()
}

// hostAllowed tells whether a Host header is one of ours. An address is
// always allowed: what a hostile site can point at us is a name of its own.
func hostAllowed(host string, allowed []string) bool {
	name, _, err := net.SplitHostPort(host)
	if err != nil {
		name = host
	}
	name = strings.Trim(name, "[]")
	return strings.EqualFold(name, "localhost") || net.ParseIP(name) != nil ||
		slices.ContainsFunc(allowed, func(a string) bool { return strings.EqualFold(a, name) })
}

// origins are the web sites that may use the API.
type origins struct {
	every    bool
	patterns []*regexp.Regexp
}

// parseOrigins reads patterns, of which each may be several with commas
// between.
func parseOrigins(list []string) (o origins, err error) {
	for _, p := range strings.Split(strings.Join(list, ","), ",") {
		switch p = strings.TrimSpace(p); p {
		case "":
			continue
		case "*":
			o.every = true
			continue
		}
		scheme := "https?://"
		for _, s := range []string{"http://", "https://"} {
			if rest, ok := strings.CutPrefix(p, s); ok {
				scheme, p = s, rest
			}
		}
		quoted := strings.NewReplacer(`\*`, `[^/]*`, `\?`, `[^/]?`).Replace(regexp.QuoteMeta(p))
		re, err := regexp.Compile("(?i)^" + scheme + quoted + "$")
		if err != nil {
			return o, fmt.Errorf("%w: origin %q: %w", ErrConfig, p, err)
		}
		o.patterns = append(o.patterns, re)
	}
	return o, nil
}

func (o origins) has(origin string) bool {
	return slices.ContainsFunc(o.patterns, func(p *regexp.Regexp) bool { return p.MatchString(origin) })
}
