// Package access knows the viewer of a request and the viewer's rights. It has roles, and
// records for each response if it is private. It does no I/O.
//
// A response is public until something marks it private. The viewer and the client can only be
// read through ViewerFrom and ClientFrom, and both mark the response. So the response cache is
// safe without an annotation on any field.
//
// It may import id and problem. Entry points: Begin, called by the gateway for each response;
// ViewerFrom and Require, called by everything behind it.
package access

import (
	"context"
	"net/netip"
	"sync"
	"sync/atomic"
	"time"

	"stoa/id"
	"stoa/problem"
)

// Viewer is the account that makes a request, with its session and role. The zero Viewer is
// not signed in.
type Viewer struct {
	Account id.ID
	Session id.ID
	Role    Role
}

// SignedIn says if v has an account.
func (v Viewer) SignedIn() bool { return v.Account != "" }

// Is says if account is v's own.
func (v Viewer) Is(account id.ID) bool { return account != "" && v.Account == account }

// May says if v is signed in with a role that includes r.
func (v Viewer) May(r Role) bool { return v.SignedIn() && v.Role.Includes(r) }

// Role is the set of rights of an account.
type Role string

// The roles: CUSTOMER < AUTHOR < EDITOR for articles and comments, STAFF for the shop, ADMIN
// for everything.
const (
	Customer Role = "CUSTOMER"
	Author   Role = "AUTHOR"
	Editor   Role = "EDITOR"
	Staff    Role = "STAFF"
	Admin    Role = "ADMIN"
)

// Roles lists every role.
var Roles = []Role{Customer, Author, Editor, Staff, Admin}

// included lists the roles that each role has besides itself.
var included = map[Role][]Role{
	Customer: {},
	Author:   {Customer},
	Editor:   {Customer, Author},
	Staff:    {Customer},
	Admin:    {Customer, Author, Editor, Staff},
}

// Includes says if r has all rights of required. An unknown role includes nothing and is
// included in nothing.
func (r Role) Includes(required Role) bool {
	others, known := included[r]
	if !known {
		return false
	}
	if r == required {
		return true
	}
	for _, o := range others {
		if o == required {
			return true
		}
	}
	return false
}

// Client is the origin of a request: its network address and device.
type Client struct {
	Address netip.Addr // the zero Addr if it is unknown
	Device  string     // the User-Agent, cut to 200 bytes of valid UTF-8
}

// RateKey identifies the client in rate limits. All IPv6 addresses of a /64 are one client,
// since a subscriber usually has a whole /64.
func (c Client) RateKey() string {
	if a := c.Address; a.Is6() && !a.Is4In6() {
		if prefix, err := a.Prefix(64); err == nil {
			return prefix.String()
		}
	}
	if c.Address == (netip.Addr{}) {
		return "unknown"
	}
	return c.Address.Unmap().String()
}

// Request is the gateway's knowledge of a request's sender before the token is checked.
type Request struct {
	// Token is the secret that came with the request; "" without one.
	Token string
	// ByCookie says if the token came in a cookie.
	ByCookie bool
	// DeviceToken is the content of the device cookie that came with the request; "" without one.
	DeviceToken string
	// Client is the origin of the request.
	Client Client
	// Authenticate returns the viewer of a token: the zero Viewer if the token opens no
	// session, an error if the look-up fails. It is called at most once for a response, when
	// the viewer is first needed.
	Authenticate func(ctx context.Context, token string) (Viewer, error)
	// Cookies says if the response can set a cookie.
	Cookies bool
}

// CookieKind is the purpose of a cookie.
type CookieKind int

// The kinds of cookies.
const (
	SessionCookie CookieKind = iota // opens a session
	DeviceCookie                    // marks a device that has signed in to an account; it opens nothing
	cookieKinds
)

// Cookie is a cookie that a response sets or deletes.
type Cookie struct {
	Kind  CookieKind
	Token string    // "" deletes the cookie
	Until time.Time // for a token: the latest end of its use
}

// Answer is the scope of one response: it records if the response is private, and holds the
// cookies to set. It is safe for concurrent use.
type Answer struct {
	request Request
	private atomic.Bool

	account atomic.Pointer[id.ID] // of the viewer, once it is known; nil before, and for nobody

	mu      sync.Mutex
	asked   bool // viewer and err are set
	viewer  Viewer
	err     error
	cookies [cookieKinds]*Cookie
}

type key struct{}

// Begin begins the response to q and returns the context for its work.
func Begin(ctx context.Context, q Request) (context.Context, *Answer) {
	a := &Answer{request: q}
	return context.WithValue(ctx, key{}, a), a
}

// Private says if the response is for its viewer only.
func (a *Answer) Private() bool { return a.private.Load() }

