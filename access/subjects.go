package access

// The subjects of limits: the client's network and the viewer's account. Entry points: RateSubjects
// for the use of rates, ClientKey for work at once.

import (
	"context"

	"stoa/id"
)

// RateSubjects returns the subjects whose rate limits the response uses: the client, as
// Client.RateKey has it, and a function that returns the viewer's account. The account is ""
// if nobody is signed in or the look-up fails. The gateway calls it; it doesn't make the
// response private, since the consumed units don't change the response. The token is checked
// at most once, together with ViewerFrom.
func (a *Answer) RateSubjects(ctx context.Context) (client string, account func() id.ID) {
	return a.request.Client.RateKey(), func() id.ID {
		if a.request.Token == "" {
			return ""
		}
		// Without the response in its context, the look-up can't mark it private.
		ctx := context.WithValue(context.WithValue(ctx, key{}, (*Answer)(nil)), subjectKey{}, a)
		viewer, err := a.look(ctx)
		if err != nil {
			return ""
		}
		return viewer.Account
	}
}

// subjectKey is the key of the response whose token is looked up, in the context of the look-up.
type subjectKey struct{}

// ClientKey names the client of the work under ctx, for limits on work at once: the viewer's account if
// it is known already, else the client as Client.RateKey has it. It is "" for work of the process's own,
// which no client waits for, and for a client without an address. The name is no part of a response, so
// that ClientKey leaves the response public. It looks nothing up.
func ClientKey(ctx context.Context) string {
	a := from(ctx)
	if a == nil {
		a, _ = ctx.Value(subjectKey{}).(*Answer)
	}
	if a == nil {
		return ""
	}
	if account := a.account.Load(); account != nil {
		return string(*account)
	}
	if !a.request.Client.Address.IsValid() {
		return ""
	}
	return a.request.Client.RateKey()
}
