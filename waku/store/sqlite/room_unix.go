//go:build unix

package sqlite

import "golang.org/x/sys/unix"

// roomAt is the room on a folder's disk, in bytes.
func roomAt(dir string) (uint64, error) {
	var s unix.Statfs_t
	if err := unix.Statfs(dir, &s); err != nil {
		return 0, err
	}
	return uint64(s.Bavail) * uint64(s.Bsize), nil
}
