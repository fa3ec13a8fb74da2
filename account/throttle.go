package account

// Rate limits against the guessing of passwords and codes and against unwanted mails. Each
// throttle… function consumes one attempt and returns Throttled if none is left.

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

// Attempts are limited per client, per account, and per pair of client and account. The limit
// of an account stops many clients from guessing together; NIST SP 800-63B allows 100 failures
// in a row. The limit of a pair is far below that and recovers more slowly, so that one client
// alone can't use up an account's attempts. Five or more clients together can, and so lock the
// owner out while they go on: a reset by mail lets the owner in again.
var (
	loginByClient  = rate.Limit{Burst: 50, Per: 2 * time.Second}
	loginByAccount = rate.Limit{Burst: 100, Per: 36 * time.Second}
	loginByBoth    = rate.Limit{Burst: 10, Per: 3 * time.Minute}

	// A session is needed here, so nobody else can use up these attempts.
	confirmBySession = rate.Limit{Burst: 10, Per: 3 * time.Minute}

	mailByClient       = rate.Limit{Burst: 20, Per: 30 * time.Second}
	mailByAddress      = rate.Limit{Burst: 6, Per: 5 * time.Minute}
	mailByAddressDaily = rate.Limit{Burst: 24, Per: time.Hour}

	codeByClient = rate.Limit{Burst: 50, Per: 2 * time.Second}
)

// throttleLogin consumes one attempt at an account's password.
func (p *Service) throttleLogin(ctx context.Context, address string) error {
	client := clientOf(ctx)
	return p.throttle(ctx, []rate.Use{
		{Key: "login/client/" + client, Limit: loginByClient, Cost: 1},
		{Key: accountKey(address), Limit: loginByAccount, Cost: 1},
		{Key: bothKey(client, address), Limit: loginByBoth, Cost: 1},
	})
}

// forgive resets the limits of an account and of this client after a successful sign-in or
// reset.
func (p *Service) forgive(ctx context.Context, address string) {
	p.limiter.Reset(ctx, bothKey(clientOf(ctx), address))
	p.limiter.Reset(ctx, accountKey(address))
}

func accountKey(address string) string { return "login/account/" + digest(address) }

// throttleConfirm consumes one attempt of a session to confirm the password.
func (p *Service) throttleConfirm(ctx context.Context, session id.ID) error {
	return p.throttle(ctx, []rate.Use{{Key: "confirm/" + string(session), Limit: confirmBySession, Cost: 1}})
}

func bothKey(client, address string) string { return "login/both/" + client + "/" + digest(address) }

// digest replaces an address in rate keys, since Redis needs no addresses.
func digest(address string) string {
	sum := sha256.Sum256([]byte(address))
	return encoding.EncodeToString(sum[:12])
}

// throttleAsking consumes one of a client's requests for a mail, before it is known if one is
// sent.
func (p *Service) throttleAsking(ctx context.Context) error {
	return p.throttle(ctx, []rate.Use{{Key: "mail/client/" + clientOf(ctx), Limit: mailByClient, Cost: 1}})
}

// throttleMail consumes one mail to an address. The part between a plus and the @ is left out,
// since with most servers the mails reach the same mailbox.
func (p *Service) throttleMail(ctx context.Context, address string) error {
	local, domain, _ := strings.Cut(address, "@")
	local, _, _ = strings.Cut(local, "+")
	box := digest(local + "@" + domain)
	return p.throttle(ctx, []rate.Use{
		{Key: "mail/address/" + box, Limit: mailByAddress, Cost: 1},
		{Key: "mail/day/" + box, Limit: mailByAddressDaily, Cost: 1},
	})
}

// throttleCodes consumes one attempt at a code. Codes can't be guessed: this limits the
// database reads.
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

// clientOf returns the rate key of the request's client.
func clientOf(ctx context.Context) string { return access.ClientFrom(ctx).RateKey() }
