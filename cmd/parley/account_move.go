package main

import (
	"cmp"
	"context"
	"errors"
	"io"
	"net/netip"
	"time"

	"github.com/mdp/qrterminal/v3"
	"github.com/spf13/cobra"

	"github.com/parley-im/parley/account"
	"github.com/parley-im/parley/account/pairing"
	"github.com/parley-im/parley/app/device"
	"github.com/parley-im/parley/internal/fault"
	"github.com/parley-im/parley/server/client"
)

// moveFlags are the flags of the two commands that move an account.
type moveFlags struct {
	showCode, enterCode bool
	codeFile            string
	listen              []string
	timeout             time.Duration
	deviceName          string
	passwordFile        string
}

func (f *moveFlags) flags(c *cobra.Command, password string) {
	flags := c.Flags()
	flags.BoolVar(&f.showCode, "show-code", false, "show a code, for the other device to read")
	flags.BoolVar(&f.enterCode, "enter-code", false, "read the code that the other device shows, from standard input or a prompt")
	flags.StringVar(&f.codeFile, "code-file", "", "file with the code that the other device shows (- is standard input)")
	flags.StringSliceVar(&f.listen, "listen", nil, "with a code of ours: IP address to wait at; may be repeated (default: this machine's in local networks)")
	flags.DurationVar(&f.timeout, "timeout", pairing.TimeLimit, "how long to wait for the other device")
	flags.StringVar(&f.deviceName, "device-name", "", "what the other device is told this one is called (default: as before, or Parley on the operating system)")
	flags.StringVar(&f.passwordFile, "password-file", "", password)
}

// shows says whether this device shows the code; otherwise the other does.
func (f moveFlags) shows(usually bool) (bool, error) {
	shows := f.showCode || usually && !f.enterCode && f.codeFile == ""
	switch {
	case f.showCode && (f.enterCode || f.codeFile != ""):
		return false, fault.New(fault.Usage, "one of the two devices shows the code, and the other reads it").WithHint("give either --show-code or --enter-code")
	case f.timeout <= 0:
		return false, fault.New(fault.Usage, "--timeout %v is no time to wait", f.timeout)
	case !shows && len(f.listen) > 0:
		return false, fault.New(fault.Usage, "--listen is for the device that shows the code").WithHint("leave it out, or give --show-code")
	case !shows && (f.codeFile == "" || f.codeFile == "-") && f.passwordFile == "-":
		return false, fault.New(fault.Usage, "code and password cannot both come from standard input").WithHint("keep one of them in a file")
	}
	return shows, nil
}

func (a *app) accountSendCommand() *cobra.Command {
	var id string
	var f moveFlags
	c := &cobra.Command{
		Use:   "send",
		Short: "Send an account to another device in the local network",
		Long: `Send an account to another device in the local network, which may run Parley or
Status. What goes along: keys and recovery phrase, name, picture and colour, and
the contacts; no messages.

Shows a code, as text and as a QR code, that the other device reads: there,
"parley account receive", or Status with "sync". If the other device is to show
the code instead, enter that here with --enter-code.

Who knows the code can take the account while this command waits: show it to
nobody, and send it nowhere. It is good for one transfer, and for five minutes.

While it waits, this machine can be reached at the addresses that it shows, by
devices of the local network; --listen names others. In Status the account has
the password that it has here.`,
		Example: `  parley account send
  parley account send --enter-code
  parley account send --listen 192.168.1.7`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return a.sendAccount(cmd.Context(), id, f) },
	}
	accountFlag(c, &id)
	f.flags(c, "file with the account's password (- is standard input)")
	return c
}

func (a *app) accountReceiveCommand() *cobra.Command {
	var name string
	var f moveFlags
	c := &cobra.Command{
		Use:   "receive",
		Short: "Receive an account from another device in the local network",
		Long: `Receive an account from another device in the local network, which may run Parley
or Status: there, "parley account send", or Status with "sync".

Reads the code that the other device shows, from standard input or a prompt. If
this device is to show the code instead, give --show-code: then it can be reached
at the addresses that it shows while it waits; --listen names others.

The account gets a password of its own here, and this device an installation id
of its own. Nothing is kept unless all has come. Afterwards start the daemon with
"parley run".`,
		Example: `  parley account receive
  parley account receive --code-file code.txt --password-file secret.txt
  parley account receive --show-code`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return a.receiveAccount(cmd.Context(), name, f) },
	}
	c.Flags().StringVar(&name, "name", "", "how you are shown to others (default: as on the other device)")
	f.flags(c, "file with the password that encrypts the account here (- is standard input)")
	return c
}

