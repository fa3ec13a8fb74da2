package app

import (
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/url"
	"strconv"
	"strings"

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
		"In development Stoa listens on loopback only, logs as text, and fills an empty embedded database with a demo. In production it logs as JSON, listens on every address, and has no playground and no introspection.",
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
		"How much the cache in the process may hold. An article takes 2 KiB, its text what the text takes, three times. Below what is read often, more is read from Redis or the database.",
		func(c *Config, v string) error {
			n, err := strconv.ParseInt(v, 10, 64)
			if err != nil || n < 1 || n > 65536 {
				return errTakes
			}
			c.CacheBytes = n << 20
			return nil
		}},
}

// flag is the variable's name on the command line.
func (v variable) flag() string {
	return strings.ReplaceAll(strings.ToLower(strings.TrimPrefix(v.name, "STOA_")), "_", "-")
}

// secret says whether the variable's value may hold a password, so that no message shows it.
func (v variable) secret() bool {
	return strings.HasSuffix(v.name, "_URI") || strings.HasSuffix(v.name, "_URL")
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
	if v.secret() {
		got = "something else"
		if u, e := url.Parse(value); e == nil && u.Scheme != "" {
			got = fmt.Sprintf("%.80q", u.Redacted())
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
