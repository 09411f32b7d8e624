package interop

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"sync"

	"github.com/libp2p/go-libp2p/core/peer"
)

// restMessage is a message in the REST API.
type restMessage struct {
	Payload      []byte `json:"payload"`
	ContentTopic string `json:"contentTopic"`
	Version      uint32 `json:"version,omitempty"`
	Timestamp    int64  `json:"timestamp,omitempty"`
	Meta         []byte `json:"meta,omitempty"`
}

// call makes a call of the node's REST API and returns the answer's status and
// text. What was to be read into out must be there when the status is 200.
func (p *parley) call(method, path string, in, out any) (status int, text string) {
	p.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	var body io.Reader
	if in != nil {
		raw, err := json.Marshal(in)
		if err != nil {
			p.t.Fatal(err)
		}
		body = bytes.NewReader(raw)
	}
	req, err := http.NewRequestWithContext(ctx, method, p.REST+path, body)
	if err != nil {
		p.t.Fatal(err)
	}
	req.Header.Set("Content-Type", "application/json")
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		p.t.Fatalf("%s %s: %v", method, path, err)
	}
	defer resp.Body.Close()
	raw, err := io.ReadAll(resp.Body)
	if err != nil {
		p.t.Fatalf("%s %s: %v", method, path, err)
	}
	if out != nil && resp.StatusCode == http.StatusOK {
		if err := json.Unmarshal(raw, out); err != nil {
			p.t.Fatalf("%s %s: %v in %s", method, path, err, raw)
		}
	}
	return resp.StatusCode, string(raw)
}

// ok makes a call that must succeed.
func (p *parley) ok(method, path string, in, out any) {
	p.t.Helper()
	if status, text := p.call(method, path, in, out); status != http.StatusOK {
		p.t.Fatalf("%s %s: %d %s", method, path, status, text)
	}
}

// publish publishes by relay.
func (p *parley) publish(pubsub string, m restMessage) {
	p.t.Helper()
	p.ok(http.MethodPost, "/relay/v1/messages/"+url.PathEscape(pubsub), m, nil)
}

// pushed is the body of a call of lightpush.
type pushed struct {
	PubsubTopic string      `json:"pubsubTopic"`
	Message     restMessage `json:"message"`
}

// meshed is the number of peers in the node's mesh of a shard.
func (p *parley) meshed(shard int) int {
	p.t.Helper()
	var stats map[string]map[string]int
	p.ok(http.MethodGet, "/admin/v1/peers/stats", nil, &stats)
	return stats["Mesh peers"][strconv.Itoa(shard)]
}

// admitted is a peer in the lists of the REST API.
type admitted struct {
	Multiaddr string
	Shards    []uint16
	Connected string
	Agent     string
	Protocols []string
}

// peers are all peers that the node knows.
func (p *parley) peers() (all []admitted) {
	p.t.Helper()
	p.ok(http.MethodGet, "/admin/v1/peers", nil, &all)
	return all
}

// peer is what the node knows of one peer.
func (p *parley) peer(id peer.ID) (admitted, bool) {
	p.t.Helper()
	all := p.peers()
	i := slices.IndexFunc(all, func(q admitted) bool { return strings.HasSuffix(q.Multiaddr, "/p2p/"+id.String()) })
	if i < 0 {
		return admitted{}, false
	}
	return all[i], true
}

func (p *parley) isConnected(id peer.ID) bool {
	p.t.Helper()
	q, ok := p.peer(id)
	return ok && q.Connected == "Connected"
}

// inbox is what an event stream of the REST API has given so far.
type inbox struct {
	mu   sync.Mutex
	got  []received
	fail error
}

type received struct {
	hash string
	restMessage
}

// events opens an event stream, of what the node relays ("relay") or what its
// filter subscriptions bring ("filter"), and reads it until the test ends.
func (p *parley) events(kind, pubsub, contentTopic string) *inbox {
	p.t.Helper()
	query := url.Values{"pubsubTopic": {pubsub}, "contentTopics": {contentTopic}}
	version := map[string]string{"relay": "v1", "filter": "v2"}[kind]
	ctx, cancel := context.WithCancel(context.Background())
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, p.REST+"/"+kind+"/"+version+"/events?"+query.Encode(), nil)
	if err != nil {
		p.t.Fatal(err)
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		p.t.Fatal(err)
	}
	if resp.StatusCode != http.StatusOK {
		p.t.Fatalf("events: %s", resp.Status)
	}
	box := new(inbox)
	opened, ended := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(ended)
		box.read(bufio.NewReader(resp.Body), opened)
	}()
	p.t.Cleanup(func() {
		cancel()
		resp.Body.Close()
		<-ended
	})
	select {
	case <-opened:
	case <-within(p.t).Done():
		p.t.Fatal("the event stream does not open")
	}
	return box
}

// read reads events: a line with the id, which is the message's hash, and one
// with the message.
func (b *inbox) read(r *bufio.Reader, opened chan struct{}) {
	open := sync.OnceFunc(func() { close(opened) })
	hash := ""
	for {
		line, err := r.ReadString('\n')
		if err != nil {
			b.add(received{}, err)
			return
		}
		open()
		key, value, _ := strings.Cut(strings.TrimSpace(line), ": ")
		switch key {
		case "id":
			hash = value
		case "event": // the reader fell behind
			b.add(received{}, fmt.Errorf("event %s", value))
			return
		case "data":
			m := received{hash: hash}
			if err := json.Unmarshal([]byte(value), &m.restMessage); err != nil {
				b.add(received{}, err)
				return
			}
			b.add(m, nil)
		}
	}
}

func (b *inbox) add(m received, err error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if err != nil {
		b.fail = err
		return
	}
	b.got = append(b.got, m)
}

// all is what has come, in order.
func (b *inbox) all() []received {
	b.mu.Lock()
	defer b.mu.Unlock()
	return slices.Clone(b.got)
}

// expect waits for n messages and returns them, or fails.
func (b *inbox) expect(p *parley, n int) []received {
	p.t.Helper()
	wait(p.t, fmt.Sprintf("%d messages at Parley", n), func() bool {
		b.mu.Lock()
		defer b.mu.Unlock()
		if b.fail != nil {
			p.t.Fatalf("event stream after %d of %d messages: %v", len(b.got), n, b.fail)
		}
		return len(b.got) >= n
	})
	all := b.all()
	if len(all) != n {
		p.t.Fatalf("%d messages instead of %d", len(all), n)
	}
	return all
}
