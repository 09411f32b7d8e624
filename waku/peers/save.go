package peers

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"math"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"time"

	"github.com/libp2p/go-libp2p/core/peer"
	"github.com/multiformats/go-multiaddr"
)

const (
	// MaxFile is the size of a book's file in bytes.
	MaxFile     = 16 << 20
	fileVersion = 1
	// maxCount bounds counters read from a file.
	maxCount = 1 << 20
)

// ErrBook is a file that is not a book of this version.
var ErrBook = errors.New("not a peer book")

// savedBook is the file's form, in JSON. Times are in Unix seconds, 0 for
// never.
type savedBook struct {
	Version int `json:"version"`
	// Starts are those of the latest runs.
	Starts []int64     `json:"starts,omitempty"`
	Peers  []savedPeer `json:"peers"`
}

type savedPeer struct {
	ID           string                  `json:"id"`
	Addrs        []savedAddr             `json:"addrs"`
	IP           string                  `json:"ip,omitempty"`
	Source       string                  `json:"source"`
	Cluster      *uint16                 `json:"cluster,omitempty"`
	Shards       []uint16                `json:"shards,omitempty"`
	Capabilities Capability              `json:"capabilities,omitempty"`
	Spoken       bool                    `json:"spoken,omitempty"`
	FirstFound   int64                   `json:"first_found"`
	LastFound    int64                   `json:"last_found"`
	LastSuccess  int64                   `json:"last_success,omitempty"`
	LastSeen     int64                   `json:"last_seen,omitempty"`
	Attempted    int64                   `json:"attempted,omitempty"`
	Left         int64                   `json:"left,omitempty"`
	Next         int64                   `json:"next,omitempty"`
	Successes    int                     `json:"successes,omitempty"`
	Failures     int                     `json:"failures,omitempty"`
	Alone        int                     `json:"failures_alone,omitempty"`
	Quality      map[string]savedQuality `json:"quality,omitempty"`
}

type savedAddr struct {
	Addr string `json:"addr"`
	Good int64  `json:"good,omitempty"`
}

type savedQuality struct {
	Success float64 `json:"success"`
	TookMS  int64   `json:"took_ms"`
	At      int64   `json:"at"`
	Served  int     `json:"served"`
}

// Encode returns the book in the form that DecodeBook reads.
func (b *Book) Encode() ([]byte, error) {
	out := savedBook{Version: fileVersion, Peers: make([]savedPeer, 0, len(b.list))}
	for _, t := range b.starts {
		out.Starts = append(out.Starts, seconds(t))
	}
	for _, e := range b.list {
		out.Peers = append(out.Peers, e.save())
	}
	return json.Marshal(out)
}

func (e *entry) save() savedPeer {
	p := savedPeer{
		ID: e.id.String(), Source: e.source.String(), Shards: e.shards, Capabilities: e.caps, Spoken: e.spoken,
		FirstFound: seconds(e.firstFound), LastFound: seconds(e.lastFound), LastSuccess: seconds(e.lastSuccess),
		LastSeen: seconds(e.lastSeen), Attempted: seconds(e.attempted), Left: seconds(e.left), Next: seconds(e.next),
		Successes: e.successes, Failures: e.failures, Alone: e.alone,
	}
	if e.hasCluster {
		p.Cluster = &e.cluster
	}
	if e.ip.IsValid() {
		p.IP = e.ip.String()
	}
	for _, a := range e.addrs {
		p.Addrs = append(p.Addrs, savedAddr{a.addr.String(), seconds(a.good)})
	}
	for i, q := range e.quality {
		if q.served == 0 {
			continue
		}
		if p.Quality == nil {
			p.Quality = make(map[string]savedQuality)
		}
		p.Quality[capabilityNames[i]] = savedQuality{q.success, q.took.Milliseconds(), seconds(q.at), q.served}
	}
	return p
}

// DecodeBook reads what Encode wrote. Whatever the file says, nothing in the
// book lies in the future but the end of a back-off, which is no further away
// than back-offs get. Peers that make no sense are left out; static ones are
// [Saved] ones now, since what is configured is known better elsewhere.
func DecodeBook(data []byte, self peer.ID, now time.Time) (*Book, error) {
	if len(data) > MaxFile {
		return nil, fmt.Errorf("%w: %d bytes, at most %d", ErrBook, len(data), MaxFile)
	}
	var in savedBook
	if err := json.Unmarshal(data, &in); err != nil {
		return nil, fmt.Errorf("%w: %w", ErrBook, err)
	}
	if in.Version != fileVersion {
		return nil, fmt.Errorf("%w: version %d, want %d", ErrBook, in.Version, fileVersion)
	}
	b := NewBook(self)
	for _, s := range in.Starts[max(0, len(in.Starts)-FreeStarts-1):] {
		b.starts = append(b.starts, moment(s, now))
	}
	for _, p := range in.Peers {
		e := p.load(now)
		if e == nil || e.id == self || b.entries[e.id] != nil || e.forgettable(now) {
			continue
		}
		if len(b.list) == MaxPeers {
			break
		}
		b.insert(e, now)
	}
	return b, nil
}

