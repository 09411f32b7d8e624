// Package postgrestest starts real PostgreSQL servers for tests, out of the
// programs of Debian's package or those in the path. A server has its data in a
// temporary folder, listens on a socket there, and ends with the process that
// started it, whatever becomes of that.
package postgrestest

import (
	"bufio"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
)

// ErrAbsent is what Start says where there is no PostgreSQL.
var ErrAbsent = errors.New("postgrestest: PostgreSQL is not installed; make needs installs it (on Debian: apt-get install postgresql)")

// startTimeout bounds the start of a server on a busy machine.
const startTimeout = 2 * time.Minute

// settings suit tests: a small server, but one that keeps what it was told.
var settings = []string{
	"listen_addresses=", "fsync=on", "synchronous_commit=on", "max_connections=300",
	"shared_buffers=64MB", "log_min_messages=warning", "lc_messages=C", "timezone=UTC", "logging_collector=off",
}

// ready is what a server prints when it can be used.
const ready = "database system is ready to accept connections"

// keeper runs a server until its input ends, and then removes the folder unless
// it was told to keep it.
const keeper = `dir=$1; shift
"$@" & pid=$!
read -r how
kill -INT $pid
wait $pid
[ "$how" = keep ] || rm -rf "$dir"`

// Server is a PostgreSQL server.
type Server struct {
	bin, dir string
	settings []string
	password string

	mu    sync.Mutex
	child *exec.Cmd
	input io.WriteCloser
	log   *tail
}

// Start makes a new server and starts it. More settings are in the form of its
// configuration file, without spaces around the sign.
func Start(more ...string) (*Server, error) {
	bin, err := programs()
	if err != nil {
		return nil, err
	}
	dir, err := os.MkdirTemp("", "postgrestest")
	if err != nil {
		return nil, err
	}
	s := &Server{bin: bin, dir: dir, password: "secret-" + rand.Text(), settings: append(slices.Clone(settings), more...)}
	if err = s.create(); err == nil {
		err = s.start()
	}
	if err != nil {
		_ = os.RemoveAll(dir)
		return nil, err
	}
	return s, nil
}

// programs returns the folder of the programs of the latest version.
func programs() (string, error) {
	found, _ := filepath.Glob("/usr/lib/postgresql/*/bin/initdb")
	slices.SortFunc(found, func(a, b string) int { // 9 before 15
		if len(a) != len(b) {
			return len(a) - len(b)
		}
		return strings.Compare(a, b)
	})
	if len(found) > 0 {
		return filepath.Dir(found[len(found)-1]), nil
	}
	path, err := exec.LookPath("initdb")
	if err != nil {
		return "", ErrAbsent
	}
	return filepath.Dir(path), nil
}

// create makes the data folder.
func (s *Server) create() error {
	password := filepath.Join(s.dir, "password")
	if err := os.WriteFile(password, []byte(s.password), 0o600); err != nil {
		return err
	}
	cmd := exec.Command(filepath.Join(s.bin, "initdb"), "-D", filepath.Join(s.dir, "data"), "-U", "postgres", "--pwfile", password,
		"-A", "scram-sha-256", "-E", "UTF8", "--locale=C", "--no-sync")
	if err := lower(cmd, s.dir, password); err != nil {
		return err
	}
	cmd.Dir = s.dir
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("postgrestest: initdb: %w\n%s", err, out)
	}
	return nil
}

