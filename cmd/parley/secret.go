package main

import (
	"bytes"
	"context"
	"crypto/subtle"
	"fmt"
	"io"
	"os"
	"strings"

	"golang.org/x/term"

	"github.com/parley-im/parley/internal/fault"
)

// maxSecret bounds what is read as a password or recovery phrase, in bytes.
const maxSecret = 4096

// secretHint tells where a secret can come from: never from the command line.
const secretHint = "give a file with %s or %s, or use a terminal"

// password returns a password from a file, else from a prompt on the terminal.
// A new one is asked for twice.
func (a *app) password(ctx context.Context, flag, file, what string, fresh bool) (string, error) {
	if file != "" {
		return a.secretFile(flag, file)
	}
	if _, ok := a.terminal(); !ok {
		return "", fault.New(fault.Usage, "there is no %s", what).WithHint(secretHint, "--"+flag, envName(flag))
	}
	first, err := a.prompt(ctx, what)
	if err != nil {
		return "", err
	}
	if first == "" {
		return "", fault.New(fault.Usage, "the %s is empty", what)
	}
	if fresh {
		again, err := a.prompt(ctx, what+", once more")
		if err != nil {
			return "", err
		}
		if subtle.ConstantTimeCompare([]byte(first), []byte(again)) != 1 {
			return "", fault.New(fault.Usage, "the two entries differ")
		}
	}
	return first, nil
}

// secretFile reads a secret from a file, "-" for standard input. The line
// break at its end is no part of it.
func (a *app) secretFile(flag, file string) (string, error) {
	in := a.in
	if file != "-" {
		f, err := os.Open(file)
		if err != nil {
			return "", fault.Wrap(fault.Usage, "--"+flag, err)
		}
		defer f.Close()
		in = f
	}
	secret, err := readSecret(in)
	if err != nil {
		return "", fault.Wrap(fault.Usage, "--"+flag, err)
	}
	return secret, nil
}

func readSecret(r io.Reader) (string, error) {
	raw, err := io.ReadAll(io.LimitReader(r, maxSecret+1))
	if err != nil {
		return "", err
	}
	if len(raw) > maxSecret {
		return "", fmt.Errorf("more than %d bytes", maxSecret)
	}
	secret := strings.TrimSuffix(strings.TrimSuffix(string(bytes.TrimPrefix(raw, []byte("\ufeff"))), "\n"), "\r")
	if secret == "" {
		return "", fmt.Errorf("it is empty")
	}
	return secret, nil
}

// terminal returns the file descriptor of standard input if it is a terminal.
func (a *app) terminal() (fd int, ok bool) {
	f, ok := a.in.(*os.File)
	if !ok || !term.IsTerminal(int(f.Fd())) {
		return 0, false
	}
	return int(f.Fd()), true
}

// prompt asks on the terminal, without showing the answer.
func (a *app) prompt(ctx context.Context, what string) (string, error) {
	fd, _ := a.terminal()
	before, err := term.GetState(fd)
	if err != nil {
		return "", fault.Wrap(fault.Internal, "asking for the "+what, err)
	}
	type answer struct {
		text []byte
		err  error
	}
	ch := make(chan answer, 1)
	fmt.Fprintf(a.err, "%s%s: ", strings.ToUpper(what[:1]), what[1:])
	go func() { // ReadPassword cannot be interrupted
		text, err := term.ReadPassword(fd)
		ch <- answer{text, err}
	}()
	select {
	case <-ctx.Done():
		term.Restore(fd, before)
		fmt.Fprintln(a.err)
		return "", fault.New(fault.Internal, "interrupted")
	case got := <-ch:
		fmt.Fprintln(a.err)
		return string(got.text), fault.Wrap(fault.Internal, "asking for the "+what, got.err)
	}
}
