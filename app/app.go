// Package app configures and wires Stoa: the settings, the order of start and shutdown, and
// the sub-commands.
//
// It may import everything. Entry points: Main, Open.
package app

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"time"

	"github.com/99designs/gqlgen/graphql"

	"stoa/account"
	"stoa/account/password"
	"stoa/blog"
	"stoa/feed"
	"stoa/gateway"
	"stoa/gateway/document"
	"stoa/gateway/playground"
	"stoa/gateway/responsecache"
	"stoa/graph"
	"stoa/mail"
	"stoa/media"
	"stoa/rate"
	"stoa/search"
	"stoa/shop"
	"stoa/store"
	"stoa/store/bus"
	"stoa/store/embedded"
)

const (
	// startLimit bounds the wait for a database in another process at the start.
	startLimit = 30 * time.Second
	// sayAfter is the delay after which a log line names the cause of a slow start.
	sayAfter = 2 * time.Second
	// drainLimit is the time that requests in flight have to finish at shutdown: half of the
	// 30 s that Kubernetes waits before it kills a process.
	drainLimit = 15 * time.Second
)

// App is an open Stoa: one replica.
type App struct {
	Store          *store.Store
	Blog           *blog.Blog
	AccountService *account.Service
	Comments       *blog.Comments
	Search         *search.Engine

	// Pictures holds the uploaded images.
	Pictures *media.Pictures
	Shop     *shop.Shop

	config   Config
	log      *slog.Logger
	embedded *embedded.Server // nil with a MongoDB server
	redis    *bus.Connection  // nil without Redis
	mailer   *mail.Mailer
	limiter  *rate.Limiter
	gateway  *gateway.Gateway
	stop     context.CancelFunc
	done     chan struct{}
}

// Open opens the database and everything in front of it. It fails if another process serves
// the embedded database of the data folder. onCommand is called with the name of each command
// to the database; it may be nil.
func Open(ctx context.Context, c Config, log *slog.Logger, onCommand func(string)) (*App, error) {
	a, err := openQuietly(ctx, c, log, onCommand)
	if err != nil {
		return nil, err
	}
	if err := a.AccountService.Resume(ctx); err != nil {
		a.Close(context.WithoutCancel(ctx))
		return nil, err
	}
	a.done = make(chan struct{})
	keep, stop := context.WithCancel(context.WithoutCancel(ctx))
	a.stop = stop
	go func() {
		defer close(a.done)
		var all sync.WaitGroup
		all.Go(func() { a.migrate(keep) })
		all.Go(func() { a.Blog.Run(keep) })
		all.Go(func() { a.AccountService.Run(keep) })
		all.Go(func() { a.Search.Build(keep, a.log) })
		all.Wait()
	}()
	return a, nil
}

// openQuietly is Open without the work beside requests: schedules, mails and migrations.
func openQuietly(ctx context.Context, c Config, log *slog.Logger, onCommand func(string)) (*App, error) {
	return start(ctx, c, log, func(a *App, o *store.Options) error {
		o.OnCommand = onCommand
		return a.locate(ctx, o)
	})
}

// attach opens the embedded database of a running server, for a command that ends. That server
// empties its caches whenever it sees a write that isn't its own, so nobody else needs to be
// told of the command's writes. It publishes nothing on schedule.
func attach(ctx context.Context, c Config, log *slog.Logger, uri string) (*App, error) {
	return start(ctx, c, log, func(_ *App, o *store.Options) error {
		o.URI, o.Exclusive = uri, true
		return nil
	})
}

// start opens everything but the schedules; locate finds the database.
func start(ctx context.Context, c Config, log *slog.Logger, locate func(*App, *store.Options) error) (*App, error) {
	a := &App{config: c, log: log, done: make(chan struct{}), stop: func() {}}
	options := store.Options{CacheBytes: c.CacheBytes, Log: log, Program: version()}
	err := locate(a, &options)
	if err == nil {
		err = a.open(ctx, options)
	}
	close(a.done) // nothing runs yet, so Close has nothing to wait for
	if err != nil {
		a.Close(context.WithoutCancel(ctx))
		return nil, err
	}
	return a, nil
}

