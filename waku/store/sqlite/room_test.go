package sqlite

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/ncruces/go-sqlite3"

	"github.com/parley-im/parley/waku/message"
	"github.com/parley-im/parley/waku/store"
)

// TestExplain: a full disk is called so, and no other failure is.
func TestExplain(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		err  error
		free uint64
		fail error
		want bool
	}{
		{sqlite3.FULL, 0, nil, true},
		{sqlite3.FULL, 1 << 40, errors.ErrUnsupported, true},
		{sqlite3.IOERR, minRoom - 1, nil, true},
		{sqlite3.IOERR, minRoom, nil, false},
		{sqlite3.IOERR, 0, errors.ErrUnsupported, false},
		{sqlite3.CORRUPT, 0, nil, false},
		{store.ErrFuture, 0, nil, false},
	} {
		err := fmt.Errorf("writing: %w", c.err)
		got := explain(err, func() (uint64, error) { return c.free, c.fail })
		if errors.Is(got, ErrNoRoom) != c.want || !errors.Is(got, c.err) {
			t.Errorf("%v with %d bytes: %v", c.err, c.free, got)
		}
		if again := explain(got, func() (uint64, error) { return 0, nil }); errors.Is(got, ErrNoRoom) && again != got {
			t.Errorf("said twice: %v", again)
		}
	}
	if free, err := roomAt(t.TempDir()); err == nil && free == 0 {
		t.Error("no room in the folder of the test")
	}
}

// TestUnbornSlice: the file of a slice that could not be made, as a full disk
// leaves it, is in nobody's way.
func TestUnbornSlice(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(t.TempDir(), "archive")
	a, err := Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	entry := store.NewEntry("/waku/2/rs/16/32", message.New([]byte("kept"), "/a/1/b/proto", time.Now(), false))
	if err := errors.Join(a.Insert(t.Context(), entry), a.Close()); err != nil {
		t.Fatal(err)
	}
	unborn := filepath.Join(dir, "2030-01-01T00.db")
	for _, suffix := range []string{"", "-shm"} {
		if err := os.WriteFile(unborn+suffix, nil, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if a, err = Open(dir); err != nil {
		t.Fatal(err)
	}
	defer a.Close()
	if left, err := filepath.Glob(unborn + "*"); err != nil || len(left) > 0 {
		t.Errorf("%v is left, %v", left, err)
	}
	if page, err := a.Query(t.Context(), &store.Query{IncludeData: true}); err != nil || len(page.Messages) != 1 {
		t.Errorf("%+v, %v", page, err)
	}
}
