package app

// Configuration by environment variables and flags. Entry point: Configure. variables is the
// list of all of them, and docs/configuration.md is generated from it.

import (
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"stoa/account/password"
	"stoa/feed"
	"stoa/gateway/client"
	"stoa/mail"
	"stoa/media"
	"stoa/money"
	"stoa/search"
	"stoa/store"
	"stoa/store/bus"
)

// Config holds all settings, from environment variables or flags.
type Config struct {
	Listen     string // host:port
	MongoDBURI string // "" for the embedded database
	RedisURL   string // "" for none
	Data       string // a folder
	Production bool
	LogLevel   slog.Level
	Demo       bool
	CacheBytes int64
	Language   string // ISO 639-1
	Currency   money.Currency

	SiteURL     string // the front end's URL
	VerifyURL   string // templates of links in mails: see mail.Links
	ResetURL    string
	EmailURL    string
	PreviewURL  string // a template like those
	ArticleURL  string // templates of links in feeds: see feed.Links
	AuthorURL   string
	TagURL      string
	PublicURL   string // "" for the default: see newFeeds
	SiteName    string // "" for the host of SiteURL
	SMTPURL     string // "" for none
	MailFrom    string
	Origins     []string
	Proxies     []netip.Prefix
	SessionIdle time.Duration
	SessionMax  time.Duration
	PasswordMin int    // characters
	Media       string // "" for the folder media in Data
	MediaURL    string // "" for paths
	Moderated   bool
	Operations  string // a file or a folder; "" for none
	TrustedOnly bool

	MaxCost       int // units
	MaxResponse   int // bytes
	Rate          int // units a second; 0 for no limit
	RateBurst     int // units
	Introspection bool
	HSTS          time.Duration // 0 for none
	ResponseBytes int64         // of cached responses; 0 for none
}

// variable is one setting.
type variable struct {
	name     string // of the environment variable; STOA_LISTEN is --listen as a flag
	fallback string // the default, as it would be given
	takes    string // the values that it takes, for the message that refuses another
	about    string // the effect, and the consequence of changing it
	set      func(*Config, string) error
}

var errTakes = errors.New("not what it takes")

