package sqlite

import (
	"errors"
	"fmt"

	"github.com/ncruces/go-sqlite3"
)

// ErrNoRoom is a disk that has no room for more messages.
var ErrNoRoom = errors.New("store: there is no room on the disk")

// minRoom is what a disk with room has free at least, in bytes.
const minRoom = 1 << 20

// explain says of an error that the disk is full where that is why. SQLite
// tells it from other failures of a disk only sometimes.
func (a *Archive) explain(err error) error {
	if err == nil || a.dir == "" {
		return err
	}
	return explain(err, func() (uint64, error) { return roomAt(a.dir) })
}

func explain(err error, room func() (uint64, error)) error {
	if errors.Is(err, ErrNoRoom) || !errors.Is(err, sqlite3.FULL) && !errors.Is(err, sqlite3.IOERR) {
		return err
	}
	if free, e := room(); !errors.Is(err, sqlite3.FULL) && (e != nil || free >= minRoom) {
		return err
	}
	return fmt.Errorf("%w: %w", ErrNoRoom, err)
}
