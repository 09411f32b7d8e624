package rest

import (
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/parley-im/parley/internal/eventually"
	wakupb "github.com/parley-im/parley/pb/waku"
	"github.com/parley-im/parley/waku/message"
	"github.com/parley-im/parley/waku/node"
	"github.com/parley-im/parley/waku/store"
	"github.com/parley-im/parley/waku/store/sqlite"
	"github.com/parley-im/parley/waku/topic"
)

const storeCall = "/store/v3/messages"

// archived fills an archive with n messages, one a second, in turn on two
// content topics of each of two shards.
func archived(t testing.TB, a store.Archive, n int) (entries []store.Entry) {
	t.Helper()
	for i := range n {
		m := message.New(fmt.Appendf(nil, "%d", i), []string{content, "/second/1/x/proto"}[i%2], fixed.Add(time.Duration(i)*time.Second), false)
		entries = append(entries, store.NewEntry(topic.Pubsub(cluster, 32+uint16(i/2%2)), m))
	}
	if err := a.Insert(t.Context(), entries...); err != nil {
		t.Fatal(err)
	}
	return entries
}

func storeQuery(params ...string) string {
	q := url.Values{}
	for i := 0; i < len(params); i += 2 {
		q.Set(params[i], params[i+1])
	}
	return storeCall + "?" + q.Encode()
}

// pages reads all pages and returns the hashes, those of each page in turn.
func (a *api) pages(params ...string) (hashes []string, sizes []int) {
	a.t.Helper()
	cursor := ""
	for range 100 {
		p := params
		if cursor != "" {
			p = append(slices.Clone(params), "cursor", cursor)
		}
		page := get[StoreResponse](a, storeQuery(p...))
		if page.StatusCode != 200 || page.StatusDesc != "OK" {
			a.t.Fatalf("%+v", page)
		}
		sizes = append(sizes, len(page.Messages))
		for _, m := range page.Messages {
			hashes = append(hashes, m.MessageHash)
		}
		if cursor = page.PaginationCursor; cursor == "" {
			return hashes, sizes
		}
	}
	a.t.Fatal("the pages do not end")
	return nil, nil
}

func hashesOf(entries []store.Entry, want func(store.Entry) bool) (out []string) {
	for _, e := range entries {
		if want(e) {
			out = append(out, e.Hash.String())
		}
	}
	return out
}

