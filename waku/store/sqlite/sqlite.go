package sqlite

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"sort"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/gofrs/flock"

	"github.com/parley-im/parley/waku/store"
)

// ErrLocked is an archive that another process has open, or this one.
var ErrLocked = errors.New("store: the archive is in use")

const (
	// sliceName is the form of a slice's name: the hour it starts with.
	sliceName   = "2006-01-02T15"
	sliceSuffix = ".db"
	lockSuffix  = ".lock"
	// maxReaders bounds the queries that read at the same time.
	maxReaders = 4
)

// firstDay is the start of the second slice: what is older, which no network
// was there to carry, has one in common. It bounds their number.
var firstDay = time.Date(2020, 1, 1, 0, 0, 0, 0, time.UTC).UnixNano()

// Archive is a store archive in a directory of SQLite databases, one for each
// slice of time: a day, or less where more than 256 MiB came in. It is safe for
// concurrent use by one process.
type Archive struct {
	dir     string // empty for an archive in memory
	lock    *flock.Flock
	work    chan *insertion
	stopped chan struct{}
	pool    pool

	// Locks, in the order in which they are taken. mu is held for reading
	// while an operation is under way. writing is held by who writes. reading
	// is held for reading by queries, and by who removes what they may have
	// seen.
	mu      sync.RWMutex
	closed  bool
	writing sync.Mutex
	reading sync.RWMutex

	slices atomic.Pointer[[]*slice] // in order; replaced by who holds writing
	writes uint64                   // counted by the writer

	readers chan struct{} // a place for each query under way
	limits  limits
}

// limits are where an archive begins something new.
type limits struct {
	// chunk is the number of rows of a slice whose index is in memory before
	// it is written.
	chunk int
	// slice is how large the messages of a slice may get before the next hour
	// has a slice of its own, in bytes.
	slice int64
}

var usualLimits = limits{chunk: 16384, slice: 256 << 20}

var _ store.Maintainer = (*Archive)(nil)

// Open opens or creates the archive at path, a directory; a lock file
// beside it keeps other processes out (ErrLocked). An archive that an earlier
// version left there in a file of its own is taken over, which takes some
// seconds for each million entries. The path "" or ":memory:" is an archive
// that lives as long as it is open.
func Open(path string) (*Archive, error) { return open(path, usualLimits) }

func open(path string, l limits) (*Archive, error) {
	a := &Archive{work: make(chan *insertion, 64), stopped: make(chan struct{}),
		readers: make(chan struct{}, maxReaders), limits: l}
	var err error
	if path == "" || path == ":memory:" {
		err = a.openMemory()
	} else {
		err = a.openDirectory(filepath.Clean(path))
	}
	if err != nil {
		_ = a.release()
		return nil, fmt.Errorf("opening the store archive: %w", a.explain(err))
	}
	go a.writeLoop()
	return a, nil
}

func (a *Archive) openMemory() error {
	s := &slice{path: ":memory:"}
	c, err := connect(s)
	if err != nil {
		return err
	}
	a.pool.only = make(chan *conn, 1)
	a.pool.only <- c
	a.slices.Store(&[]*slice{s})
	return s.load(c)
}

func (a *Archive) openDirectory(dir string) error {
	lock := flock.New(dir + lockSuffix)
	ok, err := lock.TryLock()
	if err != nil {
		return err
	}
	if !ok {
		return fmt.Errorf("%w: %s", ErrLocked, dir)
	}
	a.lock, a.dir = lock, dir
	a.slices.Store(&[]*slice{})
	if err := setAside(dir); err != nil {
		return err
	}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return err
	}
	files, err := os.ReadDir(dir)
	if err != nil {
		return err
	}
	for _, f := range files {
		name, ok := strings.CutSuffix(f.Name(), sliceSuffix)
		start, err := time.Parse(sliceName, name)
		if !ok || err != nil {
			continue
		}
		if gone, err := removeUnborn(filepath.Join(dir, f.Name())); gone || err != nil {
			if err != nil {
				return err
			}
			continue
		}
		if _, err := a.addSlice(start.UnixNano()); err != nil {
			return err
		}
	}
	if err := a.sweep(files); err != nil {
		return err
	}
	return a.takeOver()
}

// removeUnborn removes the file of a slice whose making failed at the first
// byte: opening it would try that again, for which a full disk has no room.
func removeUnborn(path string) (gone bool, err error) {
	for _, suffix := range []string{"", "-wal"} {
		if st, err := os.Stat(path + suffix); err == nil && st.Size() > 0 {
			return false, nil
		}
	}
	for _, suffix := range suffixes {
		if e := os.Remove(path + suffix); e != nil && !errors.Is(e, os.ErrNotExist) {
			err = errors.Join(err, e)
		}
	}
	return err == nil, err
}

// sweep removes what is left of slices whose removal was cut short.
func (a *Archive) sweep(files []os.DirEntry) error {
	for _, f := range files {
		for _, suffix := range suffixes[1:] {
			name, ok := strings.CutSuffix(f.Name(), sliceSuffix+suffix)
			start, err := time.Parse(sliceName, name)
			if !ok || err != nil || a.sliceAt(start.UnixNano()) != nil {
				continue
			}
			if err := os.Remove(filepath.Join(a.dir, f.Name())); err != nil && !errors.Is(err, os.ErrNotExist) {
				return err
			}
		}
	}
	return nil
}

// addSlice opens or creates the slice that starts at a time.
func (a *Archive) addSlice(start int64) (*slice, error) {
	s := &slice{start: start, path: filepath.Join(a.dir, time.Unix(0, start).UTC().Format(sliceName)+sliceSuffix)}
	c, err := a.pool.get(context.Background(), s)
	if err != nil {
		return nil, err
	}
	err = s.load(c)
	a.pool.put(c)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", s.path, err)
	}
	all := append(slices.Clone(*a.slices.Load()), s)
	slices.SortFunc(all, func(a, b *slice) int { return cmp.Compare(a.start, b.start) })
	a.slices.Store(&all)
	return s, nil
}

// sliceAt returns the last slice that starts at a time or before.
func (a *Archive) sliceAt(at int64) *slice {
	all := *a.slices.Load()
	i := sort.Search(len(all), func(i int) bool { return all[i].start > at })
	if i == 0 {
		return nil
	}
	return all[i-1]
}

// sliceFor returns the slice for an entry of a timestamp, making it if need
// be. writing is held.
func (a *Archive) sliceFor(at int64) (*slice, error) {
	s := a.sliceAt(at)
	if a.pool.only != nil {
		return s, nil
	}
	day := int64(0)
	if at >= firstDay {
		day = floor(at, 24*time.Hour)
	}
	if s == nil || s.start < day {
		return a.addSlice(day)
	}
	if hour := floor(at, time.Hour); s.payload >= a.limits.slice && s.newest < hour && day != 0 {
		return a.addSlice(hour)
	}
	return s, nil
}

func floor(at int64, d time.Duration) int64 { return at - at%int64(d) }

// Close implements store.Archive.
func (a *Archive) Close() error {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.closed {
		return nil
	}
	a.closed = true
	close(a.work)
	<-a.stopped
	a.writing.Lock()
	defer a.writing.Unlock()
	var errs []error
	if a.dir != "" {
		for _, s := range *a.slices.Load() {
			errs = append(errs, a.flush(s))
		}
	}
	return a.explain(errors.Join(append(errs, a.release())...))
}

// release closes what is open.
func (a *Archive) release() error {
	err := a.pool.drop(nil)
	if a.lock != nil {
		err = errors.Join(err, a.lock.Unlock())
	}
	return err
}
