package main

import (
	"bytes"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/spf13/cobra"

	"github.com/parley-im/parley"
	"github.com/parley-im/parley/app/chat"
	"github.com/parley-im/parley/internal/fault"
	"github.com/parley-im/parley/waku/node"
)

// TestPlain: what others write cannot steer the reader's terminal.
func TestPlain(t *testing.T) {
	t.Parallel()
	for in, want := range map[string]string{
		"hello":                     "hello",
		"zwei\nZeilen":              "zwei\nZeilen",
		"a\tb":                      "a b",
		"\x1b[2J\x1b]0;title\x07":   "�[2J�]0;title�",
		"back\rspace\b":             "back�space�",
		"c1 \u009b31m":              "c1 �31m",
		"right \u202eto left\u2066": "right �to left�",
		"👩‍👩‍👧 नमस्ते \u200dמה":      "👩‍👩‍👧 नमस्ते \u200dמה",
		string([]byte{0xff, 'x', 0}): "�x�",
	} {
		if got := plain(in); got != want {
			t.Errorf("plain(%q) = %q, want %q", in, got, want)
		}
	}
	var b bytes.Buffer
	if err := table(&b, []string{"a\nb", "c"}, []string{"\x1b[1m", "", "d"}); err != nil || b.String() != "a b   c\n�[1m    d\n" {
		t.Errorf("%q, %v", b.String(), err)
	}
}

func TestWriteMessage(t *testing.T) {
	t.Parallel()
	now := time.Date(2026, 3, 4, 15, 0, 0, 0, time.Local)
	at := uint64(now.Add(-time.Hour).UnixMilli())
	for want, m := range map[string]parley.Message{
		"14:00:00  Ada: hello\n":                              {Text: "hello", ContentType: "text", Timestamp: at, State: chat.Received},
		"14:00:00  Ada: hello  (pending)\n":                   {Text: "hello", ContentType: "text", Timestamp: at, State: chat.Pending},
		"2026-03-03 15:00  Ada: hello\n":                      {Text: "hello", ContentType: "text", Timestamp: uint64(now.Add(-24 * time.Hour).UnixMilli()), State: chat.Received},
		"14:00:00  Ada: [contact request] a\n    b  (sent)\n": {Text: "a\nb", ContentType: "contact_request", Timestamp: at, State: chat.Sent},
		"14:00:00  Ada: [image]\n":                            {ContentType: "image", Timestamp: at, State: chat.Received},
		"14:00:00  Ada: [image png 3×2] see\n":                {Text: "see", ContentType: "image", Image: &parley.Image{Format: "png", Width: 3, Height: 2}, Timestamp: at, State: chat.Received},
		"14:00:00  Ada: [sticker e3 of pack 1]\n":             {ContentType: "sticker", Sticker: &chat.Sticker{Hash: "e3", Pack: 1}, Timestamp: at, State: chat.Received},
		"14:00:00  Ada: [audio 2s]\n":                         {ContentType: "audio", Audio: &parley.Audio{DurationMS: 1600}, Timestamp: at, State: chat.Received},
		"14:00:00  Ada: [from irc, bob] hi\n":                 {ContentType: "bridge", Bridge: &chat.Bridge{Name: "irc", User: "bob", Content: "hi"}, Timestamp: at, State: chat.Received},
		"14:00:00  Ada: [transaction request 1.5]\n":          {ContentType: "transaction", Transaction: &chat.Transaction{Command: "request", Value: "1.5"}, Timestamp: at, State: chat.Received},
		"14:00:00  Ada: [deleted]\n":                          {Deleted: true, Edited: true, Clock: at, State: chat.Received},
		"14:00:00  Ada: [image png]\n":                        {ContentType: "image", Image: &parley.Image{Format: "png"}, Timestamp: at, Clock: at + 9000, State: chat.Received},
		"14:00:00  Ada: hi  👍  👎2  (pinned)  (edited)\n": {
			Text: "hi", ContentType: "text", Timestamp: at, State: chat.Received, Edited: true, Pinned: true,
			Reactions: []parley.Reaction{{Emoji: "👍", Count: 1}, {Emoji: "👎", Count: 2}},
		},
		"14:00:00  Ada: lunch\n    ↳ asks for 5 SNT to 0x12  (thread: Who pays)\n": {
			Text: "lunch", ContentType: "text", Timestamp: at, State: chat.Received, ThreadName: "Who pays",
			Payments: []chat.Payment{{Receiver: "0x12", Symbol: "SNT", Amount: "5"}},
		},
		"14:00:00  Ada: see\n    ↳ A page\n    ↳ #general\n": {
			Text: "see", ContentType: "text", Timestamp: at, State: chat.Received, Links: []parley.Link{{URL: "http://a.example", Title: "A page"}},
			StatusLinks: []parley.StatusLink{{Channel: &parley.ChannelLink{DisplayName: "general"}}},
		},
		"14:00:00  Ada: �[31mred\n": {Text: "\x1b[31mred", ContentType: "text", Timestamp: at, State: chat.Received},
	} {
		var b bytes.Buffer
		if err := writeMessage(&b, m, "Ada", now); err != nil || b.String() != want {
			t.Errorf("%q, %v; want %q", b.String(), err, want)
		}
	}
}

