//go:build !unix

package postgrestest

import "os/exec"

// lower has nothing to do where there is no root.
func lower(*exec.Cmd, ...string) error { return nil }