// Cookies returns the cookies to set or delete, at most one of each kind.
func (a *Answer) Cookies() []Cookie {
	a.mu.Lock()
	defer a.mu.Unlock()
	var all []Cookie
	for _, c := range a.cookies {
		if c != nil {
			all = append(all, *c)
		}
	}
	return all
}

// from returns the response scope in ctx; nil outside a response, as in a sub-command.
func from(ctx context.Context) *Answer {
	a, _ := ctx.Value(key{}).(*Answer)
	return a
}

// Watch records if the work under its context made the response private. It is safe for
// concurrent use.
type Watch struct {
	touched atomic.Bool
	outer   *Watch
}

type watchKey struct{}

// Watching returns a watch and the context for the work that it is about. The work has not depended
// on the viewer if the watch isn't touched after it, whatever else the response does meanwhile.
func Watching(ctx context.Context) (context.Context, *Watch) {
	outer, _ := ctx.Value(watchKey{}).(*Watch)
	w := &Watch{outer: outer}
	return context.WithValue(ctx, watchKey{}, w), w
}

// Touched says if the work has made the response private.
func (w *Watch) Touched() bool { return w.touched.Load() }

// touch makes the response private, and tells the watches that ctx is under.
func (a *Answer) touch(ctx context.Context) {
	a.private.Store(true)
	for w, _ := ctx.Value(watchKey{}).(*Watch); w != nil; w = w.outer {
		w.touched.Store(true)
	}
}

// MarkPrivate makes the response of ctx private. Code that reads documents of a private kind
// calls it.
func MarkPrivate(ctx context.Context) {
	if a := from(ctx); a != nil {
		a.touch(ctx)
	}
}

// ViewerFrom returns the viewer, and makes the response private. Outside a response it returns
// the zero Viewer. The error is from the look-up; an invalid token is not an error.
func ViewerFrom(ctx context.Context) (Viewer, error) {
	a := from(ctx)
	if a == nil {
		return Viewer{}, nil
	}
	a.touch(ctx)
	return a.look(ctx)
}

// look authenticates the token once and returns the viewer.
func (a *Answer) look(ctx context.Context) (Viewer, error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if !a.asked && a.request.Token != "" && a.request.Authenticate != nil {
		a.know(a.request.Authenticate(ctx, a.request.Token))
	}
	a.asked = true
	return a.viewer, a.err
}

// know records the viewer, or the error of its look-up. The caller holds mu.
func (a *Answer) know(v Viewer, err error) {
	a.viewer, a.err, a.asked = v, err, true
	a.account.Store(nil)
	if account := v.Account; v.SignedIn() {
		a.account.Store(&account)
	}
}

// ClientFrom returns the client of the request, and makes the response private.
func ClientFrom(ctx context.Context) Client {
	a := from(ctx)
	if a == nil {
		return Client{}
	}
	a.touch(ctx)
	return a.request.Client
}

// ByCookie says if the viewer's token came in a cookie and the response can set a new one. It
// makes the response private.
func ByCookie(ctx context.Context) bool {
	a := from(ctx)
	if a == nil {
		return false
	}
	a.touch(ctx)
	return a.request.ByCookie && a.request.Cookies
}

// Require returns the viewer: Unauthenticated if nobody is signed in, Forbidden if the
// viewer's role doesn't include r.
func Require(ctx context.Context, r Role) (Viewer, error) {
	v, err := ViewerFrom(ctx)
	switch {
	case err != nil:
		return Viewer{}, err
	case !v.SignedIn():
		return Viewer{}, problem.New(problem.Unauthenticated, "sign in first: this takes a session that hasn't ended")
	case !v.May(r):
		return Viewer{}, problem.New(problem.Forbidden, "this takes the role %s; yours is %s", r, v.Role)
	}
	return v, nil
}

// Become makes v the viewer for the rest of the response: after a sign-in, or the zero Viewer
// after a sign-out.
func Become(ctx context.Context, v Viewer) {
	if a := from(ctx); a != nil {
		a.touch(ctx)
		a.mu.Lock()
		defer a.mu.Unlock()
		a.know(v, nil)
	}
}

// CookiesFrom says if the response can set a cookie.
func CookiesFrom(ctx context.Context) bool {
	a := from(ctx)
	return a != nil && a.request.Cookies
}

// DeviceToken returns the content of the device cookie that came with the request, "" without one,
// and makes the response private.
func DeviceToken(ctx context.Context) string {
	a := from(ctx)
	if a == nil {
		return ""
	}
	a.touch(ctx)
	return a.request.DeviceToken
}

// Keep sets a cookie of the response, instead of an earlier one of its kind. It does nothing if the
// response can't set cookies.
func Keep(ctx context.Context, c Cookie) {
	if a := from(ctx); a != nil {
		a.touch(ctx)
		a.mu.Lock()
		defer a.mu.Unlock()
		a.cookies[c.Kind] = &c
	}
}
