package rest

import (
	"errors"
	"net/http"
	"testing"
	"time"

	"github.com/parley-im/parley/waku/node"
)

var fixed = time.Unix(1_700_000_000, 0)

func TestGuard(t *testing.T) {
	t.Parallel()
	n, _ := startNode(t, node.Full)
	closed := serve(t, Config{Node: n, Hosts: []string{"waku.example"}})
	some := serve(t, Config{Node: n, AllowOrigin: []string{"test.net:1234, https://localhost:*", "http://*.main.net"}})
	every := serve(t, Config{Node: n, AllowOrigin: []string{"*"}})
	for name, c := range map[string]struct {
		api     *api
		headers http.Header
		status  int
		origin  string
	}{
		"plain":                   {closed, http.Header{}, 200, ""},
		"localhost":               {closed, http.Header{"Host": {"LocalHost:8645"}}, 200, ""},
		"address":                 {closed, http.Header{"Host": {"[::1]:8645"}}, 200, ""},
		"own name":                {closed, http.Header{"Host": {"Waku.example:8645"}}, 200, ""},
		"foreign name":            {closed, http.Header{"Host": {"evil.example:8645"}}, 421, ""},
		"foreign site":            {closed, http.Header{"Origin": {"http://evil.example"}}, 403, ""},
		"same site":               {closed, http.Header{"Host": {"127.0.0.1:1"}, "Origin": {"http://127.0.0.1:1"}}, 200, ""},
		"other port":              {closed, http.Header{"Host": {"127.0.0.1:1"}, "Origin": {"http://127.0.0.1:2"}}, 403, ""},
		"sandbox":                 {closed, http.Header{"Origin": {"null"}}, 403, ""},
		"fetched by another site": {closed, http.Header{"Sec-Fetch-Site": {"cross-site"}}, 403, ""},
		"fetched by a neighbour":  {closed, http.Header{"Sec-Fetch-Site": {"same-site"}}, 403, ""},
		"typed":                   {closed, http.Header{"Sec-Fetch-Site": {"none"}}, 200, ""},
		"without scheme":          {some, http.Header{"Origin": {"https://test.net:1234"}}, 200, "https://test.net:1234"},
		"any port":                {some, http.Header{"Origin": {"https://localhost:80"}}, 200, "https://localhost:80"},
		"other scheme":            {some, http.Header{"Origin": {"http://localhost:80"}}, 403, ""},
		"subdomain":               {some, http.Header{"Origin": {"http://node.MAIN.net"}}, 200, "http://node.MAIN.net"},
		"dots are dots":           {some, http.Header{"Origin": {"http://nodexmain.net"}}, 403, ""},
		"longer":                  {some, http.Header{"Origin": {"https://test.net:1234.evil.example"}}, 403, ""},
		"two origins":             {some, http.Header{"Origin": {"https://test.net:1234", "https://a"}}, 400, ""},
		"every":                   {every, http.Header{"Origin": {"http://evil.example"}, "Sec-Fetch-Site": {"cross-site"}}, 200, "*"},
		"every, of its own":       {every, http.Header{}, 200, ""},
		"every, foreign name":     {every, http.Header{"Host": {"evil.example"}}, 421, ""},
	} {
		t.Run(name, func(t *testing.T) {
			status, body, headers := c.api.do(http.MethodGet, "/version", "", c.headers)
			if status != c.status || headers.Get("Access-Control-Allow-Origin") != c.origin {
				t.Errorf("%d %q %v, want %d %q", status, body, headers, c.status, c.origin)
			}
			if headers.Get("X-Content-Type-Options") != "nosniff" {
				t.Error("no nosniff")
			}
		})
	}
	status, body, headers := some.do(http.MethodOptions, "/relay/v1/subscriptions", "", http.Header{"Origin": {"https://test.net:1234"}})
	if status != 200 || body != "OK" || headers.Get("Access-Control-Allow-Headers") != "Content-Type" ||
		headers.Get("Access-Control-Allow-Methods") == "" || headers.Get("Vary") != "Origin" || headers.Get("Allow") != "POST, DELETE, OPTIONS" {
		t.Errorf("preflight: %d %q %v", status, body, headers)
	}
}

func TestConfig(t *testing.T) {
	t.Parallel()
	n, _ := startNode(t, node.Full)
	for name, cfg := range map[string]Config{
		"no node":         {},
		"too many shards": {Node: n, NumShards: 1025},
		"negative cache":  {Node: n, Cache: -1},
		"negative pause":  {Node: n, KeepAlive: -1},
		"negative frame":  {Node: n, MaxFrame: -1},
	} {
		if _, err := New(cfg); !errors.Is(err, ErrConfig) {
			t.Errorf("%s: %v", name, err)
		}
	}
	s, err := New(Config{Node: n, NumShards: 1024})
	if err != nil {
		t.Fatal(err)
	}
	_ = s.Close()
}
