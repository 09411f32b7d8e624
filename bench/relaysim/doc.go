// Package relaysim measures how messages spread over a network of relay nodes:
// the real relay on simulated links with latency, under a fake clock. It is a
// test only; `go test ./bench/relaysim -v` prints what it measured.
package relaysim
