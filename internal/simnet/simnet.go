// Package simnet is for tests that run hosts on a simulated network under a
// fake clock.
package simnet

import (
	"testing"
	"testing/synctest"
)

// Test runs f in a bubble of synctest. With the race detector it skips the
// test: libp2p's simulated connections in a bubble crash the detector itself
// now and then (ThreadSanitizer: CHECK failed, or a fault in its timers), and
// the whole test process with it. The tests of the packages that use it are
// therefore run once more without the detector.
func Test(t *testing.T, f func(t *testing.T)) {
	t.Helper()
	if raceDetector {
		t.Skip("a simulated network in a bubble may crash the race detector; run without -race")
	}
	synctest.Test(t, f)
}
