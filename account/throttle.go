package account

import (
	"context"
	"crypto/sha256"
	"strings"
	"time"

	"stoa/access"
	"stoa/id"
	"stoa/problem"
	"stoa/rate"
)

// How often what can be tried is tried: by each client, for each account, and by one client
// for one account. An account has a limit of its own so that many clients together can't
// guess; NIST SP 800-63B allows 100 failures in a row. One client's for one account is well
// below that, and comes back more slowly, so that nobody alone can use up what an account
// has. Five or more together can, and lock its owner out for as long as they go on: a new
// password, set by mail, lets the owner in again.
var (
	loginByClient  = rate.Limit{Burst: 50, Per: 2 * time.Second}
	loginByAccount = rate.Limit{Burst: 100, Per: 36 * time.Second}
	loginByBoth    = rate.Limit{Burst: 10, Per: 3 * time.Minute}

	// What takes the password once more takes a session, too: nobody else is in its way.
	confirmBySession = rate.Limit{Burst: 10, Per: 3 * time.Minute}

	mailByClient       = rate.Limit{Burst: 20, Per: 30 * time.Second}
	mailByAddress      = rate.Limit{Burst: 6, Per: 5 * time.Minute}
	mailByAddressDaily = rate.Limit{Burst: 24, Per: time.Hour}

	codeByClient = rate.Limit{Burst: 50, Per: 2 * time.Second}
)

// throttleLogin charges for one try of an account's password.
func (p *Service) throttleLogin(ctx context.Context, address string) error {
	client := clientOf(ctx)
	return p.throttle(ctx, []rate.Use{
		{Key: "login/client/" + client, Limit: loginByClient, Cost: 1},
		{Key: accountKey(address), Limit: loginByAccount, Cost: 1},
		{Key: bothKey(client, address), Limit: loginByBoth, Cost: 1},
	})
}

// forgive forgets the failures for an account whose owner has shown up.
func (p *Service) forgive(ctx context.Context, address string) {
	p.limiter.Reset(ctx, bothKey(clientOf(ctx), address))
	p.limiter.Reset(ctx, accountKey(address))
}

func accountKey(address string) string { return "login/account/" + digest(address) }

// throttleConfirm charges for one try of the password by a session.
func (p *Service) throttleConfirm(ctx context.Context, session id.ID) error {
	return p.throttle(ctx, []rate.Use{{Key: "confirm/" + string(session), Limit: confirmBySession, Cost: 1}})
}

func bothKey(client, address string) string { return "login/both/" + client + "/" + digest(address) }

// digest stands for an address where it is counted, as in Redis, which needn't know it.
func digest(address string) string {
	sum := sha256.Sum256([]byte(address))
	return encoding.EncodeToString(sum[:12])
}

// throttleAsking charges a client for asking for a mail, whether or not one is sent.
func (p *Service) throttleAsking(ctx context.Context) error {
	return p.throttle(ctx, []rate.Use{{Key: "mail/client/" + clientOf(ctx), Limit: mailByClient, Cost: 1}})
}

// throttleMail charges for one mail to an address. What follows a plus counts as the same
// address: with most servers it is.
func (p *Service) throttleMail(ctx context.Context, address string) error {
	local, domain, _ := strings.Cut(address, "@")
	local, _, _ = strings.Cut(local, "+")
	box := digest(local + "@" + domain)
	return p.throttle(ctx, []rate.Use{
		{Key: "mail/address/" + box, Limit: mailByAddress, Cost: 1},
		{Key: "mail/day/" + box, Limit: mailByAddressDaily, Cost: 1},
	})
}

// throttleCodes charges for one try of a code. Nobody guesses one: this bounds the look-ups.
func (p *Service) throttleCodes(ctx context.Context) error {
	return p.throttle(ctx, []rate.Use{{Key: "code/client/" + clientOf(ctx), Limit: codeByClient, Cost: 1}})
}

func (p *Service) throttle(ctx context.Context, charges []rate.Use) error {
	wait, _, err := p.limiter.TakeAll(ctx, charges)
	if err != nil {
		return err
	}
	if wait <= 0 {
		return nil
	}
	return problem.TooMuch("this was tried too often", wait)
}

// clientOf names where a request came from.
func clientOf(ctx context.Context) string { return access.ClientFrom(ctx).RateKey() }
