package postgrestest_test

import (
	"errors"
	"fmt"
	"os"
	"strings"
	"testing"

	"github.com/parley-im/parley/waku/store/postgres/postgrestest"
)

// TestServer starts and stops a server, which keeps its data only when told to.
func TestServer(t *testing.T) {
	t.Parallel()
	s, err := postgrestest.Start("work_mem=1234kB")
	postgrestest.Check(t, err)
	defer func() { _ = s.Stop() }()
	if err := s.Exec("postgres", `CREATE TABLE kept (); DO $$ BEGIN ASSERT current_setting('work_mem') = '1234kB'; END $$`); err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(s.Halt(), s.Halt()); err != nil {
		t.Fatal(err)
	}
	if err := s.Exec("postgres", `SELECT FROM kept`); err == nil {
		t.Fatal("a server that was ended answers")
	}
	if err := errors.Join(s.Resume(), s.Exec("postgres", `SELECT FROM kept`)); err != nil {
		t.Fatal(err, s.Log())
	}
	dir := s.Dir()
	if _, err := os.Stat(dir); err != nil {
		t.Fatal(err)
	}
	if err := s.Stop(); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(dir); !errors.Is(err, os.ErrNotExist) {
		t.Fatalf("the data is still there: %v", err)
	}
}

// verdict records how a test ends.
type verdict struct {
	testing.TB
	how string
}

func (v *verdict) Helper()           {}
func (v *verdict) Skip(args ...any)  { v.how = "skipped: " + fmt.Sprint(args...) }
func (v *verdict) Fatal(args ...any) { v.how = "failed: " + fmt.Sprint(args...) }

// TestCheck: without PostgreSQL tests are skipped, but not under CI, and say
// what to do.
func TestCheck(t *testing.T) {
	for _, c := range []struct {
		ci   string
		err  error
		want string
	}{
		{"", nil, ""}, {"true", nil, ""},
		{"", postgrestest.ErrAbsent, "skipped"}, {"true", postgrestest.ErrAbsent, "failed"},
		{"", errors.New("other"), "failed"},
	} {
		t.Setenv("CI", c.ci)
		v := new(verdict)
		postgrestest.Check(v, c.err)
		if how, _, _ := strings.Cut(v.how, ":"); how != c.want || errors.Is(c.err, postgrestest.ErrAbsent) && !strings.Contains(v.how, "make needs") {
			t.Errorf("CI=%q, %v: %s", c.ci, c.err, v.how)
		}
	}
}
