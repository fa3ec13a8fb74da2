package app

import (
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"net/url"
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
	"stoa/search"
	"stoa/store"
	"stoa/store/bus"
)

// Config is everything that can be set, by environment or by flag.
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

	SiteURL     string // the front end's URL
	VerifyURL   string // templates of links in mails: see mail.Links
	ResetURL    string
	EmailURL    string
	PreviewURL  string // a template like those
	ArticleURL  string // templates of links in feeds: see feed.Links
	AuthorURL   string
	TagURL      string
	PublicURL   string // "" for where it is, as far as that is known: see newFeeds
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
	Rate          int // units a second; 0 for no limit
	RateBurst     int // units
	Introspection bool
	HSTS          time.Duration // 0 for none
	AnswerBytes   int64         // of whole answers; 0 for none
}

// variable is one thing that can be set.
type variable struct {
	name     string // of the environment variable; the flag is the same: STOA_LISTEN is --listen
	fallback string // as it would be given
	takes    string // what it takes, for the message that refuses something else
	about    string // what it does and what follows from changing it
	set      func(*Config, string) error
}

var errTakes = errors.New("not what it takes")

// variables is the one list of them; docs/configuration.md is written from it.
var variables = []variable{
	{"STOA_LISTEN", "127.0.0.1:8080", "host:port, such as 127.0.0.1:8080, or :8080 for every address",
		"Where HTTP is served. In production the default is `:8080`; where only `PORT` is set, as platforms do, it is `:$PORT`. Development mode takes loopback addresses only.",
		func(c *Config, v string) error {
			_, port, err := net.SplitHostPort(v)
			if n, e := strconv.Atoi(port); err != nil || e != nil || n < 0 || n > 65535 {
				return errTakes
			}
			c.Listen = v
			return nil
		}},
	{"STOA_MONGODB_URI", "", "mongodb://… or mongodb+srv://…",
		"The MongoDB server, replica set or cluster, version 7 or later; its database is used, `stoa` where it names none. Unset, the embedded database in `STOA_DATA` is used, which is for trying, for tests and for small sites.",
		func(c *Config, v string) error {
			if !strings.HasPrefix(v, "mongodb://") && !strings.HasPrefix(v, "mongodb+srv://") {
				return errTakes
			}
			if store.CheckURI(v) != nil {
				return errTakes // the reason may repeat a password
			}
			c.MongoDBURI = v
			return nil
		}},
	{"STOA_REDIS_URL", "", "redis://…, rediss://… or unix://…; for Sentinel with ?master_name=NAME",
		"The Redis that replicas share: the second cache tier, and the way by which they tell each other what has changed. Without it, several replicas on one MongoDB keep what they read for one second only. With the embedded database it has no use.",
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
		"Where the embedded database lives; made when it is missing. One server at a time uses it.",
		func(c *Config, v string) error { c.Data = v; return nil }},
	{"STOA_ENV", "development", "development or production",
		"In development Stoa listens on loopback only, logs as text, and fills an empty embedded database with a demo. In production it logs as JSON, listens on every address, and has no playground and, unless told otherwise, no introspection.",
		func(c *Config, v string) error {
			if v != "development" && v != "production" {
				return errTakes
			}
			c.Production = v == "production"
			return nil
		}},
	{"STOA_LOG", "info", "debug, info, warn or error",
		"How much is logged, to standard error. `debug` tells of each reconnection and of the embedded database.",
		func(c *Config, v string) error {
			if v != strings.ToLower(v) || c.LogLevel.UnmarshalText([]byte(v)) != nil {
				return errTakes
			}
			return nil
		}},
	{"STOA_DEMO", "on", "on or off",
		"Whether an empty embedded database is filled with a small magazine to try things on; in production it never is.",
		func(c *Config, v string) error {
			if v != "on" && v != "off" {
				return errTakes
			}
			c.Demo = v == "on"
			return nil
		}},
	{"STOA_CACHE_MEMORY", "256", "a number of MiB, 1 to 65536",
		"How much the cache in the process may hold. An article takes 2 KiB, its text what the text takes, three times. Parts of answers that were written before take up to an eighth of it more, and the collector is left 64 MiB of room unless `GOGC` or `GOMEMLIMIT` is set. Below what is read often, more is read from Redis or the database.",
		func(c *Config, v string) error {
			n, err := strconv.ParseInt(v, 10, 64)
			if err != nil || n < 1 || n > 65536 {
				return errTakes
			}
			c.CacheBytes = n << 20
			return nil
		}},
	{"STOA_RESPONSE_CACHE_BYTES", "67108864", "a number of bytes, 0 to 68719476736",
		"How much memory whole answers may take in the process, besides `STOA_CACHE_MEMORY`: those that are the same for everybody, ready to send, until something in them changes. Below what is asked for often, more answers are made anew, out of the caches. 0 keeps none.",
		func(c *Config, v string) error {
			n, err := strconv.ParseInt(v, 10, 64)
			if err != nil || n < 0 || n > 64<<30 {
				return errTakes
			}
			c.AnswerBytes = n
			return nil
		}},
	{"STOA_LANGUAGE", "en", "a language's ISO 639-1 code, such as en",
		"The language of what is published: by it a search finds the forms of a word, *agencies* for *agency*. Known are " + strings.Join(search.Stemmed(), ", ") + "; in other languages a word is found as it is written and by its beginning.",
		func(c *Config, v string) error {
			if len(v) != 2 || v[0] < 'a' || v[0] > 'z' || v[1] < 'a' || v[1] > 'z' {
				return errTakes
			}
			c.Language = v
			return nil
		}},
	{"STOA_SITE_URL", defaultSite, "the URL of the front end, such as https://example.org",
		"Where the links in mails and feeds lead, and what the site is called in them. In production it must be set for mails to be sent, and for feeds, the sitemap and robots.txt to be there.",
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
		"Where `/feed.atom`, `/sitemap.xml` and `/robots.txt` are, as they say of themselves. Unset, it is `STOA_SITE_URL` in production, since robots.txt and sitemaps count only on the site's own host, and `STOA_LISTEN` in development. What a request says of its host is never believed.",
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
		"The server that mails are handed to. Unset, development mode shows them at `/outbox` and logs their links; in production they wait until it is set, a day at most.",
		func(c *Config, v string) error { c.SMTPURL = v; return mail.CheckURL(v) }},
	{"STOA_MAIL_FROM", "", "an address, such as stoa@example.org or Example <stoa@example.org>",
		"Who mails are from. Needed with `STOA_SMTP_URL`.",
		func(c *Config, v string) error { c.MailFrom = v; return mail.CheckFrom(v) }},
	{"STOA_ORIGINS", "", "origins separated by commas, such as https://example.org,http://localhost:3000",
		"The front ends whose pages may use the API from a browser, with their visitors' cookies. The API's own origin needs no mention; cookies reach it from pages of the same site only (the same registered domain, or localhost).",
		func(c *Config, v string) error { c.Origins = words(v); return client.CheckOrigins(c.Origins) }},
	{"STOA_PROXIES", "", "networks separated by commas, such as 10.0.0.0/8,fd00::/8",
		"The proxies in front of Stoa whose `X-Forwarded-For` is believed. Without them everybody who comes through a proxy counts as one client, and is slowed down as one.",
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
		"How long a session lasts unused: two weeks. Shorter is safer where accounts can do much.",
		func(c *Config, v string) error { return span(&c.SessionIdle, v, 10*time.Minute, 8760*time.Hour) }},
	{"STOA_SESSION_MAX", "720h", "a duration, 10m to 8760h",
		"How long a session lasts at most: the 30 days that NIST SP 800-63B-4 gives for accounts with a password alone.",
		func(c *Config, v string) error { return span(&c.SessionMax, v, 10*time.Minute, 8760*time.Hour) }},
	{"STOA_MEDIA", "", "file:///path, or s3://bucket/prefix?region=REGION&endpoint=HOST:PORT",
		"Where uploaded pictures are kept. Unset, in the folder `media` in `STOA_DATA`; several replicas need a place that they share. For S3 and what speaks as it does, the keys come from `AWS_ACCESS_KEY_ID` and `AWS_SECRET_ACCESS_KEY`, from `~/.aws/credentials` or from the machine's role, which may list, read and write the bucket; `endpoint` is Amazon's where it is left out, and `tls=off` is for one nearby.",
		func(c *Config, v string) error { c.Media = v; return media.CheckLocation(v) }},
	{"STOA_MEDIA_URL", "", "a URL without a final slash, such as https://cdn.example.org",
		"What the addresses of uploaded pictures begin with: a CDN that gets them from here, or the API as the front end's visitors reach it. Unset, they are paths, `/media/…`, which are right where the front end's own server hands them on to here.",
		func(c *Config, v string) error {
			u, err := url.Parse(v)
			if err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Host == "" || u.RawQuery != "" || u.Fragment != "" || u.User != nil {
				return errTakes
			}
			c.MediaURL = strings.TrimSuffix(v, "/")
			return nil
		}},
	{"STOA_PASSWORD_MIN", strconv.Itoa(password.MinLength), "a number of characters, 8 to 64",
		"The shortest password. NIST SP 800-63B-4 asks for 15 where a password is all it takes; its predecessor for 8.",
		func(c *Config, v string) error {
			n, err := strconv.Atoi(v)
			if err != nil || n < 8 || n > 64 {
				return errTakes
			}
			c.PasswordMin = n
			return nil
		}},
	{"STOA_COMMENTS", "open", "open or moderated",
		"Whether what readers write about articles appears at once, or waits until an editor has approved it. What authors and editors write appears at once.",
		func(c *Config, v string) error {
			if v != "open" && v != "moderated" {
				return errTakes
			}
			c.Moderated = v == "moderated"
			return nil
		}},
	{"STOA_OPERATIONS", "", "a file, or a folder with files that end in .json",
		"The manifest of the documents that front ends were built with, as Relay's compiler (`persistConfig`) or Apollo's `generate-persisted-query-manifest` writes it: they can be asked for by their ids. It is read and validated at the start, which fails where a document doesn't fit the schema. docs/gateway.md tells more.",
		func(c *Config, v string) error { c.Operations = v; return nil }},
	{"STOA_TRUSTED_ONLY", "off", "on or off",
		"Whether only documents of `STOA_OPERATIONS` are answered, and every other refused with the code `DOCUMENT_NOT_TRUSTED`, the playground's too. For an API that has no clients but its own front ends: nobody else can ask it anything.",
		func(c *Config, v string) error {
			if v != "on" && v != "off" {
				return errTakes
			}
			c.TrustedOnly = v == "on"
			return nil
		}},
	{"STOA_MAX_COST", "20000", "a number of units, 100 to 1000000",
		"What one operation may cost. A unit is about one object in an answer; `extensions.cost` of each answer says how many it cost. Raising it raises the memory that one request can take, by some 500 bytes each.",
		func(c *Config, v string) error { return number(&c.MaxCost, v, 100, 1_000_000) }},
	{"STOA_RATE", "2000", "a number of units a second, 1 to 1000000, or 0",
		"How many units of cost one client (an address, or a /64 of IPv6) may spend a second in the long run, and one account. 0 is without limit. A front end's server that asks for its visitors is one client unless it is in `STOA_PROXIES` and says for whom it asks.",
		func(c *Config, v string) error { return number(&c.Rate, v, 0, 1_000_000) }},
	{"STOA_RATE_BURST", "40000", "a number of units, 100 to 1000000000",
		"How many units of cost they may spend at once before they wait; at least `STOA_MAX_COST`. Raising it lets one client take more of a replica at a time.",
		func(c *Config, v string) error { return number(&c.RateBurst, v, 100, 1_000_000_000) }},
	{"STOA_INTROSPECTION", "", "on or off",
		"Whether clients may ask for the schema, and errors suggest names out of it. Unset, it is on in development and off in production, where errors name nothing of the schema that the request didn't.",
		func(c *Config, v string) error {
			if v != "on" && v != "off" {
				return errTakes
			}
			c.Introspection = v == "on"
			return nil
		}},
	{"STOA_HSTS", "0s", "a duration, 0s to 17520h, such as 8760h",
		"For how long browsers are told to come by HTTPS only (`Strict-Transport-Security`). They are told when a proxy in `STOA_PROXIES` says that the visitor came by HTTPS. 0s tells nothing; start with little, since it can't be taken back before it has run out.",
		func(c *Config, v string) error { return span(&c.HSTS, v, 0, 17520*time.Hour) }},
}