// locate opens the embedded database, or returns the URI of the MongoDB server.
func (a *App) locate(ctx context.Context, options *store.Options) error {
	options.URI = a.config.MongoDBURI
	var err error
	switch {
	case a.config.MongoDBURI == "":
		a.embedded, err = embedded.Open(ctx, embedded.Options{Dir: a.config.Data, Logger: a.log})
		if err != nil {
			return fmt.Errorf("STOA_DATA: %w", err)
		}
		options.URI, options.Dialer, options.Exclusive = a.embedded.URI(), a.embedded.Dialer(), true
		if a.config.RedisURL != "" {
			a.log.Info("STOA_REDIS_URL isn't used: this process makes every write to the embedded database itself")
		}
	case a.config.RedisURL != "":
		if a.redis, err = bus.Connect(a.config.RedisURL); err != nil {
			return fmt.Errorf("STOA_REDIS_URL: %w", err)
		}
		options.Redis = a.redis
	}
	return nil
}

func (a *App) open(ctx context.Context, options store.Options) error {
	doing := "waiting for the database, at most " + startLimit.String() + ", and for indexes that it lacks"
	if a.embedded != nil {
		doing = "making the indexes that the embedded database lacks" // a large folder takes minutes
	} else {
		options.StartLimit = startLimit
	}
	var err error
	waiting := time.AfterFunc(sayAfter, func() { a.log.Info(doing) })
	a.Store, err = store.Open(ctx, options)
	if waiting.Stop(); err != nil && a.config.MongoDBURI != "" {
		err = fmt.Errorf("STOA_MONGODB_URI: %w", err)
	}
	if err != nil {
		return err
	}
	if a.embedded != nil {
		a.embedded.OnForeignWrite(a.Store.Flush)
	}
	previews := strings.ReplaceAll(a.config.PreviewURL, "{site}", a.config.SiteURL)
	a.Search = search.New(search.NewLanguage(a.config.Language), a.Store)
	a.Blog = blog.New(a.Store, a.Search, previews, a.log)
	a.Shop = shop.New(a.Store, a.config.Currency)
	a.limiter = rate.New(a.redis, a.Store.Namespace(), a.log)
	a.Comments = blog.NewComments(blog.CommentOptions{Store: a.Store, Limiter: a.limiter, Moderated: a.config.Moderated})
	if a.AccountService, err = a.newAccounts(); err != nil {
		return err
	}
	if a.Pictures, err = newPictures(a); err != nil {
		return err
	}
	a.Blog.Uploads = a.Pictures.Cover
	a.gateway, err = newGateway(a)
	return err
}

func newPictures(a *App) (*media.Pictures, error) {
	location, err := mediaLocation(a.config)
	if err != nil {
		return nil, err
	}
	pictures, err := media.Open(media.Options{Store: a.Store, Location: location, Base: a.config.MediaURL, Limiter: a.limiter})
	if err != nil {
		return nil, fmt.Errorf("STOA_MEDIA: %w", err)
	}
	return pictures, nil
}

// picture opens the file that is served under a name.
func (a *App) picture(ctx context.Context, name string) (*gateway.Picture, error) {
	found, contentType, err := a.Pictures.Serve(ctx, name)
	if err != nil {
		return nil, err
	}
	return &gateway.Picture{Content: found.ReadCloser, Type: contentType, Size: found.Size, MadeAt: found.MadeAt}, nil
}

func (a *App) newAccounts() (*account.Service, error) {
	c := a.config
	links := mail.Links{SiteURL: c.SiteURL, Verify: c.VerifyURL, Reset: c.ResetURL, EmailChange: c.EmailURL}
	var err error
	if a.mailer, err = mail.New(mail.Options{SMTP: c.SMTPURL, From: c.MailFrom, Links: links, Keep: !c.Production, Log: a.log}); err != nil {
		return nil, err
	}
	siteURL, err := url.Parse(c.SiteURL)
	if err != nil {
		return nil, fmt.Errorf("STOA_SITE_URL: %w", err)
	}
	return account.New(account.Options{
		Store: a.Store, Hasher: password.NewHasher(password.Options{}), Mailer: a.mailer, Limiter: a.limiter,
		Host: siteURL.Hostname(), MinPassword: c.PasswordMin, Idle: c.SessionIdle, Longest: c.SessionMax, Log: a.log,
	}), nil
}