// variables is the list of all settings; docs/configuration.md is generated from it.
var variables = []variable{
	{"STOA_LISTEN", "127.0.0.1:8080", "host:port, such as 127.0.0.1:8080, or :8080 for every address",
		"The address at which HTTP is served. In production the default is `:8080`, or `:$PORT` if a hosting platform sets `PORT`. Development mode takes loopback addresses only.",
		func(c *Config, v string) error {
			_, port, err := net.SplitHostPort(v)
			if n, e := strconv.Atoi(port); err != nil || e != nil || n < 0 || n > 65535 {
				return errTakes
			}
			c.Listen = v
			return nil
		}},
	{"STOA_MONGODB_URI", "", "mongodb://… or mongodb+srv://…",
		"The MongoDB server, replica set or cluster, version 7 or later. Stoa uses the database named in the URI, or `stoa` if it names none. Unset, the embedded database in `STOA_DATA` is used: it is for trying Stoa, for tests and for small sites.",
		func(c *Config, v string) error {
			if !strings.HasPrefix(v, "mongodb://") && !strings.HasPrefix(v, "mongodb+srv://") {
				return errTakes
			}
			if store.CheckURI(v) != nil {
				return errTakes // the error's text may repeat a password
			}
			c.MongoDBURI = v
			return nil
		}},
	{"STOA_REDIS_URL", "", "redis://…, rediss://… or unix://…; for Sentinel with ?master_name=NAME",
		"The Redis that replicas share: the second cache tier, and the channel by which they tell each other of changes. Without it, several replicas on one MongoDB cache what they read for one second only. It is not used with the embedded database.",
		func(c *Config, v string) error {
			u, err := url.Parse(v)
			if err != nil || (u.Scheme != "redis" && u.Scheme != "rediss" && u.Scheme != "unix") {
				return errTakes
			}
			connection, err := bus.Connect(v)
			if err != nil {
				return err
			}
			c.RedisURL = v
			return connection.Close()
		}},
	{"STOA_DATA", "./data", "a folder that can be written",
		"The folder of the embedded database, created if it is missing. One server at a time uses it.",
		func(c *Config, v string) error { c.Data = v; return nil }},
	{"STOA_ENV", "development", "development or production",
		"In development Stoa listens on loopback only, logs as text, and fills an empty embedded database with a demo. In production it logs as JSON, listens on every address, and has no playground; introspection is off unless `STOA_INTROSPECTION` turns it on.",
		func(c *Config, v string) error {
			if v != "development" && v != "production" {
				return errTakes
			}
			c.Production = v == "production"
			return nil
		}},
	{"STOA_LOG", "info", "debug, info, warn or error",
		"The least level of the log, written to standard error. `debug` adds each reconnection and the embedded database's own log.",
		func(c *Config, v string) error {
			if v != strings.ToLower(v) || c.LogLevel.UnmarshalText([]byte(v)) != nil {
				return errTakes
			}
			return nil
		}},
	{"STOA_DEMO", "on", "on or off",
		"Fills an empty embedded database with a small magazine for trying things. In production this never happens.",
		func(c *Config, v string) error {
			if v != "on" && v != "off" {
				return errTakes
			}
			c.Demo = v == "on"
			return nil
		}},
	{"STOA_CACHE_MEMORY", "256", "a number of MiB, 1 to 65536",
		"The size of the cache in the process. An article takes 2 KiB, and its text three times the text's size. Cached fragments of responses take up to an eighth of it more, and the garbage collector gets 64 MiB of room unless `GOGC` or `GOMEMLIMIT` is set. If the cache is smaller than the documents that are read often, more is read from Redis or the database.",
		func(c *Config, v string) error {
			n, err := strconv.ParseInt(v, 10, 64)
			if err != nil || n < 1 || n > 65536 {
				return errTakes
			}
			c.CacheBytes = n << 20
			return nil
		}},
	{"STOA_RESPONSE_CACHE_BYTES", "67108864", "a number of bytes, 0 to 68719476736",
		"The size of the response cache in the process, in addition to `STOA_CACHE_MEMORY`. It holds public responses, ready to send, until something in them changes. If it is smaller than the responses that are asked for often, more of them are made again from the other caches. 0 turns it off.",
		func(c *Config, v string) error {
			n, err := strconv.ParseInt(v, 10, 64)
			if err != nil || n < 0 || n > 64<<30 {
				return errTakes
			}
			c.ResponseBytes = n
			return nil
		}},
	{"STOA_LANGUAGE", "en", "a language's ISO 639-1 code, such as en",
		"The language of the articles. A search uses it to find the forms of a word, such as *agencies* for *agency*. Supported are " + strings.Join(search.Stemmed(), ", ") + ". In other languages a search finds the exact word, and words that begin with it.",
		func(c *Config, v string) error {
			if len(v) != 2 || v[0] < 'a' || v[0] > 'z' || v[1] < 'a' || v[1] > 'z' {
				return errTakes
			}
			c.Language = v
			return nil
		}},
	{"STOA_CURRENCY", "EUR", "a currency's ISO 4217 code, such as EUR",
		"The currency of all prices in the shop. A product keeps the prices that it was given in another currency, and shows them in that one until they are set again: choose it before the first product.",
		func(c *Config, v string) (err error) {
			c.Currency, err = money.ParseCurrency(v)
			return err
		}},
	{"STOA_SITE_URL", defaultSite, "the URL of the front end, such as https://example.org",
		"The site to which links in mails and feeds lead; its host is the site's name in them. In production, Stoa sends mails and serves feeds, the sitemap and robots.txt only if it is set.",
		func(c *Config, v string) error {
			c.SiteURL = strings.TrimSuffix(v, "/")
			return mail.Links{SiteURL: v, Verify: verifyURL, Reset: resetURL, EmailChange: emailURL}.Check()
		}},
	{"STOA_VERIFY_URL", verifyURL, "a URL with {token} in it; {site} is STOA_SITE_URL",
		"The page of the front end that takes the code of a registration and calls `accountVerify`. After `#`, the code is in no server's log.",
		func(c *Config, v string) error { c.VerifyURL = v; return checkLink(v) }},
	{"STOA_RESET_URL", resetURL, "a URL with {token} in it; {site} is STOA_SITE_URL",
		"The page of the front end that takes the code of a forgotten password and calls `passwordReset`.",
		func(c *Config, v string) error { c.ResetURL = v; return checkLink(v) }},
	{"STOA_EMAIL_URL", emailURL, "a URL with {token} in it; {site} is STOA_SITE_URL",
		"The page of the front end that takes the code of a new address and calls `emailChangeConfirm`.",
		func(c *Config, v string) error { c.EmailURL = v; return checkLink(v) }},
	{"STOA_PREVIEW_URL", previewURL, "a URL with {token} in it; {site} is STOA_SITE_URL",
		"The page of the front end that shows an article before it is published, by `preview`. After `#`, the token is in no server's log.",
		func(c *Config, v string) error { c.PreviewURL = v; return checkLink(v) }},
	{"STOA_ARTICLE_URL", articleURL, "a URL with {slug} in it; {site} is STOA_SITE_URL",
		"The page of the front end that shows an article. Feeds and the sitemap lead there. Links and pictures in a text that name no host are taken to be relative to it.",
		func(c *Config, v string) error { c.ArticleURL = v; return feed.CheckTemplate(v) }},
	{"STOA_AUTHOR_URL", authorURL, "a URL with {slug} in it; {site} is STOA_SITE_URL",
		"The page of the front end that shows an author.",
		func(c *Config, v string) error { c.AuthorURL = v; return feed.CheckTemplate(v) }},
	{"STOA_TAG_URL", tagURL, "a URL with {slug} in it; {site} is STOA_SITE_URL",
		"The page of the front end that shows a tag.",
		func(c *Config, v string) error { c.TagURL = v; return feed.CheckTemplate(v) }},
	{"STOA_PUBLIC_URL", "", "the URL under which the world reaches Stoa, such as https://example.org",
		"The base of the URLs of `/feed.atom`, `/sitemap.xml` and `/robots.txt` in these files themselves. Unset, it is `STOA_SITE_URL` in production, since robots.txt and sitemaps count only on the site's own host, and `STOA_LISTEN` in development. The `Host` header of a request is never trusted.",
		func(c *Config, v string) error { c.PublicURL = v; return feed.CheckBase(v) }},
	{"STOA_SITE_NAME", "", "a name of at most 200 characters in one line",
		"The title of the feeds. Unset, it is the host of `STOA_SITE_URL`.",
		func(c *Config, v string) error {
			if utf8.RuneCountInString(v) > 200 || !utf8.ValidString(v) || strings.ContainsFunc(v, unicode.IsControl) || strings.TrimSpace(v) == "" {
				return errTakes
			}
			c.SiteName = v
			return nil
		}},
	{"STOA_SMTP_URL", "", "smtp://user:password@host:587 (with STARTTLS) or smtps://user:password@host:465",
		"The mail server that sends mails. Unset, development mode shows them at `/outbox` and logs their links; in production they wait until it is set, a day at most.",
		func(c *Config, v string) error { c.SMTPURL = v; return mail.CheckURL(v) }},
	{"STOA_MAIL_FROM", "", "an address, such as stoa@example.org or Example <stoa@example.org>",
		"The sender of mails. Needed with `STOA_SMTP_URL`.",
		func(c *Config, v string) error { c.MailFrom = v; return mail.CheckFrom(v) }},
	{"STOA_ORIGINS", "", "origins separated by commas, such as https://example.org,http://localhost:3000",
		"The front ends whose pages may use the API from a browser, with their visitors' cookies. The API's own origin need not be listed. Unset, development lets in pages of all origins on this machine, such as `http://localhost:5173`. Cookies reach the API only from pages of the same site (the same registered domain, or localhost).",
		func(c *Config, v string) error { c.Origins = words(v); return client.CheckOrigins(c.Origins) }},
	{"STOA_PROXIES", "", "networks separated by commas, such as 10.0.0.0/8,fd00::/8",
		"The proxies in front of Stoa. Only their `X-Forwarded-For` is trusted. A proxy that is missing here counts as one client with all its visitors, and they share one rate limit.",
		func(c *Config, v string) error {
			for _, word := range words(v) {
				prefix, err := netip.ParsePrefix(word)
				if address, e := netip.ParseAddr(word); e == nil {
					prefix, err = address.Prefix(address.BitLen())
				}
				if err != nil {
					return errTakes
				}
				c.Proxies = append(c.Proxies, prefix)
			}
			return nil
		}},
	{"STOA_SESSION_IDLE", "336h", "a duration, 10m to 8760h",
		"The time after which an unused session ends: two weeks. Shorter is safer on sites whose accounts have many rights.",
		func(c *Config, v string) error { return span(&c.SessionIdle, v, 10*time.Minute, 8760*time.Hour) }},
	{"STOA_SESSION_MAX", "720h", "a duration, 10m to 8760h",
		"The longest duration of a session: 30 days, from NIST SP 800-63B-4 for accounts with a password alone.",
		func(c *Config, v string) error { return span(&c.SessionMax, v, 10*time.Minute, 8760*time.Hour) }},
	{"STOA_MEDIA", "", "file:///path, or s3://bucket/prefix?region=REGION&endpoint=HOST:PORT",
		"The storage of uploaded images. Unset, it is the folder `media` in `STOA_DATA`; several replicas need a storage that they share. For S3 and compatible services, the keys come from `AWS_ACCESS_KEY_ID` and `AWS_SECRET_ACCESS_KEY`, from `~/.aws/credentials` or from the machine's role. They must allow listing, reading and writing the bucket. `endpoint` defaults to Amazon's; `tls=off` is for an endpoint in the same network.",
		func(c *Config, v string) error { c.Media = v; return media.CheckLocation(v) }},
	{"STOA_MEDIA_URL", "", "a URL without a final slash, such as https://cdn.example.org",
		"The beginning of the URLs of uploaded images: a CDN that fetches them from Stoa, or the API's public URL. Unset, the URLs are paths, `/media/…`, for a front end whose own server passes these requests on to Stoa.",
		func(c *Config, v string) error {
			u, err := url.Parse(v)
			if err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Host == "" || u.RawQuery != "" || u.Fragment != "" || u.User != nil {
				return errTakes
			}
			c.MediaURL = strings.TrimSuffix(v, "/")
			return nil
		}},
	{"STOA_PASSWORD_MIN", strconv.Itoa(password.MinLength), "a number of characters, 8 to 64",
		"The least length of a password. NIST SP 800-63B-4 asks for 15 if the password is the only factor; its predecessor asks for 8.",
		func(c *Config, v string) error {
			n, err := strconv.Atoi(v)
			if err != nil || n < 8 || n > 64 {
				return errTakes
			}
			c.PasswordMin = n
			return nil
		}},
	{"STOA_COMMENTS", "open", "open or moderated",
		"With `open`, readers' comments appear at once; with `moderated`, they appear when an editor has approved them. Comments of authors and editors always appear at once.",
		func(c *Config, v string) error {
			if v != "open" && v != "moderated" {
				return errTakes
			}
			c.Moderated = v == "moderated"
			return nil
		}},
	{"STOA_OPERATIONS", "", "a file, or a folder with files that end in .json",
		"The manifest of the front ends' documents, as Relay's compiler (`persistConfig`) or Apollo's `generate-persisted-query-manifest` writes it. Clients can send a document's id in place of its text. The manifest is read and validated at the start; the start fails if a document doesn't fit the schema. docs/gateway.md has the details.",
		func(c *Config, v string) error { c.Operations = v; return nil }},
	{"STOA_TRUSTED_ONLY", "off", "on or off",
		"With `on`, only documents of `STOA_OPERATIONS` are executed. Every other document is refused with the code `DOCUMENT_NOT_TRUSTED`, also the playground's. It is for an API without other clients than its own front ends.",
		func(c *Config, v string) error {
			if v != "on" && v != "off" {
				return errTakes
			}
			c.TrustedOnly = v == "on"
			return nil
		}},
	{"STOA_MAX_COST", "20000", "a number of units, 100 to 1000000",
		"The greatest cost of one operation. A unit is about one object in a response; `extensions.cost` in each response has its cost. Raising the limit raises the memory that one request can take, by some 500 bytes a unit.",
		func(c *Config, v string) error { return number(&c.MaxCost, v, 100, 1_000_000) }},
	{"STOA_MAX_RESPONSE_BYTES", "8388608", "a number of bytes, 65536 to 1073741824",
		"The size of the data of one response. A larger one is refused with `RESPONSE_TOO_LARGE` before it is whole. Raising the limit raises the memory that one request can take, by four times as much.",
		func(c *Config, v string) error { return number(&c.MaxResponse, v, 64<<10, 1<<30) }},
	{"STOA_RATE", "2000", "a number of units a second, 1 to 1000000, or 0",
		"The cost units that one client (an address, or a /64 of IPv6) may use per second in the long run; the same limit holds for each account. 0 is without limit. A front end's server that renders pages for its visitors is one client, unless it is in `STOA_PROXIES` and sends their addresses.",
		func(c *Config, v string) error { return number(&c.Rate, v, 0, 1_000_000) }},
	{"STOA_RATE_BURST", "40000", "a number of units, 100 to 1000000000",
		"The cost units that a client or account may use at once before it must wait; at least `STOA_MAX_COST`. Raising it lets one client take more of a replica at a time.",
		func(c *Config, v string) error { return number(&c.RateBurst, v, 100, 1_000_000_000) }},
	{"STOA_INTROSPECTION", "", "on or off",
		"With `on`, clients may query the schema, and errors suggest names from it. Unset, it is on in development and off in production. With `off`, errors name nothing of the schema beyond the request's own text.",
		func(c *Config, v string) error {
			if v != "on" && v != "off" {
				return errTakes
			}
			c.Introspection = v == "on"
			return nil
		}},
	{"STOA_HSTS", "0s", "a duration, 0s to 17520h, such as 8760h",
		"The time for which browsers must use HTTPS only (`Strict-Transport-Security`). The header is sent if a proxy in `STOA_PROXIES` says that the visitor came by HTTPS. 0s sends none. Start with a short time, since it can't be revoked before it has passed.",
		func(c *Config, v string) error { return span(&c.HSTS, v, 0, 17520*time.Hour) }},
}

