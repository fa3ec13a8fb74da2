package scalar

// Scalars read and written, and values refused.

import (
	"encoding/json"
	"strings"
	"testing"
	"time"

	"github.com/99designs/gqlgen/graphql"

	"stoa/id"
	"stoa/problem"
)

func write(m graphql.Marshaler) string {
	var b strings.Builder
	m.MarshalGQL(&b)
	return b.String()
}

func TestADateTimeIsReadWithAnyOffsetToTheMillisecond(t *testing.T) {
	cases := map[string]struct {
		reason string
		in     any
		want   string // in the output form; "" if it is refused
	}{
		"UTC":       {"as the schema shows it", "2026-03-01T09:30:00Z", `"2026-03-01T09:30:00Z"`},
		"Offset":    {"any offset is taken", "2026-03-01T09:30:00+05:30", `"2026-03-01T04:00:00Z"`},
		"Milli":     {"milliseconds are kept", "2026-03-01T09:30:00.120Z", `"2026-03-01T09:30:00.12Z"`},
		"Nano":      {"what is finer is cut off", "2026-03-01T09:30:00.1239999Z", `"2026-03-01T09:30:00.123Z"`},
		"Old":       {"before there were computers", "1815-12-10T00:00:00Z", `"1815-12-10T00:00:00Z"`},
		"Date":      {"a day is no moment", "2026-03-01", ""},
		"NoOffset":  {"where?", "2026-03-01T09:30:00", ""},
		"Calendar":  {"there is no such day", "2026-02-30T09:30:00Z", ""},
		"Empty":     {"nothing", "", ""},
		"Long":      {"whatever this is", strings.Repeat("x", 5000), ""},
		"Int":       {"a number, as it stands in a document", int64(5), ""},
		"Number":    {"a number, as it comes in a variable", json.Number("1778578200"), ""},
		"Fraction":  {"a fraction", 1.5, ""},
		"Bool":      {"a truth value", true, ""},
		"Object":    {"an object", map[string]any{"at": 1}, ""},
		"List":      {"a list", []any{"2026-03-01T09:30:00Z"}, ""},
		"Null":      {"null", nil, ""},
		"Lowercase": {"RFC 3339 allows it, this API doesn't", "2026-03-01t09:30:00z", ""},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			at, err := UnmarshalDateTime(c.in)
			if c.want == "" {
				if !problem.Is(err, problem.Invalid) || len(err.Error()) > 200 {
					t.Errorf("%s: %v gives %s, %v; want Invalid in a sentence", c.reason, c.in, at, err)
				}
				return
			}
			if err != nil || write(MarshalDateTime(at)) != c.want || at.Location() != time.UTC {
				t.Errorf("%s: %v gives %s, %v; want %s", c.reason, c.in, write(MarshalDateTime(at)), err, c.want)
			}
		})
	}
}

func TestAnIDIsReadAsItIsOrRefusedWithASentence(t *testing.T) {
	some := id.New(id.Tag)
	if got, err := UnmarshalID(string(some)); err != nil || got != some || write(MarshalID(got)) != `"`+string(some)+`"` {
		t.Errorf("%s came back as %s, %v", some, got, err)
	}
	cases := map[string]struct {
		reason string
		in     any
		says   string
	}{
		"Text":   {"some text", "press", `"press" is no id`},
		"Prefix": {"an id of nothing there is", "xyz_01k9v6v0mvf5ts2c5zr0h4m8qd", `nothing has the prefix "xyz"`},
		"Int":    {"a number in a document", int64(5), "not the number 5"},
		"Number": {"a number in a variable", json.Number("70"), "not the number 70"},
		"Long":   {"a number that doesn't end", json.Number(strings.Repeat("7", 5000)), "not the number 777777777777777777777777777777"},
		"Bool":   {"a truth value", false, "not false"},
		"Null":   {"null", nil, "not null"},
		"List":   {"a list", []any{}, "not a list"},
		"Object": {"an object", map[string]any{}, "not an object"},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			if _, err := UnmarshalID(c.in); !problem.Is(err, problem.Invalid) || !strings.Contains(err.Error(), c.says) || len(err.Error()) > 200 {
				t.Errorf("%s: %v; want a sentence with %q", c.reason, err, c.says)
			}
		})
	}
}

func TestADecimalIsAString(t *testing.T) {
	for text, want := range map[string]bool{"8.28": true, "-0.5": true, "12": true, "1e3": false, "": false, "8,28": false} {
		d, err := UnmarshalDecimal(text)
		if (err == nil) != want || err == nil && write(MarshalDecimal(d)) != `"`+text+`"` {
			t.Errorf("%q is %q, %v", text, d, err)
		}
	}
	for _, v := range []any{json.Number("8.28"), int64(8), 8.28, true, nil} {
		if _, err := UnmarshalDecimal(v); !problem.Is(err, problem.Invalid) || !strings.Contains(err.Error(), `such as "8.28"`) {
			t.Errorf("%v: %v", v, err)
		}
	}
}

func TestACurrencyCodeIsOneOfISO4217(t *testing.T) {
	if c, err := UnmarshalCurrencyCode("EUR"); err != nil || write(MarshalCurrencyCode(c)) != `"EUR"` {
		t.Errorf("%v, %v", c, err)
	}
	for _, v := range []any{"eur", "XXX", "", json.Number("978"), nil} {
		if _, err := UnmarshalCurrencyCode(v); !problem.Is(err, problem.Invalid) {
			t.Errorf("%v: %v", v, err)
		}
	}
}