// load returns nil for a peer that makes no sense.
func (p savedPeer) load(now time.Time) *entry {
	id, err := peer.Decode(p.ID)
	if err != nil || id.Validate() != nil {
		return nil
	}
	past := func(s int64) time.Time { return moment(s, now) }
	e := &entry{
		id: id, source: sourceNamed(p.Source), caps: p.Capabilities & (1<<capabilities - 1), spoken: p.Spoken,
		firstFound: past(p.FirstFound), lastFound: past(p.LastFound), lastSuccess: past(p.LastSuccess),
		lastSeen: past(p.LastSeen), attempted: past(p.Attempted), left: past(p.Left),
		next:      moment(p.Next, now.Add(MaxBackoffUnproven+MaxBackoffUnproven/4)),
		successes: count(p.Successes), failures: count(p.Failures),
	}
	e.alone = min(count(p.Alone), e.failures)
	if e.source == Static {
		e.source = Saved
	}
	if p.Cluster != nil {
		e.cluster, e.hasCluster = *p.Cluster, true
	}
	if p.Shards != nil {
		e.shards = validShards(p.Shards)
	}
	ip, _ := netip.ParseAddr(p.IP)
	e.ip = ip.Unmap()
	var addrs []multiaddr.Multiaddr
	for _, a := range p.Addrs[:min(len(p.Addrs), MaxAddrs)] {
		m, err := multiaddr.NewMultiaddr(a.Addr)
		if err == nil {
			addrs = append(addrs, m)
		}
	}
	e.addAddrs(addrs)
	if len(e.addrs) == 0 {
		return nil
	}
	for i := range e.addrs {
		for _, a := range p.Addrs {
			if a.Good != 0 && a.Addr == e.addrs[i].addr.String() {
				e.addrs[i].good = past(a.Good)
			}
		}
	}
	slices.SortStableFunc(e.addrs, func(x, y address) int { return y.good.Compare(x.good) })
	for i, name := range capabilityNames {
		q, ok := p.Quality[name]
		if !ok || math.IsNaN(q.Success) || q.Success < 0 || q.Success > 1 || q.Served <= 0 {
			continue
		}
		took := time.Duration(min(max(q.TookMS, 0), maxTook.Milliseconds())) * time.Millisecond
		e.quality[i] = quality{q.Success, took, past(q.At), count(q.Served)}
	}
	return e
}

func seconds(t time.Time) int64 {
	if t.IsZero() {
		return 0
	}
	return t.Unix()
}

// moment is the other way of seconds, for times that are not after latest.
func moment(s int64, latest time.Time) time.Time {
	if s <= 0 {
		return time.Time{}
	}
	return time.Unix(min(s, latest.Unix()), 0)
}

func count(n int) int { return min(max(n, 0), maxCount) }

// readBook reads a book's file; one that does not exist is an empty book.
func readBook(path string, self peer.ID, now time.Time) (*Book, error) {
	f, err := os.Open(path)
	if errors.Is(err, fs.ErrNotExist) {
		return NewBook(self), nil
	}
	if err != nil {
		return nil, err
	}
	defer f.Close()
	data, err := io.ReadAll(io.LimitReader(f, MaxFile+1))
	if err != nil {
		return nil, err
	}
	return DecodeBook(data, self, now)
}

// writeFile replaces a file as a whole or not at all; nobody else may read it.
func writeFile(path string, data []byte) (err error) {
	f, err := os.CreateTemp(filepath.Dir(path), "."+filepath.Base(path)+"-*") // mode 0600
	if err != nil {
		return err
	}
	defer func() {
		if err != nil {
			_ = os.Remove(f.Name())
		}
	}()
	_, err = f.Write(data)
	if err == nil {
		err = f.Sync()
	}
	if err = errors.Join(err, f.Close()); err != nil {
		return err
	}
	return os.Rename(f.Name(), path)
}
