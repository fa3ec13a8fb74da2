package app

import (
	"fmt"
	"os"
	"strings"
	"testing"
)

func environment(values map[string]string) func(string) (string, bool) {
	return func(name string) (string, bool) { v, ok := values[name]; return v, ok }
}

func TestConfigureTakesEnvironmentThenFlags(t *testing.T) {
	cases := map[string]struct {
		reason string
		env    map[string]string
		args   []string
		check  func(Config) bool
	}{
		"Defaults": {"nothing set is development on loopback with the demo", nil, nil, func(c Config) bool {
			return c.Listen == "127.0.0.1:8080" && c.Data == "./data" && c.Demo && !c.Production
		}},
		"Production":        {"production listens on every address", map[string]string{"STOA_ENV": "production"}, nil, func(c Config) bool { return c.Listen == ":8080" && c.Production }},
		"PortProduction":    {"platforms set PORT", map[string]string{"STOA_ENV": "production", "PORT": "9000"}, nil, func(c Config) bool { return c.Listen == ":9000" }},
		"PortDevelopment":   {"PORT doesn't open development to others", map[string]string{"PORT": "9000"}, nil, func(c Config) bool { return c.Listen == "127.0.0.1:9000" }},
		"ListenBeatsPort":   {"what names Stoa wins", map[string]string{"PORT": "9000", "STOA_LISTEN": "localhost:7000"}, nil, func(c Config) bool { return c.Listen == "localhost:7000" }},
		"FlagBeatsVariable": {"flags win", map[string]string{"STOA_DATA": "/a"}, []string{"--data", "/b"}, func(c Config) bool { return c.Data == "/b" }},
		"FlagWithEquals":    {"both ways of writing a flag work", nil, []string{"serve", "--demo=off"}, func(c Config) bool { return !c.Demo }},
		"EmptyIsUnset":      {"an empty variable is as good as none", map[string]string{"STOA_DATA": ""}, nil, func(c Config) bool { return c.Data == "./data" }},
		"Introspection":     {"the schema is given out in development", nil, nil, func(c Config) bool { return c.Introspection }},
		"NoIntrospection":   {"and not in production", map[string]string{"STOA_ENV": "production"}, nil, func(c Config) bool { return !c.Introspection }},
		"Introspected":      {"unless it is told to", map[string]string{"STOA_ENV": "production", "STOA_INTROSPECTION": "on"}, nil, func(c Config) bool { return c.Introspection }},
		"Rates":             {"there are rates", nil, nil, func(c Config) bool { return c.Rate == 2000 && c.RateBurst == 40000 && c.MaxCost == 20000 }},
		"NoRates":           {"or none, and then no burst has to pay for anything", map[string]string{"STOA_RATE": "0", "STOA_RATE_BURST": "100"}, nil, func(c Config) bool { return c.Rate == 0 }},
		"EnvByFlag":         {"the default of one depends on another, flag or not", nil, []string{"--env=production"}, func(c Config) bool { return c.Listen == ":8080" }},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			got, _, err := Configure(c.args, environment(c.env))
			if err != nil || !c.check(got) {
				t.Errorf("%s: got %+v, %v", c.reason, got, err)
			}
		})
	}
}

