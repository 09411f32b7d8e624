// Package pairing moves an account to another device of its user over the
// local network: the codes, payloads and calls by which deployed clients
// (status-go) pair two devices, and the account data that travels, MultiAccount
// of 65/STATUS-ACCOUNT-ADDRESS, Wire Format.
//
// One device shows a code, as text or QR code, and waits: [Listen] and
// [Server.Send] or [Server.Receive]. The other reads it and calls: [Send] or
// [Receive]. Either can be the one that has the account. The code has the
// addresses of the first device, the public key that its certificate must have,
// and the key under which everything said is sealed once more; whoever knows it
// can have the account, so it is a secret.
//
// A pairing has three steps: the account (its keys and MultiAccount), what the
// clients tell each other about it ([Incoming.Keep] gets both together), and
// the receiver's installation in return. Nothing is kept before all that comes
// is read and found good.
package pairing

import (
	"errors"
	"time"
)

// Limits of what comes from the other device.
const (
	// MaxAccountBody bounds the sealed account, in bytes.
	MaxAccountBody = 8 << 20
	// MaxSyncBody bounds the sealed messages about the account, in bytes.
	MaxSyncBody = 64 << 20
	// MaxInstallationBody bounds the sealed installation, in bytes.
	MaxInstallationBody = 1 << 20
	// MaxKeyFiles bounds the number of key store files.
	MaxKeyFiles = 256
	// MaxImages bounds the number of pictures of a profile, MaxImageSize each
	// in bytes.
	MaxImages    = 8
	MaxImageSize = 1 << 20
	// MaxText bounds names and other short texts, in bytes of UTF-8.
	MaxText = 256
	// MaxMessages bounds the number of messages about the account.
	MaxMessages = 1 << 16
)

// TimeLimit is how long a device that shows a code waits by default.
const TimeLimit = 5 * time.Minute

// Errors of pairing. None has a secret in it.
var (
	// ErrCode says that a text is not the code of a pairing.
	ErrCode = errors.New("not a pairing code")
	// ErrAddress says that a code has no address of the local network, or that
	// there is none to wait at.
	ErrAddress = errors.New("no address in the local network")
	// ErrUnreachable says that no address of the code answers.
	ErrUnreachable = errors.New("the other device cannot be reached")
	// ErrCertificate says that who answers is not who showed the code.
	ErrCertificate = errors.New("another device answers at this address")
	// ErrRefused says that the other device refuses to go on: a challenge was
	// answered wrongly, it pairs with somebody else, or it has ended.
	ErrRefused = errors.New("the other device refused")
	// ErrDirection says that both devices want to send, or both to receive.
	ErrDirection = errors.New("the other device wants to do the same as this one")
	// ErrPeer says that something failed on the other device.
	ErrPeer = errors.New("the other device failed")
	// ErrIntruder says that somebody in the local network tried to pair without
	// knowing the code.
	ErrIntruder = errors.New("somebody tried to pair without knowing the code")
	// ErrSealed says that what came was not sealed under the code's key.
	ErrSealed = errors.New("not sealed under the key of the code")
	// ErrSize says that what came is larger than its limit.
	ErrSize = errors.New("more than its limit")
	// ErrPayload says that what came makes no sense.
	ErrPayload = errors.New("not the data of an account")
	// ErrTimeLimit says that the other device did not come, or did not finish.
	ErrTimeLimit = errors.New("the other device did not come or did not finish")
)

// Routes of the calls, as in deployed clients. Send and receive are meant from
// the side of the one that shows the code.
const (
	routeChallenge           = "/pairing/challenge"
	routeSendAccount         = "/pairing/sendAccount"
	routeReceiveAccount      = "/pairing/receiveAccount"
	routeSendSync            = "/pairing/sendSyncDevice"
	routeReceiveSync         = "/pairing/receiveSyncDevice"
	routeSendInstallation    = "/pairing/sendInstallation"
	routeReceiveInstallation = "/pairing/receiveInstallation"
)
