package client

import (
	"strings"
	"testing"
)

func TestOriginsAreChecked(t *testing.T) {
	cases := map[string]struct {
		reason, origin string
		ok             bool
	}{
		"Usual":        {"a front end", "https://shop.example", true},
		"Port":         {"one in development", "http://localhost:3000", true},
		"IPv6":         {"an address", "http://[::1]:3000", true},
		"App":          {"a page within an app has a scheme of its own", "capacitor://localhost", true},
		"Empty":        {"a list with a comma too many", "", false},
		"Star":         {"all of them can't be combined with cookies", "*", false},
		"Wildcard":     {"nor all of a domain", "https://*.shop.example", false},
		"Null":         {"what a sandboxed frame sends, any of them", "null", false},
		"NoScheme":     {"a host isn't an origin", "shop.example", false},
		"NoHost":       {"nor a scheme", "https://", false},
		"Slash":        {"no browser sends it", "https://shop.example/", false},
		"Path":         {"no browser sends it", "https://shop.example/app", false},
		"Query":        {"no browser sends it", "https://shop.example?a", false},
		"User":         {"no browser sends it", "https://me@shop.example", false},
		"UpperCase":    {"browsers write it small", "https://Shop.example", false},
		"OwnPort":      {"browsers leave it out", "https://shop.example:443", false},
		"EmptyPort":    {"browsers leave it out", "https://shop.example:", false},
		"OtherScript":  {"browsers send Punycode", "https://büch.example", false},
		"Space":        {"a list that wasn't split", "https://a.example https://b.example", false},
		"ControlBytes": {"not even close", "https://a\n", false},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			_, err := newOrigins([]string{c.origin})
			if (err == nil) != c.ok {
				t.Errorf("%s: %v", c.reason, err)
			}
			if err != nil && !strings.Contains(err.Error(), c.origin) && c.origin == strings.TrimSpace(c.origin) {
				t.Errorf("the error doesn't repeat what is wrong: %v", err)
			}
		})
	}
}