// hostOf returns the host of a URL, without its port; "" for none.
func hostOf(link string) string {
	u, err := url.Parse(link)
	if err != nil {
		return ""
	}
	return u.Hostname()
}

func newGateway(a *App) (*gateway.Gateway, error) {
	shown := graph.Errors{Log: a.log}
	lookAhead := graph.NewLookAhead(a.Store, a.config.CacheBytes/8)
	options := gateway.Options{
		Schema: graph.New(graph.Resolver{Blog: a.Blog, AccountService: a.AccountService, Pictures: a.Pictures, Comments: a.Comments, Index: a.Search, ShopService: a.Shop}), Extensions: []graphql.HandlerExtension{graph.Streams{}, lookAhead}, Answer: lookAhead.Answer,
		Present: shown.Present, Recover: shown.Recover, Ready: a.Store.Ready, Writable: a.Store.AwaitPrimary, Introspection: a.config.Introspection, Log: a.log,
		Cache: a.Store.Cache(), ResponseBytes: a.config.ResponseBytes,
		Picture: a.picture, Limits: gateway.Limits{Cost: a.config.MaxCost, Answer: int64(a.config.MaxResponse), File: media.MaxBytes},
		Authenticate: a.AccountService.Authenticate, Used: a.AccountService.RecordUse, Holds: a.AccountService.Holds, Origins: a.config.Origins, Proxies: a.config.Proxies,
		HSTS: a.config.HSTS,
	}
	if !a.config.Production {
		options.Development = true
		options.Hosts = []string{} // loopback names
		if a.config.PublicURL != "" {
			options.Hosts = append(options.Hosts, hostOf(a.config.PublicURL))
		}
	}
	var err error
	if options.Rates, err = newRates(a); err != nil {
		return nil, err
	}
	if err := a.addOperations(&options); err != nil {
		return nil, err
	}
	if err := a.addFeeds(&options); err != nil {
		return nil, err
	}
	if !a.config.Production {
		options.Outbox = a.mailer.Outbox()
		tabs, err := playground.Examples()
		if err != nil {
			return nil, err
		}
		page, err := playground.New(playground.Options{Tabs: tabs})
		if err != nil {
			return nil, err
		}
		options.Playground = page
	}
	return gateway.New(options)
}

// addOperations lets the gateway serve trusted documents by their ids.
func (a *App) addOperations(options *gateway.Options) error {
	options.Redis, options.Namespace, options.TrustedOnly = a.redis, a.Store.Namespace(), a.config.TrustedOnly
	if a.config.Operations == "" {
		return nil
	}
	trusted, err := document.ReadTrusted(a.config.Operations)
	if err != nil {
		return fmt.Errorf("STOA_OPERATIONS: %w", err)
	}
	options.Trusted = trusted
	a.log.Info("trusted documents can be asked for by their ids", "documents", len(trusted), "only", a.config.TrustedOnly)
	return nil
}

// newRates returns the rate limits of clients and accounts, in cost units; nil without a
// limit.
func newRates(a *App) (*rate.Leases, error) {
	if a.config.Rate == 0 {
		return nil, nil
	}
	rates, err := rate.NewLeases(a.limiter, rate.Limit{Burst: a.config.RateBurst, Per: time.Second / time.Duration(a.config.Rate)})
	if err != nil {
		return nil, fmt.Errorf("STOA_RATE: %w", err)
	}
	return rates, nil
}

