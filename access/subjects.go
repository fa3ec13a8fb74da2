package access

// The subjects of rate limits: the client's network and the viewer's account. Entry point:
// RateSubjects.

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
		viewer, err := a.look(context.WithValue(ctx, key{}, (*Answer)(nil)))
		if err != nil {
			return ""
		}
		return viewer.Account
	}
}
