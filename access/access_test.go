package access

import (
	"context"
	"errors"
	"net/netip"
	"testing"

	"stoa/problem"
)

func TestRolesIncludeOneAnother(t *testing.T) {
	want := map[Role]string{ // the rights of CUSTOMER, AUTHOR, EDITOR, STAFF, ADMIN, in that order
		Customer: "x----",
		Author:   "xx---",
		Editor:   "xxx--",
		Staff:    "x--x-",
		Admin:    "xxxxx",
		"":       "-----",
		"ROOT":   "-----",
	}
	for role, row := range want {
		got := ""
		for _, required := range Roles {
			if role.Includes(required) {
				got += "x"
			} else {
				got += "-"
			}
		}
		if got != row {
			t.Errorf("%q includes %s of %v, want %s", role, got, Roles, row)
		}
		if role.Includes("") || role.Includes("ROOT") {
			t.Errorf("%q includes a role that there isn't", role)
		}
	}
}

func TestAnonymousViewersHaveNoRights(t *testing.T) {
	for _, r := range Roles {
		if (Viewer{Role: Admin}).May(r) {
			t.Errorf("who hasn't signed in may do what takes %s", r)
		}
	}
	if (Viewer{}).Is("") {
		t.Error("nobody owns what belongs to nobody")
	}
}

// A response becomes private when something reads the viewer, and not before.
func TestReadingTheViewerMakesAResponsePrivate(t *testing.T) {
	cases := map[string]struct {
		private bool
		touch   func(context.Context)
	}{
		"Nothing":     {false, func(context.Context) {}},
		"CookiesFrom": {false, func(ctx context.Context) { CookiesFrom(ctx) }},
		"ViewerFrom":  {true, func(ctx context.Context) { _, _ = ViewerFrom(ctx) }},
		"Require":     {true, func(ctx context.Context) { _, _ = Require(ctx, Admin) }},
		"ClientFrom":  {true, func(ctx context.Context) { ClientFrom(ctx) }},
		"ByCookie":    {true, func(ctx context.Context) { ByCookie(ctx) }},
		"MarkPrivate": {true, MarkPrivate},
		"Become":      {true, func(ctx context.Context) { Become(ctx, Viewer{}) }},
		"Keep":        {true, func(ctx context.Context) { Keep(ctx, Cookie{}) }},
	}
	for name, c := range cases {
		ctx, a := Begin(t.Context(), Request{})
		c.touch(ctx)
		if a.Private() != c.private {
			t.Errorf("%s: private is %t", name, a.Private())
		}
		c.touch(t.Context()) // outside a response it does nothing
	}
}

func TestTheTokenIsLookedUpOnceAndOnlyWhenAsked(t *testing.T) {
	looks := 0
	q := Request{Token: "secret", Client: Client{Address: netip.MustParseAddr("192.0.2.1")}, Authenticate: func(_ context.Context, token string) (Viewer, error) {
		looks++
		return Viewer{Account: "acc_" + "1", Role: Customer}, nil
	}}
	ctx, _ := Begin(t.Context(), q)
	if looks != 0 {
		t.Error("it was looked up before anybody asked")
	}
	for range 3 {
		if v, err := ViewerFrom(ctx); err != nil || v.Account != "acc_1" {
			t.Errorf("viewer %+v, %v", v, err)
		}
	}
	if looks != 1 {
		t.Errorf("it was looked up %d times", looks)
	}
	Become(ctx, Viewer{})
	if v, _ := ViewerFrom(ctx); v.SignedIn() {
		t.Error("who has signed out is still signed in")
	}
}

func TestRequireSaysWhyNot(t *testing.T) {
	broken := errors.New("the database is away")
	cases := map[string]struct {
		viewer Viewer
		err    error
		code   problem.Code
	}{
		"Nobody":   {Viewer{}, nil, problem.Unauthenticated},
		"TooLow":   {Viewer{Account: "acc_1", Role: Staff}, nil, problem.Forbidden},
		"Enough":   {Viewer{Account: "acc_1", Role: Editor}, nil, ""},
		"Unknown":  {Viewer{Account: "acc_1", Role: "ROOT"}, nil, problem.Forbidden},
		"NotKnown": {Viewer{}, broken, ""},
	}
	for name, c := range cases {
		ctx, _ := Begin(t.Context(), Request{Token: "t", Authenticate: func(context.Context, string) (Viewer, error) { return c.viewer, c.err }})
		v, err := Require(ctx, Editor)
		switch {
		case c.err != nil:
			if !errors.Is(err, c.err) {
				t.Errorf("%s: %v; a fault of ours must not look like an anonymous caller", name, err)
			}
		case c.code == "" && (err != nil || v != c.viewer), c.code != "" && !problem.Is(err, c.code):
			t.Errorf("%s: %+v, %v", name, v, err)
		}
	}
}

func TestAWatchIsTouchedByItsOwnWork(t *testing.T) {
	ctx, a := Begin(t.Context(), Request{})
	outer, watchesOuter := Watching(ctx)
	inner, watchesInner := Watching(outer)
	beside, watchesBeside := Watching(ctx)
	MarkPrivate(ctx)
	if watchesOuter.Touched() || watchesInner.Touched() || watchesBeside.Touched() || !a.Private() {
		t.Error("work outside of a watch touches it, or leaves the response public")
	}
	for name, touch := range map[string]func(context.Context){
		"MarkPrivate": MarkPrivate,
		"ViewerFrom":  func(ctx context.Context) { _, _ = ViewerFrom(ctx) },
		"ClientFrom":  func(ctx context.Context) { ClientFrom(ctx) },
		"ByCookie":    func(ctx context.Context) { ByCookie(ctx) },
		"Become":      func(ctx context.Context) { Become(ctx, Viewer{}) },
		"Keep":        func(ctx context.Context) { Keep(ctx, Cookie{}) },
	} {
		watched, watch := Watching(beside)
		if touch(watched); !watch.Touched() {
			t.Errorf("%s leaves its watch untouched", name)
		}
	}
	_, _ = ViewerFrom(inner)
	if !watchesInner.Touched() || !watchesOuter.Touched() || !watchesBeside.Touched() {
		t.Error("work in a watch doesn't touch it and those around it")
	}
}
