//go:build tools

// Package tools pins the programs that build and check Parley, in a module of
// its own so that none of their dependencies become the library's.
package tools
