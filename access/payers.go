package access

import (
	"context"

	"stoa/id"
)

// Payers tells who is charged for the answer: the client it came from, as Client.Name has it,
// and the account that asks, "" where nobody has signed in or that can't be told now. It is for
// who began the answer, and doesn't make it private: what is charged doesn't change what is
// answered. The account is looked up only where a token came, and at most once, as for
// ViewerFrom.
func (a *Answer) Payers(ctx context.Context) (client string, account func() id.ID) {
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
