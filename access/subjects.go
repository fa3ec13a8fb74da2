package access

import (
	"context"

	"stoa/id"
)

// RateSubjects returns the subjects whose rates the response uses: the client, as Client.Name has
// it, and the viewer's account, "" where nobody has signed in or that can't be told now. It is for
// the gateway, which began the response, and doesn't make it private: what is used doesn't change
// what is answered. The account is looked up only where a token came, and at most once, as for
// ViewerFrom.
func (a *Answer) RateSubjects(ctx context.Context) (client string, account func() id.ID) {
	return a.request.Client.RateKey(), func() id.ID {
		if a.request.Token == "" {
			return ""
		}
		// What finds out marks the answer that it is part of: none.
		viewer, err := a.look(context.WithValue(ctx, key{}, (*Answer)(nil)))
		if err != nil {
			return ""
		}
		return viewer.Account
	}
}