// addFeeds lets the gateway serve feeds. In production it does so only if the site's URL is
// set, else the links would lead every reader to localhost.
func (a *App) addFeeds(options *gateway.Options) error {
	c := a.config
	if c.Production && c.SiteURL == defaultSite {
		a.log.Info("there are no feeds, no sitemap and no robots.txt: they need STOA_SITE_URL")
		return nil
	}
	siteURL, err := url.Parse(c.SiteURL)
	if err != nil {
		return fmt.Errorf("STOA_SITE_URL: %w", err)
	}
	public := c.PublicURL
	if public == "" {
		public = c.SiteURL
		if !c.Production && !strings.HasSuffix(c.Listen, ":0") {
			public = "http://" + c.Listen
		}
	}
	feeds, err := feed.New(feed.Options{
		Blog: a.Blog, Name: cmp.Or(c.SiteName, siteURL.Host), Hide: !c.Production,
		Links: feed.Links{SiteURL: c.SiteURL, Public: public, Article: c.ArticleURL, Author: c.AuthorURL, Tag: c.TagURL},
	})
	if err != nil {
		return err
	}
	options.Feeds = feeds.Document
	return nil
}

// Close stops the parts of a in the reverse order of Open.
func (a *App) Close(ctx context.Context) {
	a.stop()
	<-a.done
	var errs []error
	if a.Store != nil {
		errs = append(errs, a.Store.Close(ctx))
	}
	if a.redis != nil {
		errs = append(errs, a.redis.Close())
	}
	if a.embedded != nil {
		errs = append(errs, a.embedded.Close(ctx))
	}
	if err := errors.Join(errs...); err != nil {
		a.log.Error("not everything closed well", "error", err)
	}
}

// Quiesce returns when this replica has done the work that past requests left, also in the
// database: articles are related, due mails have been tried, and the last uses of sessions are
// written. It is for a caller that compares two states of the database.
func (a *App) Quiesce(ctx context.Context) error {
	return errors.Join(a.Blog.Quiesce(ctx), a.AccountService.Quiesce(ctx))
}

// Handler returns the handler of all HTTP requests.
func (a *App) Handler() http.Handler { return a.gateway }

// ResponseCounts returns the counters of the response cache.
func (a *App) ResponseCounts() responsecache.Counts { return a.gateway.ResponseCounts() }

// Serve serves HTTP on l until ctx ends. Then it refuses new requests, and lets those in
// flight finish for at most drainLimit.
func (a *App) Serve(ctx context.Context, l net.Listener) error {
	defer release(reserve())
	server := a.gateway.Server()
	var open connections
	server.ConnState = open.follow
	failed := make(chan error, 1)
	go func() { failed <- server.Serve(a.gateway.Listen(l)) }()
	select {
	case err := <-failed:
		return fmt.Errorf("serve HTTP: %w", err)
	case <-ctx.Done():
	}
	a.gateway.Drain()
	a.log.Info("stopping: letting requests in flight finish")
	limited, cancel := context.WithTimeout(context.WithoutCancel(ctx), drainLimit)
	defer cancel()
	// Shutdown comes last: it closes accepted connections whose request has not been read yet
	// without a response.
	server.SetKeepAlivesEnabled(false)
	l.Close()
	<-failed
	a.gateway.Close(limited)
	open.wait(limited)
	if err := server.Shutdown(limited); err != nil {
		server.Close()
		return fmt.Errorf("requests were still running after %s: %w", drainLimit, err)
	}
	return nil
}

// connections counts the open connections.
type connections struct{ open sync.WaitGroup }

// follow is the ConnState hook of an http.Server.
func (c *connections) follow(_ net.Conn, state http.ConnState) {
	switch state {
	case http.StateNew:
		c.open.Add(1)
	case http.StateClosed, http.StateHijacked:
		c.open.Done()
	}
}

// wait returns when no connection is open, or when ctx ends.
func (c *connections) wait(ctx context.Context) {
	none := make(chan struct{})
	go func() {
		defer close(none)
		c.open.Wait()
	}()
	select {
	case <-none:
	case <-ctx.Done():
	}
}

// newLogger logs text in development, and JSON in production.
func newLogger(c Config, out io.Writer) *slog.Logger {
	options := &slog.HandlerOptions{Level: c.LogLevel}
	if c.Production {
		return slog.New(slog.NewJSONHandler(out, options))
	}
	return slog.New(slog.NewTextHandler(out, options))
}