const (
	defaultSite = "http://localhost:3000" // the usual address of a front end in development

	verifyURL  = "{site}/verify#token={token}"
	resetURL   = "{site}/reset#token={token}"
	emailURL   = "{site}/email#token={token}"
	previewURL = "{site}/preview#token={token}"

	articleURL = "{site}/articles/{slug}"
	authorURL  = "{site}/authors/{slug}"
	tagURL     = "{site}/tags/{slug}"
)

// checkLink returns an error if a link's template is invalid.
func checkLink(template string) error {
	return mail.Links{SiteURL: "https://example.org", Verify: template, Reset: template, EmailChange: template}.Check()
}

// words splits a list at commas and spaces.
func words(list string) []string {
	return strings.FieldsFunc(list, func(r rune) bool { return r == ',' || unicode.IsSpace(r) })
}

func number(to *int, v string, least, most int) error {
	n, err := strconv.Atoi(v)
	if err != nil || n < least || n > most {
		return errTakes
	}
	*to = n
	return nil
}

func span(to *time.Duration, v string, least, most time.Duration) error {
	d, err := time.ParseDuration(v)
	if err != nil || d < least || d > most {
		return errTakes
	}
	*to = d
	return nil
}

// flag returns the variable's name on the command line.
func (v variable) flag() string {
	return strings.ReplaceAll(strings.ToLower(strings.TrimPrefix(v.name, "STOA_")), "_", "-")
}

