package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"image"
	"image/color"
	"image/png"
	"io"
	"os"
	"os/exec"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/rogpeppe/go-internal/testscript"
)

// scriptCommands are the commands of the scripts besides testscript's own.
var scriptCommands = map[string]func(ts *testscript.TestScript, neg bool, args []string){
	"launch":   launch,
	"shutdown": func(ts *testscript.TestScript, neg bool, args []string) { end(ts, neg, args, syscall.SIGTERM) },
	"crash":    func(ts *testscript.TestScript, neg bool, args []string) { end(ts, neg, args, os.Kill) },
	"exits":    exits,
	"until":    until,
	"shows":    shows,
	"field":    field,
	"mode":     mode,
	"picture":  paint,
}

// patience bounds every wait of a script.
const patience = 2 * time.Minute

type (
	envKey     struct{} // → *testscript.Env
	processKey string   // → *process
)

// process is a program in the background.
type process struct {
	*exec.Cmd
	out, err output
	ended    chan error // has its end, once
}

// output is what a program has written so far.
type output struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (o *output) Write(b []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.text.Write(b)
}

func (o *output) String() string {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.text.String()
}

func launched(ts *testscript.TestScript, name string) *process {
	p, ok := environment(ts).Values[processKey(name)].(*process)
	if !ok {
		ts.Fatalf("%s was not launched", name)
	}
	return p
}

// eventually waits until done.
func eventually(done func() bool) bool {
	deadline := time.After(patience)
	tick := time.NewTicker(200 * time.Millisecond)
	defer tick.Stop()
	for !done() {
		select {
		case <-tick.C:
		case <-deadline:
			return false
		}
	}
	return true
}

func environment(ts *testscript.TestScript) *testscript.Env {
	return ts.Value(envKey{}).(*testscript.Env)
}

// command makes a command of a script's, in its folder and environment.
func command(ts *testscript.TestScript, args []string) *exec.Cmd {
	c := exec.Command(args[0], args[1:]...)
	c.Dir = ts.MkAbs(".")
	// What env has set in the script counts, which Env.Vars does not have; what
	// is set around the tests does not.
	c.Env = slices.DeleteFunc(os.Environ(), func(v string) bool { return strings.HasPrefix(v, envPrefix) })
	for _, name := range []string{"HOME", "XDG_DATA_HOME", "GORACE", "PARLEY_DATA_DIR", "PARLEY_PASSWORD_FILE", "PARLEY_API_LISTEN", "PARLEY_NETWORK"} {
		if value := ts.Getenv(name); value != "" {
			c.Env = append(c.Env, name+"="+value)
		}
	}
	return c
}

// launch NAME program args…
//
// starts a program in the background and waits for its first line, which is
// JSON; field reads it as file NAME.ready.
func launch(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 2 {
		ts.Fatalf("usage: launch NAME program args…")
	}
	p := &process{Cmd: command(ts, args[1:]), ended: make(chan error, 1)}
	p.Stdout, p.Stderr = &p.out, &p.err
	ts.Check(p.Start())
	ts.Defer(func() { p.Process.Kill() })
	var dead atomic.Bool
	go func() {
		err := p.Wait()
		dead.Store(true)
		p.ended <- err
	}()
	var first string
	var whole bool
	eventually(func() bool {
		gone := dead.Load() // before the last look
		first, _, whole = strings.Cut(p.out.String(), "\n")
		return whole || gone
	})
	if !whole || !json.Valid([]byte(first)) {
		ts.Fatalf("%s is not ready: %q\n%s", args[0], first, &p.err)
	}
	ts.Check(os.WriteFile(ts.MkAbs(args[0]+".ready"), []byte(first+"\n"), 0o600))
	environment(ts).Values[processKey(args[0])] = p
}

// shows NAME PATTERN
//
// waits until what launch has started shows a pattern on standard output.
func shows(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 2 {
		ts.Fatalf("usage: shows NAME PATTERN")
	}
	p := launched(ts, args[0])
	pattern, err := regexp.Compile("(?m)" + args[1])
	ts.Check(err)
	if !eventually(func() bool { return pattern.MatchString(p.out.String()) }) {
		ts.Fatalf("%s does not show %q:\n%s%s", args[0], args[1], &p.out, &p.err)
	}
}

