// Package vectors reads the recorded vectors that the TestVectors tests of
// every layer compare with: testdata/vectors of this module, or the folder
// named by PARLEY_VECTORS (same file names, other values).
package vectors

import (
	"encoding/hex"
	"encoding/json"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
)

// Variable names the environment variable with the folder of another recording.
const Variable = "PARLEY_VECTORS"

// Cases reads the "cases" of a vector file (its name without .json), each
// decoded as a T.
func Cases[T any](t testing.TB, name string) []T {
	t.Helper()
	raw, err := os.ReadFile(filepath.Join(folder(), name+".json"))
	if err != nil {
		t.Fatal(err)
	}
	var file struct{ Cases []T }
	if err := json.Unmarshal(raw, &file); err != nil {
		t.Fatalf("%s: %v", name, err)
	}
	if len(file.Cases) == 0 {
		t.Fatalf("%s has no cases", name)
	}
	return file.Cases
}

func folder() string {
	if dir := os.Getenv(Variable); dir != "" {
		return dir
	}
	_, self, _, _ := runtime.Caller(0)
	return filepath.Join(filepath.Dir(self), "..", "..", "testdata", "vectors")
}

// Hex is a byte string written as hexadecimal, with or without 0x.
type Hex []byte

// UnmarshalText implements encoding.TextUnmarshaler.
func (h *Hex) UnmarshalText(text []byte) error {
	b, err := hex.DecodeString(strings.TrimPrefix(string(text), "0x"))
	*h = b
	return err
}
