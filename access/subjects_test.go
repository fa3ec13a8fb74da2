package access

import (
	"context"
	"errors"
	"net/netip"
	"testing"
)

// Reading the subjects leaves the response public, and the token is checked once.
func TestRateSubjectsLeaveAResponsePublic(t *testing.T) {
	looks := 0
	var fails error
	q := Request{Token: "secret", Client: Client{Address: netip.MustParseAddr("2001:db8::7")}, Authenticate: func(context.Context, string) (Viewer, error) {
		looks++
		return Viewer{Account: "acc_1"}, fails
	}}
	ctx, a := Begin(t.Context(), q)
	client, account := a.RateSubjects(ctx)
	if looks != 0 {
		t.Error("the account was looked up before anybody asked")
	}
	if client != "2001:db8::/64" || account() != "acc_1" || account() != "acc_1" || looks != 1 {
		t.Errorf("client %s, account %s, looked up %d times", client, account(), looks)
	}
	if a.Private() {
		t.Error("the answer is private because its subjects were asked for")
	}
	if v, err := ViewerFrom(ctx); err != nil || v.Account != "acc_1" || looks != 1 || !a.Private() {
		t.Errorf("then it is asked for: %v, %v, looked up %d times, private %t", v, err, looks, a.Private())
	}
	fails = errors.New("the database is away")
	_, a = Begin(t.Context(), q)
	if _, account := a.RateSubjects(ctx); account() != "" {
		t.Error("an account that can't be told is a subject")
	}
	q.Token = ""
	_, a = Begin(t.Context(), q)
	looks = 0
	if _, account := a.RateSubjects(ctx); account() != "" || looks != 0 {
		t.Error("nobody's account was looked up")
	}
}
