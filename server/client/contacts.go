package client

import (
	"context"
	"net/http"
	"net/url"

	"github.com/parley-im/parley"
)

// Contacts returns everybody the account knows, by name.
func (c *Client) Contacts(ctx context.Context) (all []parley.Contact, err error) {
	return all, c.call(ctx, http.MethodGet, "/contacts", nil, nil, &all)
}

// ContactPage returns a page of those whom the account knows.
func (c *Client) ContactPage(ctx context.Context, q parley.ContactQuery) (parley.ContactPage, error) {
	return get[parley.ContactPage](ctx, c, "/pages/contacts", queryOf{}.text("next", q.Next).limit(q.Limit).values())
}

// Contact returns one contact; who is a key in any form, a share URL or a name.
func (c *Client) Contact(ctx context.Context, who string) (one parley.Contact, err error) {
	return one, c.call(ctx, http.MethodGet, place("contacts", who), nil, nil, &one)
}

// AddContact sends a contact request, or accepts the one that is there.
func (c *Client) AddContact(ctx context.Context, who, text string) (one parley.Contact, err error) {
	body := map[string]string{"who": who, "message": text}
	return one, c.call(ctx, http.MethodPost, "/contacts", nil, body, &one)
}

// AcceptContact accepts a received request.
func (c *Client) AcceptContact(ctx context.Context, who string) (parley.Contact, error) {
	return c.contact(ctx, who, "accept", nil)
}

// RejectContact declines a received request; the other side is not told.
func (c *Client) RejectContact(ctx context.Context, who string) (parley.Contact, error) {
	return c.contact(ctx, who, "reject", nil)
}

// RemoveContact ends the contact or takes a request back.
func (c *Client) RemoveContact(ctx context.Context, who string) (parley.Contact, error) {
	return c.contact(ctx, who, "remove", nil)
}

// BlockContact drops everything that comes from somebody.
func (c *Client) BlockContact(ctx context.Context, who string) (parley.Contact, error) {
	return c.contact(ctx, who, "block", nil)
}

// UnblockContact takes a block back.
func (c *Client) UnblockContact(ctx context.Context, who string) (parley.Contact, error) {
	return c.contact(ctx, who, "unblock", nil)
}

// RenameContact gives somebody a name of our own; empty takes it back.
func (c *Client) RenameContact(ctx context.Context, who, nickname string) (parley.Contact, error) {
	return c.contact(ctx, who, "rename", map[string]string{"nickname": nickname})
}

func (c *Client) contact(ctx context.Context, who, verb string, body any) (one parley.Contact, err error) {
	return one, c.call(ctx, http.MethodPost, place("contacts", who, verb), nil, body, &one)
}

// Trust marks somebody as trusted, untrustworthy, or unknown, which is neither.
func (c *Client) Trust(ctx context.Context, who, mark string) (parley.Contact, error) {
	return c.contact(ctx, who, "trust", map[string]string{"trust": mark})
}

// ProfilePicture returns somebody's picture; size is thumbnail or large.
func (c *Client) ProfilePicture(ctx context.Context, who, size string) (parley.Picture, error) {
	return c.picture(ctx, place("contacts", who, "picture"), url.Values{"size": {size}})
}

// Verifications returns the questions between us and somebody, oldest first.
func (c *Client) Verifications(ctx context.Context, who string) ([]parley.Verification, error) {
	return get[[]parley.Verification](ctx, c, place("contacts", who, "verifications"), nil)
}

// AskVerification asks a mutual contact something that only they can answer.
func (c *Client) AskVerification(ctx context.Context, who, challenge string) (parley.Verification, error) {
	return c.verification(ctx, who, "ask", map[string]string{"text": challenge})
}

// AnswerVerification answers what a contact asked last.
func (c *Client) AnswerVerification(ctx context.Context, who, response string) (parley.Verification, error) {
	return c.verification(ctx, who, "answer", map[string]string{"text": response})
}

// DeclineVerification declines what a contact asked last, and tells them so.
func (c *Client) DeclineVerification(ctx context.Context, who string) (parley.Verification, error) {
	return c.verification(ctx, who, "decline", nil)
}

// CancelVerification takes our question back.
func (c *Client) CancelVerification(ctx context.Context, who string) (parley.Verification, error) {
	return c.verification(ctx, who, "cancel", nil)
}

func (c *Client) verification(ctx context.Context, who, verb string, body any) (parley.Verification, error) {
	return post[parley.Verification](ctx, c, place("contacts", who, "verifications", verb), body)
}
