// Package client is the step of a request that identifies its sender: the address, behind trusted
// proxies, its credentials, and whether a page of another origin is behind it. It also sets the
// headers that keep a browser from misusing a response.
//
// New makes Clients; Clients.Credentials and Clients.Client read a request. Only package access
// learns the viewer, from the result of Credentials. It may import access, clip, loopback,
// refusal and wire.
package client

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/netip"
	"time"

	"stoa/access"
)

// Options hold the trusted proxies and origins.
type Options struct {
	// Proxies are the addresses of trusted proxies, for X-Forwarded-For and X-Forwarded-Proto.
	Proxies []netip.Prefix

	// Origins are the other origins with pages that may use the API as their visitor.
	Origins []string

	// Hosts are the hosts, beside loopback names, that a request may be for. Nil lets in all.
	// It is for development: a page can point a name of its own at a loopback address and be of
	// the API's own origin then (DNS rebinding).
	Hosts []string

	// Development lets in pages of all loopback origins if Origins is empty, and sets and takes cookies
	// that Safari keeps from http://localhost.
	Development bool

	// HSTS is how long browsers are told to use HTTPS only. 0 tells nothing.
	HSTS time.Duration

	// Authenticate returns the viewer behind a token. Nil knows no tokens.
	Authenticate func(ctx context.Context, token string) (access.Viewer, error)

	// Used is called once for every request that brings a token. It must not block.
	Used func(token string)
}

// Clients identifies the senders of requests. It is safe for concurrent use.
type Clients struct {
	*origins
	hosts        []string // nil for all
	development  bool
	proxies      []netip.Prefix
	hsts         string // "" for none
	authenticate func(context.Context, string) (access.Viewer, error)
	used         func(string)
}

// New returns Clients, or an error that names the wrong option.
func New(o Options) (*Clients, error) {
	if o.HSTS < 0 {
		return nil, errors.New("gateway: HSTS is negative")
	}
	origins, err := newOrigins(o.Origins, o.Development)
	if err != nil {
		return nil, fmt.Errorf("gateway: Origins: %w", err)
	}
	proxies, err := checkProxies(o.Proxies)
	if err != nil {
		return nil, err
	}
	return &Clients{origins: origins, hosts: o.Hosts, development: o.Development, proxies: proxies, hsts: hstsValue(o.HSTS), authenticate: o.Authenticate, used: o.Used}, nil
}

// Credentials reads r's token and reports its use. The caller adds Client before access.Begin:
// a cached response is found without it.
func (c *Clients) Credentials(r *http.Request) (access.Request, error) {
	token, byCookie, err := tokenOf(r.Header)
	if err != nil {
		return access.Request{}, err
	}
	device := cookieOf(r.Header, cookieNames[access.DeviceCookie])
	if c.development && token == "" {
		token = cookieOf(r.Header, developmentCookieNames[access.SessionCookie])
		byCookie = token != ""
	}
	if c.development && device == "" {
		device = cookieOf(r.Header, developmentCookieNames[access.DeviceCookie])
	}
	c.Use(token)
	return access.Request{Token: token, ByCookie: byCookie, DeviceToken: device, Authenticate: c.authenticate}, nil
}

// Client returns the client of r.
func (c *Clients) Client(r *http.Request) access.Client {
	return access.Client{Address: addressOf(r, c.proxies), Device: deviceOf(r.Header)}
}

// Use reports that a request or a message brought token.
func (c *Clients) Use(token string) {
	if token != "" && c.used != nil {
		c.used(token)
	}
}

// SignedIn says whether token is that of a viewer. A connection asks once; its operations ask
// anew, through access.
func (c *Clients) SignedIn(ctx context.Context, token string) (bool, error) {
	if c.authenticate == nil {
		return false, nil
	}
	viewer, err := c.authenticate(ctx, token)
	if err != nil {
		return false, fmt.Errorf("authenticate a connection: %w", err)
	}
	return viewer.SignedIn(), nil
}