// secret says if the variable's value may hold a password. If so, no message shows it.
func (v variable) secret() bool {
	return v.name == "STOA_MONGODB_URI" || v.name == "STOA_REDIS_URL" || v.name == "STOA_SMTP_URL" || v.name == "STOA_MEDIA"
}

// Configure reads the environment and the flags, and returns the remaining arguments. A flag
// wins over its variable. The error is one line that says how to put it right.
func Configure(args []string, lookup func(string) (string, bool)) (Config, []string, error) {
	given := map[string]string{}
	for _, v := range variables {
		if value, ok := lookup(v.name); ok && value != "" {
			given[v.name] = value
		}
	}
	rest, err := flags(args, given)
	if err != nil {
		return Config{}, nil, err
	}
	fallback := map[string]string{}
	if given["STOA_ENV"] == "production" {
		fallback["STOA_LISTEN"] = ":8080"
		fallback["STOA_INTROSPECTION"] = "off"
	} else {
		fallback["STOA_INTROSPECTION"] = "on"
	}
	if port, ok := lookup("PORT"); ok && port != "" && given["STOA_LISTEN"] == "" {
		if n, err := strconv.Atoi(port); err != nil || n < 0 || n > 65535 {
			return Config{}, nil, fmt.Errorf("PORT takes a number, 0 to 65535; it got %.80q", port)
		}
		host := "127.0.0.1"
		if given["STOA_ENV"] == "production" {
			host = ""
		}
		fallback["STOA_LISTEN"] = net.JoinHostPort(host, port)
	}
	var c Config
	for _, v := range variables {
		value, ok := given[v.name]
		if !ok {
			if value, ok = fallback[v.name]; !ok {
				value = v.fallback
			}
		}
		if value == "" {
			continue
		}
		if err := v.set(&c, value); err != nil {
			return Config{}, nil, v.refuse(value, err)
		}
	}
	return c, rest, c.check()
}

