package payload

import "testing"

var benchSizes = []struct {
	name string
	n    int
}{{"100B", 100}, {"1KB", 1 << 10}, {"100KB", 100 << 10}}

func benchmark(b *testing.B, step func(b *testing.B, data []byte) func() error) {
	for _, s := range benchSizes {
		b.Run(s.name, func(b *testing.B) {
			run := step(b, make([]byte, s.n))
			b.SetBytes(int64(s.n))
			b.ReportAllocs()
			for b.Loop() {
				if err := run(); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

func BenchmarkSealSymmetric(b *testing.B) {
	signer, r := private(b, 1), source(2)
	benchmark(b, func(b *testing.B, data []byte) func() error {
		return func() error { _, err := SealSymmetric(data, [32]byte{1}, signer, r); return err }
	})
}

func BenchmarkOpenSymmetric(b *testing.B) {
	benchmark(b, func(b *testing.B, data []byte) func() error {
		sealed, err := SealSymmetric(data, [32]byte{1}, private(b, 1), source(2))
		if err != nil {
			b.Fatal(err)
		}
		return func() error { _, err := OpenSymmetric(sealed, [32]byte{1}); return err }
	})
}

func BenchmarkSealAsymmetric(b *testing.B) {
	signer, to, r := private(b, 1), private(b, 3).Public(), source(2)
	benchmark(b, func(b *testing.B, data []byte) func() error {
		return func() error { _, err := SealAsymmetric(data, to, signer, r); return err }
	})
}

func BenchmarkOpenAsymmetric(b *testing.B) {
	own := private(b, 3)
	benchmark(b, func(b *testing.B, data []byte) func() error {
		sealed, err := SealAsymmetric(data, own.Public(), private(b, 1), source(2))
		if err != nil {
			b.Fatal(err)
		}
		return func() error { _, err := OpenAsymmetric(sealed, own); return err }
	})
}
