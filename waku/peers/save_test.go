package peers

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"
)

// busy returns a book in which something happened.
func busy(t testing.TB) *Book {
	b, r := NewBook(peerID(-1)), newRand(1)
	for i := range FreeStarts + 3 {
		b.Start(epoch.Add(time.Duration(i) * time.Hour / 10))
	}
	for i := range 20 {
		f := relayFacts(32, uint16(i))
		f.Source = Source(i % int(Static))
		b.Found(info(t, i, fmt.Sprintf("/ip4/9.9.%d.9/tcp/1", i), "/ip6/2600::1/tcp/1", "/dns4/node.example/tcp/443/wss"), f, epoch)
	}
	for i := range 5 {
		b.entries[peerID(i)].dialling = epoch
		b.Connected(peerID(i), false, addr(t, "/ip6/2600::1/tcp/1"), epoch)
		b.Spoken(peerID(i), Relay|Store, []uint16{1, 2}, epoch)
		b.Served(peerID(i), Store, i%2 == 0, 1500*time.Millisecond, epoch)
		b.Disconnected(peerID(i), epoch.Add(time.Duration(i)*time.Minute), r)
	}
	for i := 5; i < 10; i++ {
		b.Failed(peerID(i), Failure{Refused: true}, epoch, r)
	}
	return b
}

func TestRoundTrip(t *testing.T) {
	t.Parallel()
	b := busy(t)
	data, err := b.Encode()
	if err != nil {
		t.Fatal(err)
	}
	now := epoch.Add(time.Hour)
	again, err := DecodeBook(data, peerID(-1), now)
	if err != nil {
		t.Fatal(err)
	}
	if !slices.EqualFunc(b.starts, again.starts, time.Time.Equal) || len(again.starts) != FreeStarts+1 {
		t.Errorf("starts %v became %v", b.starts, again.starts)
	}
	want, got := b.Peers(), again.Peers()
	if len(got) != len(want) {
		t.Fatalf("%d peers, want %d", len(got), len(want))
	}
	second := func(k Known) Known { // files have seconds
		for _, at := range []*time.Time{&k.FirstFound, &k.LastSeen, &k.Disconnected, &k.Next} {
			if !at.IsZero() {
				*at = at.Truncate(time.Second).UTC()
			}
		}
		return k
	}
	for i := range want {
		if !reflect.DeepEqual(second(want[i]), second(got[i])) {
			t.Errorf("peer\n%+v became\n%+v", want[i], got[i])
		}
	}
	for i := range 5 {
		if a, b := b.entries[peerID(i)].quality, again.entries[peerID(i)].quality; a[1].successAt(now) != b[1].successAt(now) || a[1].cost(now) != b[1].cost(now) {
			t.Errorf("quality %+v became %+v", a, b)
		}
	}
	data2, err := again.Encode()
	if err != nil || !bytes.Equal(data, data2) {
		t.Error("encoded another way the second time")
	}
}

// TestLoadedBook has no static peers, does not know itself, and has forgotten
// who is gone.
func TestLoadedBook(t *testing.T) {
	t.Parallel()
	b := NewBook(peerID(-1))
	b.Found(info(t, 1), Facts{Source: Static}, epoch)
	b.Found(info(t, 2), Facts{Source: DNS}, epoch)
	b.entries[peerID(2)].credit(epoch)
	data, err := b.Encode()
	if err != nil {
		t.Fatal(err)
	}
	again, err := DecodeBook(data, peerID(2), epoch)
	if k, _ := again.Peer(peerID(1)); err != nil || again.Len() != 1 || k.Source != Saved {
		t.Errorf("%d peers, %+v, %v", again.Len(), k, err)
	}
	again, err = DecodeBook(data, peerID(-1), epoch.Add(ForgetAfter+time.Hour))
	if err != nil || again.Len() != 0 {
		t.Errorf("%d peers, %v", again.Len(), err)
	}
}