func TestStore(t *testing.T) {
	t.Parallel()
	n, archive := startNode(t, node.Service)
	a := serve(t, Config{Node: n, Archive: archive})
	a.expect("GET", storeCall, "", 200, `{"requestId":"","statusCode":200,"statusDesc":"OK","messages":[]}`)
	all := archived(t, archive, 50)
	a.expect("GET", storeQuery("pageSize", "1"), "", 200, `{"requestId":"","statusCode":200,"statusDesc":"OK","messages":[`+
		`{"messageHash":"`+all[0].Hash.String()+`"}],"paginationCursor":"`+all[0].Hash.String()+`"}`)
	a.expect("GET", storeQuery("hashes", all[0].Hash.String(), "includeData", "true"), "", 200,
		`{"requestId":"","statusCode":200,"statusDesc":"OK","messages":[{"messageHash":"`+all[0].Hash.String()+`","message":`+
			`{"payload":"MA==","contentTopic":"/waku/1/0x00000001/rfc26","version":1,"timestamp":1700000000000000000,"ephemeral":false},`+
			`"pubsubTopic":"/waku/2/rs/16/32"}]}`)

	for name, c := range map[string]struct {
		params []string
		want   func(store.Entry) bool
		pages  int
	}{
		"all":             {nil, func(store.Entry) bool { return true }, 3},
		"pages of 100":    {[]string{"pageSize", "1000"}, func(store.Entry) bool { return true }, 1},
		"pages of nought": {[]string{"pageSize", "0"}, func(store.Entry) bool { return true }, 3},
		"both topics": {[]string{"pubsubTopic", shard32, "contentTopics", content, "pageSize", "5"}, func(e store.Entry) bool {
			return e.PubsubTopic == shard32 && e.Message.ContentTopic == content
		}, 3},
		"two content topics": {[]string{"pubsubTopic", shard32, "contentTopics", content + ",/second/1/x/proto", "pageSize", "10"}, func(e store.Entry) bool {
			return e.PubsubTopic == shard32
		}, 3},
		"a pubsub topic": {[]string{"pubsubTopic", shard32, "pageSize", "13"}, func(e store.Entry) bool { return e.PubsubTopic == shard32 }, 2},
		"a content topic": {[]string{"contentTopics", content, "pageSize", "5"}, func(e store.Entry) bool {
			return e.PubsubTopic == shard32 && e.Message.ContentTopic == content // the other shard is not this node's
		}, 3},
		"a time range": {[]string{"startTime", fmt.Sprint(fixed.Add(10 * time.Second).UnixNano()), "endTime", fmt.Sprint(fixed.Add(30 * time.Second).UnixNano()), "pageSize", "20"}, func(e store.Entry) bool {
			at := time.Unix(0, e.Message.GetTimestamp())
			return !at.Before(fixed.Add(10*time.Second)) && at.Before(fixed.Add(30*time.Second))
		}, 1},
		"no time": {[]string{"startTime", "-5", "endTime", "0", "pageSize", "50"}, func(store.Entry) bool { return true }, 1},
	} {
		t.Run(name, func(t *testing.T) {
			want := hashesOf(all, c.want)
			got, sizes := a.pages(c.params...)
			if !slices.Equal(got, want) || len(sizes) != c.pages {
				t.Errorf("%d messages on pages of %v, want %d on %d", len(got), sizes, len(want), c.pages)
			}
			// Backward, the pages come in turn, each in ascending order.
			back, sizes := a.pages(append(slices.Clone(c.params), "ascending", "false", "includeData", "true")...)
			var joined []string
			for rest := back; len(sizes) > 0; sizes = sizes[1:] {
				joined = append(slices.Clone(rest[:sizes[0]]), joined...)
				rest = rest[sizes[0]:]
			}
			if !slices.Equal(joined, want) {
				t.Errorf("backward: %d messages, want %d", len(joined), len(want))
			}
		})
	}
	// Both forms of a hash, also encoded twice; with and without 0x.
	h := all[7].Hash
	for _, form := range []string{
		h.String(), h.String()[2:], strings.ToUpper(h.String()[2:]), base64.StdEncoding.EncodeToString(h[:]), base64.URLEncoding.EncodeToString(h[:]),
		url.QueryEscape(base64.StdEncoding.EncodeToString(h[:])),
	} {
		if got := get[StoreResponse](a, storeQuery("hashes", form+","+all[9].Hash.String())); len(got.Messages) != 2 {
			t.Errorf("%s: %+v", form, got)
		}
		if got := get[StoreResponse](a, storeQuery("cursor", form, "pageSize", "1")); got.Messages[0].MessageHash != all[8].Hash.String() {
			t.Errorf("cursor %s: %+v", form, got)
		}
	}
	for _, pubsub := range []string{shard32, url.QueryEscape(shard32)} {
		if got := get[StoreResponse](a, storeQuery("pubsubTopic", pubsub, "contentTopics", content)); len(got.Messages) != 13 {
			t.Errorf("%s: %d messages", pubsub, len(got.Messages))
		}
	}
	for query, want := range map[string]string{
		storeQuery("includeData", "maybe"):                         "include data parsing error: ",
		storeQuery("ascending", "up"):                              "ascending parsing error: ",
		storeQuery("startTime", "x"):                               "time parsing error: ",
		storeQuery("endTime", "9223372036854775808"):               "time parsing error: ",
		storeQuery("pageSize", "-1"):                               "page size parsing error: ",
		storeQuery("pageSize", "x"):                                "page size parsing error: ",
		storeQuery("hashes", "0x00"):                               "waku message hash parsing error: invalid hash length: 1",
		storeQuery("hashes", "!"):                                  "waku message hash parsing error: ",
		storeQuery("hashes", h.String()+","):                       "waku message hash parsing error: ",
		storeQuery("cursor", "zz"):                                 "waku message hash parsing error: ",
		storeQuery("cursor", "0x"+strings.Repeat("0", 64)):         "store: no entry",
		storeQuery("hashes", h.String(), "contentTopics", content): "store: invalid query",
		storeQuery("startTime", "9", "endTime", "8"):               "store: invalid query",
		storeQuery("peerAddr", "x"):                                "Failed parsing remote peer info: ",
	} {
		if status, got := a.call("GET", query, ""); status != 400 || !strings.HasPrefix(got, want) {
			t.Errorf("%s: %d %q, want %q", query, status, got, want)
		}
	}
}

