//go:build !unix

package sqlite

import "errors"

// roomAt is not known here.
func roomAt(string) (uint64, error) { return 0, errors.ErrUnsupported }