func TestHostileFiles(t *testing.T) {
	t.Parallel()
	id := peerID(1).String()
	for name, text := range map[string]string{
		"empty": "", "text": "peers", "cut": `{"version":1,"peers":[{`, "list": "[]", "null": "null", "nothing": "{}",
		"version": `{"version":2,"peers":[]}`, "deep": strings.Repeat("[", 100000),
		"types": `{"version":1,"peers":[{"id":7}]}`, "shard": `{"version":1,"peers":[{"id":"x","shards":[70000]}]}`,
		"large": `{"version":1,"peers":[]}` + strings.Repeat(" ", MaxFile),
	} {
		if b, err := DecodeBook([]byte(text), peerID(-1), epoch); !errors.Is(err, ErrBook) || b != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
	atLimit := `{"version":1,"peers":[]}`
	if _, err := DecodeBook([]byte(atLimit+strings.Repeat(" ", MaxFile-len(atLimit))), peerID(-1), epoch); err != nil {
		t.Error(err)
	}
	for name, p := range map[string]string{
		"id": `{"id":"nonsense","addrs":[{"addr":"/ip4/1.2.3.4/tcp/1"}]}`, "no id": `{"addrs":[{"addr":"/ip4/1.2.3.4/tcp/1"}]}`,
		"no address": `{"id":"` + id + `","last_seen":1767225600}`, "bad address": `{"id":"` + id + `","addrs":[{"addr":"home"}],"last_seen":1767225600}`,
		"null": "null",
	} {
		if b, err := DecodeBook([]byte(`{"version":1,"peers":[`+p+`]}`), peerID(-1), epoch); err != nil || b.Len() != 0 {
			t.Errorf("%s: %v", name, err)
		}
	}
	huge := `{"version":1,"starts":[1,2,3,-9223372036854775808,0,9223372036854775807],"peers":[{"id":"` + id + `","addrs":[{"addr":"/ip4/1.2.3.4/tcp/1","good":9223372036854775807}],"source":"static",
		"capabilities":255,"ip":"::ffff:1.2.3.4","shards":[9,9,1024,3],"first_found":9223372036854775807,"last_found":-5,
		"last_success":9223372036854775807,"last_seen":9223372036854775807,"next":9223372036854775807,"attempted":9223372036854775807,
		"successes":9223372036854775807,"failures":-3,"failures_alone":99,
		"quality":{"store":{"success":1e300,"took_ms":1,"at":1,"served":1},"filter":{"success":1,"took_ms":-9223372036854775808,"at":9223372036854775807,"served":9223372036854775807},"x":{"success":1}}}]}`
	b, err := DecodeBook([]byte(huge), peerID(-1), epoch)
	if err != nil {
		t.Fatal(err)
	}
	checkLoaded(t, b, epoch)
	if len(b.starts) > FreeStarts+1 || slices.ContainsFunc(b.starts, epoch.Before) {
		t.Errorf("starts %v", b.starts)
	}
	k, _ := b.Peer(peerID(1))
	if k.Failures != 0 || k.Source != Saved || !slices.Equal(k.Shards, []uint16{3, 9}) || !k.IP.Is4() {
		t.Errorf("known as %+v", k)
	}
	// It is forgotten like any other.
	b.Plan(epoch.Add(ForgetAfter+time.Hour), State{}, Want{}, newRand(1))
	if b.Len() != 0 {
		t.Error("never forgotten")
	}
}

func checkLoaded(t *testing.T, b *Book, now time.Time) {
	t.Helper()
	if b.Len() > MaxPeers {
		t.Fatalf("%d peers", b.Len())
	}
	for _, k := range b.Peers() {
		if k.Next.After(now.Add(MaxBackoffUnproven*5/4)) || k.LastSeen.After(now) || k.FirstFound.After(now) || k.Disconnected.After(now) {
			t.Fatalf("from the future: %+v", k)
		}
		if len(k.Addrs) == 0 || len(k.Addrs) > MaxAddrs || k.Failures < 0 || k.Successes < 0 || k.Source == Static || k.Connectivity == IsConnected {
			t.Fatalf("makes no sense: %+v", k)
		}
	}
}

// TestManySaved: no more than the book holds.
func TestManySaved(t *testing.T) {
	t.Parallel()
	in := savedBook{Version: fileVersion}
	for i := range MaxPeers + 10 {
		in.Peers = append(in.Peers, savedPeer{ID: peerID(i).String(), Addrs: []savedAddr{{Addr: info(t, i).Addrs[0].String()}}, LastFound: epoch.Unix()})
	}
	data, err := json.Marshal(in)
	if err != nil {
		t.Fatal(err)
	}
	b, err := DecodeBook(data, peerID(-1), epoch)
	if err != nil || b.Len() != MaxPeers {
		t.Errorf("%d peers, %v", b.Len(), err)
	}
}

func TestFile(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "peers.json")
	if b, err := readBook(path, peerID(-1), epoch); err != nil || b.Len() != 0 {
		t.Fatal(err)
	}
	for _, text := range []string{"first", "second"} {
		if err := writeFile(path, []byte(text)); err != nil {
			t.Fatal(err)
		}
		if got, err := os.ReadFile(path); err != nil || string(got) != text {
			t.Fatalf("%q, %v", got, err)
		}
	}
	if s, err := os.Stat(path); err != nil || s.Mode().Perm() != 0o600 {
		t.Errorf("mode %v, %v", s.Mode(), err)
	}
	if list, err := os.ReadDir(filepath.Dir(path)); err != nil || len(list) != 1 {
		t.Errorf("left behind: %v, %v", list, err)
	}
	if _, err := readBook(path, peerID(-1), epoch); !errors.Is(err, ErrBook) {
		t.Error(err)
	}
	// What cannot be replaced stays, and nothing is left behind.
	folder := filepath.Join(t.TempDir(), "folder")
	if err := os.MkdirAll(filepath.Join(folder, "in the way"), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := writeFile(folder, nil); err == nil {
		t.Error("a folder was replaced")
	}
	if list, err := os.ReadDir(filepath.Dir(folder)); err != nil || len(list) != 1 {
		t.Errorf("left behind: %v, %v", list, err)
	}
	if _, err := readBook(folder, peerID(-1), epoch); err == nil {
		t.Error("a folder was read")
	}
}

func FuzzDecodeBook(f *testing.F) {
	data, err := busy(f).Encode()
	if err != nil {
		f.Fatal(err)
	}
	f.Add(data)
	f.Add([]byte(`{"version":1,"peers":[]}`))
	f.Add([]byte(`{"version":1,"peers":[null,{"id":"x","quality":{"store":{"success":-1}}}]}`))
	f.Fuzz(func(t *testing.T, data []byte) {
		b, err := DecodeBook(data, peerID(-1), epoch)
		if err != nil {
			if !errors.Is(err, ErrBook) {
				t.Fatal(err)
			}
			return
		}
		checkLoaded(t, b, epoch)
		b.Plan(epoch, State{Dials: 8}, relayWant(3, 32), newRand(1))
		again, err := b.Encode()
		if err != nil {
			t.Fatal(err)
		}
		c, err := DecodeBook(again, peerID(-1), epoch)
		if err != nil || c.Len() != b.Len() {
			t.Fatalf("%d peers became %v, %v", b.Len(), c, err)
		}
	})
}

func BenchmarkEncode(b *testing.B) {
	book := NewBook(peerID(-1))
	for i := range MaxPeers {
		book.Found(info(b, i), relayFacts(32), epoch)
	}
	b.ReportAllocs()
	for b.Loop() {
		if _, err := book.Encode(); err != nil {
			b.Fatal(err)
		}
	}
}