// refuse returns the error for a value that the variable doesn't take.
func (v variable) refuse(value string, err error) error {
	got := fmt.Sprintf("%.80q", value)
	// In an invalid URL the password may be anywhere; without @, ? or # there is none.
	if v.secret() && strings.ContainsAny(value, "@?#") || strings.Contains(value, "://") && strings.Contains(value, "@") {
		got = "something else"
		if scheme, _, ok := strings.Cut(value, "://"); ok && len(scheme) < 20 {
			got = fmt.Sprintf("%q and something that isn't right", scheme+"://")
		}
	}
	detail := ""
	if !errors.Is(err, errTakes) {
		detail = " (" + err.Error() + ")"
	}
	return fmt.Errorf("%s takes %s; it got %s%s", v.name, v.takes, got, detail)
}

// check refuses combinations of valid settings.
func (c Config) check() error {
	host, _, err := net.SplitHostPort(c.Listen)
	if err != nil {
		return fmt.Errorf("STOA_LISTEN: %w", err)
	}
	if ip := net.ParseIP(host); !c.Production && host != "localhost" && (ip == nil || !ip.IsLoopback()) {
		return fmt.Errorf("STOA_LISTEN takes a loopback address in development, such as 127.0.0.1:8080; it got %q. Set STOA_ENV=production to serve others", c.Listen)
	}
	if c.TrustedOnly && c.Operations == "" {
		return errors.New("STOA_TRUSTED_ONLY needs STOA_OPERATIONS: the manifest of the trusted documents")
	}
	if c.Rate > 0 && c.RateBurst < c.MaxCost {
		return fmt.Errorf("STOA_RATE_BURST takes at least STOA_MAX_COST, %d; it got %d", c.MaxCost, c.RateBurst)
	}
	if c.SMTPURL != "" && c.MailFrom == "" {
		return errors.New("STOA_SMTP_URL needs STOA_MAIL_FROM: the sender of mails, such as stoa@example.org")
	}
	if c.SMTPURL != "" && c.Production && !strings.HasPrefix(c.SiteURL, "https://") {
		return errors.New("STOA_SMTP_URL needs STOA_SITE_URL: the front end for the links in mails, such as https://example.org; codes must not be sent over http")
	}
	return c.checkProduction()
}

