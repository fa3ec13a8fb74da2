package account

// Device cookies (OWASP, "Slow Down Online Guessing Attacks with Device Cookies"): a device that
// has signed in to an account has tries of its own, so that strangers who guess at the account's
// password can't keep its owner out. Entry points: trust, deviceOf.

import (
	"context"
	"fmt"
	"time"

	"stoa/access"
	"stoa/id"
	"stoa/problem"
	"stoa/store"
)

const (
	// deviceFor is how long a device is known after a sign-in.
	deviceFor = 90 * 24 * time.Hour

	// devicePurpose separates the tokens of devices from other sealed texts.
	devicePurpose = "device"
)

// device is a device that has signed in to an account. The zero device is unknown.
type device struct {
	key     string // in rate limits
	account id.ID
	epoch   int64
}

// known reports whether d has signed in to any account.
func (d device) known() bool { return d.key != "" }

// opens reports whether d has signed in to an account since its last new password or role.
func (d device) opens(of *store.Secret) bool {
	return d.known() && of != nil && d.account == of.ID && d.epoch == of.Epoch
}

// trust has the client keep a cookie that marks its device as one of an account's. It does
// nothing if the response can't set cookies. A failure is logged only: the sign-in is done.
func (p *Service) trust(ctx context.Context, of *store.Account) {
	if !access.CookiesFrom(ctx) {
		return
	}
	until := store.Now().Add(deviceFor)
	token, err := p.store.Seal(ctx, devicePurpose, fmt.Sprintln(digest(of.Email), of.ID, of.Epoch, until.Unix()))
	if err != nil {
		p.log.Warn("a device can't be remembered for now", "account", of.ID, "error", err)
		return
	}
	access.Keep(ctx, access.Cookie{Kind: access.DeviceCookie, Token: token, Until: until})
}

// deviceOf returns the client's device if it has signed in with an address, else the zero device.
// It reads nothing, so it may come before the limits; the caller compares the account later.
func (p *Service) deviceOf(ctx context.Context, address string) (device, error) {
	token := access.DeviceToken(ctx)
	if token == "" {
		return device{}, nil
	}
	text, err := p.store.Unseal(ctx, devicePurpose, token)
	if problem.Is(err, problem.NotFound) {
		return device{}, nil
	}
	if err != nil {
		return device{}, err
	}
	d := device{key: "login/device/" + digest(token)}
	var of string
	var until int64
	if _, err := fmt.Sscanln(text, &of, &d.account, &d.epoch, &until); err != nil {
		return device{}, fmt.Errorf("read a device cookie: %w", err)
	}
	if of != digest(address) || !time.Now().Before(time.Unix(until, 0)) {
		return device{}, nil
	}
	return d, nil
}