func TestParseSince(t *testing.T) {
	t.Parallel()
	now := time.Date(2026, 3, 4, 15, 0, 0, 0, time.Local)
	for text, want := range map[string]uint64{
		"":                     0,
		"1795247662625":        1795247662625,
		"90m":                  uint64(now.Add(-90 * time.Minute).UnixMilli()),
		"2026-03-01":           uint64(time.Date(2026, 3, 1, 0, 0, 0, 0, time.Local).UnixMilli()),
		"2026-03-01T12:00:00Z": uint64(time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC).UnixMilli()),
	} {
		if got, err := parseSince(text, now); err != nil || got != want {
			t.Errorf("%q: %d, %v; want %d", text, got, err, want)
		}
	}
	for _, text := range []string{"yesterday", "-1", "2026-13-01", "1969-01-01", "2026-03-01 12:00", "1e3"} {
		if got, err := parseSince(text, now); fault.ExitCode(err) != 2 {
			t.Errorf("%q: %d, %v", text, got, err)
		}
	}
}

func TestReadSecret(t *testing.T) {
	t.Parallel()
	long := strings.Repeat("x", maxSecret)
	for in, want := range map[string]string{
		"secret": "secret", "secret\n": "secret", "secret\r\n": "secret", " two words \n": " two words ",
		"line\n\n": "line\n", "\ufeffsecret": "secret", long: long,
	} {
		if got, err := readSecret(strings.NewReader(in)); err != nil || got != want {
			t.Errorf("%.20q: %.20q, %v", in, got, err)
		}
	}
	for _, in := range []string{"", "\n", "\r\n", long + "x"} {
		if got, err := readSecret(strings.NewReader(in)); err == nil {
			t.Errorf("%.20q is the secret %.20q", in, got)
		}
	}
}

func TestAddresses(t *testing.T) {
	t.Parallel()
	for in, want := range map[string]string{
		":8000":             "/ip4/0.0.0.0/tcp/8000",
		"127.0.0.1:0":       "/ip4/127.0.0.1/tcp/0",
		"[2001:db8::1]:443": "/ip6/2001:db8::1/tcp/443",
	} {
		if got, err := webAddress("--ws", in); err != nil || got != want || checkListen([]string{got + "/ws"}) != nil {
			t.Errorf("%s: %s, %v", in, got, err)
		}
	}
	for addr, want := range map[net.Addr]string{
		&net.TCPAddr{IP: net.IPv4zero, Port: 1}:              "127.0.0.1:1",
		&net.TCPAddr{IP: net.IPv6unspecified, Port: 1}:       "127.0.0.1:1",
		&net.TCPAddr{IP: net.IPv6loopback, Port: 1}:          "[::1]:1",
		&net.TCPAddr{IP: net.IPv4(192, 0, 2, 1), Port: 8645}: "192.0.2.1:8645",
	} {
		if got := reachable(addr); got != want {
			t.Errorf("%v is reached at %s, want %s", addr, got, want)
		}
	}
}

// TestListenAPI: another machine can reach the API only if asked for, and then
// the person is told.
func TestListenAPI(t *testing.T) {
	t.Parallel()
	for address, warned := range map[string]bool{"127.0.0.1:0": false, "localhost:0": false, "0.0.0.0:0": true, ":0": true} {
		var words bytes.Buffer
		listener, err := (&app{err: &words}).listenAPI(address)
		if err != nil {
			t.Fatalf("%s: %v", address, err)
		}
		if got := strings.Contains(words.String(), "Warning"); got != warned {
			t.Errorf("%s: said %q", address, &words)
		}
		taken := listener.Addr().String()
		if _, err := new(app).listenAPI(taken); fault.KindOf(err) != fault.Conflict || fault.HintOf(err) == "" {
			t.Errorf("%s is taken: %v", taken, err)
		}
		listener.Close()
	}
	if _, err := new(app).listenAPI("8645"); fault.ExitCode(err) != 2 {
		t.Errorf("no address: %v", err)
	}
}

