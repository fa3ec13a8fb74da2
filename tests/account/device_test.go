package account

import (
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"testing"

	"stoa/access"
	"stoa/tests/redistest"
	"stoa/tests/stoatest"
)

// tried calls a mutation and returns the code of its refusal, "" for none, and the device cookie
// that the response sets.
func tried(t *testing.T, s *stoatest.Stoa, c stoatest.Caller, mutation string, in stoatest.Input) (reason, cookie string) {
	t.Helper()
	reply, err := c.Send(s, stoatest.Mutation(mutation), map[string]any{"input": in})
	if err != nil || len(reply.Errors) > 0 {
		t.Fatalf("%s: %s, %v", mutation, reply.Raw, err)
	}
	var out map[string]stoatest.Payload
	if err := json.Unmarshal(reply.Data, &out); err != nil {
		t.Fatal(err)
	}
	for _, set := range reply.Header["Set-Cookie"] {
		parsed, err := http.ParseSetCookie(set)
		if err != nil {
			t.Fatal(err)
		}
		if parsed.Name != "__Host-stoa-device" {
			continue
		}
		if !parsed.HttpOnly || !parsed.Secure || parsed.SameSite != http.SameSiteStrictMode || parsed.Path != "/" || parsed.Domain != "" {
			t.Errorf("the device cookie is set by %q", set)
		}
		cookie = parsed.Name + "=" + parsed.Value
	}
	return out[mutation].Reason(), cookie
}

// While strangers guess at an account's password from everywhere, its owner signs in from a device
// that has signed in before, and from one that has set a new password by mail.
func TestAKnownDeviceSignsInUnderAttack(t *testing.T) {
	t.Parallel()
	replicas := stoatest.StartAll(t, stoatest.ThreeOver(stoatest.Database(t), redistest.Start(t).URL())...)
	first, last := replicas[0], replicas[len(replicas)-1]
	members := stoatest.AddMembers(t, first, 2, access.Customer)
	owner, other := members[0], members[1]
	signIn := func(c stoatest.Caller, password string) string {
		t.Helper()
		reason, _ := tried(t, last, c, "sessionCreate", stoatest.Input{"email": owner.Email, "password": password})
		return reason
	}
	known := func(email, password string) stoatest.Caller {
		t.Helper()
		reason, cookie := tried(t, first, stoatest.NewCaller(), "sessionCreate", stoatest.Input{"email": email, "password": password})
		if reason != "" || cookie == "" {
			t.Fatalf("a sign-in is refused: %q, or sets no device cookie", reason)
		}
		c := stoatest.NewCaller() // from another place: the address doesn't matter
		c.Cookies = "a=b; " + cookie
		return c
	}
	attack := func() {
		t.Helper()
		for range 11 {
			refusals(t, replicas, stoatest.NewCaller(), 10, "sessionCreate", stoatest.Input{"email": owner.Email, "password": "not the one"})
		}
		if got := signIn(stoatest.NewCaller(), owner.Password); got != "THROTTLED" {
			t.Fatalf("under attack the right password from an unknown device is answered %q", got)
		}
	}
	home, office := known(owner.Email, owner.Password), known(owner.Email, owner.Password)
	stranger := known(other.Email, other.Password)
	attack()
	for range 3 {
		if got := signIn(home, owner.Password); got != "" {
			t.Errorf("under attack the right password from a known device is answered %q", got)
		}
	}
	if got := signIn(stoatest.NewCaller(), owner.Password); got != "THROTTLED" {
		t.Errorf("a known device has opened the account to the guesses of others: %q", got)
	}
	forged := home
	forged.Cookies = home.Cookies[:len(home.Cookies)-4] + "AAAA"
	for who, c := range map[string]stoatest.Caller{"of another account": stranger, "forged": forged} {
		if got := signIn(c, owner.Password); got != "THROTTLED" {
			t.Errorf("a device %s is answered %q", who, got)
		}
	}
	counts := refusals(t, replicas, home, 14, "sessionCreate", stoatest.Input{"email": owner.Email, "password": "not the one"})
	if counts["CREDENTIALS_INVALID"] != 10 || counts["THROTTLED"] != 4 {
		t.Errorf("a known device guesses fourteen times: %v", counts)
	}
	if got := signIn(office, owner.Password); got != "" {
		t.Errorf("another known device is answered %q", got)
	}

	stoatest.NewCaller().Do(t, first, "passwordResetRequest", stoatest.Input{"email": owner.Email})
	code := stoatest.AwaitCode(t, owner.Email, "reset", replicas...)
	const renewed = "seven old lanterns"
	reason, cookie := tried(t, first, stoatest.NewCaller(), "passwordReset", stoatest.Input{"token": code, "password": renewed})
	if reason != "" || cookie == "" {
		t.Fatalf("a reset is refused: %q, or sets no device cookie", reason)
	}
	attack()
	if got := signIn(office, renewed); got != "THROTTLED" {
		t.Errorf("a device of before the new password, which may be a thief's, is answered %q", got)
	}
	reset := stoatest.NewCaller()
	reset.Cookies = cookie
	if got := signIn(reset, renewed); got != "" {
		t.Errorf("the device that has set the new password is answered %q", got)
	}
}

// A device cookie says nothing to its holder, and goes with the account.
func TestDeviceCookiesAreSealed(t *testing.T) {
	t.Parallel()
	s := stoatest.Start(t, stoatest.Settings{})
	owner := stoatest.AddMembers(t, s, 1, access.Customer)[0]
	seen := map[string]bool{}
	for i := range 2 {
		reason, cookie := tried(t, s, stoatest.NewCaller(), "sessionCreate", stoatest.Input{"email": owner.Email, "password": owner.Password})
		if reason != "" || cookie == "" || seen[cookie] || strings.Contains(cookie, owner.ID) {
			t.Fatalf("sign-in %d: %q, %q", i, reason, cookie)
		}
		seen[cookie] = true
	}
	if _, cookie := tried(t, s, stoatest.NewCaller(), "sessionCreate", stoatest.Input{"email": owner.Email, "password": "not the one"}); cookie != "" {
		t.Errorf("a failed sign-in sets %q", cookie)
	}
	c := stoatest.LogIn(t, s, owner)
	reply, err := c.Send(s, stoatest.Mutation("accountDelete"), map[string]any{"input": map[string]any{"password": owner.Password}})
	if err != nil {
		t.Fatal(err)
	}
	if got := fmt.Sprint(reply.Header["Set-Cookie"]); !strings.Contains(got, "__Host-stoa-device=; Path=/; Max-Age=0") {
		t.Errorf("with the account goes %s", got)
	}
}