// shutdown NAME, crash NAME
//
// end what launch has started. Who is asked to stop must do so without an error;
// what it has said meanwhile is standard output and standard error.
func end(ts *testscript.TestScript, neg bool, args []string, signal os.Signal) {
	if neg || len(args) != 1 {
		ts.Fatalf("usage: shutdown NAME, crash NAME")
	}
	p := launched(ts, args[0])
	ts.Check(p.Process.Signal(signal))
	select {
	case err := <-p.ended:
		io.WriteString(ts.Stdout(), p.out.String())
		io.WriteString(ts.Stderr(), p.err.String())
		if err != nil && signal != os.Kill {
			ts.Fatalf("%s ends with %v\n%s", args[0], err, &p.err)
		}
	case <-time.After(patience):
		ts.Fatalf("%s does not end\n%s", args[0], &p.err)
	}
}

// exits CODE program args…
//
// runs a program that must end with an exit code.
func exits(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 2 {
		ts.Fatalf("usage: exits CODE program args…")
	}
	want, err := strconv.Atoi(args[0])
	ts.Check(err)
	got := 0
	err = ts.Exec(args[1], args[2:]...)
	if failed, ok := errors.AsType[*exec.ExitError](err); ok {
		got = failed.ExitCode()
	} else {
		ts.Check(err)
	}
	if got != want {
		ts.Fatalf("exit code %d, want %d", got, want)
	}
}

// until PATTERN program args…
//
// runs a program again and again until its standard output matches.
func until(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 2 {
		ts.Fatalf("usage: until PATTERN program args…")
	}
	pattern, err := regexp.Compile("(?m)" + args[0])
	ts.Check(err)
	if !eventually(func() bool {
		err = ts.Exec(args[1], args[2:]...)
		return pattern.MatchString(ts.ReadFile("stdout"))
	}) {
		ts.Fatalf("no match for %q after %v: %v", args[0], patience, err)
	}
}

// field VARIABLE FILE NAME [INDEX]
//
// puts a field of the JSON object in the first line of a file, or an element of
// a list in it, into a variable.
func field(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 3 || len(args) > 4 {
		ts.Fatalf("usage: field VARIABLE FILE NAME [INDEX]")
	}
	var object map[string]any
	ts.Check(json.NewDecoder(bytes.NewBufferString(ts.ReadFile(args[1]))).Decode(&object))
	value := object[args[2]]
	if len(args) == 4 {
		i, err := strconv.Atoi(args[3])
		ts.Check(err)
		list, _ := value.([]any)
		if i >= len(list) {
			ts.Fatalf("%s of %s has %d elements", args[2], args[1], len(list))
		}
		value = list[i]
	}
	text, ok := value.(string)
	if !ok || text == "" {
		ts.Fatalf("%s of %s is %v", args[2], args[1], value)
	}
	ts.Setenv(args[0], text)
}

// mode OCTAL FILE…
//
// checks the permissions of files.
func mode(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 2 {
		ts.Fatalf("usage: mode OCTAL FILE…")
	}
	want, err := strconv.ParseUint(args[0], 8, 32)
	ts.Check(err)
	for _, file := range args[1:] {
		info, err := os.Stat(ts.MkAbs(file))
		ts.Check(err)
		if got := info.Mode().Perm(); got != os.FileMode(want) {
			ts.Fatalf("%s has mode %o, want %o", file, got, want)
		}
	}
}

// picture FILE WIDTH HEIGHT
//
// paints a PNG.
func paint(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 3 {
		ts.Fatalf("usage: picture FILE WIDTH HEIGHT")
	}
	width, err := strconv.Atoi(args[1])
	ts.Check(err)
	height, err := strconv.Atoi(args[2])
	ts.Check(err)
	canvas := image.NewRGBA(image.Rect(0, 0, width, height))
	for x := range width {
		for y := range height {
			canvas.Set(x, y, color.RGBA{uint8(x), uint8(y), 128, 255})
		}
	}
	var out bytes.Buffer
	ts.Check(png.Encode(&out, canvas))
	ts.Check(os.WriteFile(ts.MkAbs(args[0]), out.Bytes(), 0o600))
}
