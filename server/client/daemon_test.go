package client

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	"github.com/parley-im/parley/internal/fault"
)

func announce(t testing.TB, dataDir, account, url string) {
	t.Helper()
	if err := (Daemon{API: url, PID: os.Getpid(), Account: account}).Publish(dataDir); err != nil {
		t.Fatal(err)
	}
}

func TestDaemonFile(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	find := func() (Daemon, error) { return FindDaemon(dir) }
	if _, err := find(); fault.KindOf(err) != fault.Unreachable || fault.HintOf(err) == "" {
		t.Errorf("nothing there: %v", err)
	}
	announce(t, dir, "zAda", "http://127.0.0.1:1")
	want := Daemon{API: "http://127.0.0.1:1", PID: os.Getpid(), Account: "zAda"}
	if d, err := find(); err != nil || d != want {
		t.Errorf("%+v, %v", d, err)
	}
	if _, err := EnsureToken(dir); err != nil {
		t.Fatal(err)
	}
	if runtime.GOOS != "windows" {
		for _, name := range []string{daemonFile, tokenFile} {
			info, err := os.Stat(filepath.Join(dir, name))
			if err != nil || info.Mode().Perm() != 0o600 {
				t.Errorf("%s: %v, %v", name, info.Mode(), err)
			}
		}
	}
	for range 2 {
		if err := Withdraw(dir); err != nil {
			t.Error(err)
		}
	}
	if _, err := find(); fault.KindOf(err) != fault.Unreachable {
		t.Errorf("withdrawn: %v", err)
	}
	left, err := filepath.Glob(filepath.Join(dir, ".tmp-*"))
	if err != nil || len(left) > 0 {
		t.Errorf("left behind: %v, %v", left, err)
	}
}

// TestDaemonDied: what a killed daemon or a bad disk left behind is no daemon.
func TestDaemonDied(t *testing.T) {
	t.Parallel()
	child := exec.Command(os.Args[0], "-test.run=^$")
	if err := child.Run(); err != nil {
		t.Fatal(err)
	}
	for name, content := range map[string]string{
		"dead process":  fmt.Sprintf(`{"api":"http://127.0.0.1:1","pid":%d,"account":"zAda"}`, child.Process.Pid),
		"no process":    `{"api":"http://127.0.0.1:1","account":"zAda"}`,
		"below zero":    `{"api":"http://127.0.0.1:1","pid":-1}`,
		"no address":    fmt.Sprintf(`{"pid":%d}`, os.Getpid()),
		"not JSON":      "{",
		"nothing in it": "",
	} {
		dir := t.TempDir()
		if err := os.WriteFile(filepath.Join(dir, daemonFile), []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
		if _, err := FindDaemon(dir); fault.KindOf(err) != fault.Unreachable || fault.HintOf(err) == "" {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestLock(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(t.TempDir(), "new")
	unlock, err := Lock(dir)
	if err != nil {
		t.Fatal(err)
	}
	announce(t, dir, "zAda", "http://127.0.0.1:1")
	_, err = Lock(dir)
	if fault.KindOf(err) != fault.Conflict || !strings.Contains(err.Error(), "zAda") || fault.HintOf(err) == "" {
		t.Errorf("locked twice: %v", err)
	}
	if err := unlock(); err != nil {
		t.Fatal(err)
	}
	again, err := Lock(dir)
	if err != nil {
		t.Fatal(err)
	}
	again()
}

func TestBadToken(t *testing.T) {
	t.Parallel()
	for name, content := range map[string]string{
		"empty": "", "short": "abcdef", "no digits": strings.Repeat("x", 2*tokenSize), "long": strings.Repeat("0", 2*tokenSize+2),
	} {
		dir := t.TempDir()
		if err := os.WriteFile(filepath.Join(dir, tokenFile), []byte(content), 0o644); err != nil {
			t.Fatal(err)
		}
		for _, read := range []func(string) (string, error){ReadToken, EnsureToken} {
			if token, err := read(dir); fault.KindOf(err) != fault.Denied || content != "" && strings.Contains(err.Error(), content) {
				t.Errorf("%s: %q, %v", name, token, err)
			}
		}
	}
}
