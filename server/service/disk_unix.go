//go:build unix

package service

import "golang.org/x/sys/unix"

// diskSpace is the room of the disk that holds a folder: what is free for
// anybody, and all.
func diskSpace(dir string) (free, total uint64, err error) {
	var s unix.Statfs_t
	if err := unix.Statfs(dir, &s); err != nil {
		return 0, 0, err
	}
	size := uint64(s.Bsize)
	return s.Bavail * size, s.Blocks * size, nil
}