const (
	defaultSite = "http://localhost:3000" // where front ends are developed

	verifyURL  = "{site}/verify#token={token}"
	resetURL   = "{site}/reset#token={token}"
	emailURL   = "{site}/email#token={token}"
	previewURL = "{site}/preview#token={token}"

	articleURL = "{site}/articles/{slug}"
	authorURL  = "{site}/authors/{slug}"
	tagURL     = "{site}/tags/{slug}"
)

// checkLink says what is wrong with a link's template.
func checkLink(template string) error {
	return mail.Links{SiteURL: "https://example.org", Verify: template, Reset: template, EmailChange: template}.Check()
}

// words are what commas and spaces separate.
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

// flag is the variable's name on the command line.
func (v variable) flag() string {
	return strings.ReplaceAll(strings.ToLower(strings.TrimPrefix(v.name, "STOA_")), "_", "-")
}

// secret says whether the variable's value may hold a password, so that no message shows it.
func (v variable) secret() bool {
	return v.name == "STOA_MONGODB_URI" || v.name == "STOA_REDIS_URL" || v.name == "STOA_SMTP_URL" || v.name == "STOA_MEDIA"
}

// Configure reads the environment and flags, which win, and returns the arguments that
// are no flags. Its error is one line that says what to change.
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

// refuse says what is wrong with a value and what would be right.
func (v variable) refuse(value string, err error) error {
	got := fmt.Sprintf("%.80q", value)
	// A password can be anywhere in what isn't a right URL, but not where nobody is named.
	if v.secret() && strings.ContainsAny(value, "@?#") {
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

// check refuses what is right by itself but not together.
func (c Config) check() error {
	host, _, err := net.SplitHostPort(c.Listen)
	if err != nil {
		return fmt.Errorf("STOA_LISTEN: %w", err)
	}
	if ip := net.ParseIP(host); !c.Production && host != "localhost" && (ip == nil || !ip.IsLoopback()) {
		return fmt.Errorf("STOA_LISTEN takes a loopback address in development, such as 127.0.0.1:8080; it got %q. Set STOA_ENV=production to serve others", c.Listen)
	}
	if c.TrustedOnly && c.Operations == "" {
		return errors.New("STOA_TRUSTED_ONLY needs STOA_OPERATIONS: the manifest of what may be asked")
	}
	if c.Rate > 0 && c.RateBurst < c.MaxCost {
		return fmt.Errorf("STOA_RATE_BURST takes at least STOA_MAX_COST, %d; it got %d", c.MaxCost, c.RateBurst)
	}
	if c.SMTPURL != "" && c.MailFrom == "" {
		return errors.New("STOA_SMTP_URL needs STOA_MAIL_FROM: who mails are from, such as stoa@example.org")
	}
	if c.SMTPURL != "" && c.Production && !strings.HasPrefix(c.SiteURL, "https://") {
		return errors.New("STOA_SMTP_URL needs STOA_SITE_URL: the front end that links in mails lead to, such as https://example.org; its codes may not go over http")
	}
	return nil
}

// flags takes --name value and --name=value out of args and puts them into given.
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
		if (name == "dry-run" || name == "list") && !has {
			rest = append(rest, "--"+name)
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