// deviceView is another device, as the command line shows it.
type deviceView struct {
	InstallationID string `json:"installation_id"`
	Name           string `json:"name"`
	Type           string `json:"type"`
}

func (a *app) sendAccount(ctx context.Context, id string, f moveFlags) error {
	shows, err := f.shows(true)
	if err != nil {
		return err
	}
	store, err := a.accounts()
	if err != nil {
		return err
	}
	info, err := a.pick(store, id)
	if err != nil {
		return err
	}
	if d, err := client.FindDaemon(a.dataDir); err == nil && d.Account == info.ID {
		return fault.New(fault.Conflict, "a daemon runs on this account").WithHint(hintStop)
	}
	code, err := a.codeUnless(ctx, shows, f)
	if err != nil {
		return err
	}
	password, err := a.password(ctx, "password-file", f.passwordFile, "password of "+shownName(info.Name, info.ID), false)
	if err != nil {
		return err
	}
	acc, err := store.Open(info.ID, password)
	if err != nil {
		return accountFault("opening the account", err)
	}
	out, err := a.outgoing(acc, f.deviceName)
	if err != nil {
		return err
	}
	out.Password = password
	ctx, cancel := context.WithTimeout(ctx, f.timeout)
	defer cancel()
	var to pairing.Device
	if shows {
		err = a.serveCode(f, acc.InstallationID, acc.KeyUID, func(s *pairing.Server) error {
			to, err = s.Send(ctx, out)
			return err
		})
	} else {
		to, err = pairing.Send(ctx, code, out)
	}
	if err != nil {
		return pairingFault("sending the account", err)
	}
	result := struct {
		accountView
		Device deviceView `json:"device"`
	}{Device: deviceView(to)}
	if result.accountView, err = viewAccount(info); err != nil {
		return err
	}
	if a.json {
		return a.printJSON(result)
	}
	a.say("%s is on %s now.", result.shown(), plain(cmp.Or(to.Name, "the other device")))
	return nil
}

func (a *app) receiveAccount(ctx context.Context, name string, f moveFlags) error {
	shows, err := f.shows(false)
	if err != nil {
		return err
	}
	if name != "" {
		if name, err = checkName(name); err != nil {
			return err
		}
	}
	in, err := incoming(f.deviceName)
	if err != nil {
		return err
	}
	store, err := a.accounts()
	if err != nil {
		return err
	}
	code, err := a.codeUnless(ctx, shows, f)
	if err != nil {
		return err
	}
	if err := notHere(store, code.KeyUID); err != nil {
		return err
	}
	password, err := a.password(ctx, "password-file", f.passwordFile, "new password", true)
	if err != nil {
		return err
	}
	var kept *account.Account
	in.Keep = func(r pairing.Received) (err error) {
		kept, err = a.keep(store, r, in.Device, name, password)
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, f.timeout)
	defer cancel()
	var r pairing.Received
	if shows {
		err = a.serveCode(f, "", "", func(s *pairing.Server) error {
			r, err = s.Receive(ctx, in)
			return err
		})
	} else {
		r, err = pairing.Receive(ctx, code, in)
	}
	if err != nil {
		return pairingFault("receiving the account", err)
	}
	result := struct {
		accountView
		From deviceView `json:"from"`
	}{From: deviceView(r.From)}
	if result.accountView, err = viewAccount(kept.Info()); err != nil {
		return err
	}
	if err := a.print(result, func(w io.Writer) error {
		return table(w, []string{"Account", result.shown()}, []string{"Key", result.ID})
	}); err != nil {
		return err
	}
	a.say("Start it with `parley run`. Then pair the two devices for messages, on both: `parley device pair`.")
	return nil
}

// notHere refuses to fetch an account that is there.
func notHere(store *account.Store, keyUID string) error {
	all, err := store.List()
	if err != nil {
		return accountFault("", err)
	}
	for _, info := range all {
		if keyUID != "" && info.Err == nil && info.KeyUID == keyUID {
			return accountFault("receiving the account", account.ErrExists)
		}
	}
	return nil
}

// codeUnless reads the code of the other device, unless this one shows its own.
func (a *app) codeUnless(ctx context.Context, shows bool, f moveFlags) (code pairing.Code, err error) {
	if shows {
		return code, nil
	}
	var text string
	if _, terminal := a.terminal(); f.codeFile != "" {
		text, err = a.secretFile("code-file", f.codeFile)
	} else if terminal {
		text, err = a.prompt(ctx, "code that the other device shows")
	} else {
		text, err = readSecret(a.in)
		err = fault.Wrap(fault.Usage, "reading the code from standard input", err)
	}
	if err != nil {
		return code, err
	}
	code, err = pairing.ParseCode(text)
	return code, pairingFault("", err)
}

