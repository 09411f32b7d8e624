package main

import (
	"testing"

	"github.com/rogpeppe/go-internal/testscript"
)

// TestMain lets the scripts call the program itself under its name.
func TestMain(m *testing.M) {
	testscript.Main(m, map[string]func(){"parley": main})
}

// TestScript runs the scripts of testdata/script, each in a folder of its own
// that is its home, too. script_commands_test.go has the commands that are not
// testscript's.
func TestScript(t *testing.T) {
	t.Parallel()
	testscript.Run(t, testscript.Params{
		Dir:                 "testdata/script",
		Cmds:                scriptCommands,
		RequireExplicitExec: true,
		RequireUniqueNames:  true,
		Setup: func(env *testscript.Env) error {
			env.Setenv("HOME", env.WorkDir)
			env.Setenv("XDG_DATA_HOME", "")
			// With the race detector every process would sleep a second at its end.
			env.Setenv("GORACE", "atexit_sleep_ms=0")
			env.Values[envKey{}] = env
			return nil
		},
	})
}