// checkProduction refuses settings by which an eavesdropper between a visitor and the site could
// read a code, or act as the visitor.
func (c Config) checkProduction() error {
	if !c.Production {
		return nil
	}
	for name, link := range map[string]string{"VERIFY": c.VerifyURL, "RESET": c.ResetURL, "EMAIL": c.EmailURL, "PREVIEW": c.PreviewURL} {
		if strings.HasPrefix(link, "http://") {
			return fmt.Errorf("STOA_%s_URL takes an https:// URL in production, or {site}: its codes may not go over http", name)
		}
	}
	for _, origin := range c.Origins {
		if strings.HasPrefix(origin, "http://") && !isLoopback(hostOf(origin)) {
			return fmt.Errorf("STOA_ORIGINS takes https:// origins in production, and http:// ones of loopback hosts; it got %.100q: others could change that page on its way and act as its visitors", origin)
		}
	}
	return nil
}

// isLoopback says whether host is this machine.
func isLoopback(host string) bool {
	ip, err := netip.ParseAddr(host)
	return host == "localhost" || err == nil && ip.IsLoopback()
}

// Warnings returns settings that are allowed in production and weaken it, a sentence each.
func (c Config) Warnings() []string {
	var out []string
	if !c.Production {
		return nil
	}
	for _, prefix := range c.Proxies {
		if prefix.Bits() == 0 {
			out = append(out, fmt.Sprintf("STOA_PROXIES has %s: everybody can claim any address, so that rate limits by address hold nobody back", prefix))
		}
	}
	if c.Rate == 0 {
		out = append(out, "STOA_RATE is 0: one client can take all of the server")
	}
	return out
}

