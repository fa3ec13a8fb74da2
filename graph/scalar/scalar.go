// Package scalar reads and writes the scalars of the schema. Entry points: a Marshal and an
// Unmarshal function for each scalar. It imports id, money and problem.
package scalar

import (
	"fmt"
	"io"
	"strconv"
	"time"

	"github.com/99designs/gqlgen/graphql"

	"stoa/id"
	"stoa/money"
	"stoa/problem"
)

// MarshalID writes an id as a string.
func MarshalID(i id.ID) graphql.Marshaler { return graphql.MarshalString(string(i)) }

// UnmarshalID reads an id; Invalid for any other value.
func UnmarshalID(v any) (id.ID, error) {
	switch v := v.(type) {
	case string:
		i, err := id.Parse(v)
		if err != nil {
			return "", problem.New(problem.Invalid, "%s", err)
		}
		return i, nil
	default:
		return "", problem.New(problem.Invalid, "an id is a string, not %s", kind(v))
	}
}

// MarshalDateTime writes t as RFC 3339 in UTC, with milliseconds unless they are zero.
func MarshalDateTime(t time.Time) graphql.Marshaler {
	return graphql.WriterFunc(func(w io.Writer) {
		var b [40]byte
		_, _ = w.Write(append(t.UTC().Truncate(time.Millisecond).AppendFormat(append(b[:0], '"'), time.RFC3339Nano), '"'))
	})
}

// UnmarshalDateTime reads an RFC 3339 moment with any offset, and cuts it to milliseconds; Invalid
// for any other value.
func UnmarshalDateTime(v any) (time.Time, error) {
	s, ok := v.(string)
	if !ok {
		return time.Time{}, problem.New(problem.Invalid, "a DateTime is a string such as \"2026-03-01T09:30:00Z\", not %s", kind(v))
	}
	t, err := time.Parse(time.RFC3339, s)
	if err != nil {
		return time.Time{}, problem.New(problem.Invalid, "%.40q is no DateTime: expected RFC 3339 such as \"2026-03-01T09:30:00Z\"", s)
	}
	return t.UTC().Truncate(time.Millisecond), nil
}

// MarshalDecimal writes a decimal number as a string.
func MarshalDecimal(d money.Decimal) graphql.Marshaler { return graphql.MarshalString(string(d)) }

// UnmarshalDecimal reads a decimal number from a string; Invalid for any other value. A JSON number
// is refused because many clients can't write 8.28 as one exactly.
func UnmarshalDecimal(v any) (money.Decimal, error) {
	s, ok := v.(string)
	if !ok {
		return "", problem.New(problem.Invalid, "a Decimal is a string such as \"8.28\", not %s", kind(v))
	}
	d, err := money.ParseDecimal(s)
	if err != nil {
		return "", problem.New(problem.Invalid, "%s", err)
	}
	return d, nil
}

// MarshalCurrencyCode writes the code of a currency as a string.
func MarshalCurrencyCode(c money.Currency) graphql.Marshaler { return graphql.MarshalString(string(c)) }

// UnmarshalCurrencyCode reads the code of a currency; Invalid for any other value.
func UnmarshalCurrencyCode(v any) (money.Currency, error) {
	s, ok := v.(string)
	if !ok {
		return "", problem.New(problem.Invalid, "a CurrencyCode is a string such as \"EUR\", not %s", kind(v))
	}
	c, err := money.ParseCurrency(s)
	if err != nil {
		return "", problem.New(problem.Invalid, "%s", err)
	}
	return c, nil
}

// MarshalUpload writes null: files are input only.
func MarshalUpload(graphql.Upload) graphql.Marshaler { return graphql.Null }

// UnmarshalUpload takes a file that the gateway has read; Invalid for any other value.
func UnmarshalUpload(v any) (graphql.Upload, error) {
	file, ok := v.(graphql.Upload)
	if !ok {
		return graphql.Upload{}, problem.New(problem.Invalid, "a file is sent by a multipart request: github.com/jaydenseric/graphql-multipart-request-spec")
	}
	return file, nil
}

// kind names the type of a client's value, for an error text.
func kind(v any) string {
	switch v := v.(type) {
	case nil:
		return "null"
	case bool:
		return strconv.FormatBool(v)
	case map[string]any:
		return "an object"
	case []any:
		return "a list"
	default:
		return fmt.Sprintf("the number %.30s", fmt.Sprint(v))
	}
}
