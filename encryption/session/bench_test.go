package session

import (
	"crypto/rand"
	"testing"
	"time"
)

var benchPayload = make([]byte, 512)

// steady is a pair whose sessions are established.
func steady(b *testing.B, refresh time.Duration) (alice, bob *device) {
	alice, bob = pair(b)
	alice.BundleRefresh, bob.BundleRefresh = refresh, refresh
	bob.mustOpen(b, alice, alice.seal(b, bob, "a").Bytes, "a")
	alice.mustOpen(b, bob, bob.seal(b, alice, "b").Bytes, "b")
	bob.mustOpen(b, alice, alice.seal(b, bob, "c").Bytes, "c")
	return alice, bob
}

func benchmarkSeal(b *testing.B, refresh time.Duration) {
	alice, bob := steady(b, refresh)
	b.ReportAllocs()
	for b.Loop() {
		if _, err := alice.Seal(alice.st, alice.now, rand.Reader, bob.self(), benchPayload); err != nil {
			b.Fatal(err)
		}
	}
}

func benchmarkOpen(b *testing.B, refresh time.Duration) {
	alice, bob := steady(b, refresh)
	m := alice.seal(b, bob, string(benchPayload)).Bytes
	if refresh > 0 { // the bundle in it has been seen before
		if _, err := bob.ProcessBundle(bob.st, bob.now, alice.self(), decode(b, m).Bundles[0]); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportAllocs()
	for b.Loop() {
		if _, err := bob.Open(bob.st.Copy(), bob.now, rand.Reader, alice.self(), m); err != nil {
			b.Fatal(err)
		}
	}
}

// The next message of a chain, its bundle signed afresh as deployed clients do.
func BenchmarkSeal(b *testing.B) { benchmarkSeal(b, 0) }

// The next message of a chain with the bundle signed before.
func BenchmarkSealSameBundle(b *testing.B) { benchmarkSeal(b, time.Hour) }

// The next message of a chain with a bundle signed afresh.
func BenchmarkOpen(b *testing.B) { benchmarkOpen(b, 0) }

// The next message of a chain with the bundle seen before.
func BenchmarkOpenSameBundle(b *testing.B) { benchmarkOpen(b, time.Hour) }

// The first message: X3DH, ratchet and signature.
func BenchmarkSealFirst(b *testing.B) {
	alice, bob := pair(b)
	b.ReportAllocs()
	for b.Loop() {
		if _, err := alice.Seal(alice.st.Copy(), alice.now, rand.Reader, bob.self(), benchPayload); err != nil {
			b.Fatal(err)
		}
	}
}

// The first message at its receiver.
func BenchmarkOpenFirst(b *testing.B) {
	alice, bob := pair(b)
	m := alice.seal(b, bob, string(benchPayload)).Bytes
	b.ReportAllocs()
	for b.Loop() {
		if _, err := bob.Open(bob.st.Copy(), bob.now, rand.Reader, alice.self(), m); err != nil {
			b.Fatal(err)
		}
	}
}