// flags moves --name value and --name=value from args to given.
func flags(args []string, given map[string]string) (rest []string, err error) {
	for i := 0; i < len(args); i++ {
		arg := args[i]
		if arg == "--" {
			return append(rest, args[i+1:]...), nil
		}
		if !strings.HasPrefix(arg, "-") || arg == "-" {
			rest = append(rest, arg)
			continue
		}
		name, value, has := strings.Cut(strings.TrimLeft(arg, "-"), "=")
		if slices.Contains([]string{"dry-run", "list", "no-media"}, name) && !has {
			rest = append(rest, "--"+name)
			continue
		}
		if name == "mapping" { // of a command, with a value
			if !has {
				if i++; i == len(args) {
					return nil, errors.New("--mapping takes a file")
				}
				value = args[i]
			}
			rest = append(rest, "--mapping="+value)
			continue
		}
		v, ok := variableByFlag(name)
		if !ok {
			return nil, fmt.Errorf("there is no flag --%s; `stoa --help` lists them", name)
		}
		if !has {
			if i++; i == len(args) || strings.HasPrefix(args[i], "--") {
				return nil, fmt.Errorf("--%s needs a value: %s", name, v.takes)
			}
			value = args[i]
		}
		if value == "" {
			return nil, fmt.Errorf("--%s needs a value: %s", name, v.takes)
		}
		given[v.name] = value
	}
	return rest, nil
}

func variableByFlag(name string) (variable, bool) {
	for _, v := range variables {
		if v.flag() == name {
			return v, true
		}
	}
	return variable{}, false
}