// Where an archive is too large for one call to look through, the caller goes
// on with the cursor, also from a page with nothing on it.
func TestStoreScan(t *testing.T) {
	t.Parallel()
	a, err := sqlite.Open(t.TempDir() + "/archive.db")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = a.Close() })
	entry := func(i int, pubsub string) store.Entry {
		return store.NewEntry(pubsub, message.New(fmt.Appendf(nil, "%d", i), content, fixed.Add(time.Duration(i)), false))
	}
	var all []store.Entry
	for i := range maxScan*store.MaxPage + 50 {
		all = append(all, entry(i, "/waku/2/rs/16/33"))
	}
	last := entry(len(all), shard32)
	if err := a.Insert(t.Context(), append(all, last)...); err != nil {
		t.Fatal(err)
	}
	q := &store.Query{PubsubTopic: shard32, Forward: true, Limit: 5}
	page, err := anyContent(t.Context(), a.Query, q)
	if err != nil || len(page.Messages) != 0 || page.Cursor == nil {
		t.Fatalf("%+v %v", page, err)
	}
	q.Cursor = page.Cursor
	page, err = anyContent(t.Context(), a.Query, q)
	if err != nil || len(page.Messages) != 1 || page.Messages[0].Hash != last.Hash || page.Cursor != nil {
		t.Fatalf("%+v %v", page, err)
	}
}

func TestStorePeers(t *testing.T) {
	t.Parallel()
	a, b := pair(t, Config{})
	var m *wakupb.WakuMessage
	for range 3 {
		m = fresh(content)
		b.expect("POST", "/relay/v1/messages/"+seg(shard32), post(m), 200, "OK")
	}
	params := []string{"pubsubTopic", shard32, "contentTopics", content, "includeData", "true"}
	eventually.True(t, "three stored messages", func() bool {
		return len(get[StoreResponse](a, storeQuery(params...)).Messages) == 3
	})
	// A node without a store asks one that has it.
	own, named := get[StoreResponse](b, storeQuery(params...)), get[StoreResponse](b, storeQuery(append(params, "peerAddr", a.node.Addrs()[0])...))
	for _, page := range []StoreResponse{own, named} {
		if len(page.Messages) != 3 || page.Messages[2].MessageHash != message.HashOf(shard32, m).String() ||
			page.Messages[2].Message == nil || page.Messages[2].PubsubTopic != shard32 || page.StatusDesc != "OK" {
			t.Errorf("%+v", page)
		}
	}
	if got := get[StoreResponse](b, storeQuery("contentTopics", content)); len(got.Messages) != 3 {
		t.Errorf("a content topic alone: %+v", got)
	}
	status, got := b.call("GET", storeQuery("cursor", "0x"+strings.Repeat("0", 64)), "")
	if status != 500 || !strings.HasPrefix(got, "Error occurred in the store query [") {
		t.Errorf("a query that the peer refuses: %d %q", status, got)
	}
	// The other node serves no store.
	status, got = a.call("GET", storeQuery("peerAddr", b.node.Addrs()[0]), "")
	if status != 500 || !strings.HasPrefix(got, "Error occurred in the store query [") {
		t.Errorf("no store: %d %q", status, got)
	}
	gone, _ := startNode(t, node.Full)
	addr := gone.Addrs()[0]
	_ = gone.Close()
	status, got = a.call("GET", storeQuery("peerAddr", addr), "")
	if status != 500 || !strings.Contains(got, "PEER_DIAL_FAILURE") {
		t.Errorf("nobody there: %d %q", status, got)
	}
	lone, _ := startNode(t, node.Full)
	serve(t, Config{Node: lone}).expect("GET", storeCall, "", 412, noService)
}

// asking answers queries for a test.
type asking func(context.Context, *store.Query) (*store.Page, error)

func (f asking) Query(ctx context.Context, q *store.Query) (*store.Page, error) { return f(ctx, q) }

func TestStoreErrors(t *testing.T) {
	t.Parallel()
	n, _ := startNode(t, node.Full)
	for _, c := range []struct {
		err    error
		status int
		text   string
	}{
		{store.ErrTooMany, 429, "Request rate limit reached"},
		{context.DeadlineExceeded, 500, "No history response received (timeout)"},
		{store.ErrClosed, 500, "Error occurred in the store query [the archive cannot be read; the log says why]"},
		{errors.New("user=postgres host=192.0.2.1"), 500, "Error occurred in the store query [the archive cannot be read; the log says why]"},
	} {
		a := serve(t, Config{Node: n, Archive: asking(func(context.Context, *store.Query) (*store.Page, error) {
			return nil, fmt.Errorf("%w", c.err)
		})})
		a.expect("GET", storeCall, "", c.status, c.text)
	}
}
