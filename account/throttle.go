package account

import (
	"context"
	"crypto/sha256"
	"net/netip"
	"time"

	"stoa/access"
	"stoa/problem"
	"stoa/rate"
)

// How often what can be tried is tried: for each address of a client, for each account, and
// for both together. An account has its own limit so that many clients together can't
// guess; one that is alone with its address a tighter one, so that nobody is locked out
// because somebody else tries. NIST SP 800-63B allows 100 failures in a row.
var (
	loginByClient  = rate.Limit{Burst: 50, Per: 2 * time.Second}
	loginByAccount = rate.Limit{Burst: 100, Per: 36 * time.Second}
	loginByBoth    = rate.Limit{Burst: 5, Per: 30 * time.Second}

	mailByClient  = rate.Limit{Burst: 20, Per: 30 * time.Second}
	mailByAddress = rate.Limit{Burst: 4, Per: 5 * time.Minute}

	codeByClient = rate.Limit{Burst: 50, Per: 2 * time.Second}
)

// throttleLogin charges for one try of an account's password.
func (p *People) throttleLogin(ctx context.Context, address string) error {
	client := clientOf(ctx)
	return p.throttle(ctx, []rate.Charge{
		{Key: "login/client/" + client, Limit: loginByClient, Cost: 1},
		{Key: "login/account/" + digest(address), Limit: loginByAccount, Cost: 1},
		{Key: bothKey(client, address), Limit: loginByBoth, Cost: 1},
	})
}

// forgive forgets the failures of a client that knew the password in the end.
func (p *People) forgive(ctx context.Context, address string) {
	p.limiter.Reset(ctx, bothKey(clientOf(ctx), address))
}

func bothKey(client, address string) string { return "login/both/" + client + "/" + digest(address) }

// digest stands for an address where it is counted, as in Redis, which needn't know it.
func digest(address string) string {
	sum := sha256.Sum256([]byte(address))
	return encoding.EncodeToString(sum[:12])
}

// throttleMail charges for one mail to an address.
func (p *People) throttleMail(ctx context.Context, address string) error {
	return p.throttle(ctx, []rate.Charge{
		{Key: "mail/client/" + clientOf(ctx), Limit: mailByClient, Cost: 1},
		{Key: "mail/address/" + digest(address), Limit: mailByAddress, Cost: 1},
	})
}

// throttleCodes charges for one try of a code. Nobody guesses one: this bounds the look-ups.
func (p *People) throttleCodes(ctx context.Context) error {
	return p.throttle(ctx, []rate.Charge{{Key: "code/client/" + clientOf(ctx), Limit: codeByClient, Cost: 1}})
}

func (p *People) throttle(ctx context.Context, charges []rate.Charge) error {
	wait, _, err := p.limiter.TakeAll(ctx, charges)
	if err != nil {
		return err
	}
	if wait <= 0 {
		return nil
	}
	wait = max(wait.Round(time.Second), time.Second)
	return problem.New(problem.Throttled, "this was tried too often: try again in %s", wait).After(wait)
}

// clientOf names where a request came from. Who has one IPv6 address has as many as there
// are in its /64, so that they count as one.
func clientOf(ctx context.Context) string {
	address := access.ClientFrom(ctx).Address
	if address.Is6() && !address.Is4In6() {
		if prefix, err := address.Prefix(64); err == nil {
			return prefix.String()
		}
	}
	if address == (netip.Addr{}) {
		return "unknown"
	}
	return address.Unmap().String()
}
