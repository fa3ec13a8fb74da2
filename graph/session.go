package graph

// The root field viewer, its sessions, and the mutations that sign in and out.

import (
	"context"
	"time"

	"stoa/access"
	"stoa/account"
	"stoa/dataloader"
	"stoa/graph/generated"
	"stoa/store"
)

func (q query) Viewer(ctx context.Context) (*access.Viewer, error) {
	return orNull(q.AccountService.Viewer(ctx))
}

func (viewer) Sessions(ctx context.Context, v *access.Viewer, first *int, after *string, last *int, before *string) (*dataloader.SessionConnection, error) {
	return loaders(ctx).SessionsOf(v, window(first, after, last, before))
}

func (session) LastUsedAt(ctx context.Context, s *store.Session) (*time.Time, error) {
	return loaders(ctx).LastUse(ctx, s)
}

func (m mutation) SessionCreate(ctx context.Context, in account.SignIn) (*generated.SessionCreatePayload, error) {
	signed, errs, err := orAccountErrors(m.AccountService.SignIn(ctx, in))
	return &generated.SessionCreatePayload{Session: signed.Session, Account: signed.Account, Token: signed.Token, UserErrors: errs}, err
}

func (m mutation) SessionRevoke(ctx context.Context, in account.Revocation) (*generated.SessionRevokePayload, error) {
	errs, err := accountErrors(m.AccountService.Revoke(ctx, in))
	return &generated.SessionRevokePayload{UserErrors: errs}, err
}

func (m mutation) SessionsRevokeOthers(ctx context.Context) (*generated.SessionsRevokeOthersPayload, error) {
	n, errs, err := orAccountErrors(m.AccountService.RevokeOthers(ctx))
	return &generated.SessionsRevokeOthersPayload{Count: n, UserErrors: errs}, err
}