func TestInvalidSettingsAreRefusedInOneLine(t *testing.T) {
	cases := map[string]struct {
		env  map[string]string
		args []string
		want []string // all in the message
		not  string   // not in it
	}{
		"Listen":        {map[string]string{"STOA_LISTEN": "8080"}, nil, []string{"STOA_LISTEN", `"8080"`, "host:port"}, ""},
		"ListenPort":    {map[string]string{"STOA_LISTEN": "localhost:99999"}, nil, []string{"STOA_LISTEN", "99999"}, ""},
		"Port":          {map[string]string{"PORT": "http"}, nil, []string{"PORT takes", `"http"`, "65535"}, ""},
		"ListenOpen":    {map[string]string{"STOA_LISTEN": "0.0.0.0:8080"}, nil, []string{"STOA_LISTEN", "loopback", "STOA_ENV=production"}, ""},
		"Env":           {map[string]string{"STOA_ENV": "prod"}, nil, []string{"STOA_ENV", `"prod"`, "development or production"}, ""},
		"Log":           {map[string]string{"STOA_LOG": "loud"}, nil, []string{"STOA_LOG", `"loud"`, "debug, info, warn or error"}, ""},
		"Demo":          {map[string]string{"STOA_DEMO": "no"}, nil, []string{"STOA_DEMO", `"no"`, "on or off"}, ""},
		"MongoDB":       {map[string]string{"STOA_MONGODB_URI": "http://u:secret@h"}, nil, []string{"STOA_MONGODB_URI", "mongodb://"}, "secret"},
		"Redis":         {map[string]string{"STOA_REDIS_URL": "tcp://u:secret@h"}, nil, []string{"STOA_REDIS_URL", "redis://"}, "secret"},
		"RedisDatabase": {map[string]string{"STOA_REDIS_URL": "redis://:secret@h/x"}, nil, []string{"STOA_REDIS_URL"}, "secret"},
		"Cache":         {map[string]string{"STOA_CACHE_MEMORY": "0"}, nil, []string{"STOA_CACHE_MEMORY", `"0"`, "MiB"}, ""},
		"TrustedOnly":   {map[string]string{"STOA_TRUSTED_ONLY": "yes"}, nil, []string{"STOA_TRUSTED_ONLY", `"yes"`, "on or off"}, ""},
		"TrustedNone":   {map[string]string{"STOA_TRUSTED_ONLY": "on"}, nil, []string{"STOA_TRUSTED_ONLY needs STOA_OPERATIONS"}, ""},
		"Rate":          {map[string]string{"STOA_RATE": "-1"}, nil, []string{"STOA_RATE", `"-1"`, "units a second"}, ""},
		"Burst":         {map[string]string{"STOA_RATE_BURST": "10000"}, nil, []string{"STOA_RATE_BURST", "STOA_MAX_COST", "20000", "10000"}, ""},
		"Introspection": {map[string]string{"STOA_INTROSPECTION": "yes"}, nil, []string{"STOA_INTROSPECTION", `"yes"`, "on or off"}, ""},
		"SitePassword":  {map[string]string{"STOA_SITE_URL": "https://ada:secret@example.org"}, nil, []string{"STOA_SITE_URL", "a user or a password"}, "secret"},
		"LinkPassword":  {map[string]string{"STOA_RESET_URL": "https://ada:se cret@example.org/{token}"}, nil, []string{"STOA_RESET_URL"}, "cret"},
		"OpenLink":      {map[string]string{"STOA_ENV": "production", "STOA_RESET_URL": "http://example.org/#{token}"}, nil, []string{"STOA_RESET_URL", "https://"}, ""},
		"OpenPreview":   {map[string]string{"STOA_ENV": "production", "STOA_PREVIEW_URL": "http://example.org/#{token}"}, nil, []string{"STOA_PREVIEW_URL", "https://"}, ""},
		"OpenOrigin":    {map[string]string{"STOA_ENV": "production", "STOA_ORIGINS": "http://localhost:3000,http://shop.example"}, nil, []string{"STOA_ORIGINS", "http://shop.example", "https://"}, ""},
		"UnknownFlag":   {nil, []string{"--lisen=x"}, []string{"--lisen", "--help"}, ""},
		"FlagNoValue":   {nil, []string{"--data"}, []string{"--data", "value"}, ""},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			_, _, err := Configure(c.args, environment(c.env))
			if err == nil {
				t.Fatal("it was taken")
			}
			for _, want := range c.want {
				if !strings.Contains(err.Error(), want) {
					t.Errorf("%q doesn't say %q", err, want)
				}
			}
			if strings.Contains(err.Error(), "\n") || c.not != "" && strings.Contains(err.Error(), c.not) {
				t.Errorf("%q is more than one line, or shows a secret", err)
			}
		})
	}
}

func TestWeakSettingsOfProductionAreWarnedOf(t *testing.T) {
	env := map[string]string{"STOA_RATE": "0", "STOA_PROXIES": "10.0.0.0/8,0.0.0.0/0,::/0", "STOA_ORIGINS": "http://localhost:3000"}
	c, _, err := Configure(nil, environment(env))
	if err != nil || len(c.Warnings()) != 0 {
		t.Errorf("development: %v, %v", c.Warnings(), err)
	}
	env["STOA_ENV"] = "production"
	c, _, err = Configure(nil, environment(env))
	got := strings.Join(c.Warnings(), "\n")
	if err != nil || len(c.Warnings()) != 3 || !strings.Contains(got, "0.0.0.0/0") || !strings.Contains(got, "::/0") || !strings.Contains(got, "STOA_RATE") {
		t.Errorf("production: %v, %v", got, err)
	}
}

// docs/configuration.md is generated from the list of variables: UPDATE=1 go test ./app.
func TestConfigurationIsDocumented(t *testing.T) {
	var b strings.Builder
	b.WriteString(`# Configuration

Everything is set by environment variables, or by flags of the same names: ` + "`STOA_LISTEN`" + ` is
` + "`--listen`" + `, and flags win. With an invalid value the start ends with one line that tells the
valid ones.

This page is generated from the list in ` + "`app/config.go`" + ` by ` + "`UPDATE=1 go test ./app`" + `; a
test compares the two.
`)
	for _, v := range variables {
		fallback := "unset"
		if v.fallback != "" {
			fallback = "`" + v.fallback + "`"
		}
		fmt.Fprintf(&b, "\n## %s\n\nFlag `--%s`. Default: %s. Takes %s.\n\n%s\n", v.name, v.flag(), fallback, v.takes, strings.Join(wrap(v.about, 96), "\n"))
	}
	const path = "../docs/configuration.md"
	if os.Getenv("UPDATE") != "" {
		if err := os.WriteFile(path, []byte(b.String()), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	got, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if string(got) != b.String() {
		t.Error("docs/configuration.md doesn't say what app/config.go says: run UPDATE=1 go test ./app")
	}
}