// shownCode is what `--json` prints of a code.
type shownCode struct {
	Code      string    `json:"code"`
	Addresses []string  `json:"addresses"`
	Until     time.Time `json:"until"`
}

// serveCode waits at the addresses of the flags with a code that it shows.
func (a *app) serveCode(f moveFlags, installationID, keyUID string, pair func(*pairing.Server) error) error {
	addrs, err := f.addrs()
	if err != nil {
		return err
	}
	s, err := pairing.Listen(addrs, installationID, keyUID)
	if err != nil {
		if errors.Is(err, pairing.ErrAddress) {
			return err
		}
		return &fault.Error{Kind: fault.Conflict, Err: err, Hint: "name addresses of this machine with --listen"}
	}
	defer s.Close()
	shown := shownCode{Code: s.Code().Text(), Until: time.Now().Add(f.timeout).Truncate(time.Second)}
	for _, at := range s.Addrs() {
		shown.Addresses = append(shown.Addresses, at.String())
	}
	if err := a.print(shown, func(w io.Writer) error {
		qrterminal.GenerateHalfBlock(shown.Code, qrterminal.L, w)
		_, err := io.WriteString(w, shown.Code+"\n")
		return err
	}); err != nil {
		return err
	}
	for _, at := range shown.Addresses {
		a.say("Waiting for the other device at %s.", at)
	}
	a.say("The code is secret, and good until %s. Press ctrl-c to stop.", shown.Until.Local().Format(time.TimeOnly))
	return pair(s)
}

// addrs are where to wait.
func (f moveFlags) addrs() (addrs []netip.Addr, err error) {
	for _, text := range f.listen {
		addr, err := netip.ParseAddr(text)
		if err != nil || addr.IsUnspecified() || addr.IsMulticast() {
			return nil, fault.New(fault.Usage, "--listen %q is no address of this machine", text).WithHint("give an address like 192.168.1.7, without a port")
		}
		addrs = append(addrs, addr)
	}
	if len(addrs) > 0 {
		return addrs, nil
	}
	return pairing.LocalAddrs()
}

// thisDevice is what the other device is told of this one.
func thisDevice(name string, d device.Metadata) (pairing.Device, error) {
	if name == "" {
		name = d.Name
	}
	name, err := device.CheckName(name)
	return pairing.Device{Name: name, Type: d.Type}, fault.Wrap(fault.Usage, "--device-name", err)
}

// pairingFault gives errors of package pairing their kind.
func pairingFault(op string, err error) error {
	f := &fault.Error{Kind: fault.Internal, Op: op, Err: err}
	is := func(kinds ...error) bool {
		for _, kind := range kinds {
			if errors.Is(err, kind) {
				return true
			}
		}
		return false
	}
	_, known := errors.AsType[*fault.Error](err)
	switch {
	case err == nil:
		return nil
	case known:
		return err
	case errors.Is(err, context.Canceled):
		f.Err = errors.New("interrupted")
	case is(pairing.ErrCode):
		f.Kind, f.Hint = fault.Usage, "copy the code that the other device shows as text, whole; it begins with cs"
	case is(pairing.ErrAddress):
		f.Kind, f.Hint = fault.Unreachable, "both devices must be in one local network; --listen names an address to wait at"
	case is(pairing.ErrUnreachable):
		f.Kind, f.Hint = fault.Unreachable, "both devices must be in one local network, and the other must still show this code"
	case is(pairing.ErrTimeLimit):
		f.Kind, f.Hint = fault.Timeout, "start again on both devices, with a new code"
	case is(pairing.ErrCertificate, pairing.ErrIntruder, pairing.ErrSealed):
		f.Kind, f.Hint = fault.Denied, "start again on both devices, with a new code; nothing was given away"
	case is(pairing.ErrRefused):
		f.Kind, f.Hint = fault.Denied, "start again on both devices, with a new code"
	case is(pairing.ErrDirection):
		f.Kind, f.Hint = fault.Conflict, "use `parley account send` on the device that has the account, `parley account receive` on the other"
	case is(pairing.ErrPayload, pairing.ErrSize):
		f.Kind = fault.Invalid
	default:
		return accountFault(op, err)
	}
	return f
}
