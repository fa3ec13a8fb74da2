package account

// Tests of the keys of rate limits.

import (
	"net/netip"
	"testing"
	"time"

	"stoa/access"
)

func TestClientsAreLimitedByNetwork(t *testing.T) {
	cases := map[string]struct{ reason, address, want string }{
		"IPv4":       {"each address is one client", "192.0.2.7", "192.0.2.7"},
		"IPv4InIPv6": {"the same client, however it comes", "::ffff:192.0.2.7", "192.0.2.7"},
		"IPv6":       {"who has one has the whole /64", "2001:db8:1:2:3:4:5:6", "2001:db8:1:2::/64"},
		"IPv6Same":   {"and counts as one", "2001:db8:1:2:ffff:ffff:ffff:ffff", "2001:db8:1:2::/64"},
		"IPv6Next":   {"the next /64 is another's", "2001:db8:1:3::1", "2001:db8:1:3::/64"},
		"IPv6Zone":   {"a zone is this machine's business", "fe80::1%eth0", "fe80::/64"},
		"Loopback":   {"", "::1", "::/64"},
	}
	for name, c := range cases {
		ctx, _ := access.Begin(t.Context(), access.Request{Client: access.Client{Address: netip.MustParseAddr(c.address)}})
		if got := clientOf(ctx); got != c.want {
			t.Errorf("%s (%s): %s counts as %s", name, c.reason, c.address, got)
		}
	}
	nobody, answer := access.Begin(t.Context(), access.Request{})
	if got := clientOf(nobody); got != "unknown" {
		t.Errorf("whose address isn't known counts as %s", got)
	}
	if !answer.Private() {
		t.Error("an answer that depends on where a request came from isn't private")
	}
}

func TestKeysOfClientAndAccountDontCollide(t *testing.T) {
	seen := map[string]string{}
	for _, client := range []string{"192.0.2.7", "192.0.2.70", "2001:db8::/64", "unknown"} {
		for _, address := range []string{"a@example.org", "0/a@example.org", "64/a@example.org", "a@example.org/64"} {
			key := bothKey(client, address)
			if who, there := seen[key]; there {
				t.Errorf("%s and %s count under %s as %s do", client, address, key, who)
			}
			seen[key] = client + " and " + address
		}
	}
}

func TestSpellingsOfAMailboxCountAsOne(t *testing.T) {
	for address, want := range map[string]string{
		"joe@mail.example": "joe@mail.example", "j.o.e+news@mail.example": "joe@mail.example", "joe+@mail.example": "joe@mail.example",
		"+a@mail.example": "@mail.example", "joe@sub.mail.example": "joe@sub.mail.example", "a+b+c.d@localhost": "a@localhost",
	} {
		if got := mailbox(address); got != want {
			t.Errorf("%s counts as %s, not %s", address, got, want)
		}
	}
}

// While no reset is sent, an earlier mail has a code that its reader has time to use.
func TestResetsRecoverBeforeTheirCodesEnd(t *testing.T) {
	if left := resetFor - resetByAccount.Per; left < 20*time.Minute {
		t.Errorf("a code has only %s left when the next mail may be sent", left)
	}
	if mailByBoth.Per <= mailByBox.Per {
		t.Error("one client alone can use up the mails to an address")
	}
}