// start starts the server and waits until it is ready.
func (s *Server) start() error {
	args := []string{"-c", keeper, "keeper", s.dir, filepath.Join(s.bin, "postgres"), "-D", filepath.Join(s.dir, "data"), "-k", s.dir}
	for _, setting := range s.settings {
		args = append(args, "-c", setting)
	}
	cmd := exec.Command("/bin/sh", args...)
	if err := lower(cmd); err != nil {
		return err
	}
	cmd.Dir = s.dir
	input, err := cmd.StdinPipe()
	if err != nil {
		return err
	}
	output, err := cmd.StderrPipe()
	if err != nil {
		return err
	}
	if err := cmd.Start(); err != nil {
		return err
	}
	up := make(chan bool, 1)
	log := new(tail)
	go func() {
		lines := bufio.NewScanner(output)
		for lines.Scan() {
			log.add(lines.Text())
			if strings.Contains(lines.Text(), ready) {
				up <- true
			}
		}
		up <- false
	}()
	timeout := time.NewTimer(startTimeout)
	defer timeout.Stop()
	select {
	case ok := <-up:
		if ok {
			s.mu.Lock()
			s.child, s.input, s.log = cmd, input, log
			s.mu.Unlock()
			return nil
		}
	case <-timeout.C:
	}
	_ = input.Close()
	_ = cmd.Wait()
	return fmt.Errorf("postgrestest: the server did not start:\n%s", log)
}

// Stop ends the server and removes its data.
func (s *Server) Stop() error { return s.stop("") }

// Halt ends the server; Resume starts it again with the same data.
func (s *Server) Halt() error { return s.stop("keep\n") }

// Resume starts the server after Halt.
func (s *Server) Resume() error { return s.start() }

func (s *Server) stop(how string) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.child == nil {
		return nil
	}
	_, err := io.WriteString(s.input, how)
	err = errors.Join(err, s.input.Close())
	_ = s.child.Wait() // the keeper's result says nothing
	s.child = nil
	return err
}

// Log returns the last lines that the server printed.
func (s *Server) Log() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.log.String()
}

// Password is that of the server's one user.
func (s *Server) Password() string { return s.password }

// Dir is the folder with the server's socket and data.
func (s *Server) Dir() string { return s.dir }

// URL is that of a database.
func (s *Server) URL(database string) string {
	u := url.URL{Scheme: "postgres", User: url.UserPassword("postgres", s.password), Path: "/" + database,
		RawQuery: url.Values{"host": {s.dir}}.Encode()}
	return u.String()
}

// Name returns a name for a schema that no other test has.
func Name() string { return fmt.Sprintf("test_%d", names.Add(1)) }

var names atomic.Int64

// Exec runs a statement in a database.
func (s *Server) Exec(database, sql string) error {
	ctx := context.Background()
	c, err := pgx.Connect(ctx, s.URL(database))
	if err != nil {
		return err
	}
	_, err = c.Exec(ctx, sql)
	return errors.Join(err, c.Close(ctx))
}

// shared is the server of the test binary.
var shared = sync.OnceValues(func() (*Server, error) { started.Store(true); return Start() })

// started says whether a test asked for it.
var started atomic.Bool

// Shared returns the server that the tests of one binary have in common, which
// the first of them starts. Where there is none to start, the test is skipped;
// under CI it fails.
func Shared(t testing.TB) *Server {
	t.Helper()
	s, err := shared()
	Check(t, err)
	return s
}

// Check ends a test with the error of Start, if there is one: it fails, or is
// skipped where PostgreSQL is absent outside of CI.
func Check(t testing.TB, err error) {
	t.Helper()
	switch {
	case err == nil:
	case errors.Is(err, ErrAbsent) && os.Getenv("CI") == "":
		t.Skip(err)
	default:
		t.Fatal(err)
	}
}

// Main runs the tests of a binary that uses Shared and returns what TestMain is
// to exit with.
func Main(m *testing.M) int {
	code := m.Run()
	if !started.Load() {
		return code
	}
	if s, err := shared(); err == nil {
		if err := s.Stop(); err != nil {
			fmt.Fprintln(os.Stderr, err)
			return 1
		}
	}
	return code
}

// tail keeps the last lines of a log.
type tail struct {
	mu    sync.Mutex
	lines []string
}

func (t *tail) add(line string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.lines = append(t.lines, line)
	if len(t.lines) > 200 {
		t.lines = slices.Clone(t.lines[100:])
	}
}

func (t *tail) String() string {
	t.mu.Lock()
	defer t.mu.Unlock()
	return strings.Join(t.lines, "\n")
}
