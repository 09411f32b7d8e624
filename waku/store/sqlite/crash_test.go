package sqlite

import (
	"bufio"
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"testing"
	"time"

	"github.com/parley-im/parley/waku/store"
)

// crashEnv and crashFromEnv tell a process that is to be killed its archive
// and its first entry.
const (
	crashEnv     = "PARLEY_TEST_CRASH_ARCHIVE"
	crashFromEnv = "PARLEY_TEST_CRASH_FROM"
)

var crashLimits = limits{chunk: 300, slice: 20 << 10}

// crashEntry returns the n-th entry: 200 an hour, now and then one that is
// late.
func crashEntry(n int) store.Entry {
	at := time.Date(2026, 3, 1, 0, 0, 0, 0, time.UTC).Add(time.Duration(n) * time.Hour / 200)
	if n%9 == 8 {
		at = at.Add(-5 * time.Hour)
	}
	return entryAt(fmt.Sprintf("/a/1/%d/proto", n%13), at.UnixNano(), n, 100)
}

// TestMain runs the process that is killed where it is asked for.
func TestMain(m *testing.M) {
	if dir := os.Getenv(crashEnv); dir != "" {
		from, err := strconv.Atoi(os.Getenv(crashFromEnv))
		if err == nil {
			err = crashWriter(dir, from)
		}
		fmt.Println(err)
		os.Exit(1)
	}
	os.Exit(m.Run())
}

// crashWriter inserts from the n-th entry on without end and says what was acknowledged.
func crashWriter(dir string, n int) error {
	a, err := open(dir, crashLimits)
	if err != nil {
		return err
	}
	for {
		var part []store.Entry
		for range 1 + n%37 {
			part = append(part, crashEntry(n))
			n++
		}
		if err := a.Insert(context.Background(), part...); err != nil {
			return err
		}
		fmt.Println("acknowledged", n)
	}
}

// TestCrash kills a writing process at some moments: whatever Insert
// acknowledged is there afterwards, once.
func TestCrash(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(t.TempDir(), "store")
	acknowledged := 0
	for round := range 4 {
		cmd := exec.Command(os.Args[0])
		cmd.Env = append(os.Environ(), crashEnv+"="+dir, fmt.Sprintf("%s=%d", crashFromEnv, acknowledged))
		out, err := cmd.StdoutPipe()
		if err != nil {
			t.Fatal(err)
		}
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		lines := bufio.NewScanner(out)
		goal := acknowledged + 150 + 411*round
		for lines.Scan() {
			var n int
			if _, err := fmt.Sscanf(lines.Text(), "acknowledged %d", &n); err != nil {
				t.Error(lines.Text())
				break
			}
			if acknowledged = n; n >= goal {
				_ = cmd.Process.Kill()
				goal = 1 << 60 // lines that it still wrote count too
			}
		}
		_ = cmd.Wait()
		if goal != 1<<60 {
			t.Fatalf("the writer ended by itself after %d", acknowledged)
		}
		a := openLimited(t, dir, crashLimits)
		var want []store.Entry
		for n := range acknowledged {
			want = append(want, crashEntry(n))
		}
		holdsAll(t, a, want)
		st, err := a.Stats(context.Background())
		if err != nil || st.Messages < int64(acknowledged) || st.Messages > int64(acknowledged)+100 {
			t.Fatalf("%d messages after %d were acknowledged, %v", st.Messages, acknowledged, err)
		}
		ids := 0
		for _, err := range a.IDs(context.Background(), store.Span{End: 1 << 62}) {
			if err != nil {
				t.Fatal(err)
			}
			ids++
		}
		if int64(ids) != st.Messages {
			t.Fatalf("%d ids of %d messages", ids, st.Messages)
		}
		if err := a.Close(); err != nil {
			t.Fatal(err)
		}
	}
}
