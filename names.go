package parley

import (
	"context"
	"time"

	"github.com/parley-im/parley/account/ens"
	"github.com/parley-im/parley/account/key"
	claims "github.com/parley-im/parley/app/ens"
	"github.com/parley-im/parley/internal/fault"
)

// ensResolver is what is asked of an Ethereum node; see [ens.Resolver].
type ensResolver interface {
	Verify(ctx context.Context, name string, pub key.Public) (bool, error)
	PublicKey(ctx context.Context, name string) (key.Public, error)
}

// dialENS returns a resolver, none for no URL.
func dialENS(url string) (ensResolver, error) {
	if url == "" {
		return nil, nil
	}
	r, err := ens.Dial(url)
	if err != nil {
		return nil, fault.Wrap(fault.Usage, "the Ethereum node", err)
	}
	return r, nil
}

// owner looks up whose ENS name, in its normal form, somebody was addressed by.
func (c *Client) owner(ctx context.Context, name string) (key.Public, error) {
	if c.names == nil {
		return key.Public{}, fault.New(fault.NotFound, "nobody is known as %q, and ENS names are not looked up", name).
			WithHint("give the URL of an Ethereum node with --ethereum-url-file, or a key (zQ3sh… or 0x04…)")
	}
	pub, err := c.names.PublicKey(ctx, name)
	switch {
	case err == nil:
		return pub, nil
	case ens.Answered(err):
		return key.Public{}, fault.New(fault.NotFound, "nobody can be addressed as %q: %w", name, err).
			WithHint("only names with a public key in their records lead to somebody; ask for the key")
	}
	return key.Public{}, fault.New(fault.Unreachable, "looking up %q: %w", name, err).
		WithHint("see whether the Ethereum node of --ethereum-url-file can be reached")
}

// claimBook is the part of the stack that keeps what people claim.
type claimBook interface {
	DueClaims() (due []claims.Claim, next time.Time, err error)
	ClaimsChanged() <-chan struct{}
	Looked(who key.Public, name string, outcome claims.Outcome) error
}

// ensPause is how long nothing is asked after an Ethereum node that could not
// be asked: when it is down, one name at a time finds out.
const ensPause = claims.Step

// lookUpNames looks up the names that people claim, one after the other, until
// ctx ends, which is no error.
func lookUpNames(ctx context.Context, book claimBook, resolver ensResolver) error {
	timer := time.NewTimer(0)
	defer timer.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-book.ClaimsChanged():
		case <-timer.C:
		}
		due, next, err := book.DueClaims()
		if err != nil {
			return err
		}
		down := false
		for _, claim := range due {
			outcome := lookUp(ctx, resolver, claim)
			if ctx.Err() != nil {
				return nil
			}
			if err := book.Looked(claim.Key, claim.Name, outcome); err != nil {
				return err
			}
			if down = outcome == claims.NoAnswer; down {
				break
			}
		}
		switch {
		case down:
			select {
			case <-ctx.Done():
				return nil
			case <-time.After(ensPause):
			}
			timer.Reset(0)
		case len(due) > 0: // what was looked up now is due again some time
			timer.Reset(0)
		case !next.IsZero():
			timer.Reset(time.Until(next))
		}
	}
}

func lookUp(ctx context.Context, resolver ensResolver, claim claims.Claim) claims.Outcome {
	ctx, cancel := context.WithTimeout(ctx, ens.Timeout)
	defer cancel()
	leads, err := resolver.Verify(ctx, claim.Name, claim.Key)
	switch {
	case leads:
		return claims.Matches
	case err == nil, ens.Answered(err):
		return claims.Differs
	}
	return claims.NoAnswer
}