func TestCheckStatus(t *testing.T) {
	t.Parallel()
	peer := []node.PeerStatus{{ID: "p"}}
	lit := func(states ...string) *node.FilterStatus {
		f := &node.FilterStatus{}
		for _, s := range states {
			f.Peers = append(f.Peers, node.FilterPeerStatus{State: s})
		}
		return f
	}
	for name, c := range map[string]struct {
		status parley.Status
		want   string // checks that are not ok, with their states
	}{
		"full, well": {parley.Status{Node: node.Status{Peers: peer, StorePeers: []string{"p"}, Relay: map[string]node.TopicStatus{"a": {Peers: 1}, "b": {}}}}, ""},
		"full, alone": {parley.Status{Pending: 2, Node: node.Status{Relay: map[string]node.TopicStatus{"a": {}}}},
			"peers bad, relay bad, store warning, outbox warning"},
		"light, well": {parley.Status{Node: node.Status{Peers: peer, StorePeers: []string{"p"}, Filter: lit("active", "active", "waiting")}}, ""},
		"light, one":  {parley.Status{Node: node.Status{Peers: peer, StorePeers: []string{"p"}, Filter: lit("active")}}, "filter warning"},
		"light, none": {parley.Status{Node: node.Status{Peers: peer, StorePeers: []string{"p"}, Filter: lit("subscribing")}}, "filter bad"},
		"no history": {parley.Status{History: parley.Progress{Of: 2, Error: "timeout"}, Node: node.Status{Peers: peer, StorePeers: []string{"p"}, Filter: lit("active", "active")}},
			"history warning"},
	} {
		var got []string
		for _, f := range checkStatus(c.status) {
			if (f.State == stateOK) != (f.Hint == "") || f.Detail == "" {
				t.Errorf("%s: %+v", name, f)
			}
			if f.State != stateOK {
				got = append(got, f.Check+" "+f.State)
			}
		}
		if strings.Join(got, ", ") != c.want {
			t.Errorf("%s: %q, want %q", name, got, c.want)
		}
	}
}

// TestHelp: every command teaches: what it does, at length, with an example.
func TestHelp(t *testing.T) {
	t.Parallel()
	var check func(c *cobra.Command)
	check = func(c *cobra.Command) {
		if c.Name() == "completion" || c.Name() == "help" {
			return
		}
		if c.Short == "" || len(c.Long) < len(c.Short) || c.Example == "" {
			t.Errorf("%s: short %q, long %q, example %q", c.CommandPath(), c.Short, c.Long, c.Example)
		}
		for line := range strings.SplitSeq(c.Long, "\n") {
			if len([]rune(line)) > 100 {
				t.Errorf("%s: a line of %d characters: %s", c.CommandPath(), len([]rune(line)), line)
			}
		}
		for _, sub := range c.Commands() {
			check(sub)
		}
	}
	check(new(app).root())
}

// TestExitCodes: the kinds of faults are the exit codes, and what is refused
// before a command begins is wrong usage.
func TestExitCodes(t *testing.T) {
	t.Setenv("PARLEY_DATA_DIR", t.TempDir())
	for line, want := range map[string]int{"version": 0, "nonsense": 2, "version extra": 2, "version --nonsense": 2, "status": 3, "account show": 5} {
		var out, words bytes.Buffer
		a := &app{in: strings.NewReader(""), out: &out, err: &words}
		if got := a.run(t.Context(), strings.Fields(line)); got != want {
			t.Errorf("%s: %d, want %d: %s", line, got, want, &words)
		}
		if (want == 0) != (words.Len() == 0) || (want == 0) != (out.Len() > 0) {
			t.Errorf("%s: out %q, words %q", line, &out, &words)
		}
	}
}

// TestTextOfStandardInput: the line break that a shell adds is no part of a
// message; too long a text is refused.
func TestTextOfStandardInput(t *testing.T) {
	t.Parallel()
	for in, want := range map[string]string{"hello\n": "hello", "a\nb\n\n": "a\nb\n", "a\r\n": "a"} {
		if got, err := (&app{in: strings.NewReader(in)}).text(nil); err != nil || got != want {
			t.Errorf("%q: %q, %v", in, got, err)
		}
	}
	if _, err := (&app{in: strings.NewReader(strings.Repeat("x", maxText+1))}).text(nil); fault.ExitCode(err) != 2 {
		t.Errorf("too long: %v", err)
	}
	if got, err := (&app{in: strings.NewReader(strings.Repeat("x", maxText))}).text(nil); err != nil || len(got) != maxText {
		t.Errorf("at the limit: %d, %v", len(got), err)
	}
}
