package account

// Rate limits against the guessing of passwords and codes and against unwanted mails. Each
// throttle… function consumes one attempt and returns Throttled if none is left.

import (
	"context"
	"crypto/sha256"
	"fmt"
	"strings"
	"time"

	"stoa/access"
	"stoa/id"
	"stoa/problem"
	"stoa/rate"
	"stoa/store"
)

// Attempts are limited per client, per account, and per pair of client and account. The limit
// of an account stops many clients from guessing together; NIST SP 800-63B allows 100 failures
// in a row. The limit of a pair is far below that and recovers more slowly, so that one client
// alone can't use up an account's attempts. Five or more clients together can, and so lock out
// devices that haven't signed in before: see device.go. A reset by mail makes such a device known.
var (
	loginByClient  = rate.Limit{Burst: 50, Per: 2 * time.Second}
	loginByAccount = rate.Limit{Burst: 100, Per: 36 * time.Second}
	loginByBoth    = rate.Limit{Burst: 10, Per: 3 * time.Minute}

	// A session is needed here, so nobody else can use up these attempts.
	confirmBySession = rate.Limit{Burst: 10, Per: 3 * time.Minute}

	// A client's requests for mails: all of them, those to one domain, and those of one purpose to
	// one mailbox. The second bounds spellings of a mailbox that only its provider knows.
	mailByClient = rate.Limit{Burst: 20, Per: 30 * time.Second}
	mailByDomain = rate.Limit{Burst: 10, Per: 2 * time.Minute}
	mailByBoth   = rate.Limit{Burst: 4, Per: 10 * time.Minute}

	// The mails of one purpose to a mailbox, for all clients together. The limit recovers faster
	// than mailByBoth, so that one client alone can't use it up.
	mailByBox      = rate.Limit{Burst: 6, Per: 5 * time.Minute}
	mailByBoxDaily = rate.Limit{Burst: 24, Per: time.Hour}

	// resetByAccount recovers well before a code ends: while it is used up, the account has a
	// mail with a code that works for at least 20 minutes. See mayReset.
	resetByAccount = rate.Limit{Burst: 3, Per: resetFor * 2 / 3}
	strangerByBox  = rate.Limit{Burst: 3, Per: time.Hour}

	codeByClient = rate.Limit{Burst: 50, Per: 2 * time.Second}
)

// throttleLogin consumes one attempt at an account's password. A known device has attempts of its
// own: nobody else can use them up.
func (p *Service) throttleLogin(ctx context.Context, address string, from device) error {
	if from.known() {
		return p.throttle(ctx, []rate.Use{{Key: from.key, Limit: loginByBoth, Cost: 1}})
	}
	client := clientOf(ctx)
	return p.throttle(ctx, []rate.Use{
		{Key: "login/client/" + client, Limit: loginByClient, Cost: 1},
		{Key: accountKey(address), Limit: loginByAccount, Cost: 1},
		{Key: bothKey(client, address), Limit: loginByBoth, Cost: 1},
	})
}

// forgive resets the limits that a successful sign-in or reset has passed: those of a known device,
// or else of this client and of the account. The sign-in of a known device proves nothing about the
// others that try the account.
func (p *Service) forgive(ctx context.Context, address string, from device) {
	if from.known() {
		p.limiter.Reset(ctx, from.key)
		return
	}
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

// throttleAsking consumes one of a client's requests for a mail to an address, before it is known
// if one is sent.
func (p *Service) throttleAsking(ctx context.Context, address string) error {
	client := clientOf(ctx)
	_, domain, _ := strings.Cut(address, "@")
	return p.throttle(ctx, []rate.Use{
		{Key: "mail/client/" + client, Limit: mailByClient, Cost: 1},
		{Key: "mail/domain/" + client + "/" + digest(domain), Limit: mailByDomain, Cost: 1},
	})
}

// throttleMail consumes one mail of a kind to an address. Each kind has limits of its own, so that
// registrations in somebody's name don't use up another kind. Resets have no limit for all clients
// here: see mayReset.
func (p *Service) throttleMail(ctx context.Context, kind store.MailKind, address string) error {
	key := string(kind) + "/" + digest(mailbox(address))
	uses := []rate.Use{{Key: "mail/both/" + clientOf(ctx) + "/" + key, Limit: mailByBoth, Cost: 1}}
	if kind != store.ResetMail {
		uses = append(uses, rate.Use{Key: "mail/box/" + key, Limit: mailByBox, Cost: 1}, rate.Use{Key: "mail/day/" + key, Limit: mailByBoxDaily, Cost: 1})
	}
	return p.throttle(ctx, uses)
}

// mailbox returns an address without dots and without the part from a plus on, since many providers
// deliver all of these spellings to one mailbox. It is for limits only: with other providers the
// spellings are different people.
func mailbox(address string) string {
	local, domain, _ := strings.Cut(address, "@")
	local, _, _ = strings.Cut(local, "+")
	return strings.ReplaceAll(local, ".", "") + "@" + domain
}

// mayReset consumes one mail that answers a request to reset a password, and reports whether there
// was one left. Nobody can shut the owner out by asking: the limit belongs to the account with its
// present password and address, which are what a code is valid for, and recovers faster than a code
// ends. So an answer that isn't sent isn't needed. Strangers without an account get few.
func (p *Service) mayReset(ctx context.Context, address string, of *store.Secret) (bool, error) {
	use := rate.Use{Key: "mail/stranger/" + digest(mailbox(address)), Limit: strangerByBox, Cost: 1}
	if of != nil {
		use = rate.Use{Key: "mail/reset/" + digest(fmt.Sprint(of.ID, of.Epoch, address)), Limit: resetByAccount, Cost: 1}
	}
	wait, err := p.limiter.Take(ctx, use.Key, use.Limit, use.Cost)
	return wait == 0, err
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
