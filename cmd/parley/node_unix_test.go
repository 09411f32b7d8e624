//go:build unix

package main

import (
	"bufio"
	"bytes"
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/gofrs/flock"
)

// TestNodeHangupAtStart: a hangup before a node is ready does not end it. This
// one waits for its data directory meanwhile.
func TestNodeHangupAtStart(t *testing.T) {
	t.Parallel()
	home := t.TempDir()
	if err := os.Mkdir(filepath.Join(home, "node"), 0o700); err != nil {
		t.Fatal(err)
	}
	lock := flock.New(filepath.Join(home, "node", "lock"))
	if ok, err := lock.TryLock(); !ok || err != nil {
		t.Fatal(ok, err)
	}
	defer lock.Close()
	c := exec.Command(os.Args[0], "node", "--data-dir", home, "--shard", "32", "--bootstrap", "none")
	c.Args[0] = "parley" // as which the binary of the tests is the program
	words, err := c.StderrPipe()
	if err != nil {
		t.Fatal(err)
	}
	var ready bytes.Buffer
	c.Stdout = &ready
	if err := c.Start(); err != nil {
		t.Fatal(err)
	}
	defer time.AfterFunc(time.Minute, func() { _ = c.Process.Kill() }).Stop()
	lines := bufio.NewScanner(words)
	for lines.Scan() && !strings.Contains(lines.Text(), "waiting") {
		t.Log(lines.Text())
	}
	if err := c.Process.Signal(syscall.SIGHUP); err != nil {
		t.Error(err)
	}
	if err := lock.Unlock(); err != nil {
		t.Error(err)
	}
	for lines.Scan() && !strings.Contains(lines.Text(), "read again") {
		t.Log(lines.Text())
	}
	if err := c.Process.Signal(syscall.SIGTERM); err != nil {
		t.Error(err)
	}
	for lines.Scan() {
		t.Log(lines.Text())
	}
	if err := c.Wait(); err != nil || !json.Valid(ready.Bytes()) {
		t.Errorf("%v, said %q", err, &ready)
	}
}
