// Package eventually waits in tests for what takes a while on a busy machine:
// for a condition, never for a duration. It is for tests on real sockets and
// files; those in a testing/synctest bubble have a clock of their own.
package eventually

import (
	"testing"
	"time"
)

// Patience is how long a condition may take, and what a test gives anything
// that it expects to succeed. It bounds only tests that fail: a machine with
// little time to spare must not make one of them.
const Patience = 3 * time.Minute

// every is the time between two looks.
const every = 10 * time.Millisecond

// True waits until ok, and fails the test when that takes longer than Patience.
// Before that it calls each of explain, to log why. ok is called at least once,
// from the goroutine of the test, so that it may end the test itself.
func True(t testing.TB, what string, ok func() bool, explain ...func()) {
	t.Helper()
	within(t, Patience, what, ok, explain)
}

func within(t testing.TB, patience time.Duration, what string, ok func() bool, explain []func()) {
	t.Helper()
	late := time.NewTimer(patience)
	defer late.Stop()
	tick := time.NewTicker(every)
	defer tick.Stop()
	for !ok() {
		select {
		case <-tick.C:
		case <-late.C:
			for _, f := range explain {
				f()
			}
			t.Fatalf("not within %s: %s", patience, what)
		}
	}
}
