package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/testscript"
	"google.golang.org/protobuf/proto"

	wakupb "github.com/parley-im/parley/pb/waku"
	"github.com/parley-im/parley/server/service"
	"github.com/parley-im/parley/waku/message"
	"github.com/parley-im/parley/waku/store"
	"github.com/parley-im/parley/waku/store/sqlite"
)

func init() { scriptCommands["fill"] = fill }

// storedSince is when the first message of filled archives was published.
var storedSince = time.Now().Add(-2 * time.Hour)

// stored are messages first to first+n-1, one each second, of two content
// topics in turn.
func stored(first, n int) []store.Entry {
	out := make([]store.Entry, n)
	for i := range out {
		k := first + i
		at := storedSince.Add(time.Duration(k) * time.Second).UnixNano()
		out[i] = store.NewEntry("/waku/2/rs/16/32", &wakupb.WakuMessage{
			Payload: fmt.Appendf(nil, "message %d", k), ContentTopic: fmt.Sprintf("/test/1/%d/proto", k%2),
			Version: proto.Uint32(1), Timestamp: &at, Meta: []byte{7},
		})
	}
	return out
}

// keep puts entries into an archive in SQLite.
func keep(path string, entries []store.Entry) (err error) {
	archive, err := sqlite.Open(path)
	if err != nil {
		return err
	}
	for some := range slices.Chunk(entries, 1000) {
		err = errors.Join(err, archive.Insert(context.Background(), some...))
	}
	return errors.Join(err, archive.Close())
}

// fill PATH FIRST COUNT
//
// puts messages, which are numbered, into an archive in SQLite.
func fill(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 3 {
		ts.Fatalf("usage: fill PATH FIRST COUNT")
	}
	first, err := strconv.Atoi(args[1])
	ts.Check(err)
	n, err := strconv.Atoi(args[2])
	ts.Check(err)
	ts.Check(keep(ts.MkAbs(args[0]), stored(first, n)))
}

// runStore runs "parley store" and returns what it prints and says, and its
// exit code.
func runStore(t testing.TB, args ...string) (out, words string, code int) {
	t.Helper()
	return runStoreUntil(t, t.Context(), args...)
}

func runStoreUntil(t testing.TB, ctx context.Context, args ...string) (out, words string, code int) {
	t.Helper()
	var o, w bytes.Buffer
	code = (&app{in: strings.NewReader(""), out: &o, err: &w}).run(ctx, append([]string{"store", "--data-dir", t.TempDir()}, args...))
	return o.String(), w.String(), code
}

// archiveURL is that of a new archive with entries.
func archiveURL(t testing.TB, entries ...store.Entry) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "archive")
	if err := keep(path, entries); err != nil {
		t.Fatal(err)
	}
	return "sqlite:" + path
}

// serveStore is the address of a service node with an archive.
func serveStore(t testing.TB, archive string, change func(*service.Config)) string {
	t.Helper()
	key, err := nodeKey("")
	if err != nil {
		t.Fatal(err)
	}
	c := service.Config{Cluster: 16, Shards: []uint16{32}, Key: key, Archive: archive, Resume: -1}
	if change != nil {
		change(&c)
	}
	s, err := service.Start(t.Context(), c)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Close() })
	return s.Addrs()[0]
}

// hashesOf reads the hashes of the lines of JSON that a command printed.
func hashesOf(t testing.TB, out string) (all []message.Hash) {
	t.Helper()
	for line := range strings.Lines(out) {
		var m storedMessage
		if err := json.Unmarshal([]byte(line), &m); err != nil {
			t.Fatalf("%q: %v", line, err)
		}
		all = append(all, m.Hash)
	}
	return all
}
